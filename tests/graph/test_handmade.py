"""Hand-made networks whose parents are known by construction, and what is refused."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from causal_widget.errors import ArgumentError, DataError, UnknownNameError, UnsupportedModelError
from causal_widget.graph import trace
from tests.graph.oracle import assert_graph_is_measured

IMAGE = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))


class Made(nn.Module):
    """Two convolutions a and b, whatever `join` makes of them, and a third that reads the result."""

    def __init__(self, join, channels, groups=1):
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.join = join
        self.c = nn.Conv2d(channels, 6, 1, groups=groups)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(F.relu(self.c(self.join(self.a(x), self.b(x)))).mean((2, 3)))


def shuffled(a, b):
    x = torch.cat([a, b], 1)
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def written_into(a, b):
    x = torch.zeros(a.shape[0], 8, *a.shape[2:])
    x[:, :6] = a
    x[:, 6:] = b[:, 4:]
    x[:, 0:2] += b[:, 0:2]
    return x


def gated(a, b):
    return a * torch.sigmoid(b.mean((2, 3), keepdim=True))


def spatial_gate(a, b):
    return a * torch.sigmoid(b.amax(1, keepdim=True))


def through_a_view(a, b):
    a = a.clone()
    a.view(-1)[:] *= 2
    a[:, 1:3].add_(b[:, 1:3])
    return a


A = np.arange(6)
NOTHING = np.full(6, -1)

CASES = {
    # name: (join, channels of c, groups of c, channel of c that carries unit u of a, the same of b); -1: none
    "sum": (lambda a, b: F.relu(a + b), 6, 1, A, A),
    "concatenation": (lambda a, b: torch.cat([F.relu(a), b], 1), 12, 1, A, A + 6),
    "shuffle": (shuffled, 12, 1, 2 * A, 2 * A + 1),
    "shuffle before groups": (shuffled, 12, 6, 2 * A, 2 * A + 1),
    "slices": (
        lambda a, b: torch.cat([a[:, 4:], b[:, ::2]], 1),
        5,
        1,
        [-1, -1, -1, -1, 0, 1],
        [2, -1, 3, -1, 4, -1],
    ),
    "chunks swapped": (
        lambda a, b: torch.cat([*a.chunk(2, 1)[::-1]], 1) + 0 * b.sum(),
        6,
        1,
        [3, 4, 5, 0, 1, 2],
        None,
    ),
    "padding of channels": (lambda a, b: F.pad(a, (0, 0, 0, 0, 2, 2)), 10, 1, A + 2, NOTHING),
    "flip": (lambda a, b: a.flip(1) + b, 6, 1, 5 - A, A),
    "written into": (written_into, 8, 1, A, [0, 1, -1, -1, 6, 7]),
    "gate": (gated, 6, 1, A, A),
    "in place through a view": (through_a_view, 6, 1, A, [-1, 1, 2, -1, -1, -1]),
    "indexed": (
        lambda a, b: a[:, torch.tensor([5, 3])] + b[:, :2],
        2,
        1,
        [-1, -1, -1, 1, -1, 0],
        [0, 1, -1, -1, -1, -1],
    ),
    "einsum to itself": (lambda a, b: torch.einsum("nchw->nchw", a), 6, 1, A, NOTHING),
    "where": (lambda a, b: torch.where(a > 0, a, b), 6, 1, A, A),
    "upsampled": (lambda a, b: F.interpolate(F.max_pool2d(a, 2), scale_factor=2) + b, 6, 1, A, A),
}


@pytest.mark.parametrize("case", CASES)
def test_known_wiring(case):
    join, channels, groups, of_a, of_b = CASES[case]
    model = Made(join, channels, groups)
    graph = trace(model, IMAGE)
    for source, carried in (("a", of_a), ("b", of_b)):
        wiring = next((w for w in graph.parents("c") if w.source == source), None)
        if carried is None:
            continue
        for unit, channel in enumerate(carried):
            found = [] if wiring is None else wiring.channels_of(unit).tolist()
            assert found == ([] if channel < 0 else [channel]), (source, unit)
    assert_graph_is_measured(graph, model, IMAGE, per_layer=6)


def test_a_gate_over_all_channels_makes_everyone_a_parent():
    graph = trace(Made(spatial_gate, 6), IMAGE)
    wirings = {w.source: w for w in graph.parents("c")}
    assert all(len(wirings["b"].row(channel)) == 6 for channel in range(6))
    assert [wirings["a"].row(channel).tolist() for channel in range(6)] == [[u] for u in range(6)]


@pytest.mark.parametrize(
    "norm", [nn.GroupNorm(3, 6), nn.LayerNorm([6, 8, 8]), nn.InstanceNorm2d(6), nn.GroupNorm(6, 6)]
)
def test_norms_mix_what_they_normalise_together(norm):
    model = Made(lambda a, b: norm(a), 6)
    graph = trace(model, IMAGE)
    (wiring,) = graph.parents("c")
    together = {nn.GroupNorm: 6 // getattr(norm, "num_groups", 6), nn.LayerNorm: 6, nn.InstanceNorm2d: 1}[
        type(norm)
    ]
    for channel in range(6):
        start = channel // together * together
        assert wiring.row(channel).tolist() == list(range(start, start + together))
    assert_graph_is_measured(graph, model, IMAGE, per_layer=6)


def test_registration_order_plays_no_part():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.third = nn.Linear(5, 2), nn.Conv2d(4, 5, 1)
            self.second, self.first = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)

        def forward(self, x):
            return self.fc(self.third(self.second(self.first(x))).mean((2, 3)))

    graph = trace(Backwards(), IMAGE)
    assert graph.names == ("first", "second", "third", "fc")
    assert [[w.source for w in graph.parents(n)] for n in graph.names] == [
        [],
        ["first"],
        ["second"],
        ["third"],
    ]


def test_flatten_gives_each_unit_all_its_features():
    model = nn.Sequential(nn.Conv2d(4, 3, 3), nn.Flatten(), nn.Linear(3 * 36, 2))
    graph = trace(model, IMAGE)
    (wiring,) = graph.parents("2")
    np.testing.assert_array_equal(wiring.channels_of(1), np.arange(36, 72))
    assert wiring.kind == "dense"
    assert wiring.is_full


def test_classes_after_a_pooling_are_an_output_layer():
    model = nn.Sequential(nn.Conv2d(4, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    graph = trace(model, IMAGE)
    assert graph.output.name == "output"
    assert [w.kind for w in graph.parents("output")] == ["one-to-one"]
    assert graph.hidden_conv_layers == ()
    soft = nn.Sequential(
        nn.Conv2d(4, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5), nn.LogSoftmax(1)
    )
    graph = trace(soft, IMAGE)
    assert [w.kind for w in graph.parents("output")] == ["dense"]


def test_networkx_levels_and_limits():
    graph = trace(Made(CASES["shuffle before groups"][0], 12, 6), IMAGE)
    layers = graph.to_networkx()
    assert set(layers.edges) == {("a", "c"), ("b", "c"), ("c", "fc")}
    units = graph.to_networkx(level="unit")
    assert nx.is_directed_acyclic_graph(units)
    assert set(units.predecessors(("c", 2))) == {("a", 2), ("b", 2)}
    assert units.number_of_edges() == sum(w.n_edges for w in graph.wirings)
    with pytest.raises(ArgumentError, match="limit=10"):
        graph.to_networkx(level="unit", limit=10)
    with pytest.raises(ArgumentError, match="level"):
        graph.to_networkx(level="filter")


def test_networkx_takes_the_strongest_edges():
    graph = trace(Made(CASES["sum"][0], 6), IMAGE)
    rng = np.random.default_rng(0)
    strengths = {
        (w.source, w.target): rng.normal(size=(w.target_units, w.source_units)) for w in graph.wirings
    }
    units = graph.to_networkx(
        level="unit", top_k=7, strength=lambda source, target: strengths[source, target]
    )
    everything = [
        (abs(value), (source, int(s)), (target, int(t)))
        for (source, target), matrix in strengths.items()
        for (t, s), value in np.ndenumerate(matrix)
    ]
    assert {(a, b) for a, b in units.edges} == {(a, b) for _, a, b in sorted(everything)[-7:]}
    assert units.number_of_nodes() == sum(layer.units for layer in graph.layers)
    with pytest.raises(ArgumentError, match="strength"):
        graph.to_networkx(level="unit", top_k=7)


def test_parents_and_children_of_a_unit_mirror_each_other():
    graph = trace(Made(CASES["shuffle before groups"][0], 12, 6), IMAGE)
    for layer in graph.layers:
        for unit in range(layer.units):
            for child, units in graph.children_of(layer.name, unit).items():
                assert all(unit in graph.parents_of(child, int(u))[layer.name] for u in units)


class Loop(nn.Module):
    """A loop whose length is read from the image, and *args: nothing that symbolic tracing can follow."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(4, 4, 1), nn.Linear(4, 2)

    def forward(self, *images):
        (x,) = images
        for _ in range(int(x.abs().max().clamp(1, 3))):
            x = F.relu(self.conv(x))
        return self.fc(x.mean((2, 3)))


