import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from causal_widget.errors import ArgumentError, DataError, NonFiniteError
from causal_widget.responses import batches, count_images, first_images

X, Y = torch.randn(10, 3, 8, 8), torch.arange(10) % 4


FORMS = [
    ("pairs", DataLoader(TensorDataset(X, Y), batch_size=4), True),
    ("triples", [(X[:4], Y[:4], "names"), (X[4:], Y[4:], "names")], True),
    ("dicts", [{"image": X[:4], "label": Y[:4]}, {"image": X[4:], "label": Y[4:]}], True),
    ("images", [X[:4], X[4:]], False),
    ("one tensor", X, False),
    ("one pair", (X, Y), True),
    ("generator", ((X[i : i + 5], Y[i : i + 5]) for i in (0, 5)), True),
    ("column labels", [(X, Y[:, None])], True),
    ("list labels", [(X, Y.tolist())], True),
    ("numpy labels", [(X, Y.numpy().astype(np.uint8))], True),
]


@pytest.mark.parametrize(
    ("loader", "labelled"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS]
)
def test_every_form_gives_the_same_images(loader, labelled):
    found = list(batches(loader))
    torch.testing.assert_close(torch.cat([batch.images for batch in found]), X)
    assert [batch.index for batch in found] == list(range(len(found)))
    assert [batch.first for batch in found] == [
        sum(len(b.images) for b in found[:i]) for i in range(len(found))
    ]
    if labelled:
        assert torch.cat([batch.labels for batch in found]).tolist() == Y.tolist()
        assert all(batch.labels.dtype == torch.int64 for batch in found)
    else:
        assert all(batch.labels is None for batch in found)


def test_max_batches_stops_before_asking_for_more():
    def endless():
        while True:
            yield X

    assert len(list(batches(endless(), max_batches=3))) == 3
    with pytest.raises(ArgumentError, match="max_batches is 0"):
        list(batches(X, max_batches=0))


NAN = X.clone()
NAN[2, 1, 0, 0] = float("nan")
INF = X.clone()
INF[0, 0, 0, 0] = float("inf")


@pytest.mark.parametrize(
    ("loader", "error", "says"),
    [
        ([], DataError, "empty"),
        (torch.zeros(0, 3, 8, 8), DataError, "empty"),
        ([X, torch.zeros(4, 3, 9, 8)], DataError, r"Batch 1 .*\(3, 9, 8\).*expected \(3, 8, 8\)"),
        ([X, torch.zeros(4, 1, 8, 8)], DataError, r"Batch 1 .*\(1, 8, 8\)"),
        ([X[0]], DataError, r"shape \(3, 8, 8\)"),
        ([X, (NAN, Y)], NonFiniteError, "Batch 1 .*image 2"),
        ([INF], NonFiniteError, "Batch 0 .*image 0"),
        ([(X * 100).byte()], DataError, "uint8.*floating point"),
        (["cat.png"], DataError, "str.*expected"),
        ([{"pixels": X}], DataError, "'pixels'.*'image'"),
        ([()], DataError, "empty tuple"),
        ([(X, Y[:3])], DataError, r"labels of shape \(3,\) for 10"),
        ([(X, Y.float())], DataError, "float32"),
        ([(X, torch.eye(10))], DataError, r"\(10, 10\)"),
        ([(X, "labels")], DataError, "str"),
        ([(X, Y - 1)], DataError, "label -1"),
        ([(X, Y)] * 2 + [(X, Y + 1)], DataError, "Batch 2 has the label 4; expected 0 to 3"),
        (7, DataError, "int, which cannot be iterated"),
        ({"image": X}, DataError, "dict"),
        ("path", DataError, "str"),
        ((X, Y[:3]), DataError, "10 images and 3 labels"),
    ],
)
def test_bad_input_is_named(loader, error, says):
    with pytest.raises(error, match=says):
        list(batches(loader, classes=4))


def test_what_the_loader_raises_stays_the_cause():
    def broken():
        yield X
        raise OSError("disk gone")

    seen = []
    with pytest.raises(DataError, match="OSError at batch 1: disk gone") as caught:
        seen.extend(batch.index for batch in batches(broken()))
    assert isinstance(caught.value.__cause__, OSError)


def test_ctrl_c_in_a_loader_is_no_data_error():
    def interrupted():
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        list(batches(interrupted()))


def test_first_images_leaves_every_random_state():
    loader = DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert first_images(loader).shape == (4, 3, 8, 8)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


def test_first_images_does_not_eat_a_one_shot_iterator():
    source = iter([X])
    with pytest.raises(DataError, match="one-shot"):
        first_images(source)
    assert next(source) is X


class Stream(IterableDataset):
    def __iter__(self):
        return iter(X)


@pytest.mark.parametrize(
    ("loader", "limit", "expected"),
    [
        (DataLoader(TensorDataset(X, Y), batch_size=4), None, 10),
        (DataLoader(TensorDataset(X, Y), batch_size=4), 2, 8),
        (DataLoader(TensorDataset(X, Y), batch_size=4, drop_last=True), None, 8),
        (DataLoader(Stream(), batch_size=4), None, None),
        (X, None, 10),
        ((X, Y), 1, 10),
        ([(X, Y), (X, Y)], None, 20),
        ([X, X, X], 2, 20),
        ([{"image": X}], None, 10),
        (iter([X]), None, None),
    ],
)
def test_count_images(loader, limit, expected):
    assert count_images(loader, limit) == expected


def test_labels_of_a_network_with_one_output_are_explained():
    with pytest.raises(DataError, match="label 1; expected 0 to 0, because the network has one output"):
        list(batches([(torch.zeros(2, 1, 3, 3), torch.tensor([0, 1]))], classes=1))


def test_an_iterator_that_was_used_up_is_explained():
    spent = iter([torch.zeros(2, 1, 3, 3)])
    list(batches(spent))
    with pytest.raises(DataError, match="one-shot iterator"):
        list(batches(spent))
