"""Eq. (3) against a plain correlation in NumPy, on every kind of layer, and what is made of its maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, DataError, NonFiniteError, UnknownNameError
from causal_widget.explanations.attribution import Attribution, ClassUnits, attribute, class_attribution
from causal_widget.explanations.attribution.peaks import local_extrema
from causal_widget.graph import trace
from tests.effects.cut_networks import Shortcut
from tests.interventions.networks import Grouped, Plain, Residual, fingerprint, images, seeded


def correlated(module: nn.Conv2d, given: np.ndarray, unit: int, channels: list[int]) -> np.ndarray:
    """(1 / J) * sum over j of the kernel laid on channel j, not flipped: four plain loops."""
    (kh, kw), (sh, sw), (ph, pw) = module.kernel_size, module.stride, module.padding
    per_group = module.in_channels // module.groups
    group = unit * module.groups // module.out_channels
    read = [c for c in channels if c // per_group == group]
    weight = module.weight.detach().double().numpy()[unit]
    padded = np.pad(given, ((0, 0), (ph, ph), (pw, pw)))
    h, w = (padded.shape[1] - kh) // sh + 1, (padded.shape[2] - kw) // sw + 1
    out = np.zeros((h, w))
    for c in read:
        for y in range(h):
            for x in range(w):
                patch = padded[c, y * sh : y * sh + kh, x * sw : x * sw + kw]
                out[y, x] += (weight[c - group * per_group] * patch).sum()
    return out / max(len(read), 1)


def inputs_of(model: nn.Module, place: str, x: Tensor) -> np.ndarray:
    kept: list[Tensor] = []
    handle = model.get_submodule(place).register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    with torch.no_grad():
        model(x)
    handle.remove()
    return kept[0].double().numpy()


def kernels() -> nn.Conv2d:
    """A layer whose kernel and stride differ by axis, so that an axis or a flip cannot hide."""
    return nn.Conv2d(6, 4, (3, 2), stride=(2, 1), padding=(1, 0))


class Lopsided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu, self.conv2, self.fc = nn.Conv2d(3, 6, 3), nn.ReLU(), kernels(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv2(self.relu(self.conv1(x))).mean((2, 3)))


CASES = {
    "kernels by axis": (Lopsided, "conv2", [3, 0], {"conv1": [1, 4, 5]}, [1, 4, 5]),
    "all parents": (Plain, "conv2", [0, 7], None, range(6)),
    "the image": (Plain, "conv1", [2], None, range(3)),
    "groups": (Grouped, "depthwise", [1, 3], None, None),
    "behind a sum": (Residual, "block2.conv1", [5, 1], {"block1.conv2": [2]}, [2]),
    "padded channels": (Shortcut, "last", [0], {"stem": [0, 3]}, [2, 5]),
}


@pytest.mark.parametrize("name", CASES)
def test_eq_3_is_a_plain_correlation(name: str) -> None:
    build, layer, units, parents, channels = CASES[name]
    model, x = seeded(build).double(), images(3).double()
    if name == "groups":
        layer = next(n for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and m.groups > 1)
    module: nn.Conv2d = model.get_submodule(layer)  # type: ignore[assignment]
    read = list(range(module.in_channels) if channels is None else channels)
    found = attribute(model, x, layer, units, parents=parents)
    assert found.units == tuple(sorted(units))
    given = inputs_of(model, layer, x)
    if module.padding_mode != "zeros":
        given = np.pad(given, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
        module.padding = (0, 0)
    for image in range(3):
        for place, unit in enumerate(found.units):
            np.testing.assert_allclose(
                found.responses[image, place], correlated(module, given[image], unit, read), atol=1e-12
            )


class Flattened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc1, self.fc2 = nn.Conv2d(3, 4, 3, stride=2), nn.Linear(4 * 25, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(torch.relu(self.fc1(torch.relu(self.conv(x)).flatten(1))))


def test_a_linear_layer_behind_flattened_maps_says_what_each_position_adds() -> None:
    model, x = seeded(Flattened).double(), images(2).double()
    found = attribute(model, x, "fc1", [5, 2], parents={"conv": [1, 3]})
    with torch.no_grad():
        maps = torch.relu(model.conv(x)).numpy()
    weight = model.fc1.weight.detach().numpy().reshape(6, 4, 5, 5)
    for place, unit in enumerate((2, 5)):
        expected = (weight[unit, [1, 3]] * maps[:, [1, 3]]).sum(axis=1) / 2
        np.testing.assert_allclose(found.responses[:, place], expected, atol=1e-12)
    assert found.n_parents.tolist() == [2, 2]
    rows = found.field.rows
    assert (rows.offset, rows.stride, rows.size) == (1, 2, 3), "where the convolution looks"
    everything = attribute(model, x, "fc1")
    with torch.no_grad():
        out = model.fc1(torch.relu(model.conv(x)).flatten(1)) - model.fc1.bias
    np.testing.assert_allclose(everything.responses.sum(axis=(2, 3)), out.numpy() / 4, atol=1e-12)
    with pytest.raises(ArgumentError, match="each of its 6 features is read from the same pixels"):
        attribute(model, x, "fc2")


def test_a_flipped_kernel_is_another_map() -> None:
    model, x = seeded(Lopsided).double(), images(1).double()
    found = attribute(model, x, "conv2", [0]).responses
    with torch.no_grad():
        model.conv2.weight.copy_(model.conv2.weight.flip(-1, -2))
    assert np.abs(attribute(model, x, "conv2", [0]).responses - found).max() > 0.05


def test_with_all_parents_it_is_the_output_without_bias_over_the_number_of_parents() -> None:
    model, x = seeded(Lopsided).double(), images(2).double()
    found = attribute(model, x, "conv2")
    with torch.no_grad():
        out = model.conv2(model.relu(model.conv1(x))) - model.conv2.bias.view(1, -1, 1, 1)
    np.testing.assert_allclose(found.responses, out.numpy() / 6, atol=1e-12)
    assert found.n_parents.tolist() == [6] * 4
    assert found.responses.min() < 0 < found.responses.max(), "signed"


def test_a_batch_gives_what_single_images_give_and_the_model_is_left_alone() -> None:
    model, x = seeded(Residual).train(), images(3)
    before, graph = fingerprint(model), trace(model, x)
    together = attribute(model, x, "block2.conv1", graph=graph)
    for k in range(3):
        alone = attribute(model, x[k], "block2.conv1", graph=graph)
        np.testing.assert_allclose(alone.maps[0], together.maps[k], rtol=1e-5, atol=1e-6)
    assert fingerprint(model) == before


def test_the_aggregate_is_the_mean_or_the_weighted_mean() -> None:
    model, x = seeded(Plain), images(2)
    plain = attribute(model, x, "conv2", [1, 4, 6])
    np.testing.assert_allclose(plain.aggregate, plain.maps.mean(axis=1), atol=1e-12)
    weighted = attribute(model, x, "conv2", {6: 1.0, 1: -3.0})
    assert weighted.units == (1, 6)
    np.testing.assert_allclose(weighted.aggregate, (plain.of(6) - 3 * plain.of(1)) / 4, rtol=1e-5, atol=1e-7)
    frame = pd.DataFrame({"unit": [6, 1], "effect": [1.0, -3.0]})
    np.testing.assert_array_equal(attribute(model, x, "conv2", frame).aggregate, weighted.aggregate)


def test_magnitude_is_the_mean_of_absolute_responses() -> None:
    found = attribute(seeded(Plain), images(2), "conv2", [1, 4])
    np.testing.assert_allclose(found.magnitude, found.field.upsampled(np.abs(found.responses)).mean(axis=1))
    assert found.magnitude.min() >= 0


def test_each_image_is_explained_by_the_units_of_its_class() -> None:
    model, x, y = seeded(Plain), images(4), np.array([2, 0, 2, 1])
    by_class = {0: [1, 2], 1: {3: -1.0, 4: 2.0}, 2: [7]}
    for absolute in (False, True):
        found = class_attribution("conv2", by_class, absolute=absolute)(model, x, y, 0)
        for k, target in enumerate(y):
            alone = attribute(model, x[k], "conv2", by_class[int(target)])
            expected = alone.magnitude if absolute else alone.aggregate
            np.testing.assert_allclose(found[k], expected[0], rtol=1e-5, atol=1e-6)
    with pytest.raises(ArgumentError, match="class 3 has no units"):
        class_attribution("conv2", by_class)(model, x, y + 1, 0)


class Graph:
    """What a class's graph says, as far as attributions read it."""

    def __init__(self, critical: Mapping[str, Any]) -> None:
        self._critical = critical

    def critical(self, layer: str) -> Any:
        return self._critical.get(layer, [])


