"""Edits are values: compared, hashed, printed, written as JSON, refused where they make no sense."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from causal_widget.errors import ArgumentError, UnknownNameError
from causal_widget.graph import trace
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
    edit_from_json,
)
from tests.interventions.networks import FullyConvolutional, Grouped, Plain, Residual, images, seeded

UNITS = UnitEdit({"b": [3, 1, 3], "a": np.array([2]), "c": []}, Scale(0.5), "norm")
PATH = PathEdit(("conv1", 3), "conv2", (4, 0), 0.25, "norm", "channel")


def test_order_and_repeats_do_not_matter() -> None:
    again = UnitEdit({"a": 2, "b": range(1, 4, 2)}, Scale(1 / 2), "norm")
    assert again == UNITS
    assert hash(again) == hash(UNITS)
    assert dict(again.units) == {"a": (2,), "b": (1, 3)}
    assert again.n_units == 3
    assert PathEdit(["conv1", np.int64(3)], "conv2", [0, 4, 0], 0.25, "norm", "channel") == PATH
    assert len({PATH, UNITS, PathEdit(("conv1", 3), "conv2", {0, 4}, 0.25, "norm", "channel"), again}) == 2


def test_every_part_counts() -> None:
    base = PathEdit(("a", 1), "b")
    others = [
        PathEdit(("a", 2), "b"),
        PathEdit(("c", 1), "b"),
        PathEdit(("a", 1), "c"),
        PathEdit(("a", 1), "b", (0,)),
        PathEdit(("a", 1), "b", beta=0.5),
        PathEdit(("a", 1), "b", site="conv"),
        PathEdit(("a", 1), "b", shared="channel"),
        UnitEdit({"a": 1}),
        UnitEdit({"a": 1}, Mean()),
        UnitEdit({"a": 1}, site="norm"),
        UnitEdit({"a": 2}),
    ]
    assert len({base, *others}) == 12
    assert all(base != other for other in others)


@pytest.mark.parametrize(
    "edit",
    [
        UNITS,
        PATH,
        PathEdit(("a.b", 0), "c"),
        UnitEdit({}),
        Edits(()),
        Edits((UNITS, PATH)),
        *(
            UnitEdit({"conv1": [1, 2]}, action)
            for action in (Zero(), Mean(), Constant(0.1), Resample(3), Noise(1e-3, 7))
        ),
    ],
    ids=repr,
)
def test_json_and_back_is_the_same(edit: UnitEdit | PathEdit | Edits) -> None:
    again = edit_from_json(edit.to_json())
    assert again == edit
    assert type(again) is type(edit)
    assert hash(again) == hash(edit)
    assert again.to_json() == edit.to_json()
    assert edit_from_json(edit.to_dict()) == edit


def test_they_say_themselves_and_escape_names() -> None:
    assert repr(UNITS) == "do(a[2], b[1, 3]: scale 0.5 at norm)"
    assert repr(UnitEdit({})) == "do(nothing)"
    assert repr(PathEdit(("conv1", 3), "conv2", (4, 0))) == "do(conv1[3] -> conv2[0, 4] x 0)"
    assert repr(PathEdit(("conv1", 3), "fc", beta=0.5)) == "do(conv1[3] -> fc x 0.5)"
    assert repr(PATH) == "do(conv1[3] -> conv2[0, 4] x 0.25 at norm with all that shares its channels)"
    both = Edits((UnitEdit({"conv1": 7}), PathEdit(("conv1", 3), "fc")))
    assert repr(both) == "do(conv1[7]: zero at activation; conv1[3] -> fc x 0)"
    assert repr(Edits()) == "do(nothing)"
    for edit in (UnitEdit({"<b>": 1}), PathEdit(("<b>", 1), "<i>"), Edits((UnitEdit({"<b>": 1}),))):
        assert "<b>" not in edit._repr_html_()


def test_several_become_one_tuple() -> None:
    edits = Edits((UNITS, Edits((PATH, Intervention({"a": 1}, scale=0.5)))))
    assert edits.edits == (UNITS, PATH, UnitEdit({"a": 1}, Scale(0.5)))
    assert (len(edits), list(edits)) == (3, list(edits.edits))
    assert edits.units == (UNITS, UnitEdit({"a": 1}, Scale(0.5)))
    assert edits.paths == (PATH,)
    assert Edits.of(PATH) == Edits((PATH,)) == Edits.of([PATH]) == Edits.of(Edits.of(PATH))


def test_an_intervention_becomes_an_edit() -> None:
    assert UnitEdit.of(Intervention({"a": 1}, site="conv")) == UnitEdit({"a": 1}, Zero(), "conv")
    assert UnitEdit.of(Intervention({"a": 1}, 2.0)) == UnitEdit({"a": 1}, Constant(2.0))
    assert UnitEdit.of(Intervention({"a": 1}, scale=0.0)) == UnitEdit({"a": 1}, Scale(0.0))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: UnitEdit(["conv1"]), ArgumentError, "mapping"),
        (lambda: UnitEdit({"conv1": [1.5]}), ArgumentError, "1.5"),
        (lambda: UnitEdit({"conv1": 1}, "zero"), ArgumentError, "Zero.*'zero'"),
        (lambda: UnitEdit({"conv1": 1}, Zero), ArgumentError, "such as Zero"),
        (lambda: UnitEdit({"conv1": 1}, site="activations"), UnknownNameError, 'Did you mean "activation"'),
        (lambda: PathEdit("conv1", "conv2"), ArgumentError, "source .*'conv1'"),
        (lambda: PathEdit(("conv1", [1]), "conv2"), ArgumentError, "one unit"),
        (lambda: PathEdit(("conv1", True), "conv2"), ArgumentError, "True"),
        (lambda: PathEdit(("conv1", 1, 2), "conv2"), ArgumentError, "source"),
        (lambda: PathEdit(("conv1", 1), "conv2", ()), ArgumentError, "got none"),
        (lambda: PathEdit(("conv1", 1), "conv2", "12"), ArgumentError, "'12'"),
        (lambda: PathEdit(("conv1", 1), "conv2", (0.5,)), ArgumentError, "0.5"),
        (lambda: PathEdit(("conv1", 1), "conv2", beta="half"), ArgumentError, "beta of a path .*'half'"),
        (lambda: PathEdit(("conv1", 1), "conv2", beta=float("nan")), ArgumentError, "nan"),
        (lambda: PathEdit(("conv1", 1), "conv2", site="cnov"), UnknownNameError, 'Did you mean "conv"'),
        (lambda: PathEdit(("conv1", 1), "conv2", shared="units"), UnknownNameError, 'Did you mean "unit"'),
        (lambda: Edits((UNITS, "conv1")), ArgumentError, "'conv1'"),
        (lambda: Edits.of({"conv1": 1}), ArgumentError, "conv1"),
        (lambda: edit_from_json("{}"), ArgumentError, "an action"),
        (lambda: edit_from_json("do"), ArgumentError, "no JSON"),
        (lambda: edit_from_json('{"action": "zero"}'), ArgumentError, "mapping"),
        (lambda: edit_from_json('{"edits": [1]}'), ArgumentError, "object"),
        (lambda: edit_from_json('{"source": ["a", 1]}'), ArgumentError, "target"),
        (lambda: edit_from_json('{"source": ["a", 1], "target": "b", "x": 1}'), ArgumentError, "'x'"),
        (lambda: edit_from_json('{"source": ["a", 1], "target": "b", "beta": NaN}'), ArgumentError, "nan"),
    ],
)
def test_nonsense_is_refused(make: Callable[[], object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


@pytest.mark.parametrize(
    ("build", "edit", "error", "says"),
    [
        (Plain, UnitEdit({"conv11": 0}), UnknownNameError, 'Did you mean "conv1"'),
        (Plain, UnitEdit({"conv1": 6}), UnknownNameError, "unit 6.*0 to 5"),
        (Plain, UnitEdit({"fc": 0}), ArgumentError, '"fc" gives the classes'),
        (Plain, PathEdit(("conv11", 0), "conv2"), UnknownNameError, 'Did you mean "conv1"'),
        (Plain, PathEdit(("conv1", 0), "conv22"), UnknownNameError, 'Did you mean "conv2"'),
        (Plain, PathEdit(("conv1", 6), "conv2"), UnknownNameError, "unit 6.*0 to 5"),
        (Plain, PathEdit(("conv1", 0), "conv2", (1, 8)), UnknownNameError, "unit 8.*0 to 7"),
        (Plain, PathEdit(("conv1", 0), "fc"), ArgumentError, '"conv1" is no parent of "fc".*conv2'),
        (Plain, PathEdit(("conv2", 0), "conv1"), ArgumentError, '"conv2" is no parent of "conv1".*fc'),
        (Plain, PathEdit(("fc", 0), "conv1"), ArgumentError, "no path leaves the outcome"),
        (
            Grouped,
            PathEdit(("features.0", 3), "features.3", (3, 4)),
            ArgumentError,
            "unit 4.*those that do are 3",
        ),
        (Grouped, PathEdit(("features.3", 0), "features.6", (6,)), ArgumentError, "unit 6.*0, 1, 2, 3, 4, 5"),
        (FullyConvolutional, PathEdit(("conv2", 0), "output"), ArgumentError, "has no weights"),
        (
            Residual,
            Edits((UnitEdit({"stem": 0}), PathEdit(("stem", 0), "fc"))),
            ArgumentError,
            "block1.conv1, block1.down.0",
        ),
    ],
)
def test_edits_are_checked_against_the_graph(
    build: type, edit: UnitEdit | PathEdit | Edits, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        edit.checked(trace(seeded(build), images()))


def test_a_channel_that_nobody_reads_has_no_path() -> None:
    from torch import Tensor, nn

    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.next, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(2, 2, 3), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.next(self.conv(x)[:, :2]).mean((2, 3)))

    with pytest.raises(ArgumentError, match=r"no unit of \"next\" reads conv\[3\].*are none"):
        PathEdit(("conv", 3), "next").checked(trace(seeded(Cut), images()))


def test_classes_may_be_children_and_what_exists_is_left_as_it_is() -> None:
    graph = trace(seeded(Plain), images())
    for edit in (
        PathEdit(("conv2", 0), "fc", (1, 3), 0.5),
        UnitEdit({"conv1": [0, 5], "conv2": [7]}, Mean()),
        Edits((UnitEdit({"conv1": 1}), PathEdit(("conv1", 1), "conv2"))),
    ):
        assert edit.checked(graph) == edit
