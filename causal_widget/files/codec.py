"""Results as a tree of JSON and a bag of arrays, and back: known classes only, nothing is executed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causal_widget.errors import ArgumentError, DataError

__all__ = ["Codec"]

Tree = Any
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Codec:
    """Takes values apart and makes them again.

    A value is None, a bool, number or string, an array or tensor, a sequence (which comes back as a tuple), a
    mapping from strings, or an instance of a known dataclass, whose fields are values.

    Parameters
    ----------
    classes
        By name: the dataclasses that may occur.
    """

    classes: Mapping[str, type]

    @staticmethod
    def of(classes: Iterable[type]) -> Codec:
        """Know some dataclasses by their own names."""
        return Codec({one.__name__: one for one in classes})

    def encode(self, value: object, arrays: Arrays, where: str = "model") -> Tree:
        """Give a tree of JSON; what are arrays goes to `arrays`, under numbers.

        Raises
        ------
        ArgumentError
            If something in it is no such value; says where.
        """
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, Tensor):
            return self._array(value.detach().cpu().numpy(), arrays, where) | {"tensor": True}
        if isinstance(value, np.ndarray):
            return self._array(value, arrays, where)
        if isinstance(value, Mapping):
            return {"map": {str(key): self.encode(value[key], arrays, f"{where}.{key}") for key in value}}
        if isinstance(value, list | tuple | range):
            return {"list": [self.encode(one, arrays, f"{where}[{i}]") for i, one in enumerate(value)]}
        return self._instance(value, arrays, where)

    def _instance(self, value: object, arrays: Arrays, where: str) -> Tree:
        name = type(value).__name__
        if not is_dataclass(value) or self.classes.get(name) is not type(value):
            raise ArgumentError(f"{where} is a {name}, which cannot be saved")
        kept = {
            one.name: self.encode(getattr(value, one.name), arrays, f"{where}.{one.name}")
            for one in fields(value)
            if one.init
        }
        return {"is": name, "of": kept}

    @staticmethod
    def _array(value: NDArray[Any], arrays: Arrays, where: str) -> dict[str, Tree]:
        """Keep an array as it lies in memory: products of matrices may round otherwise for another order."""
        if value.dtype.kind not in "biuf":
            raise ArgumentError(f"{where} is an array of {value.dtype}, which cannot be saved")
        turned = value.flags.f_contiguous and not value.flags.c_contiguous
        key = str(len(arrays))
        arrays[key] = np.array(value.T if turned else value, order="C")
        return {"array": key, "turned": True} if turned else {"array": key}

    def decode(self, tree: Tree, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """Make the value of a tree again.

        Raises
        ------
        DataError
            If the tree is none that `encode` makes.
        """
        if tree is None or isinstance(tree, bool | int | float | str):
            return tree
        if isinstance(tree, dict) and "array" in tree:
            return self._made_array(tree, arrays)
        if isinstance(tree, dict) and isinstance(tree.get("map"), dict):
            return {key: self.decode(one, arrays) for key, one in tree["map"].items()}
        if isinstance(tree, dict) and isinstance(tree.get("list"), list):
            return tuple(self.decode(one, arrays) for one in tree["list"])
        if isinstance(tree, dict) and isinstance(tree.get("of"), dict):
            return self._made(tree, arrays)
        raise DataError(f"the file holds {tree!r:.80}, which is no value that is saved")

    def _made(self, tree: dict[str, Tree], arrays: Mapping[str, NDArray[Any]]) -> Any:
        name = str(tree.get("is"))
        if name not in self.classes:
            raise DataError(
                f"the file holds a {name!r:.80}; expected one of {', '.join(sorted(self.classes))}"
            )
        wanted = {one.name for one in fields(self.classes[name]) if one.init}
        if set(tree["of"]) != wanted:
            raise DataError(
                f"the file holds a {name} with {', '.join(sorted(tree['of']))}; expected "
                f"{', '.join(sorted(wanted))}"
            )
        return self.classes[name](**{key: self.decode(one, arrays) for key, one in tree["of"].items()})

    @staticmethod
    def _made_array(tree: dict[str, Tree], arrays: Mapping[str, NDArray[Any]]) -> Any:
        if tree["array"] not in arrays:
            raise DataError(f"the file lacks the array {tree['array']!r:.80}")
        found = arrays[tree["array"]]
        found = found.T if tree.get("turned") else found
        return torch.from_numpy(np.array(found)) if tree.get("tensor") else found
