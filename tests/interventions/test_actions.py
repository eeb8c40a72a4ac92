"""What actions do to maps, against plain loops, and that they are values."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from causal_widget.errors import ArgumentError, UnknownNameError
from causal_widget.interventions import (
    ACTIONS,
    Constant,
    Mean,
    Noise,
    Resample,
    Scale,
    Zero,
    action_from_json,
)
from causal_widget.interventions.counter import bits, choice, normals

EACH = [Zero(), Mean(), Constant(-1.5), Scale(0.25), Resample(7), Noise(0.1, 3)]


def maps(n: int = 6, units: int = 3, space: tuple[int, ...] = (4, 5)) -> torch.Tensor:
    return torch.randn(n, units, *space, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("space", [(), (4,), (4, 5), (2, 3, 4)])
def test_each_action_is_its_plain_loop(space: tuple[int, ...]) -> None:
    given = maps(space=space)
    before = given.clone()
    means = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    expected = {
        "zero": lambda i, u: torch.zeros(space),
        "mean": lambda i, u: torch.full(space, float(means[u])),
        "constant": lambda i, u: torch.full(space, -1.5),
        "scale": lambda i, u: given[i, u] * 0.25,
    }
    for action in EACH[:4]:
        found = action.apply(given, means)
        for i in range(6):
            for u in range(3):
                torch.testing.assert_close(found[i, u], expected[action.name](i, u), rtol=0, atol=0)
        assert found.dtype == given.dtype
    torch.testing.assert_close(given, before, rtol=0, atol=0)


def test_each_action_gives_a_new_tensor() -> None:
    for action in EACH:
        given = maps()
        found = action.apply(given, torch.zeros(3))
        found.add_(1)
        torch.testing.assert_close(given, maps(), rtol=0, atol=0)


def test_resampling_within_a_batch_gives_each_map_once_and_none_to_itself() -> None:
    given = torch.arange(50.0)[:, None].expand(50, 2)
    found = Resample(1).apply(given, index=torch.arange(100, 150))
    assert sorted(found[:, 0].tolist()) == list(range(50))
    assert (found != given).all()
    # the same image for all units: what belongs together stays together
    torch.testing.assert_close(found[:, 0], found[:, 1], rtol=0, atol=0)
    # a plain loop over the drawn order
    keys = [int(bits(1, [torch.tensor(100 + i)])) for i in range(50)]
    order = sorted(range(50), key=keys.__getitem__)
    for here, there in zip(order, [*order[1:], order[0]], strict=True):
        assert found[here, 0] == there
    assert not torch.equal(found, Resample(2).apply(given, index=torch.arange(100, 150)))


def test_resampling_from_donors_depends_on_the_image_alone() -> None:
    donors = torch.arange(5.0)[:, None, None].expand(5, 2, 3)
    given, index = torch.full((200, 2, 3), -1.0), torch.arange(200)
    whole = Resample(4).apply(given, index=index, donors=donors, donor_index=torch.arange(5))
    pieces = [
        Resample(4).apply(
            given[a : a + 7], index=index[a : a + 7], donors=donors, donor_index=torch.arange(5)
        )
        for a in range(0, 200, 7)
    ]
    torch.testing.assert_close(torch.cat(pieces), whole, rtol=0, atol=0)
    assert all(whole[i, 0, 0] != i for i in range(5))
    assert set(whole[:, 0, 0].tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}


def test_noise_depends_on_image_unit_place_and_seed_alone() -> None:
    given, index = maps(12), torch.arange(12)
    noise = Noise(0.5, 9)
    whole = noise.apply(given, index=index)
    pieces = torch.cat([noise.apply(given[a : a + 5], index=index[a : a + 5]) for a in (0, 5, 10)])
    torch.testing.assert_close(pieces, whole, rtol=0, atol=0)
    alone = noise.apply(given[:, 2:], index=index, units=torch.tensor([2]))
    torch.testing.assert_close(alone, whole[:, 2:], rtol=0, atol=0)
    for i in (0, 11):
        for place in (0, 19):
            drawn = normals(9, [torch.tensor(0), torch.tensor(i), torch.tensor(1), torch.tensor(place)])
            expected = given[i, 1].flatten()[place] + 0.5 * float(drawn)
            assert float(whole[i, 1].flatten()[place]) == pytest.approx(float(expected), abs=1e-6)
    for other in (Noise(0.5, 10).apply(given, index=index), noise.apply(given, index=index, salt=1)):
        assert (other != whole).all()
    torch.testing.assert_close(Noise(0.0).apply(given), given, rtol=0, atol=0)


def test_the_counters_give_independent_normals() -> None:
    drawn = normals(3, [torch.arange(200)[:, None, None], torch.arange(20)[:, None], torch.arange(25)])
    flat = drawn.flatten().numpy()
    assert stats.kstest(flat, "norm").pvalue > 0.01
    side = math.sqrt(1 / len(flat))
    assert abs(flat.mean()) < 4 * side
    assert abs(flat.var() - 1) < 4 * side * math.sqrt(2)
    for one, two in [
        (drawn[1:], drawn[:-1]),
        (drawn[:, 1:], drawn[:, :-1]),
        (drawn[..., 1:], drawn[..., :-1]),
    ]:
        assert abs(float((one * two).mean())) < 4 * side
    other = normals(4, [torch.arange(200)[:, None, None], torch.arange(20)[:, None], torch.arange(25)])
    assert abs(float((drawn * other).mean())) < 4 * side


def test_the_hash_is_splitmix64() -> None:
    """The published generator's first numbers from state 0 (Vigna, splitmix64.c): its counter is 1, 2, 3."""

    def published(state: int) -> int:
        z = state & (2**64 - 1)
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        return z ^ (z >> 31)

    found = [int(value) & (2**64 - 1) for value in bits(0, [torch.arange(3)])]
    assert found[0] == 0xE220A8397B1DCDAF
    assert found == [published(0x9E3779B97F4A7C15 * (k + 1)) for k in range(3)]


