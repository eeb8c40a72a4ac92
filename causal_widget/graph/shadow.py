"""Shadow memory: beside every element of every tensor, the set of units it came from.

Labels live beside the storage, not the tensor. So a view (slice, transpose, chunk) needs no rule, and a
write into a view is seen by every other view, as it is in the real memory.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from causal_widget.errors import UnsupportedModelError


class ShadowMemory:
    """Labels of all tensors that are alive, by storage."""

    def __init__(self) -> None:
        self._labels: dict[int, tuple[StorageWeakRef, Tensor]] = {}
        self._writes = 0

    def knows(self, tensor: Tensor) -> bool:
        """Whether any element of the tensor's storage was ever labelled."""
        entry = self._labels.get(tensor.untyped_storage()._cdata)
        return entry is not None and not entry[0].expired()

    def read(self, tensor: Tensor) -> Tensor:
        """Labels of a tensor's elements, of its shape; zeros where nothing is known."""
        if not self.knows(tensor):
            return torch.zeros((), dtype=torch.int64).expand(tensor.shape)
        _, labels = self._labels[tensor.untyped_storage()._cdata]
        return self._window(labels, tensor)

    def write(self, tensor: Tensor, labels: Tensor) -> None:
        """Set the labels of a tensor's elements; `labels` broadcasts to its shape."""
        storage = tensor.untyped_storage()
        if not self.knows(tensor):
            self._forget_dead()
            size = storage.nbytes() // tensor.element_size()
            self._labels[storage._cdata] = (StorageWeakRef(storage), torch.zeros(size, dtype=torch.int64))
        window = self._window(self._labels[storage._cdata][1], tensor)
        # An expanded tensor shows one element many times: write it once.
        for d in range(tensor.ndim):
            if window.stride(d) == 0 and window.shape[d] > 1:
                window = window.narrow(d, 0, 1)
                labels = (
                    labels.narrow(d, 0, 1) if labels.ndim == tensor.ndim and labels.shape[d] > 1 else labels
                )
        window.copy_(labels)

    @staticmethod
    def _window(labels: Tensor, tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().nbytes() // tensor.element_size() != labels.numel():
            raise UnsupportedModelError(
                "the model looks at one memory through numbers of two sizes (view_as_real?)"
            )
        return labels.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    def _forget_dead(self) -> None:
        self._writes += 1
        if self._writes % 64 == 0:
            dead = [key for key, (ref, _) in self._labels.items() if ref.expired()]
            for key in dead:
                del self._labels[key]