def test_what_cannot_be_followed_symbolically_is_recorded():
    graph = trace(Loop(), torch.full((1, 4, 4, 4), 2.0))
    assert graph.traced_by == "recorded"
    assert graph.note
    assert graph.names == ("conv", "conv#2", "fc")
    assert trace(Loop(), torch.full((1, 4, 4, 4), 3.0)).names == ("conv", "conv#2", "conv#3", "fc")


REFUSED = [
    ("not a module", lambda: object(), IMAGE, UnsupportedModelError, "torch.nn.Module"),
    (
        "no convolution",
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 2)),
        IMAGE,
        UnsupportedModelError,
        "no conv",
    ),
    (
        "maps as output",
        lambda: nn.Sequential(nn.Conv2d(4, 2, 1)),
        IMAGE,
        UnsupportedModelError,
        r"\(1, 2, 8, 8\)",
    ),
    ("other channels", lambda: nn.Sequential(nn.Conv2d(3, 2, 1)), IMAGE, DataError, r"\(4, 8, 8\)"),
    (
        "no batch",
        lambda: nn.Sequential(nn.Conv2d(4, 2, 1)),
        torch.zeros(0, 4, 8, 8),
        DataError,
        "batch of images",
    ),
    ("no tensor", lambda: nn.Sequential(nn.Conv2d(4, 2, 1)), [1, 2], DataError, "list"),
]


