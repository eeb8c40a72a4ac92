"""Folds and held-out images: a hash of the index, and moments that say the same as one set."""

import numpy as np
import pytest

from causal_widget.errors import ArgumentError, OrderError
from causal_widget.responses import Arm, Moments, collect
from causal_widget.responses.split import HELD_OUT, Split, held_out
from tests.responses.networks import batches_of, residual


def test_folds_are_even_and_independent_of_what_is_held_out():
    index = np.arange(40_000)
    split = Split(0.25, 4, seed=3)
    fold = split.fold(index)
    np.testing.assert_array_equal(fold == HELD_OUT, held_out(0, 40_000, 0.25, 3))
    shares = [(fold == number).mean() for number in range(4)]
    np.testing.assert_allclose(shares, 0.75 / 4, atol=0.01)
    assert (Split(0.25, 4, seed=4).fold(index) == fold).mean() == pytest.approx(
        0.25**2 + 4 * (0.75 / 4) ** 2, abs=0.01
    )


def test_a_fold_depends_on_the_images_number_alone():
    split = Split(0.2, 5, seed=1)
    whole = split.fold(np.arange(500))
    np.testing.assert_array_equal(split.fold(np.arange(123, 400)), whole[123:400])
    np.testing.assert_array_equal(split.fold(np.arange(500)[::-1]), whole[::-1])


def test_every_held_out_image_stays_the_same_whatever_the_folds():
    one, four = (collect(residual(), batches_of(90, 16), folds=folds) for folds in (1, 4))
    assert (len(one.observational.folds), len(four.observational.folds)) == (1, 4)
    for pair in one.train.layout.pairs:
        np.testing.assert_allclose(
            four.train.products(*pair), one.train.products(*pair), rtol=1e-9, atol=1e-9
        )
        np.testing.assert_allclose(
            four.heldout.products(*pair), one.heldout.products(*pair), rtol=1e-9, atol=1e-9
        )
    assert four.train is four.train  # merged once
    assert sum(fold.count for fold in four.observational.folds) == one.train.count


@pytest.mark.parametrize("folds", [0, 65, 2.5, True, "4"])
def test_folds_out_of_range(folds):
    with pytest.raises(ArgumentError, match="folds"):
        Split(0.2, folds)


def test_an_arm_without_folds():
    with pytest.raises(OrderError, match="at least one"):
        Arm(())


def test_an_arm_says_itself():
    found = collect(residual(), batches_of(40, 16), holdout=0)
    assert repr(found.observational) == "Arm(40 images in 4 folds, 0 held out)"
    assert isinstance(found.train, Moments)
    assert found.interventional is None
    told = repr(collect(residual(), batches_of(40, 16), intervene=0.25))
    assert "25% of a random layer = 0" in told