def test_choices_are_as_likely() -> None:
    counts = torch.bincount(choice(5, torch.arange(7000), 7), minlength=7)
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


@pytest.mark.parametrize("action", EACH, ids=repr)
def test_actions_are_values(action: object) -> None:
    again = action_from_json(action.to_json())
    assert again == action
    assert hash(again) == hash(action)
    assert type(again) is ACTIONS[action.name]
    with pytest.raises(AttributeError):
        action.seed = 5


def test_they_say_themselves() -> None:
    assert [repr(action) for action in EACH] == [
        "zero",
        "mean",
        "constant -1.5",
        "scale 0.25",
        "resample (seed 7)",
        "noise 0.1 (seed 3)",
    ]
    assert len({*EACH, Scale(1 / 4), Zero()}) == 6


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Constant("2"), ArgumentError, "value of Constant .*'2'"),
        (lambda: Constant(float("nan")), ArgumentError, "nan"),
        (lambda: Scale(None), ArgumentError, "beta of Scale .*None"),
        (lambda: Scale(float("inf")), ArgumentError, "inf"),
        (lambda: Scale(True), ArgumentError, "True"),
        (lambda: Resample(-1), ArgumentError, "-1"),
        (lambda: Resample(0.5), ArgumentError, "0.5"),
        (lambda: Noise(-0.1), ArgumentError, "-0.1"),
        (lambda: Noise("much"), ArgumentError, "'much'"),
        (lambda: Noise(1, "x"), ArgumentError, "'x'"),
        (lambda: Mean().apply(maps()), ArgumentError, "means"),
        (lambda: Mean().apply(maps(), torch.zeros(2)), ArgumentError, "3 means"),
        (lambda: Resample(0).apply(maps(1)), ArgumentError, "1 image is no other"),
        (lambda: Resample(0).apply(maps(), donors=maps(units=2)), ArgumentError, r"\(2, 4, 5\)"),
        (lambda: Zero().apply(maps(), index=torch.arange(4)), ArgumentError, "index must be 6"),
        (
            lambda: action_from_json('{"action": "scael", "beta": 1}'),
            UnknownNameError,
            'Did you mean "scale"',
        ),
        (lambda: action_from_json('{"action": "scale"}'), ArgumentError, "beta"),
        (lambda: action_from_json('{"action": "zero", "beta": 1}'), ArgumentError, "beta"),
        (lambda: action_from_json("zero"), ArgumentError, "no JSON"),
        (lambda: action_from_json("[1]"), ArgumentError, "object"),
        (lambda: action_from_json('{"action": "scale", "beta": "x"}'), ArgumentError, "'x'"),
    ],
)
def test_nonsense_is_refused(make: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()
