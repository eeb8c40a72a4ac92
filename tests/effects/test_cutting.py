"""Running again from the middle on, against the plain loop over whole forward passes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from causal_widget.effects.cutting import (
    CutModel,
    Pace,
    WholeModel,
    refuse_batch_dependent,
    single_effects,
)
from causal_widget.errors import (
    ArgumentError,
    DataError,
    OrderError,
    UnknownNameError,
    UnsupportedModelError,
)
from causal_widget.graph import FilterGraph, trace
from causal_widget.interventions import Intervention, intervene
from tests.effects.cut_networks import MADE, VISION, Inception, Shortcut, network
from tests.interventions.networks import Plain, Residual, fingerprint, images, seeded


def cut(model: nn.Module, x: Tensor) -> CutModel:
    found = CutModel.of(model, trace(model, x))
    assert isinstance(found, CutModel), found
    return found


def plain_loop(
    model: nn.Module, graph: FilterGraph, x: Tensor, place: tuple[str, str], unit: int, value: float
) -> Tensor:
    with intervene(model, graph, Intervention({place[0]: [unit]}, value, place[1])):
        return model(x)


def some_places(model: CutModel, most: int, seed: int) -> list[tuple[str, str]]:
    """All sites, or some of them, of layers that are not the classes; always some of each site."""
    places = [p for p in model.places if not model.graph.layer(p[0]).is_output]
    chosen = random.Random(seed)
    by_site = [[p for p in places if p[1] == site] for site in ("conv", "norm", "activation")]
    return [p for group in by_site for p in chosen.sample(group, min(most, len(group)))]


def compare(name: str, most: int, n_units: int, values: tuple[float, ...]) -> None:
    model, size = network(name)
    x = images(4, size=size).double()
    cutting, chosen = cut(model, x), random.Random(1)
    assert cutting.missing == {}
    places, before, graph = some_places(cutting, most, 2), model(x).detach(), cutting.graph
    with cutting.run(x, places) as state:
        torch.testing.assert_close(state.logits, before, rtol=1e-12, atol=1e-12)
        for place in places:
            units = chosen.sample(
                range(graph.layer(place[0]).units), min(n_units, graph.layer(place[0]).units)
            )
            for value in values:
                made = single_effects(
                    state, *place, units, lambda _, maps, v=value: torch.full_like(maps, v), pace=Pace([7])
                )
                logits = torch.cat([block.logits for block in made])
                expected = torch.stack([plain_loop(model, graph, x, place, u, value) for u in units])
                scale = float((expected - before).abs().max())
                assert float((logits - expected).abs().max()) <= 1e-5 * scale + 1e-13, (place, value)
                if value:
                    assert scale > 0, place


@pytest.mark.parametrize("name", MADE)
def test_hand_made_networks_at_all_sites(name: str) -> None:
    compare(name, most=99, n_units=3, values=(0.0, 0.7))


@pytest.mark.parametrize("name", VISION)
def test_families(name: str) -> None:
    compare(name, most=2, n_units=2, values=(0.6,))


@pytest.mark.parametrize(
    "name", ["Residual", "Grouped", "Inception", "InPlace", "Shortcut", "Gated", "Shuffled"]
)
def test_channels_may_lie_side_by_side(name: str) -> None:
    model, size = network(name)
    x = images(5, size=size).double()
    cutting = cut(model, x)
    with cutting.run(x, channels_last=True) as state:
        for place in some_places(cutting, 9, 3):
            (block,) = single_effects(state, *place, [1], lambda _, maps: maps + 0.5, pace=Pace([5]))
            with cutting.run(x, [place]) as usual:
                (same,) = single_effects(usual, *place, [1], lambda _, maps: maps + 0.5, pace=Pace([5]))
            torch.testing.assert_close(block.logits, same.logits, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("made", [Plain, Residual, Inception, Shortcut])
def test_single_precision_is_within_rounding_of_the_logits(made: type[nn.Module]) -> None:
    model, x = seeded(made), images(6)
    cutting = cut(model, x)
    with cutting.run(x) as state:
        for place in some_places(cutting, 9, 0):
            (block,) = single_effects(state, *place, [1], lambda _, maps: torch.zeros_like(maps))
            expected = plain_loop(model, cutting.graph, x, place, 1, 0.0)
            assert float((block.logits[0] - expected).abs().max()) < 2e-6 * float(expected.abs().max())


def test_whole_tensors_on_some_images_and_on_all_of_them_twice() -> None:
    model, x = seeded(Residual).double(), images(5).double()
    cutting = cut(model, x)
    place, rows = ("block1.conv1", "activation"), torch.tensor([3, 0, 0])
    with cutting.run(x, [place]) as state:
        kept = state.value(*place).clone()
        some = kept[rows] * torch.tensor([0.0, 2.0, 0.5]).view(3, 1, 1, 1)
        got = state.again(*place, some, rows)
        twice = state.again(*place, torch.cat([kept, kept * 0]))
        torch.testing.assert_close(state.value(*place), kept, rtol=0, atol=0)
        nothing = state.logits
    graph, units = cutting.graph, range(6)

    def scaled(scale: float) -> Tensor:
        with intervene(model, graph, Intervention({place[0]: units}, site=place[1], scale=scale)):
            return model(x)

    expected = torch.stack([scaled(0.0)[3], scaled(2.0)[0], scaled(0.5)[0]])
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(twice, torch.cat([nothing, scaled(0.0)]))


def test_images_in_which_a_unit_is_silent_are_not_run() -> None:
    model, x = seeded(Plain), images(9)
    cutting, place = cut(model, x), ("conv1", "activation")
    with cutting.run(x, [place]) as state:
        maps = state.value(*place)
        x = x.clone()
        silent = (maps == 0).flatten(2).all(2)
        model.bn1.bias.data[2] = -100.0  # a dead unit
    with cutting.run(x, [place]) as state:
        blocks = list(single_effects(state, *place, range(6), lambda _, maps: maps * 0))
        (block,) = blocks
        assert block.items == int((~silent).sum()) - int((~silent[:, 2]).sum())
        assert torch.equal(block.logits[2], state.logits)
        assert not torch.equal(block.logits[1], state.logits)


def test_only_what_is_below_runs_again_and_only_the_slice_is_convolved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Channels that each convolution reads, counted where torch convolves."""
    model, x = seeded(Residual), images(4)
    cutting, place, read = cut(model, x), ("block1.conv1", "activation"), []
    convolve = F.conv2d

    def counted(given: Tensor, *args: object) -> Tensor:
        read.append(given.shape[1])
        return convolve(given, *args)  # type: ignore[arg-type]

    with cutting.run(x, [place]) as state:
        monkeypatch.setattr(F, "conv2d", counted)
        list(single_effects(state, *place, [0], lambda _, maps: maps + 1, pace=Pace([8])))
    assert sorted(read) == [1, 6, 6, 8]  # of block1.conv2 the slice; block2's projection and convolutions


