"""How each tensor operation carries labels from its inputs to its outputs.

The rules speak of ATen operations, a closed set, so that modules, functional calls and methods are all the
same to them. Element-wise operations are recognised by their tag and need no list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from causal_widget.graph.sources import Sources

Read = Callable[[Tensor], Tensor]
Rule = Callable[[Any, Sequence[Any], dict[str, Any], Tensor, Read, Sources], Tensor]


def words(text: str) -> frozenset[str]:
    """Names in a text."""
    return frozenset(text.split())


# Operations that are element-wise but not tagged so in every version of torch.
POINTWISE = words(
    """
    hardswish hardsigmoid hardtanh relu6 leaky_relu elu celu gelu silu mish softplus threshold
    rrelu_with_noise prelu _prelu_kernel native_dropout dropout _to_copy clone detach lift_fresh alias
    where masked_fill clamp bernoulli _conj_physical log_sigmoid_forward fake_quantize_per_tensor_affine
    """
)


def is_pointwise(func: Any, name: str) -> bool:
    """Whether an operation works element by element."""
    return torch.Tag.pointwise in func.tags or name in POINTWISE or func._overloadname == "other"


def pointwise(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Sources
) -> Tensor:
    """Union of all operands, broadcast."""
    labels = torch.zeros((), dtype=torch.int64)
    for tensor in tensors_in((args, kwargs)):
        labels = s.union_pairwise(labels.expand(out.shape), read(tensor).expand(out.shape))
    return labels


def overwrite(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Sources
) -> Tensor:
    """copy_(target, source): the source's labels alone."""
    return read(args[1]).expand(out.shape)


def nothing(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Sources
) -> Tensor:
    """Constants: no unit at all."""
    return torch.zeros((), dtype=torch.int64).expand(out.shape)


def first_operand(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Sources
) -> Tensor:
    """BatchNorm in eval mode: each channel by fixed numbers."""
    return read(args[0])


def over_space(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Sources
) -> Tensor:
    """Pooling, resizing: all of a channel's positions may reach each of its outputs."""
    labels = read(args[0])
    spatial = tuple(range(2 - labels.ndim, 0)) if labels.ndim > 2 else (-1,)
    return _with_everything(s.union_over(labels, spatial).expand(out.shape), args[1:], read, s)


def _with_everything(labels: Tensor, values: Any, read: Read, s: Sources) -> Tensor:
    """Add all labels of some operands (a sampling grid, computed indices) to every element."""
    for tensor in tensors_in(values):
        everything = torch.tensor(s.union_all(read(tensor)))
        labels = s.union_pairwise(labels, everything.expand(labels.shape))
    return labels


def reduction(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Sources
) -> Tensor:
    """Sum, mean, maximum, softmax, ... over some axes."""
    labels = read(args[0])
    dims = reduced_dims(func, args, kwargs, labels.ndim)
    united = s.union_over(labels, dims)
    if out.ndim == labels.ndim:
        return united.expand(out.shape)
    return united.squeeze(dims).expand(out.shape) if out.ndim else united.reshape(())


def reduced_dims(func: Any, args: Sequence[Any], kwargs: dict[str, Any], ndim: int) -> tuple[int, ...]:
    """Axes that a reduction runs over: its argument `dim`, all where it is absent."""
    names = [argument.name for argument in func._schema.arguments]
    dim = next((kwargs[n] for n in ("dim", "dims") if n in kwargs), None)
    if dim is None:
        place = next((i for i, n in enumerate(names) if n in ("dim", "dims")), None)
        dim = args[place] if place is not None and place < len(args) else None
    if dim is None or (isinstance(dim, Sequence) and not len(dim)):
        return tuple(range(ndim))
    return tuple(d % ndim for d in ([dim] if isinstance(dim, int) else dim))


def layer_norm(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Sources
) -> Tensor:
    """LayerNorm mixes everything under its normalised axes."""
    labels = read(args[0])
    return s.union_over(labels, tuple(range(-len(args[1]), 0))).expand(out.shape)


