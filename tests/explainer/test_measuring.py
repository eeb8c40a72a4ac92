"""Effects through the facade: measured, remembered, used by importances and pruning curves."""

from __future__ import annotations

import numpy as np
import pytest

from causal_widget import CausalCNNExplainer
from causal_widget.effects import plan_effects
from causal_widget.errors import OrderError
from causal_widget.importance import importance
from tests.explainer.test_explainer import SILENT, labelled
from tests.interventions.networks import Residual, fingerprint, seeded


@pytest.fixture
def explainer() -> CausalCNNExplainer:
    return CausalCNNExplainer(seeded(Residual), "cpu")


def test_effects_are_those_of_the_plan_and_are_remembered(explainer: CausalCNNExplainer) -> None:
    model = explainer.model
    before = fingerprint(model)
    with pytest.raises(OrderError, match="loader"):
        explainer.effects()
    explainer.collect_data(labelled(model), progress=SILENT)
    plan = explainer.plan_effects(["stem"], outcomes=["loss", "margin"])
    assert "4 units of 1 layers, 60 images" in repr(plan)
    found = explainer.effects(["stem"], seed=3, progress=SILENT, outcomes=["loss", "margin"])
    assert explainer.last_effects is found
    expected = plan_effects(model, labelled(model), ["stem"], outcomes=["loss", "margin"]).run(seed=3)
    np.testing.assert_allclose(found.all.mean, expected.all.mean, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(found.estimate(half="choosing").n, expected.estimate(half="choosing").n)
    assert fingerprint(model) == before


def test_the_rule_effect_in_importances_and_pruning_curves(explainer: CausalCNNExplainer) -> None:
    loader = labelled(explainer.model)
    explainer.collect_data(loader, progress=SILENT)
    explainer.learn_structural_equations()
    with pytest.raises(OrderError, match="effects"):
        explainer.importance("effect")
    first = explainer.effects(progress=SILENT)
    found = explainer.importance("effect")
    expected = importance("effect", graph=explainer.graph, effects=first, by="abs_loss")
    assert all(np.array_equal(found[name], values) for name, values in expected.items())
    rules = ("coefficient", "standardised", "l1", "random", "effect")
    curve = explainer.pruning_curve(percents=(0, 40), rules=rules, repeats=2, progress=SILENT)
    assert curve.rules == rules
    assert explainer.plot_importance_distribution(rule="effect").axes
    again = explainer.effects(outcomes="margin", progress=SILENT)
    other = explainer.importance("effect")
    assert not np.array_equal(other["stem"], found["stem"])
    given = explainer.importance("effect", effects=first)
    assert all(np.array_equal(given[name], values) for name, values in found.items())
    down = explainer.importance("effect", by="-margin")["stem"]
    harm = np.maximum(-again.mean("stem", "margin"), 0)
    np.testing.assert_allclose(down, harm / harm.sum())
