"""Save a causal model to one safetensors file, and load what answers bit for bit the same.

Arrays are the file's tensors; everything else is JSON in its header, with the format's name and version, a
fingerprint of the graph and a checksum of it all. Nothing in a file is ever executed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import nn

from causal_widget.errors import ArgumentError, DataError, UnsupportedModelError
from causal_widget.files import Arrays, Codec, Record, read_record, write_record
from causal_widget.graph import FilterGraph, Layer, Step, Wiring, trace
from causal_widget.guard import bare, floating_type
from causal_widget.responses import Reading, Source, get_transform
from causal_widget.responses.split import Split
from causal_widget.responses.transforms import (
    Binary,
    Frobenius,
    Grid,
    MapFunction,
    Maximum,
    Mean,
    Parts,
    SpatialVariance,
    Transform,
)
from causal_widget.scm.equations import LayerEquations
from causal_widget.scm.estimators.functions import Constant, Linear, Logistic, Network
from causal_widget.scm.learned import Group, LearnedEquations

if TYPE_CHECKING:
    from causal_widget.scm.model import StructuralCausalModel

__all__ = ["FORMAT", "VERSION", "attach", "fingerprint", "load", "save"]

FORMAT = "causal_widget structural causal model"
VERSION = "1"
RECORD = Record(FORMAT, VERSION, "model", "StructuralCausalModel.save")
TRANSFORMS = (Binary, Frobenius, Grid, Maximum, Mean, Parts, SpatialVariance)
CODEC = Codec.of(
    (
        *(FilterGraph, Layer, Step, Wiring, Reading, LayerEquations, LearnedEquations, Group, Split),
        *(Constant, Linear, Logistic, Network, *TRANSFORMS),
    )
)
APART = ("source",)


def save(model: StructuralCausalModel, path: str | Path) -> Path:
    """Save a causal model to a file, which is there whole or not at all.

    The network and its images are not saved; `attach` joins them again.

    Parameters
    ----------
    model
        The causal model.
    path
        The file; usually it ends in ``.safetensors``. One of that name is replaced.

    Raises
    ------
    ArgumentError
        If the equations of a layer cannot be saved without pickle; says which and why.
    OSError
        If the file cannot be written.
    """
    for equations in model.equations.values():
        if isinstance(equations, LearnedEquations) and not equations.savable:
            raise ArgumentError(equations.why_not_savable)
    arrays: Arrays = {}
    kept = {
        one.name: CODEC.encode(_plain(model, one.name), arrays, one.name)
        for one in fields(model)
        if one.init and one.name not in APART
    }
    target = Path(path)
    text = json.dumps(kept, separators=(",", ":"))
    write_record(RECORD, target, text, arrays, {"graph": fingerprint(model.graph)})
    return target


def _plain(model: StructuralCausalModel, name: str) -> object:
    """Give a field's value; a transform that is the user's own function is left out."""
    value = getattr(model, name)
    return None if name == "phi" and not isinstance(value, TRANSFORMS) else value


def load(path: str | Path, model: nn.Module | None = None, loader: Any = None) -> StructuralCausalModel:
    """Load a causal model that `save` wrote.

    Parameters
    ----------
    path
        The file.
    model, loader
        The network that it is of, and images: attached where given.

    Raises
    ------
    DataError
        If the file is no causal model's, of another version, damaged or cut short, or the network has another
        graph. The message says what was found and what was expected.
    FileNotFoundError
        If there is no such file.
    """
    from causal_widget.scm.model import StructuralCausalModel

    header, arrays = _read(Path(path))
    tree = json.loads(header["model"])
    known = {one.name for one in fields(StructuralCausalModel) if one.init and one.name not in APART}
    if set(tree) != known:
        raise DataError(f'"{path}" has the fields {", ".join(tree)}; expected {", ".join(sorted(known))}')
    found = StructuralCausalModel(**{name: CODEC.decode(one, arrays) for name, one in tree.items()})
    if fingerprint(found.graph) != header.get("graph"):
        raise DataError(f'"{path}" holds a graph that is not the one of its header; save it again')
    return found if model is None else attach(found, model, loader)


def _read(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Read header and arrays of a file, and check that it is one of ours."""
    return read_record(RECORD, path)


