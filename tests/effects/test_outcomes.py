"""Outcomes: plain arithmetic image by image as oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from causal_widget.effects.outcomes import OUTCOMES, Outcome, outcome, outcomes, outcomes_table
from causal_widget.errors import ArgumentError, DataError, UnknownNameError
from causal_widget.responses.evaluation import Evaluation


def answers(n: int = 40, classes: int = 5, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits under do(), without, and labels."""
    generator = torch.Generator().manual_seed(seed)
    before = 3 * torch.randn(n, classes, generator=generator)
    after = before + torch.randn(n, classes, generator=generator)
    return after, before, torch.randint(classes, (n,), generator=generator)


def plain(name: str, z: list[float], label: int, before: list[float]) -> float:
    """One image's outcome, in plain Python."""

    def shares(row: list[float]) -> list[float]:
        whole = math.fsum(math.exp(v) for v in row)
        return [math.exp(v) / whole for v in row]

    word, _, k = name.partition(":")
    others = [v for i, v in enumerate(z) if i != label]
    return {
        "logit": lambda: z[int(k)],
        "probability": lambda: shares(z)[int(k)],
        "loss": lambda: -math.log(shares(z)[label]),
        "margin": lambda: z[label] - max(others),
        "correct": lambda: float(z.index(max(z)) == label),
        "kl": lambda: math.fsum(p * math.log(p / q) for p, q in zip(shares(before), shares(z), strict=True)),
    }[word]()


@pytest.mark.parametrize("name", ["logit:3", "probability:0", "loss", "margin", "correct", "kl"])
def test_image_by_image(name: str) -> None:
    after, before, labels = answers()
    one = outcome(name, 5)
    theirs = [
        plain(name, z, y, b) for z, y, b in zip(after.tolist(), labels.tolist(), before.tolist(), strict=True)
    ]
    found = one.values(after, labels, before)
    assert found.dtype == torch.float64
    assert found.shape == (40, 1)
    np.testing.assert_allclose(found[:, 0], theirs, rtol=1e-6, atol=1e-7)
    at_rest = [plain(name, b, y, b) for y, b in zip(labels.tolist(), before.tolist(), strict=True)]
    change = np.array(theirs) - np.array(at_rest)
    np.testing.assert_allclose(one.effects(after, before, labels)[:, 0], change, rtol=1e-5, atol=1e-6)


def test_loss_and_correct_agree_with_an_evaluation() -> None:
    after, _, labels = answers()
    theirs = Evaluation(after.double().numpy(), labels.numpy(), tuple("abcde"))
    np.testing.assert_allclose(outcome("loss").values(after, labels)[:, 0], theirs.losses, rtol=1e-12)
    np.testing.assert_array_equal(outcome("correct").values(after, labels)[:, 0], theirs.correct)


def test_logits_has_a_column_a_class() -> None:
    after, before, _ = answers()
    one = outcome("logits")
    torch.testing.assert_close(one.effects(after, before), after.double() - before.double())
    assert one.columns(["cat", "dog"]) == ("logit:cat", "logit:dog")


def test_nothing_changed_is_exactly_no_effect() -> None:
    _, before, labels = answers()
    for name in ("logits", "logit:1", "probability:1", "loss", "margin", "correct", "kl"):
        assert (outcome(name).effects(before, before.clone(), labels) == 0).all()


def test_effects_stay_within_their_bounds() -> None:
    after, before, labels = answers(500)
    for name in ("probability:1", "correct", "kl", "loss"):
        one = outcome(name)
        low, high = one.effect_bounds
        found = one.effects(50 * after, before, labels)
        assert low <= found.min()
        assert found.max() <= high
    assert outcome("correct").effect_bounds == (-1, 1)
    assert outcome("kl").effect_bounds == (0, math.inf)


def test_gradients_pass_through() -> None:
    """The first-order estimate needs them: d(loss)/d(logits) is softmax minus one-hot."""
    after, before, labels = answers()
    after.requires_grad_()
    outcome("loss").values(after, labels, before).sum().backward()
    theirs = torch.softmax(after.detach(), 1) - torch.nn.functional.one_hot(labels, 5)
    torch.testing.assert_close(after.grad, theirs, rtol=1e-4, atol=1e-6)


def test_extreme_logits_stay_finite() -> None:
    z, before = torch.tensor([[2000.0, -2000.0]]), torch.tensor([[-2000.0, 2000.0]])
    assert outcome("loss").values(z, torch.tensor([1])).item() == 4000
    assert outcome("kl").values(z, None, before).item() == 4000


def test_a_callable() -> None:
    after, before, labels = answers()

    def spread(logits: Tensor, labels: Tensor | None, baseline: Tensor | None) -> Tensor:
        return torch.stack([logits.std(dim=1), logits[:, 0] - baseline[:, 0]], dim=1)

    def wrong(logits: Tensor, labels: Tensor | None, baseline: Tensor | None) -> Tensor:
        return logits[0]

    one = outcome(spread, worse=1)
    assert (one.name, one.worse) == ("spread", 1)
    found = one.effects(after, before, labels)
    torch.testing.assert_close(found[:, 1], (after - before)[:, 0].double(), rtol=1e-5, atol=1e-6)
    with pytest.raises(DataError, match=r"wrong.*40 images, got \(5,\)"):
        outcome(wrong).values(after)


def test_every_outcome_is_in_the_table() -> None:
    table = outcomes_table()
    assert [name.partition(":")[0] for name in table["outcome"]] == list(OUTCOMES)
    assert table["meaning"].str.len().min() > 10
    assert (table["unit"] != "").all()


def test_several_outcomes() -> None:
    names = [one.name for one in outcomes(["loss", "logit:2"], 5)]
    assert names == ["loss", "logit:2"]
    assert [one.name for one in outcomes("margin")] == ["margin"]
    kept = outcome("kl")
    assert outcomes(kept) == (kept,)
    assert isinstance(kept, Outcome)
    assert "kl" in repr(kept)


@pytest.mark.parametrize(
    "asked, error, words",
    [
        ("los", UnknownNameError, 'Did you mean "loss"'),
        ("logit", ArgumentError, '"logit:K"'),
        ("loss:3", ArgumentError, '"loss" alone'),
        ("logit:5", ArgumentError, "0 to 4"),
        ("logit:-1", ArgumentError, "'-1'"),
        ("probability:cat", ArgumentError, "'cat'"),
        (7, ArgumentError, "name or a callable, got 7"),
        (["loss", "loss"], ArgumentError, "each name once"),
        ([], ArgumentError, "one or more"),
    ],
)
def test_bad_names(asked: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        outcomes(asked, 5)


def test_bad_data() -> None:
    after, before, labels = answers()
    with pytest.raises(DataError, match=r'"loss" needs labels.*"kl"'):
        outcome("loss").values(after)
    with pytest.raises(DataError, match=r"\(3,\) labels for 40 images"):
        outcome("margin").values(after, labels[:3])
    with pytest.raises(DataError, match="label 9 is no class; they are 0 to 4"):
        outcome("correct").values(after, labels.clone().fill_(9))
    with pytest.raises(DataError, match="same images"):
        outcome("kl").values(after, None, before[:3])
    with pytest.raises(DataError, match=r"\(image, class\), got \(40, 5, 1\)"):
        outcome("logits").values(after[..., None])
    with pytest.raises(DataError, match="classes 0 to 4"):
        outcome("logit:7").values(after)
