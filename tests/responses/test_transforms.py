import numpy as np
import pytest
import torch

from causal_widget.errors import ArgumentError, DataError, UnknownNameError
from causal_widget.responses import Transform, frobenius, get_transform


def test_frobenius_is_the_norm_of_each_map():
    maps = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    expected = [[np.linalg.norm(maps[i, u].double().numpy(), "fro") for u in range(4)] for i in range(3)]
    np.testing.assert_allclose(frobenius(maps).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_neither_overflows_nor_loses_what_float32_has(dtype):
    maps = torch.full((2, 3, 32, 32), 300.0, dtype=dtype)  # the sum of squares, 9e7, is beyond float16
    found = frobenius(maps)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.full((2, 3), float(maps[0, 0, 0, 0]) * 32.0))


def test_half_precision_sums_many_small_values():
    maps = torch.full((1, 1, 100, 100), 0.01, dtype=torch.float16)
    assert float(frobenius(maps)) == pytest.approx(float(maps[0, 0, 0, 0]) * 100, rel=1e-4)


def test_channels_last_and_strided_maps_give_the_same():
    maps = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(frobenius(maps.to(memory_format=torch.channels_last)), frobenius(maps))
    torch.testing.assert_close(frobenius(maps[:, ::2]), frobenius(maps)[:, ::2])


def test_mean_is_signed():
    maps = torch.tensor([[[[-1.0, -3.0]]]])
    assert float(get_transform("mean")(maps)) == -2.0


def test_a_callable_is_wrapped_and_named():
    def peak(maps):
        return maps.amax((2, 3))

    wrapped = get_transform(peak)
    assert isinstance(wrapped, Transform)
    assert wrapped.name == "peak"
    maps = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(wrapped(maps), maps.amax((2, 3)))
    assert get_transform(wrapped) is wrapped


@pytest.mark.parametrize(
    ("bad", "says"),
    [(lambda m: m.mean(), r"shape \(\)"), (lambda m: m, r"\(2, 3, 4, 4\)"), (lambda m: 1.0, "float")],
)
def test_a_callable_with_a_wrong_answer_is_refused(bad, says):
    with pytest.raises(DataError, match=says) as caught:
        get_transform(bad)(torch.zeros(2, 3, 4, 4))
    assert "(2, 3)" in str(caught.value)


def test_unknown_names_say_the_nearest():
    with pytest.raises(UnknownNameError, match='"frobenius"'):
        get_transform("frobenious")
    with pytest.raises(ArgumentError, match="int 3"):
        get_transform(3)
