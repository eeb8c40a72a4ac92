"""The exact sweep over a network's filters, against a loop of whole forward passes and captum's.

Of every layer some filters are judged, drawn at random; times are those filters', scaled to the layer's
number (captum's by its number of passes: one for each group of its mask and two more). All ways run on the
same images, one after the other within a layer, so that a busy machine slows all; medians over rounds.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from captum.attr import LayerFeatureAblation
from torch import Tensor, nn

from causal_widget.effects.cutting import CutModel, Pace, single_effects
from causal_widget.effects.plan import plan_effects
from causal_widget.effects.work import Settings
from causal_widget.graph import FilterGraph, Layer, trace, watch
from causal_widget.guard import guarded
from causal_widget.interventions import Intervention, Lever
from tests.benchmarks import harness, real

ROUNDS = 3
IMAGES = {"ResNet-32": 64, "VGG-19-BN": 32, "ResNet-18": 8}
FILTERS = {"ResNet-32": 4, "VGG-19-BN": 3, "ResNet-18": 2}
MADE = {"VGG-19-BN": "VGG-19-BN, 32 x 32", "ResNet-18": "ResNet-18, 224 x 224"}


@dataclass
class Found:
    """One pass over the layers: processor seconds of each way, and differences over the effect's scale."""

    seconds: dict[str, float] = field(default_factory=lambda: {"loop": 0.0, "captum": 0.0, "ours": 0.0})
    loop_error: float = 0.0
    captum_errors: list[float] = field(default_factory=list)


def measure(name: str) -> dict[str, object]:
    """Time the ways, and compare their answers in single and in double precision."""
    model, images, labels = network(name)
    graph = trace(model, images[:1])
    cut = CutModel.of(model, graph)
    assert isinstance(cut, CutModel), cut
    plan = plan_effects(model, [images], graph=graph).settings
    case = Case(model, graph, cut, plan, images, labels, FILTERS[name])
    rounds = [one_round(case) for _ in range(ROUNDS)]
    loop, others, ours = (
        statistics.median(one.seconds[way] for one in rounds) for way in ("loop", "captum", "ours")
    )
    gain = layout_gain(model, images) if plan.channels_last else 1.0
    exact, own, loops = in_double(case)
    return {
        "network": name,
        "filters": sum(layer.units for layer in graph.hidden_conv_layers),
        "images": len(images),
        "loop s": loop,
        "captum s": others,
        "ours s": ours,
        "x loop": loop / ours,
        "x loop in our layout": loop / ours / gain,
        "x captum": others / ours,
        "error / effect": max(one.loop_error for one in rounds),
        "ours, truth": own,
        "loop, truth": loops,
        "in float64": exact,
        "captum, median layer": statistics.median(rounds[0].captum_errors),
        "captum, worst layer": max(rounds[0].captum_errors),
    }


@dataclass(frozen=True)
class Case:
    """A network with its images and its plan."""

    model: nn.Module
    graph: FilterGraph
    cut: CutModel
    plan: Settings
    images: Tensor
    labels: Tensor
    filters: int

    def units(self, layer: Layer) -> list[int]:
        """Filters of a layer that are judged."""
        return sorted(random.Random(layer.index).sample(range(layer.units), self.filters))


def one_round(case: Case) -> Found:
    """Every layer by every way."""
    found = Found()
    found.seconds["ours"], _ = timed(lambda: kept_everywhere(case))
    for layer in case.graph.hidden_conv_layers:
        units = case.units(layer)
        scale = layer.units / len(units)
        took, expected = timed(lambda: looped(case.model, case.graph, layer, units, case.images))  # noqa: B023
        found.seconds["loop"] += took * scale
        took, by_captum = timed(lambda: ablated(case, layer, units))  # noqa: B023
        found.seconds["captum"] += took * (layer.units + 2) / (len(units) + 3)
        got, base, took = swept(case.cut, layer, units, case.images, case.plan)
        found.seconds["ours"] += took * scale
        largest = float((expected - base).abs().max())
        if not largest:  # filters that are silent in all images
            continue
        found.loop_error = max(found.loop_error, float((got - expected).abs().max()) / largest)
        true = (base - got)[:, torch.arange(len(case.labels)), case.labels]
        found.captum_errors.append(float((by_captum - true).abs().max() / true.abs().max()))
    return found


def looped(model: nn.Module, graph: FilterGraph, layer: Layer, units: list[int], images: Tensor) -> Tensor:
    """Logits (unit, image, class) by one whole forward pass a filter."""
    settings = [Intervention({layer.name: [unit]}) for unit in units]
    lever, found = Lever(graph, settings), []
    with guarded(model), watch(model, graph, lever.handlers):
        for setting in settings:
            lever.pull(setting)
            found.append(model(images))
    return torch.stack(found)


