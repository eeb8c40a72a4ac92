"""What images not seen might add: against the images themselves."""

from __future__ import annotations

import numpy as np

from causal_widget.effects.statistics import EffectMoments
from causal_widget.effects.statistics.unseen import size_of_one, unseen_squares


def test_of_effects_where_there_are_any_and_over_all() -> None:
    rng = np.random.default_rng(0)
    effects = rng.exponential(size=(80, 3, 2)) * (rng.random((80, 3, 2)) < [[0.1], [0.5], [1.0]])
    moments, carried = EffectMoments.of(effects), np.count_nonzero(effects, axis=0)
    for question in range(3):
        for column in range(2):
            seen = effects[:, question, column]
            there = (seen[seen != 0] ** 2).mean()
            found = unseen_squares(moments, carried, [9.0, 9.0])[question, column]
            np.testing.assert_allclose(size_of_one(moments, carried)[question, column], np.sqrt(there))
            np.testing.assert_allclose(found, there + (seen**2).mean(), rtol=1e-12)


def test_answers_that_turn_count_one_and_where_none_was_seen_what_is_usual() -> None:
    turned = np.zeros((50, 2, 1))
    turned[:3, 0] = [[1.0], [-1.0], [1.0]]
    moments, carried = EffectMoments.of(turned), np.count_nonzero(turned, axis=0)
    np.testing.assert_allclose(unseen_squares(moments, carried, [0.5]), [[1 + 3 / 50], [0.25]], rtol=1e-12)
    nothing = EffectMoments.empty((1, 1))
    assert unseen_squares(nothing, np.zeros((1, 1), np.int64), [2.0]).item() == 4
