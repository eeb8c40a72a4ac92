"""Which devices there are, and which one a name means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from causal_widget.errors import DeviceError, nearest


@dataclass(frozen=True)
class DeviceInfo:
    """A device that a model can run on.

    Attributes
    ----------
    name : str
        ``"cpu"``, ``"cuda:0"``, ``"mps"``.
    label : str
        What a person reads in a menu.
    memory_bytes, free_bytes : int or None
        Memory in all and free now, in bytes; None where the system does not tell.
    """

    name: str
    label: str
    memory_bytes: int | None = None
    free_bytes: int | None = None


def list_devices() -> list[DeviceInfo]:
    """List the CPU, every CUDA device with its memory, and MPS where it is there."""
    found = [DeviceInfo("cpu", "CPU", *_host_memory())]
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(i)
            found.append(DeviceInfo(f"cuda:{i}", torch.cuda.get_device_name(i), total, free))
    if torch.backends.mps.is_available():
        found.append(DeviceInfo("mps", "Apple GPU (MPS)"))
    return found


def resolve_device(device: str | torch.device | None, model: nn.Module | None = None) -> torch.device:
    """Turn what a person wrote into a device that is there.

    Parameters
    ----------
    device : str, torch.device or None
        ``"auto"`` takes CUDA, else MPS, else the CPU. None stays where the model is.
    model : nn.Module, optional
        Looked at when `device` is None: the device of its first parameter.

    Raises
    ------
    DeviceError
        If the word is no device, or the device is not there.
    """
    if device is None:
        parameter = next(model.parameters(), None) if model is not None else None
        return parameter.device if parameter is not None else torch.device("cpu")
    names = [info.name for info in list_devices()]
    if device == "auto":
        return torch.device(next((n for n in names if n != "cpu"), "cpu"))
    try:
        asked = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise DeviceError(
            f"device {device!r} is not known; expected 'auto' or one of {', '.join(names)}."
            f"{nearest(str(device), ['auto', *names])}"
        ) from error
    if asked.type == "cuda" and asked.index is None:
        asked = torch.device("cuda", 0)
    if asked.type == "mps":
        asked = torch.device("mps")
    if asked.type == "cpu":
        asked = torch.device("cpu")
    if str(asked) not in names:
        raise DeviceError(f"device {str(device)!r} was asked for but is absent; here are: {', '.join(names)}")
    return asked


def _host_memory() -> tuple[int | None, int | None]:
    """Memory of the machine and what is available of it, in bytes.

    Linux counts as available what its page cache would give back, which the free pages alone leave out.
    """
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        lines = (line.split() for line in meminfo.read_text().splitlines())
        kilobytes = {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1}
        found = (kilobytes.get("MemTotal"), kilobytes.get("MemAvailable"))
        return found[0] and found[0] * 1024, found[1] and found[1] * 1024
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None, None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
