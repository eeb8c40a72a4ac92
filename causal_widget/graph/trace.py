"""Read a model's filter graph from one run on one image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from causal_widget.errors import CausalWidgetError, DataError, UnsupportedModelError
from causal_widget.graph.calls import OUTPUT, layer_modules, on_calls
from causal_widget.graph.filter_graph import FilterGraph
from causal_widget.graph.flow import Flow
from causal_widget.graph.layer import SITES, Layer
from causal_widget.graph.record import CallRecord
from causal_widget.graph.sources import Sources
from causal_widget.graph.steps import PASSING, Follower
from causal_widget.graph.symbolic import why_not_symbolic
from causal_widget.graph.wiring import Wiring
from causal_widget.guard import bare, floating_type, guarded


def trace(model: nn.Module, example: Tensor) -> FilterGraph:
    """Read which units feed which from a model, through everything that is not a layer.

    The model runs once on one image. Beside every element of every tensor stands the set of units that it
    came from; each operation carries these sets along, and each layer finds in its input who its parents
    are. So the graph is that of the network's computation, whatever code wrote it: registration order plays
    no part.

    Parameters
    ----------
    model : nn.Module
        Any CNN that maps images to (image, class) outputs.
    example : Tensor, shape (image, channel, height, width)
        A batch of images; only the first is used, in the floating type of the model's weights.

    Returns
    -------
    FilterGraph
        Its `traced_by` says whether the control flow was also found to be the same for every image.

    Raises
    ------
    UnsupportedModelError
        If the model is not a module, has no convolution, does not give (image, class) outputs, or uses an
        operation (attention) whose parents cannot be read.
    DataError
        If the model cannot run on the example.
    """
    module = bare(model)
    if not any(not isinstance(m, nn.Linear) for m in layer_modules(module).values()):
        raise UnsupportedModelError(
            f"{type(module).__name__} has no convolution: there are no filters to explain"
        )
    if not isinstance(example, Tensor) or example.ndim < 3 or not len(example):
        got = tuple(example.shape) if isinstance(example, Tensor) else type(example).__name__
        raise DataError(f"the example must be a batch of images (image, channel, height, width), got {got}")
    with guarded(module) as guard:
        note = why_not_symbolic(module)
        dtype = floating_type(module) if example.is_floating_point() else None
        image = example[:1].detach().to(guard.device, dtype)
        recorder = _Recorder(module)
        _run(recorder, module, image)
    return recorder.graph("recorded" if note else "symbolic", tuple(example.shape[1:]), note)


def _run(recorder: _Recorder, module: nn.Module, image: Tensor) -> None:
    with recorder.flow, recorder.follower, on_calls(module, recorder.before, recorder.after):
        try:
            output = module(image)
        except CausalWidgetError:
            raise
        # The model is the user's: it may raise anything, and what it raised is kept as the cause.
        except Exception as error:
            raise DataError(
                f"the model raised {type(error).__name__} on an image of shape "
                f"{tuple(image.shape[1:])}: {error}"
            ) from error
        recorder.finish(output)


class _Recorder:
    """Sees every layer call with the labels of its input, and every function on the way to its sites."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._modules = layer_modules(model)
        self._norms = {
            id(tensor): path.rpartition(".")[0]
            for path, tensor in (*model.named_buffers(), *model.named_parameters())
        }
        self.flow = Flow()
        self.follower = Follower(self._on_call)
        self.records: list[CallRecord] = []
        self._n_units = 0

    def before(self, path: str, call: int, given: Tensor) -> None:
        module = self._modules[path]
        conv = not isinstance(module, nn.Linear)
        axis = 1 if conv else given.ndim - 1
        labels = self.flow.shadow.read(given)
        others = tuple(d for d in range(labels.ndim) if d != axis)
        channels = self.flow.sources.union_over(labels, others).reshape(-1).numpy().copy()
        self.records.append(
            CallRecord(path, call, "conv" if conv else "linear", getattr(module, "groups", 1), channels)
        )
        self.flow.paused = True

    def after(self, path: str, call: int, output: Tensor) -> None:
        self.flow.paused = False
        record = next(r for r in reversed(self.records) if (r.module, r.call) == (path, call))
        self.flow.after = record.name
        axis = -1 if record.kind == "linear" else 1 - output.ndim
        self._own(record, output, axis)
        self.flow.shadow.write(output, self._own_labels(record, output))
        self.follower.mark(output, record, 0)

    def _own(self, record: CallRecord, output: Tensor, axis: int) -> None:
        record.units, record.unit_axis, record.shape = output.shape[axis], axis, tuple(output.shape[1:])
        record.first = self._n_units
        record.labels = self.flow.sources.singletons(record.first, record.units)
        self._n_units += record.units

    @staticmethod
    def _own_labels(record: CallRecord, tensor: Tensor) -> Tensor:
        shape = [1] * tensor.ndim
        shape[record.unit_axis] = record.units
        return record.labels.reshape(shape).expand(tensor.shape)

    def _on_call(
        self, record: CallRecord, positions: list[int], name: str, args: tuple[Any, ...], result: Tensor
    ) -> tuple[Tensor, int | None]:
        owned = tuple(result.shape[1:]) == record.shape and torch.equal(
            self.flow.shadow.read(result), self._own_labels(record, result)
        )
        record.functions.append(name)
        record.reads.append(positions)
        record.owned.append(owned)
        position = len(record.functions)
        if owned and record.norm_position() == position:
            record.norm = next((self._norms[id(a)] for a in args[1:] if id(a) in self._norms), None)
        return result, position if owned else None

    def finish(self, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim != 2:
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UnsupportedModelError(f"the model's output must be a tensor (image, class), got {got}")
        mark = self.follower.mark_of(output)
        if mark is not None and all(mark.owner.functions[k] in PASSING for k in range(mark.position)):
            self._output = mark.owner
            return
        channels = self.flow.shadow.read(output)[0].numpy().copy()
        self._output = CallRecord(self._free_name(), 0, "output", 1, channels)
        self._own(self._output, output, -1)
        self.records.append(self._output)

    def _free_name(self) -> str:
        name = OUTPUT
        while name in self._modules:
            name += "'"
        return name

    def graph(self, traced_by: str, example_shape: tuple[int, ...], note: str) -> FilterGraph:
        layers = tuple(self._layer(i, record) for i, record in enumerate(self.records))
        wirings = tuple(w for record in self.records for w in self._wirings(record))
        return FilterGraph(layers, wirings, type(self._model).__name__, traced_by, example_shape, note)

    def _layer(self, index: int, r: CallRecord) -> Layer:
        is_output = r is self._output
        steps = () if is_output else r.steps()
        sites = tuple(site for site in SITES if site == "conv" or any(site in step.sites for step in steps))
        return Layer(
            index, r.name, r.module, r.call, r.kind, r.units, r.unit_axis, r.shape,
            r.groups, len(r.channels), is_output, sites, r.norm if "norm" in sites else None, steps,
        )  # fmt: skip

    def _wirings(self, target: CallRecord) -> list[Wiring]:
        groups = target.units if target.kind == "output" else target.groups
        rows = _Rows(self.flow.sources, target.channels)
        found = []
        for source in self.records:
            cut = rows.of(source.first, source.first + source.units)
            if cut is not None:
                found.append(Wiring(source.name, target.name, source.units, target.units, groups, *cut))
        return found


class _Rows:
    """The distinct labels of a layer's input channels, and their cut with one source layer's codes."""

    def __init__(self, sources: Sources, channels: np.ndarray) -> None:
        distinct, self._inverse = np.unique(channels, return_inverse=True)
        members = [sources.members(int(label)) for label in distinct]
        self._codes = np.concatenate(members) if members else np.empty(0, dtype=np.int64)
        self._label = np.repeat(np.arange(len(members)), [len(m) for m in members])
        self._n = len(members)

    def of(self, first: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        inside = (self._codes >= first) & (self._codes < end)
        if not inside.any():
            return None
        counts = np.bincount(self._label[inside], minlength=self._n)
        row = np.where(counts > 0, np.cumsum(counts > 0) - 1, -1)
        starts = np.concatenate([[0], np.cumsum(counts[counts > 0])])
        return row[self._inverse].astype(np.int32), starts, (self._codes[inside] - first).astype(np.int32)