@pytest.mark.parametrize("what,make,example,error,words", REFUSED, ids=[r[0] for r in REFUSED])
def test_refused_with_a_clear_word(what, make, example, error, words):
    with pytest.raises(error, match=words):
        trace(make(), example)


def test_names_that_do_not_exist():
    graph = trace(Made(CASES["sum"][0], 6), IMAGE)
    with pytest.raises(UnknownNameError, match='Did you mean "fc"'):
        graph.layer("fc1")
    with pytest.raises(UnknownNameError, match=r"The layers are a, b, c, fc\."):
        graph.layer("0")
    with pytest.raises(UnknownNameError, match="0 to 3"):
        graph.layer(9)
    with pytest.raises(UnknownNameError, match="units 0 to 5"):
        graph.check_units({"a": [6]})
    with pytest.raises(ArgumentError, match="integer"):
        graph.check_units({"a": [1.5]})
    assert graph.check_units({"b": [3, 1, 1], "a": np.array([2]), "c": []}) == {"a": (2,), "b": (1, 3)}


def test_names_are_text_in_html():
    model = nn.Sequential()
    model.add_module("<script>alert(1)</script>", nn.Conv2d(4, 3, 1))
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flat", nn.Flatten())
    text = trace(model, IMAGE)._repr_html_()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_the_nearest_name_begins_alike():
    model = nn.Sequential()
    for name, part in {"c1": nn.Conv2d(4, 6, 3), "flat": nn.Flatten(), "fc": nn.Linear(216, 2)}.items():
        model.add_module(name, part)
    with pytest.raises(UnknownNameError, match='Did you mean "c1"'):
        trace(model, IMAGE).layer("c3")


def test_the_example_takes_the_type_of_the_weights():
    model = Made(CASES["sum"][0], 6).double()
    assert trace(model, IMAGE.float()).names == trace(model, IMAGE.double()).names