def test_memory_is_told_beforehand_and_kept_only_for_the_places_asked() -> None:
    model, x = seeded(Residual), images(4)
    cutting, place = cut(model, x), ("block2.conv1", "activation")
    with cutting.run(x, [place]) as state:
        assert state.bytes == cutting.kept_bytes([place], 4)
        with pytest.raises(OrderError, match=r"block1\.conv1"):
            state.value("block1.conv1", "activation")
    with cutting.run(x) as everywhere:
        assert everywhere.bytes > state.bytes
        assert everywhere.bytes == cutting.kept_bytes(cutting.places, 4)
    with pytest.raises(OrderError, match="over"):
        everywhere.value(*place)


@pytest.mark.parametrize("made", [Residual, Inception])
def test_the_model_is_unchanged_after_success_and_after_an_error(made: type[nn.Module]) -> None:
    model, x = seeded(made).train(), images(4)
    graph, before = trace(model, x), fingerprint(model)
    cutting = CutModel.of(model, graph)
    assert isinstance(cutting, CutModel)
    assert fingerprint(model) == before
    place = next(p for p in cutting.places if p[1] == "activation")

    def fail(unit: int, maps: Tensor) -> Tensor:
        raise RuntimeError("stop")

    kept = x.clone()
    with cutting.run(x) as state:
        list(single_effects(state, *place, [0, 1], lambda _, maps: maps + 1))
    with pytest.raises(RuntimeError, match="stop"), cutting.run(x) as state:
        list(single_effects(state, *place, [0, 1], fail))
    assert fingerprint(model) == before
    assert torch.equal(x, kept)