def ablated(case: Case, layer: Layer, units: list[int]) -> Tensor:
    """Fall of the true class's logit (unit, image) by captum, a pass a filter and one for all others at once.

    At the normalisation, for captum cannot tell the calls of a module used twice; what is zero there is zero
    after ReLU.
    """
    assert layer.norm is not None
    mask = torch.full((1, layer.units, *[1] * (len(layer.shape) - 1)), len(units))
    for group, unit in enumerate(units):
        mask[0, unit] = group
    ablation = LayerFeatureAblation(case.model, case.model.get_submodule(layer.norm))
    found = ablation.attribute(case.images, layer_baselines=0, target=case.labels, layer_mask=mask)
    return found[:, units].flatten(2)[:, :, 0].T  # type: ignore[no-any-return]


def kept_everywhere(case: Case) -> None:
    """The run without a change: a sweep needs it once for all layers."""
    layers = case.graph.hidden_conv_layers
    with case.cut.run(case.images, [(layer.name, layer.site("activation")) for layer in layers]):
        pass


def swept(
    cut: CutModel, layer: Layer, units: list[int], images: Tensor, plan: Settings | None = None
) -> tuple[Tensor, Tensor, float]:
    """Logits (unit, image, class), those without a change, and seconds."""
    place = (layer.name, layer.site("activation"))
    last, items = (False, 32) if plan is None else (plan.channels_last, plan.items[layer.name])
    with cut.run(images, [place], channels_last=last) as state:
        made = single_effects(
            state, *place, units, lambda _, maps: torch.zeros_like(maps), pace=Pace([items])
        )
        seconds, blocks = timed(lambda: list(made))
    return torch.cat([block.logits for block in blocks]), state.logits, seconds


def layout_gain(model: nn.Module, images: Tensor) -> float:
    """How many times faster a bare forward pass is with a pixel's channels side by side; at least 1."""
    last = images.contiguous(memory_format=torch.channels_last)
    took: dict[bool, list[float]] = {False: [], True: []}
    with torch.no_grad():
        for _ in range(5):
            for way, given in ((False, images), (True, last)):
                took[way].append(timed(lambda: model(given))[0])  # noqa: B023
    return max(1.0, statistics.median(took[False]) / statistics.median(took[True]))


def in_double(case: Case) -> tuple[float, float, float]:
    """Largest errors over the effect's scale: ours in float64, and both ways in float32 against float64."""
    images, layers = case.images[:4], case.graph.hidden_conv_layers[::4]
    single = {layer.name: _both(case.model, case.graph, case.cut, layer, images) for layer in layers}
    model = case.model.double()
    cut, worst = CutModel.of(model, case.graph), [0.0, 0.0, 0.0]
    assert isinstance(cut, CutModel), cut
    for layer in layers:
        got, expected, base = _both(model, case.graph, cut, layer, images.double())
        scale = float((expected - base).abs().max())
        ours, loop, before = (one.double() for one in single[layer.name])
        errors = (got - expected, (ours - before) - (expected - base), (loop - before) - (expected - base))
        worst = [max(w, float(e.abs().max()) / scale) for w, e in zip(worst, errors, strict=True)]
    return worst[0], worst[1], worst[2]


def _both(
    model: nn.Module, graph: FilterGraph, cut: CutModel, layer: Layer, images: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    units = [0, layer.units - 1]
    got, base, _ = swept(cut, layer, units, images)
    return got, looped(model, graph, layer, units, images), base


def network(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Network, images and labels: the trained ResNet-32 of ../shared/data, or one of the harness's."""
    if name == "ResNet-32":
        return real.network("cifar_resnet32", "cifar10_test_lossless_1017.npz", IMAGES[name])
    model, loader = harness.prepared(MADE[name], 256)
    images, labels = zip(*loader, strict=True)
    return model, torch.cat(images)[: IMAGES[name]], torch.cat(labels)[: IMAGES[name]]


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of one call, and its result."""
    began = time.process_time()
    result = function()
    return time.process_time() - began, result


def test_bench_effects() -> None:
    """Print the table."""
    names = [name for name in IMAGES if name != "ResNet-32" or real.there()]
    rows = [harness.apart("bench_effects", name, threads=1) for name in names]
    harness.show("zeroing every filter alone, processor seconds, one thread, from some filters a layer", rows)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