def group_norm(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Sources
) -> Tensor:
    """GroupNorm mixes the channels of a group, over all positions."""
    labels, groups = read(args[0]), args[6]
    n, c = labels.shape[:2]
    grouped = labels.reshape(n, groups, c // groups, -1)
    united = s.union_over(grouped, (-2, -1)).expand(n, groups, c // groups, 1)
    return united.reshape(n, c, *[1] * (out.ndim - 2)).expand(out.shape)


def convolution(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Sources
) -> Tensor:
    """Functional convolution, no layer: a group's channels reach all of its outputs."""
    labels, groups = read(args[0]), args[8]
    n, c = labels.shape[:2]
    grouped = s.union_over(labels.reshape(n, groups, c // groups, -1), (-2, -1))
    united = grouped.expand(n, groups, out.shape[1] // groups, 1).reshape(
        n, out.shape[1], *[1] * (out.ndim - 2)
    )
    return _with_everything(united, args[1:3], read, s).expand(out.shape)


def product(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Sources
) -> Tensor:
    """Matrix products: row i of the left, column j of the right."""
    operands = [read(a) for a in tensors_in(args)]
    left, right = operands[-2:]
    rows = s.union_over(left, (-1,))
    columns = s.union_over(right, (-2,)) if right.ndim > 1 else s.union_over(right, (-1,))
    if right.ndim == 1:
        rows = rows.squeeze(-1)
    united = s.union_pairwise(rows.expand(out.shape), columns.expand(out.shape))
    return united if len(operands) == 2 else s.union_pairwise(united, operands[0].expand(out.shape))


def rearrangement(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Sources
) -> Tensor:
    """Operations that only move elements: do to the labels what is done to the numbers."""

    def swap(value: Any) -> Any:
        if isinstance(value, Tensor):
            # Padding by reflection is not written for integers; labels stay far below 2**53.
            return read(value).double() if value.is_floating_point() or value.is_complex() else value.cpu()
        if isinstance(value, list | tuple):
            return type(value)(swap(v) for v in value)
        return value

    given = {k: v for k, v in kwargs.items() if k not in ("dtype", "layout", "device", "pin_memory")}
    moved = func(*swap(list(args)), **{k: swap(v) for k, v in given.items()})
    indices = [t for t in tensors_in(args[1:]) if not t.is_floating_point()]
    return _with_everything(torch.as_tensor(moved).long(), indices, read, s)


def padding(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Sources
) -> Tensor:
    """Constant padding: the constant carries nothing."""
    return torch.nn.functional.pad(read(args[0]), args[1], value=0)


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested arguments, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in tensors_in(item)]
    return []


RULES: dict[str, Rule] = {
    name: rule
    for rule, names in {
        overwrite: "copy",
        nothing: """
            zero fill zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty
            new_empty_strided rand_like randn_like randint_like uniform normal
        """,
        first_operand: """
            native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training batch_norm
            _batch_norm_with_update _batch_norm_no_update cudnn_batch_norm miopen_batch_norm
        """,
        layer_norm: "native_layer_norm _fused_rms_norm",
        group_norm: "native_group_norm",
        over_space: """
            max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices mkldnn_max_pool2d
            quantized_max_pool2d avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
            mkldnn_adaptive_avg_pool2d adaptive_avg_pool1d adaptive_max_pool1d adaptive_max_pool2d
            adaptive_max_pool3d fractional_max_pool2d upsample_nearest1d upsample_nearest2d upsample_nearest3d
            _upsample_nearest_exact2d upsample_bilinear2d upsample_bicubic2d upsample_linear1d
            upsample_trilinear3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler_2d
        """,
        reduction: """
            sum nansum mean amax amin max min prod std var var_mean std_mean logsumexp norm linalg_vector_norm
            all any argmax argmin _softmax _log_softmax softmax log_softmax cumsum cumprod median nanmedian
            topk sort count_nonzero
        """,
        convolution: "convolution _convolution cudnn_convolution mkldnn_convolution",
        product: "mm addmm bmm baddbmm mv addmv matmul dot linear",
        padding: "constant_pad_nd",
        rearrangement: """
            cat stack reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
            replication_pad3d index _unsafe_index index_select index_put _index_put_impl gather flip roll
            repeat repeat_interleave tile channel_shuffle native_channel_shuffle pixel_shuffle pixel_unshuffle
            slice_scatter select_scatter diagonal_scatter slice_copy select_copy view_copy expand_copy
            permute_copy unfold_copy tril triu take_along_dim rot90 im2col
        """,
    }.items()
    for name in words(names)
}