def fingerprint(graph: FilterGraph) -> str:
    """Give SHA-256 over what a graph's equations depend on: layers, units, shapes, sites and wirings."""
    layers = [
        (one.name, one.kind, one.units, one.unit_axis, tuple(one.shape), one.is_output, tuple(one.sites))
        for one in graph.layers
    ]
    wirings = [
        (
            one.source,
            one.target,
            one.groups,
            one.row_of_channel.tolist(),
            one.starts.tolist(),
            one.units.tolist(),
        )
        for one in graph.wirings
    ]
    return hashlib.sha256(json.dumps([layers, wirings]).encode()).hexdigest()


def attach(
    causal: StructuralCausalModel,
    model: nn.Module,
    loader: Any = None,
    *,
    transform: str | Transform | MapFunction | None = None,
    device: str | torch.device | None = None,
    max_batches: int | None = None,
) -> StructuralCausalModel:
    """Give the same causal model with its network attached, from which responses can be read.

    Parameters
    ----------
    causal
        The causal model.
    model
        The network that it is of.
    loader
        The images that were collected over, in the same order, of which the held-out ones are read; None:
        only images that are given with a question.
    transform
        Where the transform is a function of your own, which is not saved: that function.
    device, max_batches
        As for `collect`.

    Raises
    ------
    DataError
        If the network has another graph; says the first difference.
    ArgumentError
        If the transform is missing, or has another name.
    """
    phi = _transform(causal, transform)
    network = bare(model)
    example = torch.zeros(1, *causal.graph.example_shape, dtype=floating_type(network))
    try:
        graph = trace(network, example)
    except (DataError, UnsupportedModelError) as error:
        raise DataError(
            f"the network ({type(network).__name__}) is not the one of this causal model "
            f"({causal.graph.model_name}), or has been changed since: it cannot be read with an image of "
            f"shape {tuple(causal.graph.example_shape)}: {error}"
        ) from error
    if fingerprint(graph) != fingerprint(causal.graph):
        raise DataError(
            f"the network ({graph.model_name}) is not the one of this causal model "
            f"({causal.graph.model_name}): {_difference(graph, causal.graph)}"
        )
    split = causal.split or Split(0.0)
    source = Source(
        model,
        loader,
        graph,
        phi,
        causal.site,
        device,
        split.share,
        split.seed,
        max_batches,
        split.folds,
    )
    return replace(causal, graph=graph, source=source, phi=phi)


def _transform(causal: StructuralCausalModel, given: str | Transform | MapFunction | None) -> Transform:
    if given is None:
        if causal.phi is None:
            raise ArgumentError(
                f'the transform "{causal.transform}" is a function of its own, which is not saved: give it '
                "as transform="
            )
        return causal.phi
    phi = get_transform(given)
    if phi.name != causal.transform:
        raise ArgumentError(f'the transform is "{phi.name}"; expected "{causal.transform}"')
    return phi


def _difference(found: FilterGraph, expected: FilterGraph) -> str:
    """Say the first thing in which two graphs differ."""
    if found.names != expected.names:
        odd = [name for name in found.names if name not in expected.names]
        lacking = [name for name in expected.names if name not in found.names]
        return (
            f"it has {len(found.names)} layers, expected {len(expected.names)}"
            + (f'; "{odd[0]}" was not expected' if odd else "")
            + (f'; "{lacking[0]}" is missing' if lacking else "")
        )
    for one, other in zip(found.layers, expected.layers, strict=True):
        for what in ("kind", "units", "shape", "sites", "is_output", "unit_axis"):
            ours, theirs = getattr(one, what), getattr(other, what)
            if ours != theirs:
                return f'layer "{one.name}" has {what} {ours}, expected {theirs}'
    return "its layers are the same, but who reads whom is not"
