"""Random interventions against a loop over images that writes the network out call by call."""

import itertools
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from causal_widget.errors import ArgumentError, DataError, OrderError, UnknownNameError
from causal_widget.graph import trace
from causal_widget.responses import InterventionalMoments, RandomInterventions, collect, layout_of
from causal_widget.responses import rows as rows_module
from causal_widget.responses.interventional import Gap
from tests.responses.networks import batches_of, images, plain, residual

N = 40
LAYERS = ("stem", "branch", "depthwise", "grouped", "left")


def by_hand(model, x, transform, site, forced=None, value=0.0):
    """Responses of one image, {layer: (column,)}; `forced` is (layer, units) that are set to the value."""
    found = {}

    def see(name, maps):
        if forced is not None and forced[0] == name:
            maps = maps.clone()
            maps[:, forced[1]] = value
        found[name] = transform(maps)[0].double().reshape(-1).numpy()
        return maps

    def layer(name, given, between=None):
        """One layer with its sum, if any, and its nonlinearity."""
        maps = getattr(model, name)(given)
        if site == "conv":
            maps = see(name, maps)
        maps = F.relu(maps if between is None else maps + between)
        return see(name, maps) if site == "activation" and between is None else maps

    with torch.no_grad():
        stem = layer("stem", x)
        if site == "activation":  # the branch is added to before any nonlinearity: read at its convolution
            joined = F.relu(stem + see("branch", model.branch(stem)))
        else:
            joined = layer("branch", stem, stem)
        grouped = layer("grouped", layer("depthwise", joined))
        head = model.head(torch.cat([layer("left", joined), grouped], 1).mean((2, 3)))
    found["head"] = head[0].double().numpy()
    return found


def norms(maps):
    return maps.pow(2).sum((2, 3)).sqrt()


def quarters(maps):
    return torch.stack(
        [maps[:, :, r, c].mean((2, 3)) for r, c in itertools.product((slice(4), slice(4, 8)), repeat=2)],
        dim=2,
    )


def explicit(model, graph, randomised, transform=norms, site="activation", n=N):
    """Return matrices of actual and natural responses, an image a row, by a plain loop."""
    draw, actual, natural = randomised.draw(graph, np.arange(n)), [], []
    for i, x in enumerate(images(n).split(1)):
        name = draw.layers[draw.layer[i]]
        units = np.flatnonzero(draw.units[i])
        free = by_hand(model, x, transform, site)
        forced = by_hand(model, x, transform, site, (name, units), randomised.value)
        actual.append(forced)
        natural.append({**forced, name: free[name]})
    return tuple(
        {name: np.stack([row[name] for row in rows]) for name in graph.names} for rows in (actual, natural)
    )