def test_wrappers_are_looked_through() -> None:
    model, x = seeded(Plain), images(4)
    assert isinstance(CutModel.of(nn.DataParallel(model), trace(model, x)), CutModel)


class Written(nn.Module):
    """Writes into a view, or does something else that a trace cannot hold."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.conv, self.fc = how, nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        if self.how == "view":
            x.view(-1).mul_(2)
        elif self.how == "item":
            x[:, 0] = 1.0
        elif self.how == "branch" and bool((x.mean() > -1).item()):
            x = x * 2
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("how, says", [("view", "view"), ("item", "assignment"), ("branch", "path")])
def test_what_cannot_be_cut_says_why_and_runs_as_a_whole(how: str, says: str) -> None:
    model, x = seeded(lambda: Written(how)).double(), images(5).double()
    graph = trace(model, x)
    reason = CutModel.of(model, graph)
    assert isinstance(reason, str)
    assert says in reason
    whole, place = WholeModel(model, graph, reason), ("conv", "activation")
    assert reason in repr(whole)
    with whole.run(x, [place]) as state:
        blocks = list(single_effects(state, *place, [3, 1], lambda _, maps: torch.full_like(maps, 0.3)))
        before = state.logits
    logits = torch.cat([block.logits for block in blocks])
    assert [unit for block in blocks for unit in block.units] == [3, 1]
    expected = torch.stack([plain_loop(model, graph, x, place, unit, 0.3) for unit in (3, 1)])
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(before, model(x).detach())


def test_networks_whose_images_are_not_apart_are_refused() -> None:
    def normed(**options: bool) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, **options), nn.Flatten(), nn.Linear(576, 2)
        )

    model = normed(track_running_stats=False)
    with pytest.raises(UnsupportedModelError, match=r'"1".*BatchNorm2d'):
        refuse_batch_dependent(model)
    with pytest.raises(UnsupportedModelError, match="running statistics"):
        CutModel.of(model, trace(model, images()))
    refuse_batch_dependent(normed())
    refuse_batch_dependent(nn.Sequential(nn.InstanceNorm2d(3)))

    class Centred(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x - x.mean(0, keepdim=True))

    with pytest.raises(UnsupportedModelError, match="beside"):
        CutModel.of(seeded(Centred), trace(seeded(Centred), images()))


def test_bad_arguments() -> None:
    model, x = seeded(Plain), images(4)
    cutting, place = cut(model, x), ("conv1", "activation")
    with pytest.raises(DataError, match=r"\(3, 8, 8\).*\(3, 12, 12\)"), cutting.run(images(4, size=8)):
        pass
    with pytest.raises(DataError, match="no images"), cutting.run(x[:0]):
        pass
    with pytest.raises(UnsupportedModelError, match="conv9"), cutting.run(x, [("conv9", "conv")]):
        pass
    with cutting.run(x, [place]) as state:
        with pytest.raises(UnknownNameError, match="units 0 to 5"):
            list(single_effects(state, *place, [6], lambda _, maps: maps))
        with pytest.raises(ArgumentError, match="unit 2 must have shape"):
            list(single_effects(state, *place, [2], lambda _, maps: maps[:1]))
        with pytest.raises(ArgumentError, match="multiple"):
            state.again(*place, state.value(*place)[:3])
        with pytest.raises(ArgumentError, match="shape"):
            state.again(*place, state.value(*place)[:, :3])
        with pytest.raises(ArgumentError, match="2 rows"):
            state.again(*place, state.value(*place), torch.tensor([0, 1]))


def test_pace_keeps_the_fastest_size_under_the_budget() -> None:
    pace = Pace([8, 16, 32], tries=1)
    for size, seconds in ((8, 8.0), (16, 8.0), (32, 32.0)):
        assert pace.size == size
        assert not pace.settled
        pace.note(size, seconds)
    assert pace.settled
    assert (pace.size, pace.seconds_per_item) == (16, 0.5)
    pace.note(5, 0.001)  # cut short: says nothing
    assert pace.size == 16
    assert Pace.within(1000, 300).size == 3
    assert Pace.within(10, 300).size == 1
    assert Pace.within(2**30, 2**20).largest == 1024
    assert np.isnan(Pace([4]).seconds_per_item)
    with pytest.raises(ArgumentError, match="at least 1"):
        Pace([])
