"""Which answers an offline page carries: the everyday ones always, the rest while they fit."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from causal_widget.widget import protocol
from causal_widget.widget.handlers import HANDLERS, LANES
from causal_widget.widget.protocol import Request
from causal_widget.widget.store import SHOWN_RULES
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend, Choices

EDGE_BYTES, UNIT_BYTES, MAP_BYTES = 6_000_000, 3_000_000, 4_000_000
EQUATION_BYTES = 2_000_000
CLASS_BYTES = 3_000_000
UNIT_SECONDS, EFFECT_SECONDS, MAP_SECONDS = 10.0, 5.0, 10.0
# between them an offline page takes the nearest
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass
class Recording:
    """Answers by the key under which the page looks them up.

    Attributes
    ----------
    replies : dict of str to (result, buffers)
        What a page would have been sent.
    left_out : list of str
        What did not fit, for the reader of the page.
    """

    replies: dict[str, tuple[dict[str, Any], list[memoryview]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, key: list[Any], result: dict[str, Any], buffers: list[memoryview]) -> int:
        """Keep an answer; give its size in bytes."""
        self.replies[json.dumps(key, ensure_ascii=False, separators=(",", ":"))] = (result, buffers)
        return sum(map(len, buffers)) + len(json.dumps(result))


def record(backend: Backend, choices: Choices, selected: Mapping[str, Iterable[int]]) -> Recording:
    """Ask the widget's own handlers what a page would ask.

    Parameters
    ----------
    backend : Backend
        The widget's kernel side.
    choices : Choices
        The person's choices now.
    selected : mapping of layer to units
        Recorded first, where not everything fits.
    """
    recording = Recording()
    state = {**backend.state(), "canCollect": False, "job": None, "revision": 1, "measured": 1}
    recording.add(["hello"], protocol.clean(state), [])
    asking = _Asking(backend, choices, recording)
    for op in ("graph", "pruning", "equations", "checked"):
        asking.ask([op], op)
    for rule in SHOWN_RULES:
        asking.ask(["importance", rule], "importance", rule=rule)
    _ranking(asking)
    _classes(asking)
    _edges(asking)
    _units(asking, selected)
    _equations(asking, selected)
    if backend.data.strip is None:
        recording.left_out.append("It was written without images: no effects and no heatmaps.")
        return recording
    asking.ask(["images"], "images")
    _class_units(asking)
    _effects(asking)
    _maps(asking, selected)
    return recording


@dataclass
class _Budget:
    room: float
    seconds: float
    missing: int = 0

    def __post_init__(self) -> None:
        self._ends = time.perf_counter() + self.seconds

    def spent(self) -> bool:
        """Say whether there is no room or no time for one more, and count it as missing if so."""
        over = self.room <= 0 or time.perf_counter() > self._ends
        self.missing += over
        return over


@dataclass
class _Asking:
    backend: Backend
    choices: Choices
    recording: Recording

    def ask(self, key: list[Any], op: str, **args: Any) -> int:
        content = {"v": protocol.VERSION, "id": 0, "op": op, "args": args}
        request: Request = protocol.parse(content)
        reply = HANDLERS[op](self.backend, Task(request, self.choices, LANES[op]))
        written, buffers = protocol.write_reply(request, reply)
        return self.recording.add(key, written["result"], buffers)


def _ranking(asking: _Asking) -> None:
    """Record the ranking as each of its outcomes judges it."""
    asking.ask(["ranking", None], "ranking")
    effects = asking.backend.store.effects
    for outcome in () if effects is None else effects.columns:
        asking.ask(["ranking", outcome], "ranking", outcome=outcome)


def _classes(asking: _Asking) -> None:
    """Record the graphs of classes, each alone and against each other."""
    known = list(asking.backend.classes.found)
    asking.ask(["explained", None, None], "explained")
    for target in range(asking.backend.explainer.graph.output.units):
        asking.ask(["explained", target, None], "explained", target=target)
    for target, other in itertools.permutations(known, 2):
        asking.ask(["explained", target, other], "explained", target=target, other=other)


def _class_units(asking: _Asking) -> None:
    """Record the maps of the units that classes' graphs report, from the class backwards."""
    budget = _Budget(CLASS_BYTES, UNIT_SECONDS)
    for target, one in asking.backend.classes.found.items():
        for units in reversed(one.layers.values()):
            for unit in (*units.where("critical").tolist(), *units.where("detrimental").tolist()):
                if not budget.spent():
                    key = ["classUnit", target, units.layer, unit]
                    budget.room -= asking.ask(key, "classUnit", target=target, layer=units.layer, unit=unit)
    if budget.missing:
        asking.recording.left_out.append(
            f"Maps of {budget.missing:,} units of classes were left out for size or time."
        )


