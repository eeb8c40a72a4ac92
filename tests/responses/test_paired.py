"""Paired statistics against SciPy and against NumPy's formulas."""

import math

import numpy as np
import pytest
from scipy import stats

from causal_widget.responses import paired


@pytest.mark.parametrize("n", [2, 3, 50, 1000])
def test_change_over_se_is_the_paired_t_statistic(n: int) -> None:
    generator = np.random.default_rng(n)
    before = generator.normal(5, 3, n)
    after = before + generator.normal(0.2, 0.5, n)
    found = paired(before, after)
    expected = stats.ttest_rel(after, before)
    assert found.n == n
    assert found.before == pytest.approx(before.mean())
    assert found.after == pytest.approx(after.mean())
    assert found.change / found.se == pytest.approx(expected.statistic)


def test_pairing_takes_out_what_the_images_share() -> None:
    generator = np.random.default_rng(0)
    before = generator.normal(0, 100, 400)
    found = paired(before, before + generator.normal(1, 0.1, 400))
    unpaired = math.sqrt(2) * 100 / 20
    assert found.se < unpaired / 500
    low, high = found.interval()
    assert low < 1 < high
    assert high - low == pytest.approx(2 * 1.959964 * found.se)


def test_few_images_have_no_standard_error() -> None:
    one = paired(np.array([1.0]), np.array([3.0]))
    assert (one.n, one.change) == (1, 2.0)
    assert math.isnan(one.se)
    none = paired(np.empty(0), np.empty(0))
    assert none.n == 0
    assert math.isnan(none.change)