def test_a_class_graph_gives_units_and_parents() -> None:
    model, x = seeded(Plain), images(2)
    graph = Graph({"conv1": {0: -0.1, 3: 0.7}, "conv2": pd.DataFrame({"unit": [2, 5], "effect": [3.0, -1]})})
    assert isinstance(graph, ClassUnits)
    found = attribute(model, x, "conv2", graph)
    by_hand = attribute(model, x, "conv2", [2, 5], parents={"conv1": [0, 3]})
    np.testing.assert_array_equal(found.responses, by_hand.responses)
    np.testing.assert_array_equal(found.aggregate, by_hand.aggregate)
    assert found.weights is None
    top = attribute(model, x, "conv2", graph, strongest=1)
    alone = attribute(model, x, "conv2", [2, 5], parents={"conv1": [3]})
    np.testing.assert_array_equal(top.responses, alone.responses)
    assert attribute(model, x, "conv1", graph).units == (0, 3), "the image's channels are all read"
    with pytest.raises(ArgumentError, match="left without parents"):
        attribute(model, x, "conv2", Graph({"conv2": [1]}))
    with pytest.raises(ArgumentError, match="no critical unit"):
        attribute(model, x, "conv2", Graph({"conv1": [1]}))


def test_a_depthwise_unit_whose_parent_is_not_chosen_has_an_empty_map() -> None:
    model, x = seeded(Grouped), images(2)
    graph = trace(model, x)
    layer = next(one for one in graph.layers if one.groups == one.units and one.kind == "conv")
    (wiring,) = graph.parents(layer.name)
    parent = int(wiring.reads(1)[0])
    found = attribute(model, x, layer.name, [0, 1], parents={wiring.source: [parent]})
    assert found.n_parents.tolist() == [0, 1]
    assert not found.responses[:, 0].any()
    assert found.responses[:, 1].any()


