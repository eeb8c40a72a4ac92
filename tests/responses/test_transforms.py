import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causal_widget.errors import ArgumentError, DataError, OrderError, UnknownNameError
from causal_widget.responses import TRANSFORMS, Binary, Grid, Transform, collect, frobenius, get_transform
from causal_widget.responses.split import Split
from tests.responses.networks import batches_of, images, plain, residual


def maps_of(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def cells(one, k):
    """Means over the cells of a grid, cut as adaptive average pooling says, by a plain loop."""
    h, w = one.shape
    rows, columns = min(k, h), min(k, w)
    return [
        one[i * h // rows : -(-(i + 1) * h // rows), j * w // columns : -(-(j + 1) * w // columns)].mean()
        for i in range(rows)
        for j in range(columns)
    ]


def parts(a):
    """Positive part, negative part and deviation; of one position the value alone."""
    if a.size == 1:
        return [a.item()]
    return [np.maximum(a, 0).mean(), np.maximum(-a, 0).mean(), a.std()]


BY_HAND = {
    "frobenius": lambda a: np.linalg.norm(a, "fro"),
    "mean": np.mean,
    "maximum": np.max,
    "variance": np.var,
    "grid": lambda a: cells(a, 2),
    "grid3": lambda a: cells(a, 3),
    "grid7": lambda a: cells(a, 7),
    "parts": parts,
}


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("size", [(5, 6), (1, 1), (2, 9), (8, 8)])
def test_each_transform_is_its_formula(name, size):
    maps, transform = maps_of(3, 4, *size), get_transform(name)
    expected = [[BY_HAND[name](maps[i, u].double().numpy()) for u in range(4)] for i in range(3)]
    found = transform(maps)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert (found.shape[2] if found.ndim == 3 else 1) == transform.components(*size)
    assert transform.name == name
    assert transform.at("conv1") is transform


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_accumulates_in_single(name, dtype):
    maps = maps_of(2, 3, 32, 32, dtype=dtype) * 20 + 300  # the sum of squares, 9e7, is beyond float16
    found = get_transform(name)(maps)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, get_transform(name)(maps.float()))


def test_half_precision_sums_many_small_values():
    maps = torch.full((1, 1, 100, 100), 0.01, dtype=torch.float16)
    assert float(frobenius(maps)) == pytest.approx(float(maps[0, 0, 0, 0]) * 100, rel=1e-4)


@pytest.mark.parametrize("name", BY_HAND)
def test_channels_last_and_strided_maps_give_the_same(name):
    maps, transform = maps_of(2, 4, 6, 6), get_transform(name)
    torch.testing.assert_close(transform(maps.to(memory_format=torch.channels_last)), transform(maps))
    torch.testing.assert_close(transform(maps[:, ::2]), transform(maps)[:, ::2])


@given(k=st.integers(1, 6), height=st.integers(1, 9), width=st.integers(1, 9))
def test_a_grid_over_a_small_map_is_the_map(k, height, width):
    maps = maps_of(1, 2, height, width)
    found = Grid(k)(maps)
    assert found.shape[2] == Grid(k).components(height, width) == min(k, height) * min(k, width)
    if height <= k and width <= k:
        torch.testing.assert_close(found, maps.flatten(2))


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "2"])
def test_a_grid_of_a_wrong_size(k):
    with pytest.raises(ArgumentError, match="cells a side"):
        Grid(k)


def test_a_callable_is_wrapped_and_named():
    def peak(maps):
        return maps.amax((2, 3))

    wrapped = get_transform(peak)
    assert isinstance(wrapped, Transform)
    assert wrapped.name == "peak"
    maps = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(wrapped(maps), maps.amax((2, 3)))
    assert get_transform(wrapped) is wrapped


