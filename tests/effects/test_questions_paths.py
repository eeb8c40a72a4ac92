"""Questions of paths, against whole passes of the edited network and copies with scaled weights."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from causal_widget.effects.cutting import Pace, WholeModel
from causal_widget.effects.cutting.places import input_of, route
from causal_widget.effects.questions import Context, answers, changes, questions_of_edits
from causal_widget.errors import UnsupportedModelError
from causal_widget.graph import FilterGraph, trace
from causal_widget.interventions import Edits, Noise, PathEdit, Resample, Scale, UnitEdit, Zero
from causal_widget.interventions.path_edit import readers_of
from tests.effects.cut_networks import MADE, network
from tests.effects.test_questions import by_loop, compare, cut, seen
from tests.interventions.networks import Plain, Residual, images, seeded
from tests.interventions.path_networks import Concatenated, Flat, LinearSum, Odd, OwnAndShared

PATHS = {
    **dict.fromkeys(MADE, network),
    **{made.__name__: made for made in (Concatenated, Flat, LinearSum, Odd, OwnAndShared)},
}
FAMILIES = ("densenet", "googlenet", "mobilenet_v2", "mobilenet_v3_small", "shufflenet", "convnext")


def made(name: str) -> tuple[nn.Module, Tensor]:
    if PATHS.get(name) in (network, None):
        model, size = network(name)
    else:
        model, size = seeded(PATHS[name]).double(), 12  # type: ignore[arg-type]
    return model, images(3, size=size).double()


def some_paths(graph: FilterGraph, n: int, seed: int) -> list[PathEdit]:
    """Paths of random wirings, to some children and to all, with and without what shares their channels."""
    draw, found = random.Random(seed), []
    wirings = [w for w in graph.wirings if graph.layer(w.target).kind != "output"]
    for wiring in wirings if len(wirings) <= n else draw.sample(wirings, n):
        unit = int(draw.choice(np.unique(wiring.units).tolist()))
        readers = readers_of(wiring, unit).tolist()
        for k, shared in enumerate(("unit", "channel")):
            some = tuple(draw.sample(readers, min(2, len(readers))))
            children, beta = (some, None)[(len(found) + k) % 2], draw.choice([0.0, 0.4, 1.7])
            found.append(PathEdit((wiring.source, unit), wiring.target, children, beta, shared=shared))
    return found


@pytest.mark.parametrize("name", [*PATHS, *FAMILIES])
def test_paths_through_every_family(name: str) -> None:
    model, x = made(name)
    graph = trace(model, x)
    paths: list[object] = list(dict.fromkeys(some_paths(graph, 8 if name in PATHS else 4, 1)))
    assert compare(model, graph, x, paths, Context(torch.arange(3))) > 0
    questions = questions_of_edits(graph, paths)  # type: ignore[arg-type]
    cutting = cut(model, graph)
    assert [q.reason for q in questions.all] == [""] * len(paths)
    assert [questions.reason(layer, cutting) for layer in questions.groups] == [""] * len(questions.groups)


def test_a_path_is_a_copy_with_scaled_weights() -> None:
    """Written once more with weights written to, where a channel carries one unit."""
    model, x = seeded(Flat).double(), images(4, channels=3).double()
    graph = trace(model, x)
    edits = [
        PathEdit(("conv", 2), "fc1", (0, 5), 0.25),
        PathEdit(("fc1", 3), "fc2", (1,), 0.0),
    ]
    questions, cutting = questions_of_edits(graph, edits), cut(model, graph)
    copies = [copy.deepcopy(model) for _ in edits]
    with torch.no_grad():
        copies[0].fc1.weight[[0, 5], 50:75] *= 0.25
        copies[1].fc2.weight[1, 3] = 0
        for question, written in zip(questions.all, copies, strict=True):
            with cutting.run(x, questions.places(question.layer)) as state:
                (answer,) = answers(state, [question], Context(torch.arange(4)))
            torch.testing.assert_close(answer.logits[0], written(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["Plain", "Residual", "OwnAndShared", "Attended"])
def test_what_a_path_adds_meets_the_gradient(name: str) -> None:
    model, x = made(name)
    graph, context = trace(model, x), Context(torch.arange(3))
    paths = [PathEdit(p.source, p.target, p.children, 1 + 1e-6) for p in some_paths(graph, 5, 2)[::2]]
    questions, cutting = questions_of_edits(graph, dict.fromkeys(paths)), cut(model, graph)
    places = [place for layer in questions.groups for place in questions.places(layer)]
    with cutting.run(x, places, grad=True) as state:
        for question in questions.all:
            ((place, units, delta),) = changes(state, question, context)
            (grad,) = torch.autograd.grad(state.logits[:, 1].sum(), state.value(*place), retain_graph=True)
            found = (grad.movedim(graph.layer(place[0]).unit_axis, 1)[:, units] * delta).flatten(1).sum(1)
            (answer,) = answers(state, [question], context)
            expected = (answer.logits[0] - state.logits)[:, 1].detach()
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-12)


def test_paths_that_differ_in_beta_alone_share_their_first_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = seeded(Plain).double(), images(3).double()
    graph, context, convolve, runs = trace(model, x), Context(torch.arange(3)), F.conv2d, []
    betas = [0.0, 0.4, 1.0, 2.5, 0.7]
    paths = [PathEdit(("conv1", unit), "conv2", (0, 2), beta) for unit in (1, 4) for beta in betas]
    questions, cutting = questions_of_edits(graph, paths), cut(model, graph)

    def counted(given: Tensor, weight: Tensor, *rest: object) -> Tensor:
        runs.append(tuple(weight.shape[:2]))
        return convolve(given, weight, *rest)  # type: ignore[arg-type]

    with cutting.run(x, questions.places("conv2")) as state, monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "conv2d", counted)
        patch.setattr("causal_widget.interventions.layer_part._CONVOLUTIONS", {nn.Conv2d: counted})
        found = torch.cat(
            [answer.logits for answer in answers(state, questions.all, context, pace=Pace([4]))]
        )
    assert runs.count((2, 1)) == 4  # once for each unit, and once for each beta of 1, which is no change
    for logits, edit in zip(found, paths, strict=True):
        torch.testing.assert_close(logits, by_loop(model, graph, x, edit, context), rtol=1e-10, atol=1e-12)


def test_several_paths_in_force_together() -> None:
    model, x = seeded(Residual).double(), images(3).double()
    graph, context = trace(model, x), Context(torch.arange(3))
    shared = [
        Edits(
            (
                PathEdit(("block1.conv2", 1), "block2.conv1", (0, 3), 0.2),
                PathEdit(("block1.conv2", 4), "block2.conv1", (3, 5), 1.5),
            )
        ),
        Edits(
            (
                PathEdit(("block1.conv2", 1), "block2.conv1", (0, 3), 0.2),
                PathEdit(("block1.down.0", 1), "block2.conv1", (3,), 0.0),
            )
        ),
        Edits((PathEdit(("block1.conv1", 1), "block1.conv2"), PathEdit(("block2.conv1", 2), "block2.conv2"))),
    ]
    assert compare(model, graph, x, shared, context) > 0
    reasons = [q.reason for q in questions_of_edits(graph, shared).all if q.reason]
    assert reasons == ["units of several layers share the channels that it scales"]


@pytest.mark.parametrize("name", [*PATHS, "densenet", "mobilenet_v3_small", "shufflenet"])
def test_units_and_paths_of_several_layers_together(name: str) -> None:
    model, x = made(name)
    graph, draw = trace(model, x), random.Random(7)
    context = seen(model, graph, x)
    hidden = [layer for layer in graph.layers if not layer.is_output]
    wanted: list[object] = []
    for k, action in enumerate([Zero(), Noise(0.2, 5), Scale(1.6), Resample(2)]):
        some = draw.sample(hidden, min(3 if k else 2, len(hidden)))
        units = {layer.name: draw.sample(range(layer.units), 1 + k % 2) for layer in some}
        paths = draw.sample(some_paths(graph, 6, k), 2) if k % 2 else []
        wanted.append(Edits((UnitEdit(units, action), *paths)))
    # All paths of one unit to some children each, as graphs of classes ask for them.
    for layer in draw.sample(hidden, min(3, len(hidden))):
        unit, found = draw.randrange(layer.units), []
        for wiring in graph.children(layer.name):
            if unit in wiring.units and graph.layer(wiring.target).kind != "output":
                readers = readers_of(wiring, unit).tolist()
                some_of = tuple(draw.sample(readers, (len(readers) + 1) // 2))
                found.append(PathEdit((layer.name, unit), wiring.target, some_of, 0.3))
        if found and Edits(tuple(found)) not in wanted:
            wanted.append(Edits(tuple(found)))
    assert compare(model, graph, x, wanted, context) > 0
    several = [q for q in questions_of_edits(graph, wanted).all if len({*_touched(q.edit)}) > 1]
    assert len(several) >= 2


def _touched(edit: object) -> list[str]:
    edits = Edits.of(edit)  # type: ignore[arg-type]
    return [layer for one in edits.units for layer in one.units] + [path.target for path in edits.paths]


def test_of_several_places_only_the_images_in_which_something_changes_run() -> None:
    model, x = seeded(Plain).double(), images(6).double()
    graph, context = trace(model, x), Context(torch.arange(6))
    model.bn1.bias.data[1] = -100.0  # a dead unit
    dead = Edits((UnitEdit({"conv1": [1]}), PathEdit(("conv1", 1), "conv2", (2,))))
    questions = questions_of_edits(graph, [dead])
    with cut(model, graph).run(x, questions.places("conv1")) as state:
        (answer,) = answers(state, questions.all, context)
    assert answer.items == 0
    assert not answer.changed.any()
    assert torch.equal(answer.logits[0], state.logits)


def test_a_whole_network_asks_shared_paths_by_whole_passes() -> None:
    model, x = seeded(Residual).double(), images(3).double()
    graph, context = trace(model, x), Context(torch.arange(3))
    edit = PathEdit(("block1.conv2", 1), "block2.conv1", (0, 3), 0.2)
    questions = questions_of_edits(graph, edit)
    with WholeModel(model, graph, "tried").run(x, questions.places("block2.conv1")) as state:
        (answer,) = answers(state, questions.all, context)
        assert changes(state, questions.all[0], context) == []
    torch.testing.assert_close(answer.logits[0], by_loop(model, graph, x, edit, context))


def test_a_layer_that_computes_in_a_way_of_its_own_is_named_beforehand() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight - self.weight.mean(), self.bias, padding=1)

    model = seeded(Plain)
    model.conv2 = Standardised(6, 8, 3, padding=1)
    x = images(2)
    graph = trace(model, x)
    questions = questions_of_edits(graph, PathEdit(("conv1", 0), "conv2"))
    with pytest.raises(UnsupportedModelError, match=r'"conv2" is a Standardised'):
        questions.check(model)
    cutting = cut(model, graph)
    with (
        pytest.raises(UnsupportedModelError, match="Standardised"),
        cutting.run(x, questions.places("conv2")) as state,
    ):
        list(answers(state, questions.all, Context(torch.arange(2))))
    questions_of_edits(graph, UnitEdit({"conv1": [0]})).check(model)
    assert questions.reason("conv2", "it branches") == "it branches"
    assert questions.reason("conv2", cutting) == ""


def test_a_layers_input_is_kept_and_nothing_enters_there() -> None:
    model, x = seeded(Residual).double(), images(3).double()
    cutting = cut(model, trace(model, x))
    seen: list[Tensor] = []
    handle = model.block2.conv1.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    model(x)
    handle.remove()
    with cutting.run(x, [input_of("block2.conv1")]) as state:
        torch.testing.assert_close(state.value("block2.conv1", "input"), seen[0])
    assert cutting.kept_bytes([input_of("block2.conv1")], 3) == seen[0].numel() * 8
    assert "nothing leads" in str(cutting.region(*route("stem", "activation", "block2.conv1")))
    assert "not one tensor" in str(cutting.region(*input_of("none")))
