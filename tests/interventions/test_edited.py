"""A network under edits of units gives what plain loops give, and is afterwards what it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from causal_widget.errors import (
    ArgumentError,
    Cancelled,
    DataError,
    NonFiniteError,
    UnknownNameError,
    UnsupportedModelError,
)
from causal_widget.graph import as_maps, trace, watch
from causal_widget.interventions import (
    Constant,
    Edits,
    Intervention,
    Mean,
    Noise,
    PathEdit,
    Resample,
    Scale,
    UnitEdit,
    Zero,
    donors,
    edited,
    intervene,
    means,
)
from causal_widget.jobs import Progress
from tests.interventions.networks import Functional, Grouped, Plain, Residual, fingerprint, images, seeded

UNITS = {"stem": [1, 3], "block2.conv2": [0, 5]}
SHARED = PathEdit(("block1.conv2", 4), "block2.conv1", (0, 6), 0.3)


@pytest.mark.parametrize("site", ["conv", "norm", "activation"])
@pytest.mark.parametrize(
    ("action", "same"),
    [
        (Zero(), {}),
        (Constant(0.7), {"value": 0.7}),
        (Scale(-0.5), {"scale": -0.5}),
    ],
)
def test_edits_of_units_are_interventions(action: object, same: dict[str, float], site: str) -> None:
    model, x = seeded(Residual), images()
    graph = trace(model, x)
    known = Intervention(UNITS, site=site, **same)
    with intervene(model, graph, known) as changed:
        expected = changed(x)
    for edit in (UnitEdit(UNITS, action, site), known, Edits((UnitEdit.of(known),))):
        with edited(model, graph, edit) as changed:
            torch.testing.assert_close(changed(x), expected, rtol=0, atol=0)


def maps_at(model: torch.nn.Module, layer: str, site: str, x: Tensor) -> Tensor:
    graph, seen = trace(model, x), []
    with torch.no_grad(), watch(model, graph, [(layer, site, lambda maps: seen.append(maps.clone()))]):
        model(x)
    return seen[0]


def test_means_are_a_plain_loop_and_batches_do_not_matter() -> None:
    model, x = seeded(Residual), images(20)
    graph = trace(model, x)
    whole = means(model, graph, x)
    assert whole.n_images == 20
    for layer in graph.layers:
        if layer.is_output:
            assert layer.name not in whole.layers
            continue
        seen = as_maps(layer, maps_at(model, layer.name, layer.site("activation"), x))
        loop = torch.stack([seen[:, u].double().mean() for u in range(layer.units)])
        torch.testing.assert_close(whole.layers[layer.name], loop, rtol=1e-12, atol=1e-12)
        assert whole.layers[layer.name].dtype == torch.float64
    pair = (x, torch.arange(20))
    for loader in (pair, [x[:3], x[3:16], x[16:]], [(x[:11], 0), (x[11:], 1)], [{"image": x}]):
        other = means(model, graph, loader, layers=["stem"])
        assert list(other.layers) == ["stem"]
        torch.testing.assert_close(other.layers["stem"], whole.layers["stem"], rtol=1e-12, atol=1e-12)


def test_the_mean_is_the_constant_that_it_is() -> None:
    model, x = seeded(Plain), images()
    graph = trace(model, x)
    known = means(model, graph, x, "norm", ["conv1", "conv2"])
    constants = [
        UnitEdit({layer: unit}, Constant(float(known.layers[layer][unit])), "norm")
        for layer, unit in [("conv1", 0), ("conv1", 4), ("conv2", 7)]
    ]
    with edited(model, graph, constants) as changed:
        expected = changed(x)
    with edited(
        model, graph, UnitEdit({"conv1": [0, 4], "conv2": 7}, Mean(), "norm"), means=known
    ) as changed:
        torch.testing.assert_close(changed(x), expected)


def test_means_of_another_place_are_refused() -> None:
    model, x = seeded(Plain), images()
    graph = trace(model, x)
    edit = UnitEdit({"conv1": 0}, Mean())
    for given, says in [
        (None, "needs means=means"),
        (means(model, graph, x, "norm"), "looked at at norm and is to be edited at activation"),
        (means(model, graph, x, layers=["conv2"]), '"conv1" was not looked at, only conv2'),
    ]:
        with pytest.raises(ArgumentError, match=says), edited(model, graph, edit, means=given):
            pass


def test_resampling_is_the_loop_over_other_images() -> None:
    """Within a batch: image i has the units' maps that its donor has when it runs alone and undisturbed."""
    model, x = seeded(Plain), images(8)
    graph = trace(model, x)
    units = [0, 3]
    with edited(model, graph, UnitEdit({"conv1": units}, Resample(5)), first=40) as changed:
        found = changed(x)
    donor = Resample(5).apply(torch.arange(8)[:, None], index=torch.arange(40, 48))[:, 0]
    natural = maps_at(model, "conv1", "activation", x)
    for i in range(8):

        def give(maps: Tensor, i: int = i) -> Tensor:
            maps = maps.clone()
            maps[:, units] = natural[donor[i], units]
            return maps

        with torch.no_grad(), watch(model, graph, [("conv1", "activation", give)]):
            torch.testing.assert_close(found[i : i + 1], model(x[i : i + 1]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("action", [Resample(3), Noise(0.3, 4)])
@pytest.mark.parametrize("build", [Residual, Grouped, Functional])
def test_what_is_random_belongs_to_the_image_not_to_the_batch(build: type, action: object) -> None:
    model, x = seeded(build), images(13)
    graph = trace(model, x)
    layers = [layer.name for layer in graph.layers if not layer.is_output]
    edit = UnitEdit({layers[0]: [0, 2], layers[1]: [1]}, action)
    given = donors(model, graph, x, n=4)
    with edited(model, graph, edit, donors=given) as changed:
        whole = changed(x)
        after = changed(x)
    with edited(model, graph, edit, donors=given) as changed:
        pieces = torch.cat([changed(part) for part in (x[:1], x[1:6], x[6:])])
    torch.testing.assert_close(pieces, whole, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(after, whole)  # images 13 to 25
    with edited(model, graph, edit, donors=given, first=5) as changed:
        torch.testing.assert_close(changed(x[5:9]), whole[5:9], rtol=1e-5, atol=1e-6)


def test_noise_of_two_layers_and_of_copies_of_a_batch() -> None:
    """Noise at two places is independent; the copies of the batch that a shared path needs get the same."""
    model, x = seeded(Residual), images()
    graph = trace(model, x)
    drawn: dict[str, Tensor] = {}
    for layer in ("block1.conv2", "block1.down.0"):
        seen: list[Tensor] = []
        with (
            edited(model, graph, UnitEdit({layer: range(6)}, Noise(1.0, 4)), grad=False),
            watch(model, graph, [(layer, "norm", lambda maps, seen=seen: seen.append(maps.clone()))]),
        ):
            model(x)
        drawn[layer] = (seen[0] - maps_at(model, layer, "norm", x)).flatten()
    one, two = drawn.values()
    assert abs(float(torch.corrcoef(torch.stack([one, two]))[0, 1])) < 4 / len(one) ** 0.5
    noisy = UnitEdit({"stem": [0, 2]}, Noise(0.5, 1))
    with edited(model, graph, noisy) as changed:
        expected = changed(x)
    with edited(model, graph, [noisy, PathEdit(SHARED.source, SHARED.target, None, 1 - 1e-9)]) as changed:
        torch.testing.assert_close(changed(x), expected, rtol=1e-5, atol=1e-6)


def test_the_noise_of_a_unit_is_the_same_beside_others() -> None:
    model, x = seeded(Plain), images()
    graph = trace(model, x)
    seen: list[Tensor] = []
    for units in ([4], [0, 4]):
        with (
            edited(model, graph, UnitEdit({"conv1": units}, Noise(1.0))),
            watch(model, graph, [("conv1", "activation", lambda maps: seen.append(maps[:, 4].clone()))]),
        ):
            model(x)
    torch.testing.assert_close(seen[0], seen[1], rtol=0, atol=0)


def test_edits_of_one_unit_are_done_in_order() -> None:
    model, x = seeded(Plain), images()
    graph = trace(model, x)
    first, second = UnitEdit({"conv1": 0}, Constant(2.0)), UnitEdit({"conv1": 0}, Scale(0.25))
    for edits, value in [((first, second), 0.5), ((second, first), 2.0)]:
        with intervene(model, graph, Intervention({"conv1": 0}, value)) as changed:
            expected = changed(x)
        with edited(model, graph, edits) as changed:
            torch.testing.assert_close(changed(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("end", ["success", "exception", "interrupt", "model raises", "cancel"])
def test_afterwards_nothing_has_changed(end: str, training: bool) -> None:
    model, x = seeded(Residual).train(training), images()
    model.fc.eval()
    graph = trace(model, x)
    edits = [
        UnitEdit({"stem": [1]}, Noise(0.1)),
        UnitEdit({"stem": [0]}, Resample()),
        SHARED,
        PathEdit(("stem", 0), "block1.conv1", (1,), 0.5),
    ]
    before = fingerprint(model)
    errors = {
        "exception": ValueError,
        "interrupt": KeyboardInterrupt,
        "model raises": RuntimeError,
        "cancel": Cancelled,
    }

    def run() -> None:
        with edited(model, graph, edits) as changed:
            changed(x)
            torch.rand(3)
            assert not changed.training
            if end == "model raises":
                changed(x[:, :2])
            if end in errors:
                raise errors[end]("stop")

    if end == "success":
        run()
    else:
        with pytest.raises(errors[end]):
            run()
    assert fingerprint(model) == before


def test_a_cancelled_pass_leaves_the_model_as_it_was() -> None:
    import threading

    model, x = seeded(Residual).train(), images(8)
    graph = trace(model, x)
    before = fingerprint(model)
    for look in (means, donors):
        cancel = threading.Event()
        cancel.set()
        with pytest.raises(Cancelled):
            look(model, graph, [x[:4], x[4:]], progress=Progress(cancel=cancel))
        assert fingerprint(model) == before
        look(model, graph, [x[:4], x[4:]])
        assert fingerprint(model) == before


def test_refused_edits_touch_nothing() -> None:
    model, x = seeded(Plain).train(), images()
    graph = trace(model, x)
    before = fingerprint(model)
    for edit, error in [
        (UnitEdit({"fc": [0]}), ArgumentError),
        (UnitEdit({"conv9": [0]}), UnknownNameError),
        (PathEdit(("conv1", 0), "fc"), ArgumentError),
        ("conv1", ArgumentError),
    ]:
        with pytest.raises(error), edited(model, graph, edit):
            pass
    assert fingerprint(model) == before


def test_images_that_cannot_be_told_apart_are_refused() -> None:
    """Two edits of shared channels nested, and a part of the model run by itself."""
    model, x = seeded(Residual), images()
    graph = trace(model, x)
    with (
        edited(model, graph, SHARED),
        edited(model, graph, SHARED),
        pytest.raises(UnsupportedModelError, match="do not nest"),
    ):
        model(x)
    with (
        edited(model, graph, UnitEdit({"stem": 0}, Noise(0.1), "conv")),
        pytest.raises(UnsupportedModelError, match=r'"stem".*12 rows'),
    ):
        model.stem(x)
    with edited(model, graph, SHARED), pytest.raises(DataError, match="without a tensor"):
        model(None)


@pytest.mark.parametrize(
    ("look", "options", "error", "says"),
    [
        (means, {"images": []}, DataError, "empty"),
        (means, {"images": [torch.zeros(3)]}, DataError, "expected batches of images"),
        (means, {"images": ["image"]}, DataError, "'image'"),
        (means, {"images": torch.full((1, 3, 12, 12), torch.nan)}, NonFiniteError, r"conv1\[0\] is nan"),
        (means, {"site": "activations"}, UnknownNameError, 'Did you mean "activation"'),
        (means, {"layers": ["conv9"]}, UnknownNameError, 'Did you mean "conv'),
        (donors, {"n": 1}, ArgumentError, "from 2, got 1"),
        (donors, {"images": [torch.zeros(1, 3, 12, 12)]}, DataError, "there is 1"),
    ],
)
def test_bad_loaders_are_refused(
    look: object, options: dict[str, object], error: type[Exception], says: str
) -> None:
    model, x = seeded(Plain), images()
    with pytest.raises(error, match=says):
        look(model, trace(model, x), **{"images": x, **options})


def test_images_may_have_any_numbers() -> None:
    """Noise is drawn by the numbers: rows picked out of a pass are those of a pass over these alone."""
    model, x = seeded(Residual).double(), images(6).double()
    graph, edit = trace(model, x), UnitEdit(UNITS, Noise(0.5, 3))
    with edited(model, graph, edit) as changed:
        expected = changed(x)
    rows = torch.tensor([4, 1, 5])
    with edited(model, graph, edit, index=rows) as changed:
        torch.testing.assert_close(changed(x[rows]), expected[rows])
        with pytest.raises(DataError, match="6 images, and numbers for 3"):
            changed(x)