def _edges(asking: _Asking) -> None:
    wirings, room, missing = asking.backend.explainer.graph.wirings, EDGE_BYTES, 0
    for i, wiring in enumerate(wirings):
        size = wiring.target_units * wiring.source_units
        if size > room:
            missing += 1
            continue
        asking.ask(["edges", i], "edges", wirings=[i])
        room -= size
    if missing:
        asking.recording.left_out.append(
            f"Edges of {missing} of {len(wirings)} layer pairs were left out for size."
        )


def _units(asking: _Asking, selected: Mapping[str, Iterable[int]]) -> None:
    budget = _Budget(UNIT_BYTES, UNIT_SECONDS)
    for layer, unit in _by_interest(asking, selected):
        if not budget.spent():
            budget.room -= asking.ask(["unit", layer, unit], "unit", layer=layer, unit=unit)
    if budget.missing:
        asking.recording.left_out.append(
            f"Details of {budget.missing:,} units were left out for size or time."
        )


def _equations(asking: _Asking, selected: Mapping[str, Iterable[int]]) -> None:
    budget = _Budget(EQUATION_BYTES, UNIT_SECONDS)
    for layer, unit in _by_interest(asking, selected):
        if not budget.spent():
            budget.room -= asking.ask(["equation", layer, unit], "equation", layer=layer, unit=unit)
    if budget.missing:
        asking.recording.left_out.append(
            f"Equations of {budget.missing:,} units were left out for size or time."
        )


def _by_interest(asking: _Asking, selected: Mapping[str, Iterable[int]]) -> Iterator[tuple[str, int]]:
    """Every unit once: the selected, then the convolutions' from the most important on, then the others."""
    graph, store = asking.backend.explainer.graph, asking.backend.store
    ranked: list[tuple[float, str, int]] = []
    for layer in graph.layers:
        ranks = store.ranks(asking.choices.rule, layer.name)
        for unit in range(layer.units):
            place = float(ranks[unit]) if ranks is not None else unit + (0 if layer.kind == "conv" else 1e6)
            ranked.append((place, layer.name, unit))
    chosen = [(layer, unit) for layer, units in selected.items() for unit in units]
    rest = [(layer, unit) for _, layer, unit in sorted(ranked, key=lambda entry: entry[0])]
    yield from dict.fromkeys([*chosen, *rest])


def _do(asking: _Asking, ablated: Mapping[str, Iterable[int]], scale: float) -> list[Any]:
    chosen = sorted([layer, sorted(units)] for layer, units in ablated.items() if units)
    return [chosen, asking.choices.site, f"{scale:.2f}"] if chosen else []


def _effects(asking: _Asking) -> None:
    """Record what is chosen now, nothing, other values of it and single filters while there is time."""
    graph, scale = asking.backend.explainer.graph, asking.choices.scale
    now = {layer: list(units) for layer, units in asking.choices.ablated.items()}
    singles = [{layer.name: [u]} for layer in graph.hidden_conv_layers for u in range(layer.units)]
    budget = _Budget(1, EFFECT_SECONDS)
    _answers(asking, now, scale)
    _answers(asking, {}, 0.0)
    for other in SCALES:
        if now and other != scale and not budget.spent():
            _answers(asking, now, other)
    budget.missing = 0
    for single in singles:
        if not budget.spent():
            _answers(asking, single, 0.0)
    left_out = asking.recording.left_out
    left_out.append("Effects are there for what was zeroed when it was written and for single filters.")
    if budget.missing:
        left_out.append(f"Effects of {budget.missing:,} single filters were left out.")


def _answers(asking: _Asking, ablated: Mapping[str, Iterable[int]], scale: float) -> None:
    for op in ("effect", "predict"):
        asking.ask([op, _do(asking, ablated, scale)], op, ablated=ablated, scale=scale)


def _maps(asking: _Asking, selected: Mapping[str, Iterable[int]]) -> None:
    """Heatmaps of every layer and image, then of every filter as well, while there is room and time."""
    now = _do(asking, asking.choices.ablated, asking.choices.scale)
    budget = _Budget(MAP_BYTES, MAP_SECONDS)
    for image, layer, pair in _maps_by_interest(asking, selected):
        if not budget.spent():
            where, unit = (None, None) if pair is None else pair
            key = ["heatmap", image, layer, unit, where, asking.choices.rule, now]
            budget.room -= asking.ask(key, "heatmap", image=image, layer=layer, unit=unit, unitLayer=where)
    if budget.missing:
        asking.recording.left_out.append(f"{budget.missing:,} heatmaps were left out for size or time.")


def _maps_by_interest(
    asking: _Asking, selected: Mapping[str, Iterable[int]]
) -> Iterator[tuple[int, str, tuple[str, int] | None]]:
    layers = asking.backend.explainer.graph.hidden_conv_layers
    images = range(len(asking.backend.data.shown.images))
    chosen = [(layer, unit) for layer, units in selected.items() for unit in units]
    single = [(layer.name, unit) for layer in layers for unit in range(layer.units)]
    for pairs in ([None], list(dict.fromkeys([*chosen, *single]))):
        for image in images:
            for layer in layers:
                yield from ((image, layer.name, pair) for pair in pairs)
