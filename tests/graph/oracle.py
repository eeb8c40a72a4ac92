"""Structural dependency, measured on the network: the oracle of the graph.

One channel of one layer's output is perturbed, every other layer's output is frozen at its value, and the
channels of the later layers' inputs that change are the ones that carry the unit. Two perturbations: NaN,
which survives a dead ReLU, and a large shift, which survives a comparison. Nothing of the graph's own
machinery is used.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from torch import nn


class Oracle:
    def __init__(self, model: nn.Module, image: torch.Tensor) -> None:
        self.model, self.image = model.eval(), image
        self.layers = [
            (name, m)
            for name, m in model.named_modules()
            if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.Linear)
        ]
        self.frozen: dict[str, torch.Tensor] = {}
        self.inputs, self.output = self._run(None, 0, 0.0)

    def carried(self, source: str, unit: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Input channels of every later layer that carry the unit, and the classes that do."""
        changed: dict[str, torch.Tensor] = {}
        classes = torch.zeros_like(self.output[0], dtype=torch.bool)
        for perturbation in (float("nan"), 50.0):
            inputs, output = self._run(source, unit, perturbation)
            classes |= _differs(output, self.output)[0]
            for name, given in inputs.items():
                axis = given.ndim - 1 if isinstance(self._module(name), nn.Linear) else 1
                channels = _differs(given, self.inputs[name]).movedim(axis, 0).flatten(1).any(1)
                changed[name] = channels | changed.get(name, torch.zeros_like(channels))
        found = {name: np.flatnonzero(channels.numpy()) for name, channels in changed.items()}
        return {name: channels for name, channels in found.items() if len(channels)}, np.flatnonzero(
            classes.numpy()
        )

    def _module(self, name: str) -> nn.Module:
        return dict(self.layers)[name.split("#")[0]]

    @torch.no_grad()
    def _run(
        self, source: str | None, unit: int, value: float
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        calls: Counter[str] = Counter()
        inputs: dict[str, torch.Tensor] = {}
        handles = []

        def watch(path: str, module: nn.Module) -> None:
            def hook(_: nn.Module, args: tuple[torch.Tensor, ...], out: torch.Tensor) -> torch.Tensor:
                calls[path] += 1
                name = path if calls[path] == 1 else f"{path}#{calls[path]}"
                inputs[name] = args[0].clone()
                if source is None:
                    self.frozen[name] = out.clone()
                    return out
                out = self.frozen[name].clone()
                if name == source:
                    axis = out.ndim - 1 if isinstance(module, nn.Linear) else 1
                    out.index_fill_(axis, torch.tensor([unit]), value)
                return out

            handles.append(module.register_forward_hook(hook))

        for path, module in self.layers:
            watch(path, module)
        try:
            output = self.model(self.image)
        finally:
            for handle in handles:
                handle.remove()
        return inputs, output


def _differs(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a != b) & ~(torch.isnan(a) & torch.isnan(b))


def assert_graph_is_measured(
    graph, model: nn.Module, image: torch.Tensor, per_layer: int = 2, most: int = 1000, seed: int = 0
) -> int:
    """Compare the graph with the oracle for some units of at most so many layers; gives how many units."""
    oracle, rng, compared = Oracle(model, image), np.random.default_rng(seed), 0
    sources = [layer for layer in graph.layers if layer.kind != "output"]
    chosen = np.sort(rng.choice(len(sources), size=min(most, len(sources)), replace=False))
    for layer in (sources[i] for i in chosen):
        for unit in rng.choice(layer.units, size=min(per_layer, layer.units), replace=False):
            measured, classes = oracle.carried(layer.name, int(unit))
            said = {w.target: w.channels_of(int(unit)) for w in graph.children(layer.name)}
            said = {name: channels for name, channels in said.items() if len(channels)}
            to_classes = said.pop(graph.output.name, []) if graph.output.kind == "output" else []
            np.testing.assert_array_equal([int(unit)] if layer.is_output else to_classes, classes)
            assert said.keys() == measured.keys(), (layer.name, unit)
            for name, channels in measured.items():
                np.testing.assert_array_equal(said[name], channels, err_msg=f"{layer.name}[{unit}] -> {name}")
            compared += 1
    return compared
