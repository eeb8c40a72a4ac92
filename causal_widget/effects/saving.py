"""Save effects to one safetensors file, and load what gives the same tables bit for bit.

Arrays are the file's tensors; everything else is JSON in its header, with a checksum of it all. Nothing in a
file is ever executed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from causal_widget.effects.evidence import KINDS, kind_of, moments_arrays, moments_from
from causal_widget.effects.outcomes import OUTCOMES, Outcome, outcome
from causal_widget.effects.questions import Question, Questions
from causal_widget.errors import ArgumentError, DataError
from causal_widget.files import Arrays, Codec, Record, read_record, write_record
from causal_widget.graph import FilterGraph, Layer, Step, Wiring
from causal_widget.interventions import edit_from_json

if TYPE_CHECKING:
    from causal_widget.effects.effects import Effects

__all__ = ["load", "save"]

RECORD = Record("causal_widget effects", "1", "effects", "Effects.save")
CODEC = Codec.of((FilterGraph, Layer, Step, Wiring))
PLAIN = ("n_images", "seconds", "ran", "seed", "how", "worked", "scale")


def save(effects: Effects, path: str | Path) -> Path:
    """Save effects to a file, which is there whole or not at all.

    The network and its images are not saved, and of a function of the user's only its name.

    Parameters
    ----------
    effects : Effects
    path : str or Path
        Usually it ends in ``.safetensors``. A file of that name is replaced.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    arrays: Arrays = dict(moments_arrays("before", effects.before))
    groups = {}
    for number, layer in enumerate(effects.questions.groups):
        found = effects.evidence[layer]
        groups[layer] = kind_of(found)
        arrays |= {f"evidence/{number}/{name}": array for name, array in found.arrays().items()}
    coded: Arrays = {}
    tree = {
        "graph": CODEC.encode(effects.graph, coded, "graph"),
        "questions": [_question(one) for one in effects.asked],
        "evidence": groups,
        "outcomes": [_outcome(one) for one in effects.outcomes],
        "settings": dict(effects.settings),
        **{name: _finite(getattr(effects, name)) for name in PLAIN},
    }
    arrays |= {f"graph/{name}": array for name, array in coded.items()}
    target = Path(path)
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_record(RECORD, target, json.dumps(tree, separators=(",", ":"), allow_nan=False), kept)
    return target


def load(path: str | Path) -> Effects:
    """Load effects that `save` wrote.

    Raises
    ------
    DataError
        If the file holds no effects, is of another version, damaged or cut short. The message says what was
        found and what was expected.
    FileNotFoundError
        If there is no such file.
    """
    from causal_widget.effects.effects import Effects

    header, arrays = read_record(RECORD, Path(path))
    tree = json.loads(header[RECORD.key])
    graph = CODEC.decode(tree["graph"], _below(arrays, "graph/"))
    questions = Questions(graph, tuple(_asked(one) for one in tree["questions"]))
    evidence = {}
    for number, (layer, kind) in enumerate(tree["evidence"].items()):
        if kind not in KINDS:
            raise DataError(f'"{path}" holds evidence {kind!r:.40}; expected one of {", ".join(KINDS)}')
        evidence[layer] = KINDS[kind].from_arrays(_below(arrays, f"evidence/{number}/"))
    plain = {name: tree[name] for name in PLAIN}
    for name in ("worked", "scale"):
        plain[name] = math.nan if plain[name] is None else plain[name]
    return Effects(
        graph=graph,
        questions=questions,
        evidence=evidence,
        before=moments_from(arrays, "before"),
        outcomes=tuple(_made_outcome(one, graph.output.units) for one in tree["outcomes"]),
        settings=tree["settings"],
        **plain,
    )


def _finite(value: Any) -> Any:
    """Give None for what JSON has no number for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _question(one: Question) -> dict[str, Any]:
    edit = one.edit.to_dict()
    return {"name": one.name, "layer": one.layer, "unit": one.unit, "edit": edit, "reason": one.reason}


def _asked(record: Mapping[str, Any]) -> Question:
    edit: Any = edit_from_json(record["edit"])
    return Question(record["name"], record["layer"], record["unit"], edit, record["reason"])


def _outcome(one: Outcome) -> dict[str, Any]:
    known = one.name.partition(":")[0] in OUTCOMES and bool(one.unit)
    return {"name": one.name, "known": known, "worse": one.worse}


def _made_outcome(record: Mapping[str, Any], classes: int) -> Outcome:
    name = record["name"]
    if record["known"]:
        return outcome(name, classes)

    def lost(logits: Tensor, labels: Tensor | None, baseline: Tensor | None) -> Tensor:
        raise ArgumentError(
            f'the function "{name}" was not saved with the effects: nothing more can be measured'
        )

    return Outcome(name, False, False, record["worse"], "", (-math.inf, math.inf), lost)


def _below(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
