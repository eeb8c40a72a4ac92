"""A network without nonlinearities, whose causal model is known exactly, and slow plain answers of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from causal_widget.graph import FilterGraph, trace
from causal_widget.interventions import Intervention, intervene
from causal_widget.responses import ResponseSet
from causal_widget.scm import StructuralCausalModel, fit
from tests.scm import oracle


class LinearNetwork(nn.Module):
    """A residual addition, a concatenation, a depthwise and a normalised layer; all linear.

    Padding is circular, so that a map's mean is an exact linear function of its parents' means.
    """

    def __init__(self) -> None:
        super().__init__()
        around = {"padding": 1, "padding_mode": "circular"}
        self.stem = nn.Conv2d(3, 6, 3, **around)
        self.branch = nn.Conv2d(6, 6, 3, bias=False, **around)
        self.norm = nn.BatchNorm2d(6)
        self.left = nn.Conv2d(6, 4, 1)
        self.depthwise = nn.Conv2d(6, 6, 3, groups=6, **around)
        self.last = nn.Conv2d(10, 5, 1)
        self.head = nn.Linear(5, 4)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """The maps of every layer."""
        stem = self.stem(x)
        branch = self.norm(self.branch(stem))
        left, depthwise = self.left(stem + branch), self.depthwise(stem + branch)
        last = self.last(torch.cat([left, depthwise], dim=1))
        found = {"stem": stem, "branch": branch, "left": left, "depthwise": depthwise, "last": last}
        return found | {"head": self.head(last.mean((2, 3)))}

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x)["head"]


def network() -> LinearNetwork:
    generator = torch.Generator().manual_seed(5)
    model = LinearNetwork().double().eval()
    for parameter in model.parameters():
        parameter.data.normal_(generator=generator)
        if parameter.ndim > 1:
            parameter.data /= parameter[0].numel() ** 0.5
    model.norm.running_mean.normal_(generator=generator)
    model.norm.running_var.uniform_(0.5, 2, generator=generator)
    return model


def images(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    level = torch.randn(n, 3, 1, 1, generator=generator, dtype=torch.float64)
    return level + torch.randn(n, 3, 6, 6, generator=generator, dtype=torch.float64)


def graph_of(model: nn.Module) -> FilterGraph:
    return trace(model, images(1))


def responses(model: LinearNetwork, x: Tensor, labels: bool = True) -> ResponseSet:
    """The means of all maps, and labels that the network gets right three times in four."""
    with torch.no_grad():
        maps = model.maps(x)
    layers = {name: (m.mean((2, 3)) if m.ndim == 4 else m).numpy() for name, m in maps.items()}
    true = layers["head"].argmax(1)
    true[::4] = (true[::4] + 1) % 4
    return ResponseSet(layers, "head", true if labels else None)


def known(model: LinearNetwork, graph: FilterGraph) -> StructuralCausalModel:
    """The causal model that the network's own weights say."""
    x = responses(model, images(400, 7))
    drawn = {name: x[name] for name in graph.names}
    scm = fit(replace(oracle.collected(graph, drawn), transform="mean"), "linear")
    exact = {}
    for name, equations in scm.equations.items():
        truth = {source: np.zeros((equations.n_rows, scm.width(source))) for source in equations.parents}
        module = model.get_submodule(name)
        weight = module.weight.detach().numpy()
        weight = weight.sum((2, 3)) if weight.ndim == 4 else weight
        intercept = np.zeros(len(weight)) if module.bias is None else module.bias.detach().numpy().copy()
        if name == "branch":
            norm = model.norm
            scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().numpy()
            weight = weight * scale[:, None]
            intercept = norm.bias.detach().numpy() - scale * norm.running_mean.numpy()
        for wiring in graph.parents(name):
            own = np.diag(weight[:, 0]) if name == "depthwise" else weight
            channels = np.eye(wiring.source_units)
            if name == "last":
                first = 0 if wiring.source == "left" else 4
                channels = np.eye(10)[:, first : first + wiring.source_units]
            truth[wiring.source] = own @ channels
        whole = np.concatenate([truth[source] for source in equations.parents], axis=1)
        parts = tuple(
            (reading, np.ascontiguousarray(whole[reading.children[:, None, :], reading.parents[:, :, None]]))
            for reading, _ in equations.parts
        )
        exact[name] = replace(equations, parts=parts, intercept=intercept)
    return replace(scm, equations=exact, means={name: x[name].mean(0) for name in graph.names})


def under(model: nn.Module, graph: FilterGraph, intervention: Intervention, x: Tensor) -> np.ndarray:
    """What the network itself answers under do()."""
    with intervene(model, graph, intervention) as held, torch.no_grad():
        return held(x).numpy()


def by_hand(
    scm: StructuralCausalModel,
    rows: dict[str, np.ndarray],
    units: dict[str, list[int]],
    scale: float = 0.0,
    noise: str = "abducted",
    value: float = 0.0,
) -> dict[str, np.ndarray]:
    """Propagate an intervention image by image and unit by unit; every response afterwards."""
    now = {name: np.array(part, dtype=np.float64) for name, part in rows.items()}
    for layer in scm.graph.layers:
        for unit in range(layer.units):
            old = np.array(rows[layer.name][:, unit], dtype=np.float64)
            new = old.copy()
            if layer.name in scm.equations:
                before, after = (
                    intercepts(scm, layer.name, unit, rows),
                    intercepts(scm, layer.name, unit, now),
                )
                touched = any(
                    not np.array_equal(now[s][:, u], rows[s][:, u])
                    for s, us in scm.graph.parents_of(layer.name, unit).items()
                    for u in us
                )
                if touched:
                    new = after if noise == "zero" else old + after - before
            if unit in units.get(layer.name, []):
                new = value + scale * (new - value)
            now[layer.name][:, unit] = new
    return now


def intercepts(scm: StructuralCausalModel, layer: str, unit: int, rows: dict[str, np.ndarray]) -> np.ndarray:
    equations = scm.equations[layer]
    total = np.full(len(rows[layer]), equations.intercept[unit])
    for source in equations.parents:
        own = equations.coefficients[unit, equations.columns(source)]
        for parent, coefficient in enumerate(own):
            total += coefficient * rows[source][:, parent]
    return total
