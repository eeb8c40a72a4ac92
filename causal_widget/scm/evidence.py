"""Which images equations are fitted on, in which folds, and on which they are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
from jaxtyping import Bool

from causal_widget.errors import OrderError, UnknownNameError, nearest
from causal_widget.responses import Collection, Layout, Moments, Reading
from causal_widget.scm.normal import Columns, Normal, child_columns, merged, normal_of, parent_columns

DATA = ("both", "observational", "interventional")
KINDS = ("observational", "interventional")


class Evidence:
    """The arms of a collection that equations are fitted on, and the held-out images of all arms.

    The folds of both arms hold the same images, for both are cut by the same hash; a fold that is left out is
    left out of both.

    Parameters
    ----------
    collection
        What one pass over the images left.
    data
        "observational", "interventional", or "both"; None takes both where there are both.

    Raises
    ------
    UnknownNameError
        No data has that name.
    OrderError
        The collection holds no interventional images, or fewer than 2 to fit on.
    """

    def __init__(self, collection: Collection, data: str | None = None) -> None:
        arms = {"observational": collection.observational, "interventional": collection.interventional}
        self.data = _choose(data, arms["interventional"] is not None)
        self.arms = [arm for name, arm in arms.items() if arm is not None and self.data in (name, "both")]
        self.judges: dict[str, Moments] = {
            name: arm.heldout
            for name, arm in arms.items()
            if arm is not None and arm.heldout is not None and arm.heldout.count
        }
        self.natural = collection.train
        self.layout: Layout = self.natural.layout
        self.count = sum(arm.n_train for arm in self.arms)
        if self.count < 2:
            raise OrderError(
                f"The collection has {self.count} training image(s); collect at least 2 before fitting."
            )
        self.n_folds = sum(any(arm.folds[i].count for arm in self.arms) for i in range(self._cuts))

    @property
    def _cuts(self) -> int:
        return max(len(arm.folds) for arm in self.arms)

    @property
    def folds(self) -> list[list[Moments]]:
        """The moments of each fold that holds images: one set an arm."""
        cut = [[arm.folds[i] for arm in self.arms if i < len(arm.folds)] for i in range(self._cuts)]
        return [parts for parts in cut if any(part.count for part in parts)]

    def normal(self, readings: Sequence[Reading], index: int = 0) -> Normal:
        """Return the normal equations of all training images."""
        return merged([arm.train for arm in self.arms], readings, index)

    def judge(self, kind: str, readings: Sequence[Reading], index: int = 0) -> Normal | None:
        """Return the normal equations of the held-out images of an arm, None where there are none."""
        if kind not in self.judges:
            return None
        return normal_of(self.judges[kind], readings, index)

    def children(self, layer: str) -> Columns:
        """Return a layer's columns on the training images, as its equations give them."""
        return self._columns(layer, child_columns)

    def parents(self, layer: str) -> Columns:
        """Return a layer's columns on the training images, as its children see them."""
        return self._columns(layer, parent_columns)

    def dead_parents(self, sources: Sequence[str]) -> Bool[np.ndarray, " column"]:
        """Return which columns of some layers have no variance as parents."""
        return np.concatenate([self.parents(source).dead for source in sources])

    def _columns(self, layer: str, read: Callable[[Moments, str], Columns]) -> Columns:
        return reduce(Columns.merge, (read(arm.train, layer) for arm in self.arms if arm.train.count))


def _choose(data: str | None, both: bool) -> str:
    if data is None:
        return "both" if both else "observational"
    if data not in DATA:
        raise UnknownNameError(f"There is no data {data!r} (known: {', '.join(DATA)}).{nearest(data, DATA)}")
    if data != "observational" and not both:
        raise OrderError(
            f'data="{data}" needs interventional images, and none were collected: collect with intervene=0.1.'
        )
    return data