def test_a_callable_may_answer_with_a_vector():
    def ends(maps):
        return torch.stack([maps.amin((2, 3)), maps.amax((2, 3))], dim=2)

    found = collect(plain(), batches_of(20, 8), transform=ends, holdout=0, folds=1)
    assert found.components == {"0": 2, "4": 2, "8": 1}
    with torch.no_grad():
        maps = plain().eval()[:3](images(20))
    np.testing.assert_allclose(found.train.mean("0"), ends(maps).mean(0).flatten(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (lambda m: m.mean(), r"shape \(\)"),
        (lambda m: m, r"\(2, 3, 4, 4\)"),
        (lambda m: 1.0, "float"),
        (lambda m: m.mean((2, 3)).T, r"shape \(3, 2\)"),
        (lambda m: m.flatten(2)[:, :, :0], r"shape \(2, 3, 0\)"),
    ],
)
def test_a_callable_with_a_wrong_answer_is_refused(bad, says):
    with pytest.raises(DataError, match=says) as caught:
        get_transform(bad)(torch.zeros(2, 3, 4, 4))
    assert "(2, 3)" in str(caught.value)
    with pytest.raises(DataError, match="transform"):
        collect(plain(), images(4), transform=bad)


def test_unknown_names_say_the_nearest():
    with pytest.raises(UnknownNameError, match='"frobenius"'):
        get_transform("frobenious")
    with pytest.raises(UnknownNameError, match='"grid'):
        get_transform("grid0")
    with pytest.raises(ArgumentError, match="int 3"):
        get_transform(3)


def test_all_names():
    assert set(TRANSFORMS) >= {
        "frobenius", "mean", "maximum", "variance", "binary", "binary_variance", "grid", "grid3", "grid4",
        "parts",
    }  # fmt: skip
    assert get_transform("grid12") == Grid(12)


def norms(model, x):
    """Norms of the first layer and the last, by hand."""
    with torch.no_grad():
        maps = model.eval()[:3](x)
    return maps.double().pow(2).sum((2, 3)).sqrt().numpy()


@pytest.mark.parametrize(("name", "spread"), [("binary", np.std), ("binary_variance", np.var)])
def test_binary_thresholds_are_of_the_training_images(name, spread):
    model = plain()
    found = collect(model, batches_of(90, 16), transform=name, holdout=0.3, raw=True, seed=2)
    x, train = norms(model, images(90)), ~Split(0.3, 1, 2).held_out(np.arange(90))
    threshold = x[train].mean(0) + spread(x[train], axis=0)
    np.testing.assert_allclose(found.source.transform.thresholds["0"], threshold, rtol=1e-5)
    np.testing.assert_array_equal(found.raw.observational["0"], x < threshold)
    np.testing.assert_array_equal(found.silent["0"], threshold > 0)  # a unit that never spoke stays at 0
    logits = collect(model, batches_of(90, 16), raw=True).raw.observational["8"]
    np.testing.assert_array_equal(found.raw.observational["8"], logits)
    assert found.transform == name


def test_binary_statistics_do_not_depend_on_the_batches():
    model = plain()
    small, large = (collect(model, batches_of(90, n), transform="binary") for n in (7, 64))
    for layer in ("0", "4"):
        np.testing.assert_allclose(
            small.source.transform.thresholds[layer], large.source.transform.thresholds[layer], rtol=1e-6
        )


def test_binary_reads_new_images_with_the_thresholds_it_learned():
    model = plain()
    found = collect(model, batches_of(60, 16), transform="binary")
    threshold = found.source.transform.thresholds["0"].numpy()
    x = images(10, seed=5)
    np.testing.assert_array_equal(found.source.read(x)["0"], norms(model, x) < threshold)
    again = collect(model, batches_of(30, 16), transform=found.source.transform)
    assert again.source.transform is found.source.transform


def test_binary_needs_two_passes():
    with pytest.raises(DataError, match="one-shot"):
        collect(plain(), iter(batches_of(20, 5)), transform="binary")
    with pytest.raises(OrderError, match="no thresholds for layer 'conv1'"):
        Binary().at("conv1")
    with pytest.raises(OrderError, match="at"):
        Binary()(torch.zeros(1, 1, 2, 2))
    with pytest.raises(ArgumentError, match='Did you mean "variance"'):
        Binary("varience")


@pytest.mark.parametrize("name", ["frobenius", "mean", "variance", "grid3", "parts"])
def test_a_silent_map(name):
    found = collect(residual(), images(6), transform=name)
    for layer, silent in found.silent.items():
        np.testing.assert_array_equal(silent, np.zeros(found.train.layout.widths[layer]))
    shifted = collect(residual(), images(6), transform=lambda maps: maps.mean((2, 3)) + 2)
    np.testing.assert_array_equal(shifted.silent["stem"], np.full(8, 2.0))
    np.testing.assert_array_equal(shifted.silent["head"], np.zeros(4))
