"""The means of a map over the cells of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from causal_widget.errors import ArgumentError
from causal_widget.responses.transforms.base import Transform, wide

__all__ = ["Grid"]


@dataclass(frozen=True)
class Grid:
    """The signed means of each map over the cells of a k x k grid: a response is a vector.

    ``phi_ij = mean of a over rows floor(i h / k) .. ceil((i + 1) h / k) - 1, columns likewise``, as adaptive
    average pooling cuts them, row by row. A map smaller than the grid has its own size: min(k, height) times
    min(k, width) components, one for a linear unit. Where a network flattens maps of at most k x k into its
    linear layer, the last equations are as good as that layer: they read all that it reads.

    Parameters
    ----------
    k
        Cells a side, from 1; Grid(1) is the mean.

    Raises
    ------
    ArgumentError
        k is no whole number from 1.
    """

    k: int = 2

    scalar = False

    def __post_init__(self) -> None:
        if not isinstance(self.k, Integral) or isinstance(self.k, bool) or self.k < 1:
            raise ArgumentError(f"a grid has k cells a side, a whole number from 1; got {self.k!r:.80}")

    @property
    def name(self) -> str:
        """Return "grid" for 2 x 2, "grid3" for 3 x 3 and so on."""
        return "grid" if self.k == 2 else f"grid{self.k}"

    def components(self, height: int, width: int) -> int:
        """Return the number of cells for maps of that size."""
        return min(self.k, height) * min(self.k, width)

    def at(self, layer: str) -> Transform:
        """Return the transform itself: it learned nothing of the layer."""
        return self

    def __call__(
        self, maps: Float[Tensor, "image unit height width"]
    ) -> Float[Tensor, "image unit component"]:
        """Return the means of the cells, in float32 for half precision maps."""
        height, width = maps.shape[2:]
        cells = min(self.k, int(height)), min(self.k, int(width))
        return adaptive_avg_pool2d(maps.to(wide(maps)), cells).flatten(2)
