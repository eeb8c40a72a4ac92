"""What a run has finished, on disk: written whole or not at all, and read by the same run alone."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from causal_widget.effects.evidence import KINDS, Evidence, kind_of
from causal_widget.effects.evidence.plain import moments_arrays, moments_from
from causal_widget.effects.remembered import Remembered
from causal_widget.effects.shards import Finished
from causal_widget.effects.work import Settings, Work
from causal_widget.errors import ArgumentError, DataError

__all__ = ["Checkpoint", "identity"]

_KEY = "causal_widget.effects"
_VERSION = 2
_SECONDS = 5.0
_PLAIN = ("seed", "stage", "part", "layers", "judged", "counted", "ran", "worked", "seconds")


@dataclass(eq=False)
class Checkpoint:
    """A file to which a run writes what it has finished.

    Attributes
    ----------
    path : Path
        Where; it is replaced in one step.
    of : mapping
        Which run it is of, see `identity`.
    settings : Settings
        The measured settings of that run.
    every : float
        Seconds between two writings.
    """

    path: Path
    of: Mapping[str, Any]
    settings: Settings
    every: float = _SECONDS
    _written: float = float("-inf")

    def note(self, finished: Finished, now: bool = False) -> None:
        """Write, if the last time was long enough ago, or at once."""
        if now or time.monotonic() - self._written >= self.every:
            self.write(finished)

    def write(self, finished: Finished) -> None:
        """Write.

        Raises
        ------
        ArgumentError
            If the file cannot be written.
        """
        arrays: dict[str, NDArray[Any]] = moments_arrays("sizes", finished.sizes)
        if finished.before is not None:
            arrays |= moments_arrays("before", finished.before)
        for layer, evidence in finished.evidence.items():
            arrays |= {f"evidence/{layer}/{name}": array for name, array in evidence.arrays().items()}
        arrays |= {f"open/{layer}": mask for layer, mask in finished.open.items()}
        if finished.remembered is not None:
            arrays |= {f"remembered/{name}": one for name, one in finished.remembered.arrays().items()}
        header = {
            "version": _VERSION,
            "of": dict(self.of),
            "settings": self.settings.to_dict(),
            "evidence": {layer: kind_of(one) for layer, one in finished.evidence.items()},
            **{name: getattr(finished, name) for name in _PLAIN},
        }
        plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            save_file(plain, beside, metadata={_KEY: json.dumps(header)})
            beside.replace(self.path)
        except (OSError, SafetensorError) as error:
            beside.unlink(missing_ok=True)
            raise ArgumentError(f"the checkpoint {str(self.path)!r} cannot be written: {error}") from error
        self._written = time.monotonic()

    @staticmethod
    def read(path: Path, of: Mapping[str, Any]) -> tuple[Finished, Settings]:
        """Read what a run of the same identity wrote.

        Raises
        ------
        DataError
            If the file is no checkpoint.
        ArgumentError
            If it is of another run; says in what they differ.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                header = json.loads((file.metadata() or {}).get(_KEY, "null"))
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (SafetensorError, json.JSONDecodeError, OSError) as error:
            raise DataError(f"{str(path)!r} is no checkpoint of a run over effects: {error}") from error
        if header is None or header.get("version") != _VERSION:
            raise DataError(f"{str(path)!r} is no checkpoint of a run over effects of this version")
        _refuse_another(path, header["of"], of)
        return _finished(header, arrays), Settings.from_dict(header["settings"])


def _finished(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Finished:
    evidence: dict[str, Evidence] = {}
    for layer, kind in header["evidence"].items():
        evidence[layer] = KINDS[kind].from_arrays(_below(arrays, f"evidence/{layer}/"))
    plain = {name: header[name] for name in _PLAIN}
    again = _below(arrays, "remembered/")
    plain["layers"] = tuple(plain["layers"])
    return Finished(
        **plain,
        evidence=evidence,
        before=moments_from(arrays, "before") if "before.n" in arrays else None,
        sizes=moments_from(arrays, "sizes"),
        open=_below(arrays, "open/"),
        remembered=Remembered.from_arrays(plain["seed"], again) if again else None,
    )


def _below(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def identity(work: Work, seed: int) -> dict[str, Any]:
    """Say which run a checkpoint is of, as plain values: two runs that say the same give the same bits."""
    edits = [f"{one.name} {one.edit.to_json()}" for group in work.groups.values() for one in group]
    return {
        "how": work.aims.how,
        "what is asked": hashlib.sha256("\n".join(edits).encode()).hexdigest(),
        "number of questions": len(edits),
        "outcomes": [one.name for one in work.outcomes],
        "aims": work.aims.settings(),
        "first batch": work.first,
        "max_batches": work.max_batches,
        "weights": _weights(work.model),
        "device": work.device.type,
        "autocast": str(work.autocast),
        "budget": work.budget,
        "seed": seed,
    }


def _weights(model: torch.nn.Module) -> str:
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _refuse_another(path: Path, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for what in now:
        if was.get(what) != now[what]:
            raise ArgumentError(
                f"the checkpoint {str(path)!r} is of another run: its {what} was {was.get(what)!r:.80}, now "
                f"it is {now[what]!r:.80}; take another file, or remove this one to begin anew"
            )