def check_moments(moments, actual, natural, atol=1e-3):
    layout = moments.layout
    for name in layout.widths:
        np.testing.assert_allclose(moments.mean(name), actual[name].mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(moments.variance(name), actual[name].var(0), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(moments.child_mean(name), natural[name].mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(moments.child_variance(name), natural[name].var(0), rtol=1e-3, atol=1e-5)
    for target, readings in layout.readings.items():
        for number, reading in enumerate(readings):
            x = np.concatenate([actual[source] for source in reading.sources], axis=1)
            x, y = x - x.mean(0), natural[target] - natural[target].mean(0)
            for group, (parents, children) in enumerate(zip(reading.parents, reading.children, strict=True)):
                if reading.n_groups == 1:
                    among, across = moments.among(reading), moments.across(reading)
                else:
                    among, across = (part[group] for part in moments.stack(target, number))
                np.testing.assert_allclose(among, x[:, parents].T @ x[:, parents], rtol=1e-3, atol=atol)
                np.testing.assert_allclose(across, x[:, parents].T @ y[:, children], rtol=1e-3, atol=atol)


@pytest.mark.parametrize("site", ["activation", "conv"])
@pytest.mark.parametrize(("fraction", "value"), [(0.1, 0.0), (0.4, 1.5), (1.0, 0.0)])
def test_interventional_moments_equal_a_loop_over_images(site, fraction, value):
    model = residual()
    asked = RandomInterventions(fraction, value=value)
    found = collect(model, batches_of(N, 7), site=site, intervene=asked, holdout=0, folds=1, seed=5)
    assert found.randomised.layers == LAYERS
    actual, natural = explicit(model, found.graph, found.randomised, site=site)
    check_moments(found.interventional.train, actual, natural)


def test_vector_responses_and_folds_equal_a_loop_over_images(monkeypatch):
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", (5, 5))
    model = residual()
    found = collect(model, batches_of(N, 9), transform="grid", intervene=0.3, holdout=0.25, folds=3, raw=True)
    assert found.components == {**dict.fromkeys(LAYERS, 4), "head": 1}
    actual, natural = explicit(model, found.graph, found.randomised, quarters)
    for number, fold in enumerate(found.interventional.folds):
        rows = found.raw.fold == number
        check_moments(fold, *({name: part[rows] for name, part in one.items()} for one in (actual, natural)))
    rows = found.raw.fold >= 0
    check_moments(
        found.interventional.train,
        *({name: part[rows] for name, part in one.items()} for one in (actual, natural)),
    )
    rows = found.raw.heldout
    assert found.interventional.heldout.count == rows.sum() > 0
    check_moments(
        found.interventional.heldout,
        *({name: part[rows] for name, part in one.items()} for one in (actual, natural)),
    )


def test_the_raw_table_holds_what_the_loop_finds():
    model = residual()
    found = collect(model, batches_of(N, 16), intervene=0.4, raw=True)
    actual, natural = explicit(model, found.graph, found.randomised)
    for name in found.graph.names:
        np.testing.assert_allclose(found.raw.interventional[name], actual[name], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.raw.natural(name), natural[name], rtol=1e-4, atol=1e-5)
    draw = found.raw.draw(slice(3, 9))
    assert draw.layer.tolist() == found.randomised.draw(found.graph, np.arange(3, 9)).layer.tolist()


def test_layers_before_the_intervention_and_units_left_alone_are_as_without_to_the_bit():
    found = collect(residual(), batches_of(N, 16), intervene=0.4, raw=True)
    raw, draw = found.raw, found.raw.draw()
    names = found.graph.names
    for i in range(N):
        own = draw.layers[draw.layer[i]]
        for name in names[: names.index(own)]:
            np.testing.assert_array_equal(raw.interventional[name][i], raw.observational[name][i])
        alone = ~draw.units[i, : found.graph.layer(own).units]
        np.testing.assert_array_equal(raw.interventional[own][i][alone], raw.observational[own][i][alone])
        assert (raw.interventional[own][i][~alone] == 0).all()


def test_the_observational_arm_is_what_it_is_without_interventions():
    model = plain()
    alone, beside = collect(model, batches_of(50, 10)), collect(model, batches_of(50, 10), intervene=0.2)
    for pair in alone.train.layout.pairs:
        np.testing.assert_array_equal(alone.train.products(*pair), beside.train.products(*pair))
    assert (alone.interventional, alone.randomised) == (None, None)
    assert alone.accuracy == beside.accuracy


def test_one_more_forward_pass_a_batch():
    model, calls = residual(), []
    graph = trace(model, images(1))
    model.register_forward_hook(lambda *_: calls.append(1))
    collect(model, batches_of(N, 10), graph=graph, intervene=0.1)
    assert len(calls) == 8


def test_draws_depend_on_seed_and_image_alone():
    graph = trace(residual(), images(1))
    one = RandomInterventions(0.25, seed=3).checked(graph)
    whole = one.draw(graph, np.arange(2000))
    part = one.draw(graph, np.array([1999, 7, 7]))
    np.testing.assert_array_equal(part.units, whole.units[[1999, 7, 7]])
    np.testing.assert_array_equal(part.layer, whole.layer[[1999, 7, 7]])
    counts = {"stem": 2, "branch": 2, "left": 2, "depthwise": 2, "grouped": 3}
    for position, name in enumerate(whole.layers):
        rows = whole.units[whole.layer == position]
        assert len(rows) == pytest.approx(400, abs=80)
        assert (rows.sum(1) == counts[name]).all()
        units = graph.layer(name).units
        assert not rows[:, units:].any()
        np.testing.assert_allclose(rows[:, :units].mean(0), counts[name] / units, atol=0.09)
    other = RandomInterventions(0.25, seed=4).checked(graph).draw(graph, np.arange(2000))
    assert (other.layer != whole.layer).mean() == pytest.approx(0.8, abs=0.05)


def test_draws_are_independent_of_the_split():
    found = collect(residual(), images(3000, size=2), intervene=0.1, holdout=0.5, folds=2, raw=True)
    layer, heldout = found.raw.draw().layer, found.raw.heldout
    for position in range(5):
        assert (layer[heldout] == position).mean() == pytest.approx(0.2, abs=0.04)
    assert (found.raw.fold[~heldout] == 0).mean() == pytest.approx(0.5, abs=0.05)


def test_only_the_layers_that_were_asked_for():
    graph = trace(residual(), images(1))
    one = RandomInterventions(layers=["left", "stem"]).checked(graph)
    assert one.layers == ("stem", "left")
    found = collect(residual(), batches_of(N, 16), intervene=one, raw=True)
    assert set(found.raw.draw().layers) == {"stem", "left"}
    assert found.interventional.train.drawn == ("stem", "left")


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan"), "0.1", True])
def test_a_fraction_out_of_range(fraction):
    with pytest.raises(ArgumentError, match="fraction of units"):
        collect(plain(), images(4), intervene=fraction)


@pytest.mark.parametrize(
    ("layers", "error", "says"),
    [
        (["head"], ArgumentError, "outcome cannot be intervened on"),
        (["stm"], UnknownNameError, '"stem"'),
        ([], ArgumentError, "no layer to intervene on"),
        ("stem", ArgumentError, "list of layer names"),
    ],
)
def test_layers_that_cannot_be_drawn(layers, error, says):
    with pytest.raises(error, match=says):
        collect(residual(), images(4), intervene=RandomInterventions(layers=layers))


def test_units_set_before_the_site_where_they_are_read():
    """Zero at the convolution leaves the normalisation's shift alive, and the responses show it."""
    model = plain()
    asked = RandomInterventions(0.5, layers=["0"], site="conv")
    found = collect(model, batches_of(N, 16), intervene=asked, raw=True, holdout=0)
    draw, x = found.raw.draw(), images(N)
    model.eval()
    with torch.no_grad():
        maps = model[0](x).masked_fill(torch.from_numpy(draw.units[:, :6])[:, :, None, None], 0)
        maps = F.relu(model[1](maps))
        later = F.relu(model[4](model[3](maps)))
    np.testing.assert_allclose(found.raw.interventional["0"], norms(maps), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.raw.interventional["4"], norms(later), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        free = norms(F.relu(model[1](model[0](x))))
    np.testing.assert_allclose(found.raw.natural("0"), free, rtol=1e-4, atol=1e-5)
    with pytest.raises(ArgumentError, match='after "conv" where'):
        collect(model, images(4), site="conv", intervene=RandomInterventions(site="activation"))
    with pytest.raises(UnknownNameError, match='"conv"'):
        RandomInterventions(site="con")


def test_other_bad_numbers():
    with pytest.raises(ArgumentError, match="finite number"):
        RandomInterventions(value=float("inf"))
    with pytest.raises(ArgumentError, match="seed"):
        RandomInterventions(seed=-1)
    with pytest.raises(ArgumentError, match="folds is 0"):
        collect(plain(), images(4), folds=0)


def drawn_rows(layout, n, seed):
    """Made-up actual responses, and gaps in two layers."""
    rng = np.random.default_rng(seed)
    actual = rng.normal(size=(n, layout.total)) + 3
    which = rng.integers(0, 3, n)
    gaps = []
    for position, name in enumerate(("branch", "depthwise")):
        rows = np.flatnonzero(which == position)
        gaps.append(Gap(name, rows, rng.normal(size=(len(rows), layout.widths[name])) + 2))
    return actual, gaps


def of(layout, *parts):
    found = InterventionalMoments(layout, ("branch", "depthwise"))
    for actual, gaps in parts:
        found.update_matrix(actual, gaps=gaps)
    return found


def same(a, b):
    """Bit for bit."""
    assert a.count == b.count
    for name in a.layout.widths:
        for what in ("mean", "variance", "child_mean", "child_variance"):
            np.testing.assert_array_equal(getattr(a, what)(name), getattr(b, what)(name))
    for readings in a.layout.readings.values():
        for number, reading in enumerate(readings):
            one = reading.n_groups == 1
            mine, theirs = (
                (m.among(reading), m.across(reading)) if one else m.stack(reading.target, number)
                for m in (a, b)
            )
            for left, right in zip(mine, theirs, strict=True):
                np.testing.assert_array_equal(left, right)


@pytest.fixture(scope="module")
def layout():
    return layout_of(trace(residual(), images(1)))


def test_update_is_the_merge_with_a_batch_bit_for_bit(layout):
    parts = [drawn_rows(layout, n, seed) for seed, n in enumerate((9, 2, 30))]
    merged = InterventionalMoments(layout, ("branch", "depthwise"))
    for part in parts:
        merged = merged.merge(of(layout, part))
    same(merged, of(layout, *parts))
    whole = np.concatenate([actual for actual, _ in parts])
    natural, start = whole.copy(), 0
    for actual, gaps in parts:
        for gap in gaps:
            natural[start + gap.rows, layout.slices[gap.layer]] += gap.lost
        start += len(actual)
    by_name = ({n: t[:, c] for n, c in layout.slices.items()} for t in (whole, natural))
    check_moments(merged, *by_name, atol=1e-9)


def test_arms_are_not_merged_with_each_other(layout):
    found = collect(residual(), images(20), intervene=0.1)
    with pytest.raises(ArgumentError, match="kept apart"):
        found.interventional.train.merge(found.train)
    other = InterventionalMoments(layout, ("stem",))
    with pytest.raises(ArgumentError, match="stem"):
        of(layout, drawn_rows(layout, 5, 0)).merge(other)


def test_bytes_are_at_least_what_is_allocated(layout):
    moments = of(layout, drawn_rows(layout, 5, 0))
    arrays = [*moments._blocks.values(), *moments._gap_blocks.values(), *moments._gap_stacks.values()]
    arrays += [a for pair in moments._stacks.values() for a in pair]
    assert sum(a.nbytes for a in arrays) <= layout.interventional_bytes
    with pytest.raises(ArgumentError, match=f"5 of {layout.interventional_bytes:,}.*folds=1"):
        collect(residual(), images(4), intervene=0.1, memory_limit=1000)


class Cut(Exception):
    pass


def cut_after(loader, n):
    yield from itertools.islice(loader, n)
    raise Cut


@pytest.mark.parametrize("how", [{}, {"intervene": 0.2, "raw": True}, {"transform": "binary"}])
@pytest.mark.parametrize("batches", [1, 3])
def test_a_resumed_pass_gives_the_bits_of_an_uninterrupted_one(monkeypatch, how, batches):
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", (6, 6))
    model, loader = residual(), batches_of(60, 8)
    whole = collect(model, loader, **how)
    if how.get("transform") == "binary":  # its first pass needs a loader that is whole
        failing = Failing(model, after=8 + batches)
        partial = interrupted(failing, loader, RuntimeError, **how)
        model = failing
        failing.after = None
        whole = collect(failing, loader, **how)
    else:
        partial = interrupted(model, cut_after(loader, batches), DataError, **how)
    assert (partial.complete, partial.n_images) == (False, 8 * batches)
    counted = []
    handle = model.register_forward_hook(lambda _, given, __: counted.append(len(given[0])))
    done = collect(model, loader, resume=partial, graph=partial.graph, **how)
    handle.remove()
    assert sum(counted) == (60 - 8 * batches) * (2 if "intervene" in how else 1)
    assert done.complete
    assert (done.accuracy, done.loss, done.n_images) == (whole.accuracy, whole.loss, 60)
    for one, other in zip(done.observational.folds, whole.observational.folds, strict=True):
        for pair in one.layout.pairs:
            np.testing.assert_array_equal(one.products(*pair), other.products(*pair))
    if "intervene" in how:
        same(done.interventional.train, whole.interventional.train)
        same(done.interventional.heldout, whole.interventional.heldout)
        for name in whole.graph.names:
            np.testing.assert_array_equal(done.raw.natural(name), whole.raw.natural(name))
    with pytest.raises(OrderError, match="already resumed"):
        collect(model, loader, resume=partial, graph=partial.graph, **how)
    with pytest.raises(OrderError, match="complete"):
        collect(model, loader, resume=done, graph=partial.graph, **how)


class Failing(nn.Module):
    """Raises at one call."""

    def __init__(self, model, after):
        super().__init__()
        self.inner, self.after, self.calls = model, after, 0

    def forward(self, x):
        self.calls += len(x) > 1
        if self.after is not None and self.calls > self.after:
            raise RuntimeError("my own bug")
        return self.inner(x)


def interrupted(model, loader, error, **how):
    with pytest.raises(error) as caught:
        collect(model, loader, **how)
    return caught.value.partial


def test_a_resumed_pass_may_be_cut_again_and_take_other_batches():
    model = residual()
    first = interrupted(model, cut_after(batches_of(60, 8), 2), DataError, intervene=0.2)
    second = interrupted(model, cut_after(batches_of(60, 7), 5), DataError, intervene=0.2, resume=first)
    assert second.n_images == 35
    done, whole = (
        collect(model, batches_of(60, 30), intervene=0.2, resume=second),
        collect(model, images(60), intervene=0.2),
    )
    for name in whole.graph.names:
        np.testing.assert_allclose(
            done.interventional.train.child_mean(name),
            whole.interventional.train.child_mean(name),
            rtol=1e-5,
            atol=1e-5,
        )


def test_what_must_not_be_resumed():
    model, loader = residual(), batches_of(40, 8)
    partial = interrupted(model, cut_after(loader, 2), DataError, intervene=0.2)
    for other, says in [
        ({"intervene": 0.2, "seed": 1}, "seed"),
        ({"intervene": 0.3}, "interventions"),
        ({}, "interventions"),
        ({"intervene": 0.2, "transform": "mean"}, "transform"),
        ({"intervene": 0.2, "folds": 2}, "folds"),
        ({"intervene": 0.2, "raw": True}, "raw responses"),
    ]:
        with pytest.raises(ArgumentError, match=says):
            collect(model, loader, resume=partial, **other)
    with pytest.raises(ArgumentError, match="network"):
        collect(plain(), loader, resume=partial, intervene=0.2)
    with pytest.raises(DataError, match="image 15 is another one"):
        collect(model, batches_of(40, 8, seed=9), resume=partial, intervene=0.2)
    shuffling = torch.utils.data.DataLoader([(x, 0) for x in images(40)], 8, shuffle=True)
    with pytest.raises(DataError, match="shuffle=False"):
        collect(model, shuffling, resume=partial, intervene=0.2)
    assert collect(model, loader, resume=partial, intervene=0.2).n_images == 40


def test_the_same_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = residual()
    with exactly_on_the_gpu():
        found = collect(model, batches_of(N, 7), intervene=0.3, holdout=0, folds=1, device="cuda", raw=True)
        read = found.source.read(images(5))
    assert next(model.parameters()).device.type == "cpu"
    actual, natural = explicit(model, found.graph, found.randomised)
    check_moments(found.interventional.train, actual, natural, atol=1e-2)
    np.testing.assert_allclose(read["head"], found.raw.observational["head"][:5], rtol=1e-3, atol=1e-4)
    binary = collect(model, batches_of(N, 7), transform="binary", intervene=0.3, device="cuda", raw=True)
    on_cpu = collect(model, batches_of(N, 7), transform="binary", intervene=0.3, raw=True)
    assert (binary.raw.natural("left") == on_cpu.raw.natural("left")).mean() > 0.99


@contextmanager
def exactly_on_the_gpu():
    """Without the rounding of tensor cores."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
