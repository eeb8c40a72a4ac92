"""One intervention after another: the same as measuring each anew, in part or on all images."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import nn

from causal_widget import samples
from causal_widget.effects import effect_of
from causal_widget.effects.half_widths import half_width, half_width_of_share
from causal_widget.effects.live import LiveEffects
from causal_widget.errors import Cancelled, DataError, UnknownNameError
from causal_widget.graph import trace
from causal_widget.interventions import Intervention
from causal_widget.jobs import Progress
from causal_widget.responses import paired

DOS = [
    Intervention({"conv1": [1]}),
    Intervention({"conv1": [1, 2, 4]}, site="conv"),
    Intervention({"conv2": [3, 5]}, scale=0.5),
    Intervention({"conv2": [3]}, value=0.7),
    Intervention({"conv1": [1], "conv2": [3]}),
    Intervention({"conv2": range(16)}),
    Intervention({}),
]


@pytest.fixture(scope="module")
def demo() -> samples.Digits:
    return samples.digits()


@pytest.fixture(scope="module")
def graph(demo):
    return trace(demo.model, next(iter(demo.test_loader))[0][:1])


@pytest.fixture
def live(demo, graph) -> LiveEffects:
    return LiveEffects(demo.model, graph, demo.test_loader, class_names=demo.class_names)


def test_each_is_what_measuring_it_anew_gives(demo, graph, live):
    for do in [*DOS, *reversed(DOS)]:
        found, plain = live.effect(do), effect_of(demo.model, graph, do, demo.test_loader)
        assert found.n == plain.n == live.n_images
        assert found.flipped == plain.flipped
        for one, other in ((found.accuracy, plain.accuracy), (found.loss, plain.loss)):
            assert (one.before, one.change, one.se) == pytest.approx(
                (other.before, other.change, other.se), abs=2e-6
            )
        for one, other in zip(found.classes, plain.classes, strict=True):
            assert one.n == other.n
            assert one.logit.change == pytest.approx(other.logit.change, abs=2e-5)


def test_maps_that_do_not_fit_are_not_kept(demo, graph):
    small = LiveEffects(demo.model, graph, demo.test_loader, class_names=demo.class_names, budget=1)
    do = DOS[0]
    assert small.effect(do).loss.change == pytest.approx(
        effect_of(demo.model, graph, do, demo.test_loader).loss.change, abs=2e-6
    )
    assert all(part.state is None for part in small._parts)


def test_a_network_that_cannot_be_cut(few_images):
    class Chooses(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 3)

        def forward(self, x):
            x = torch.relu(self.conv(x))
            return self.fc(x.flatten(1) if bool(x.sum() > -1) else x.flatten(1) * 2)

    torch.manual_seed(0)
    model = Chooses()
    graph = trace(model, few_images[0][0][:1])
    live = LiveEffects(model, graph, few_images, class_names="abc")
    do = Intervention({"conv": [2]})
    assert "whole passes" in repr(live)
    assert live.effect(do).loss.change == pytest.approx(effect_of(model, graph, do, few_images).loss.change)


@pytest.fixture
def few_images():
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(20, 1, 8, 8, generator=generator), torch.randint(0, 3, (20,), generator=generator))
        for _ in range(5)
    ]


def test_answers_on_a_part_and_goes_on_where_it_stopped(demo, graph, live):
    do, ran = DOS[2], []
    while not ran or ran[-1] < live.n_images:
        ran.append(live.effect(do, seconds=0.0).n)
    assert ran[0] == 8
    assert all(8 <= b - a <= 64 for a, b in itertools.pairwise(ran[:-1]))
    assert live.effect(do, seconds=0.0).loss.change == pytest.approx(
        effect_of(demo.model, graph, do, demo.test_loader).loss.change, abs=2e-6
    )
    other = live.effect(DOS[0], seconds=0.0)
    assert other.n == 8


def test_a_part_is_drawn_from_all(demo, graph):
    images, labels = map(torch.cat, zip(*demo.test_loader, strict=True))
    order = labels.argsort()
    live = LiveEffects(demo.model, graph, [(images[order], labels[order])], class_names=demo.class_names)
    first = live.effect(DOS[0], seconds=0.0)
    assert len(set(first.before.labels.tolist())) > 2


def test_cancelled_it_keeps_what_it_has(demo, graph, live):
    class Stops(Progress):
        def advance(self, n=1, message=None):
            super().advance(n, message)
            if n == 8:
                raise Cancelled("enough")

    before = {name: value.clone() for name, value in demo.model.state_dict().items()}
    with pytest.raises(Cancelled):
        live.effect(DOS[0], progress=Stops())
    assert live.effect(DOS[0], seconds=0.0).n > 8
    assert all(bool((before[name] == value).all()) for name, value in demo.model.state_dict().items())


def test_what_cannot_be_is_refused(demo, graph, live):
    with pytest.raises(UnknownNameError):
        live.effect(Intervention({"conv9": [0]}))
    images = next(iter(demo.test_loader))[0]
    with pytest.raises(DataError, match="labels"):
        LiveEffects(
            demo.model, graph, [(images, torch.zeros(len(images), dtype=torch.long)), images],
            class_names=demo.class_names,
        )  # fmt: skip


def test_half_of_a_mean_is_students():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=12), rng.normal(size=12)
    pair = paired(before, after)
    assert half_width(pair) == pytest.approx(2.200985 * pair.se, rel=1e-6)
    assert math.isnan(half_width(paired(before[:1], after[:1])))


@pytest.mark.parametrize(("n", "up", "down"), [(100, 0, 0), (100, 7, 2), (36, 0, 1), (8, 0, 8)])
def test_half_of_a_share_is_agresti_and_mins(n, up, down):
    before = np.r_[np.zeros(up), np.ones(n - up)]
    after = np.r_[np.ones(n - down), np.zeros(down)]
    # half an image more in each cell of the table, and then the plain formula
    b, c, m = up + 0.5, down + 0.5, n + 2
    expected = 1.959964 * math.sqrt((b + c) - (b - c) ** 2 / m) / m
    assert half_width_of_share(paired(before, after)) == pytest.approx(expected, rel=1e-6)


def test_half_of_a_share_covers_where_little_moves():
    n, share = 60, 0.02  # of the images that go down; none goes up
    held = 0.0
    for down in range(n + 1):
        half = half_width_of_share(paired(np.ones(n), np.r_[np.zeros(down), np.ones(n - down)]))
        held += binom.pmf(down, n, share) * (abs(down / n - share) <= half)
    assert held > 0.93
