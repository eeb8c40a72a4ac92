"""The exact sweep over a network's filters, against a loop of whole forward passes over the same images.

Of every layer some filters are judged, drawn at random; times are those filters', scaled to the layer's
number. Both run on the same images, one after the other within a layer, so that a busy machine slows both.
"""

from __future__ import annotations

import importlib.util
import json
import random
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from causal_widget.effects.cutting import CutModel, Pace, single_effects
from causal_widget.effects.plan import plan_effects
from causal_widget.effects.sweep import Sweep
from causal_widget.graph import FilterGraph, Layer, trace, watch
from causal_widget.guard import guarded
from causal_widget.interventions import Intervention, Lever
from tests.benchmarks import harness

FILTERS = 4
IMAGES = {"ResNet-32": 64, "VGG-19-BN": 32, "ResNet-18, 64 x 64": 32}


def measure(name: str) -> dict[str, object]:
    """Time both ways, and compare their answers in single and in double precision."""
    model, images = network(name)
    graph = trace(model, images[:1])
    cut = CutModel.of(model, graph)
    assert isinstance(cut, CutModel), cut
    plan = plan_effects(model, [images], graph=graph).sweep
    loop, (_, ours) = 0.0, timed(lambda: kept_everywhere(cut, images))
    worst, alive, rounding = 0.0, [], 0.0
    for layer in graph.hidden_conv_layers:
        units = sorted(random.Random(layer.index).sample(range(layer.units), FILTERS))
        began = time.process_time()
        expected = looped(model, graph, layer, units, images)
        loop += (time.process_time() - began) * layer.units / FILTERS
        got, base, share, seconds = swept(cut, layer, units, images, plan)
        ours += seconds * layer.units / FILTERS
        scale = float((expected - base).abs().max())
        worst = max(worst, float((got - expected).abs().max()) / scale)
        rounding = max(rounding, float((got - expected).abs().max() / base.abs().max()))
        alive.append(share)
    return {
        "network": name,
        "filters": sum(layer.units for layer in graph.hidden_conv_layers),
        "images": len(images),
        "loop s": loop,
        "ours s": ours,
        "times faster": loop / ours,
        "channels last": plan.channels_last,
        "run of pairs": float(np.mean(alive)),
        "largest error / effect": worst,
        "largest error / logit": rounding,
        "the same in float64": in_double(model, graph, images[:4]),
    }


def in_double(model: nn.Module, graph: FilterGraph, images: Tensor) -> float:
    """Largest error over the effect's scale where rounding plays no part."""
    model, images, worst = model.double(), images.double(), 0.0
    cut = CutModel.of(model, graph)
    assert isinstance(cut, CutModel), cut
    for layer in graph.hidden_conv_layers[::4]:
        units = [0, layer.units - 1]
        expected = looped(model, graph, layer, units, images)
        got, base, _, _ = swept(cut, layer, units, images)
        scale = float((expected - base).abs().max())
        worst = max(worst, float((got - expected).abs().max()) / scale if scale else 0.0)
    return worst


def network(name: str) -> tuple[nn.Module, Tensor]:
    """Network and images: the trained ResNet-32 of ../shared/data, or one of the harness's."""
    if name != "ResNet-32":
        model, loader = harness.prepared("VGG-19-BN, 32 x 32" if name == "VGG-19-BN" else name, 256)
        return model, torch.cat([images for images, _ in loader])[: IMAGES[name]]
    folder = harness.ROOT.parent / "shared" / "data"
    spec = importlib.util.spec_from_file_location("shared_data_models", folder / "models.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model, mean, std = module.load("cifar_resnet32")
    pixels = np.load(folder / "cifar10_test_lossless_1017.npz", allow_pickle=False)["images"]
    return model.eval(), module.normalise(pixels[: IMAGES[name]], mean, std)


def looped(model: nn.Module, graph: FilterGraph, layer: Layer, units: list[int], images: Tensor) -> Tensor:
    """Logits (unit, image, class) by one whole forward pass a filter."""
    settings = [Intervention({layer.name: [unit]}) for unit in units]
    lever, found = Lever(graph, settings), []
    with guarded(model), watch(model, graph, lever.handlers):
        for setting in settings:
            lever.pull(setting)
            found.append(model(images))
    return torch.stack(found)


def kept_everywhere(cut: CutModel, images: Tensor) -> None:
    """The run without a change: a sweep needs it once for all layers."""
    with cut.run(images, [(layer.name, layer.site("activation")) for layer in cut.graph.hidden_conv_layers]):
        pass


def swept(
    cut: CutModel, layer: Layer, units: list[int], images: Tensor, plan: Sweep | None = None
) -> tuple[Tensor, Tensor, float, float]:
    """Logits (unit, image, class), those without a change, the share of pairs that were run, and seconds."""
    place = (layer.name, layer.site("activation"))
    last, items = (False, 32) if plan is None else (plan.channels_last, plan.items[layer.name])
    with cut.run(images, [place], channels_last=last) as state:
        pace, began = Pace([items]), time.process_time()
        made = single_effects(state, *place, units, lambda _, maps: torch.zeros_like(maps), pace=pace)
        blocks = list(made)
        seconds = time.process_time() - began
    ran = sum(block.items for block in blocks)
    logits = torch.cat([block.logits for block in blocks])
    return logits, state.logits, ran / (len(units) * len(images)), seconds


def timed(function: Any) -> tuple[Any, float]:
    """Result and processor seconds of one call."""
    began = time.process_time()
    result = function()
    return result, time.process_time() - began


def test_bench_effects() -> None:
    """Print the table."""
    rows = [harness.apart("bench_effects", name, threads=1) for name in names()]
    harness.show(f"zeroing every filter alone, processor seconds on one core, from {FILTERS} a layer", rows)


def names() -> list[str]:
    """Networks that are there."""
    here = (harness.ROOT.parent / "shared" / "data" / "models.py").is_file()
    return [name for name in IMAGES if here or name != "ResNet-32"]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
