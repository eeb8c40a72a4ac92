"""One safetensors file a result: arrays as tensors, the rest as JSON in the header, a checksum of all."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from causal_widget._version import __version__
from causal_widget.errors import DataError

__all__ = ["Record", "checksum", "read_record", "write_record"]


@dataclass(frozen=True)
class Record:
    """A kind of file.

    Attributes
    ----------
    format, version : str
        What the header says of it.
    key : str
        Where in the header the JSON is.
    writer : str
        What writes such files, for messages.
    """

    format: str
    version: str
    key: str
    writer: str


def write_record(
    kind: Record,
    path: Path,
    text: str,
    arrays: Mapping[str, NDArray[Any]],
    extra: Mapping[str, str] | None = None,
) -> None:
    """Write a file, which is there whole or not at all; one of that name is replaced.

    Parameters
    ----------
    kind : Record
        Its kind.
    path : Path
        Where.
    text : str
        JSON.
    arrays : mapping of name to array
        Contiguous in memory.
    extra : mapping of str to str, optional
        What else the header says.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    header = {
        "format": kind.format,
        "version": kind.version,
        "written_by": f"causal_widget {__version__}",
        **(extra or {}),
        "checksum": checksum(text, arrays),
        kind.key: text,
    }
    _write(path, to_bytes(dict(arrays), header))


def _write(target: Path, content: bytes) -> None:
    """Write beside the target first, so that no half-written file has its name."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_record(kind: Record, path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Read header and arrays of a file.

    Raises
    ------
    DataError
        If it is no file of that kind and version, or is damaged or cut short. The message says what was found
        and what was expected.
    FileNotFoundError
        If there is none.
    """
    try:
        with safe_open(path, framework="np") as file:
            header = dict(file.metadata() or {})
            _check_header(kind, path, header)
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DataError(
            f'"{path}" is no safetensors file, or is damaged or cut short ({error}); expected one that '
            f"{kind.writer} wrote"
        ) from error
    if header.get("checksum") != checksum(header.get(kind.key, ""), arrays):
        raise DataError(f'"{path}" is damaged: its checksum is not that of its content; save it again')
    return header, arrays


def _check_header(kind: Record, path: Path, header: Mapping[str, str]) -> None:
    if header.get("format") != kind.format:
        found = header.get("format")
        what = "another safetensors file" if found is None else f'of the format "{found}"'
        raise DataError(f'"{path}" is {what}; expected the format "{kind.format}"')
    if header.get("version") != kind.version:
        raise DataError(
            f'"{path}" is of version {header.get("version")} (written by {header.get("written_by")}); '
            f"this is causal_widget {__version__}, which reads version {kind.version}"
        )


def checksum(text: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Give SHA-256 over the JSON and every array's name, type, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for key in sorted(arrays):
        one = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {one.dtype.str} {one.shape}".encode())
        digest.update(one.tobytes())
    return digest.hexdigest()