def test_peaks_are_local_extrema_on_their_own_side() -> None:
    values = np.zeros((5, 6))
    values[1, 1], values[1, 2], values[3, 4], values[4, 5] = 5.0, 4.0, -7.0, -6.0
    values[4, 0] = 2.0
    assert local_extrema(values) == [(3, 4, -7.0), (1, 1, 5.0), (4, 0, 2.0)]
    assert local_extrema(np.ones((2, 2))) == [(0, 0, 1.0)]
    assert local_extrema(np.zeros((2, 2))) == [(0, 0, 0.0)]
    found = attribute(seeded(Plain), images(2), "conv2", [1, 3])
    peaks = found.peaks(2, unit=3)
    strongest = np.abs(found.responses[:, 1]).max(axis=(1, 2))
    np.testing.assert_allclose(peaks.groupby("image")["value"].apply(lambda v: v.abs().max()), strongest)
    table = found.table()
    assert len(table) == 4
    np.testing.assert_allclose(table["high"], found.responses.max(axis=(2, 3)).ravel())


def test_it_says_and_draws_itself() -> None:
    found = attribute(seeded(Plain), images(2), "conv2")
    assert "8 units of conv2 over 2 images" in repr(found)
    assert "<table" in found._repr_html_()
    figure = found.plot(np.random.default_rng(0).random((2, 12, 12)), image=1, most=3)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[:2] == ["image", "aggregate"]
    assert len(titles) == 5
    assert "strongest 3 shown" in figure.get_suptitle()
    with pytest.raises(UnknownNameError, match="image 2"):
        found.plot(image=2)
    with pytest.raises(UnknownNameError, match="unit 3"):
        attribute(seeded(Plain), images(2), "conv2", [1]).of(3)


@pytest.mark.parametrize(
    ("layer", "options", "x", "error", "says"),
    [
        ("fc", {}, images(2), ArgumentError, "no maps: each of its 8 features"),
        ("conv3", {}, images(2), UnknownNameError, "Did you mean"),
        ("conv2", {"units": [8]}, images(2), UnknownNameError, "unit 8"),
        ("conv2", {"units": [1, 1]}, images(2), ArgumentError, "once each"),
        ("conv2", {"units": []}, images(2), ArgumentError, "no unit"),
        ("conv2", {"units": "1"}, images(2), ArgumentError, "must be numbers"),
        ("conv2", {"units": {1: float("nan")}}, images(2), NonFiniteError, "weights"),
        ("conv2", {"parents": {"conv2": [1]}}, images(2), ArgumentError, "no parent"),
        ("conv2", {"parents": {}}, images(2), ArgumentError, "without parents"),
        ("conv2", {"parents": {"conv1": [1]}, "strongest": 1}, images(2), ArgumentError, "have effects"),
        ("conv2", {"strongest": 1}, images(2), ArgumentError, "have effects"),
        ("conv2", {"parents": {"conv1": {1: 1.0}}, "strongest": 0}, images(2), ArgumentError, "1 or more"),
        ("conv2", {}, images(2) * float("nan"), NonFiniteError, "NaN"),
        ("conv2", {}, images(2)[0, 0], DataError, r"\(12, 12\)"),
    ],
)  # fmt: skip
def test_bad_input(layer: str, options: dict[str, Any], x: Tensor, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        attribute(seeded(Plain), x, layer, graph=trace(seeded(Plain), images(2)), **options)


def test_weights_that_are_all_zero_have_no_aggregate() -> None:
    found = attribute(seeded(Plain), images(2), "conv2", {1: 0.0})
    assert isinstance(found, Attribution)
    with pytest.raises(ArgumentError, match="all zero"):
        _ = found.aggregate
