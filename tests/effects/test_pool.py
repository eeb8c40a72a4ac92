"""The images of a plan: the same in every pass, from memory or from the loader."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from causal_widget.effects.pool import Part, Pool, digest
from causal_widget.errors import DataError
from causal_widget.responses import batches

X = torch.arange(37 * 12, dtype=torch.float32).reshape(37, 1, 3, 4)
Y = torch.arange(37) % 5


def pool(loader: object, room: int = 10**6, max_batches: int | None = None) -> Pool:
    first = digest(next(iter(batches(loader))))  # type: ignore[arg-type]
    return Pool(loader, torch.device("cpu"), None, max_batches, 5, first, room)  # type: ignore[arg-type]


def loader(x: Tensor = X, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(size), Y.split(size), strict=True))


def flat(parts: list[Part]) -> tuple[Tensor, Tensor, Tensor]:
    labels = [part.labels for part in parts if part.labels is not None]
    return torch.cat([p.images for p in parts]), torch.cat(labels), torch.cat([p.index for p in parts])


def test_all_images_come_once_in_parts_within_batches() -> None:
    one = pool(loader())
    assert (one.n, one.expected) == (None, 37)
    parts = list(one.parts(3))
    assert [part.n for part in parts] == [3, 3, 2] * 4 + [3, 2]
    assert [part.number for part in parts] == list(range(14))
    images, labels, index = flat(parts)
    assert torch.equal(images, X)
    assert torch.equal(labels, Y)
    assert index.tolist() == list(range(37))
    assert one.n == 37
    assert [p.n for p in pool(loader(), max_batches=2).parts(8)] == [8, 8]


@pytest.mark.parametrize("room", [10**6, 7 * 48, 0])
def test_chosen_images_are_the_same_from_memory_and_from_the_loader(room: int) -> None:
    one = pool(loader(), room)
    list(one.parts(8, keep=3))
    assert len(one._kept) == min(37, room // 48)
    for first, end in ((0, 5), (0, 7), (5, 20), (0, 37)):
        numbers = one.order(3)[first:end]
        parts = list(one.chosen(numbers, 4))
        assert all(part.n == 4 for part in parts[:-1])
        images, labels, index = flat(parts)
        assert index.tolist() == sorted(numbers.tolist())
        assert torch.equal(images, X[index])
        assert torch.equal(labels, Y[index])
    one.forget()
    assert not one._kept


def test_the_images_in_memory_are_the_first_of_the_order() -> None:
    one = pool(loader(), 11 * 48)
    list(one.parts(8, keep=9))
    assert set(one._kept) == set(one.order(9)[:11].tolist())


def test_the_order_is_random_and_belongs_to_the_seed() -> None:
    one = pool(loader())
    with pytest.raises(DataError, match="counted"):
        one.order(0)
    list(one.parts(8))
    assert sorted(one.order(0).tolist()) == list(range(37))
    assert one.order(0).tolist() == one.order(0).tolist() != one.order(1).tolist()
    first = np.array([one.order(seed)[0] for seed in range(400)])
    assert np.bincount(first, minlength=37).max() < 30  # about 11 each


def test_a_loader_that_changes_is_refused() -> None:
    data = loader()
    one = pool(data)
    list(one.parts(8))
    data.pop()
    with pytest.raises(DataError, match="37 images in one pass and 32 in the next"):
        list(one.parts(8))
    data[0] = (X[:8] + 1, Y[:8])
    with pytest.raises(DataError, match="first batch is another one"):
        list(one.parts(8))
    data[0] = (X[:8], Y[1:9])  # only labels differ
    with pytest.raises(DataError, match="first batch is another one"):
        list(one.parts(8))


def test_a_loader_that_draws_its_order_gives_the_same_one_in_each_pass() -> None:
    shuffled = DataLoader(TensorDataset(X, Y), batch_size=8, shuffle=True)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = digest(next(iter(batches(shuffled))))
    torch.set_rng_state(state)
    one = Pool(shuffled, torch.device("cpu"), None, None, 5, first, 0)
    a, b = (flat(list(one.parts(8)))[0] for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, X)
    torch.manual_seed(1)
    with pytest.raises(DataError, match="no shuffling"):
        list(one.parts(8))


def test_labels_are_checked() -> None:
    with pytest.raises(DataError, match="label 9"):
        list(pool([(X, Y), (X, Y + 5)]).parts(40))
