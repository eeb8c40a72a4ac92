"""What each kind of operation makes of a change in few channels.

A rule is chosen once for each node of the traced network. Where none applies, the change is written into the
whole kept value and the operation runs on that: exact as well, only slower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from causal_widget.effects.cutting.program import Program, has_hooks
from causal_widget.effects.cutting.slices import Items, Slices, as_parameter

__all__ = ["Rule", "Running", "rule_for"]


class Running(Protocol):
    """What a rule may ask of the run that it is part of."""

    items: Items
    program: Program

    def value(self, node: fx.Node) -> Any:
        """Value of a node in this run: `Slices`, or a tensor, or what was kept, carried to the items."""

    def kept(self, node: fx.Node) -> Any:
        """Value that was kept of a node, for all images."""

    def changed(self, node: fx.Node) -> bool:
        """Whether the node lies below the change."""


@dataclass(frozen=True, eq=False)
class Rule:
    """How a node follows a change in few channels.

    Attributes
    ----------
    follow : callable (run, node) -> Slices, tensor or None
        None: this rule does not apply after all; run the node on whole values.
    sparse : bool
        Whether the result may be in few channels again.
    needs_input, needs_output : bool
        Whether the kept values of the changed inputs, or of the node itself, are needed.
    """

    follow: Callable[[Running, fx.Node], Any]
    sparse: bool = True
    needs_input: bool = False
    needs_output: bool = False


def rule_for(program: Program, node: fx.Node, example: Callable[[fx.Node], Any]) -> Rule | None:
    """Choose the rule of a node.

    Parameters
    ----------
    program, node : Program, fx.Node
        The network and its node.
    example : callable (node) -> value
        Values of an example of two images, which tell shapes.
    """
    module = program.module(node)
    if module is not None:
        return None if has_hooks(module) or len(node.args) != 1 else _module_rule(module, node, example)
    name = _name(node)
    if name in _JOINS:
        return Rule(_join, needs_input=True)
    if name in ("cat", "concat", "concatenate"):
        return Rule(_cat, needs_input=True) if _axis_of_cat(node) == 1 else None
    first = example(node.args[0]) if node.args and isinstance(node.args[0], fx.Node) else None
    if not isinstance(first, Tensor) or first.ndim < 2 or _reads_tensors_beside(node, example):
        return None
    return _function_rule(name, node, first, example(node))


def _function_rule(name: str, node: fx.Node, first: Tensor, result: Any) -> Rule | None:
    if name in _ELEMENTWISE or (name in _POOLS and first.ndim > 2 and isinstance(result, Tensor)):
        return Rule(_channelwise)
    if name in _REDUCTIONS and isinstance(result, Tensor) and _reduces_space(node, first.ndim):
        return Rule(_channelwise)
    if name in _RESHAPES and isinstance(result, Tensor):
        return _reshape_rule(first, result)
    if name == "pad":
        return _pad_rule(node, first.ndim)
    if name == "getitem" and _indexes_space(node.args[1]):
        return Rule(_channelwise)
    return None


def _module_rule(module: nn.Module, node: fx.Node, example: Callable[[fx.Node], Any]) -> Rule | None:
    given, result = example(node.args[0]), example(node)  # type: ignore[arg-type]
    if not isinstance(given, Tensor) or not isinstance(result, Tensor) or given.ndim < 2:
        return None
    kind = type(module)
    if kind in _CHANNELWISE_MODULES:
        return Rule(_channelwise)
    if kind is nn.PReLU:
        return Rule(_prelu)
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d) and given.ndim > 1:
        return Rule(_batch_norm)
    if kind in _SPACE_MODULES and given.ndim > 2:
        return Rule(_channelwise)
    if kind is nn.Flatten:
        return _reshape_rule(given, result)
    if kind is nn.Linear:
        return Rule(_linear, sparse=False, needs_input=True, needs_output=True) if given.ndim == 2 else None
    if kind in (nn.Conv1d, nn.Conv2d, nn.Conv3d) and given.ndim == result.ndim == module.weight.ndim:
        return _conv_rule(module)
    return None


def _conv_rule(module: nn.Module) -> Rule:
    groups, width = int(module.groups), int(module.in_channels)  # type: ignore[arg-type]
    if groups == 1:
        return Rule(_dense_conv, sparse=False, needs_input=True, needs_output=True)
    if groups == width:
        return Rule(_depthwise)
    return Rule(_grouped_conv, needs_input=True, needs_output=True)


# Operations that keep to their channel ---------------------------------------------------------------------


def _channelwise(run: Running, node: fx.Node) -> Slices | None:
    """Run the node on the slices alone."""
    given = run.value(node.args[0])  # type: ignore[arg-type]
    if not isinstance(given, Slices):
        return None
    return Slices(given.channels, _called(run, node, {node.args[0]: given.values}))


def _called(run: Running, node: fx.Node, values: dict[Any, Any]) -> Any:
    return run.program.call(node, lambda n: values[n] if n in values else run.value(n))


def _module_and_input(run: Running, node: fx.Node) -> tuple[Any, Slices]:
    given = run.value(node.args[0])  # type: ignore[arg-type]
    return run.program.module(node), given


def _batch_norm(run: Running, node: fx.Node) -> Slices:
    norm, given = _module_and_input(run, node)
    scale = torch.rsqrt(as_parameter(norm.running_var, given) + norm.eps)
    if norm.weight is not None:
        scale = scale * as_parameter(norm.weight, given)
    values = (given.values - as_parameter(norm.running_mean, given)) * scale
    if norm.bias is not None:
        values = values + as_parameter(norm.bias, given)
    return Slices(given.channels, values)


def _prelu(run: Running, node: fx.Node) -> Slices:
    module, given = _module_and_input(run, node)
    slope = module.weight if module.weight.numel() == 1 else as_parameter(module.weight, given)
    return Slices(given.channels, torch.where(given.values >= 0, given.values, slope * given.values))


def _reshape_rule(given: Tensor, result: Tensor) -> Rule | None:
    """Rule of a reshape that keeps the channels apart: all of each channel's map to features, or to maps."""
    if result.ndim < 2 or result.shape[0] != given.shape[0]:
        return None
    if result.shape[1] == given.shape[1]:
        shape = tuple(result.shape[2:])
        return Rule(lambda run, node: _reshaped(run, node, shape))
    each = given[0, 0].numel()
    if result.ndim == 2 and result.shape[1] == given.shape[1] * each:
        return Rule(lambda run, node: _flattened(run, node, each))
    return None


def _reshaped(run: Running, node: fx.Node, shape: tuple[int, ...]) -> Slices:
    given = run.value(node.args[0])  # type: ignore[arg-type]
    return Slices(given.channels, given.values.reshape(*given.channels.shape, *shape))


def _flattened(run: Running, node: fx.Node, each: int) -> Slices:
    given = run.value(node.args[0])  # type: ignore[arg-type]
    within = torch.arange(each, device=given.channels.device)
    channels = (given.channels[:, :, None] * each + within).flatten(1)
    return Slices(channels, given.values.flatten(1))


def _pad_rule(node: fx.Node, ndim: int) -> Rule | None:
    pads = node.args[1] if len(node.args) > 1 else node.kwargs.get("pad")
    mode = node.args[2] if len(node.args) > 2 else node.kwargs.get("mode", "constant")
    if not isinstance(pads, tuple | list) or not all(isinstance(p, int) for p in pads):
        return None
    space, channel = list(pads[: 2 * (ndim - 2)]), list(pads[2 * (ndim - 2) :])
    if not any(channel):
        return Rule(_channelwise)
    if mode != "constant" or len(channel) > 2 or min(channel) < 0:
        return None
    value = node.args[3] if len(node.args) > 3 else node.kwargs.get("value")

    def follow(run: Running, node: fx.Node) -> Slices:
        given = run.value(node.args[0])  # type: ignore[arg-type]
        return Slices(given.channels + channel[0], F.pad(given.values, space, value=value))  # type: ignore[arg-type]

    return Rule(follow)


def _depthwise(run: Running, node: fx.Node) -> Slices:
    conv, given = _module_and_input(run, node)
    times = conv.out_channels // conv.in_channels
    results = []
    for first, end in run.items.blocks:
        channels = _own_outputs(given.channels[first], times)
        bias = None if conv.bias is None else conv.bias[channels]
        width = given.channels.shape[1]
        results.append(_convolved(conv, given.values[first:end], conv.weight[channels], bias, width))
    return Slices(_own_outputs(given.channels, times), torch.cat(results))


def _own_outputs(channels: Tensor, times: int) -> Tensor:
    """Numbers of the output channels that read each input channel alone: (..., slice * times)."""
    each = torch.arange(times, device=channels.device)
    return (channels[..., None] * times + each).flatten(-2)


def _convolved(conv: Any, maps: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """Convolve as the module does, with some of its weights."""
    if conv.padding_mode != "zeros":
        maps = F.pad(maps, conv._reversed_padding_repeated_twice, mode=conv.padding_mode)
    function = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[weight.ndim]
    padding = conv.padding if conv.padding_mode == "zeros" else 0
    result: Tensor = function(maps, weight, bias, conv.stride, padding, conv.dilation, groups)
    return result


# Operations that read all channels: what was kept, and what the change adds to it ---------------------------


def _difference(run: Running, node: fx.Node, given: Slices) -> Tensor:
    kept: Tensor = run.kept(node.args[0])  # type: ignore[arg-type]
    change: Tensor = given.values - given.of(kept, run.items)
    return change


def _dense_conv(run: Running, node: fx.Node) -> Tensor:
    conv, given = _module_and_input(run, node)
    change, kept = _difference(run, node, given), run.kept(node)
    result: Tensor = torch.empty_like(
        kept[:1].expand(run.items.n, *kept.shape[1:]), memory_format=_layout(kept)
    )
    for first, end in run.items.blocks:
        weight = conv.weight[:, given.channels[first]]
        added = _convolved(conv, change[first:end], weight, None, 1)
        _plus_kept(kept, run.items.rows[first:end], added, result[first:end])
    return result


def _layout(kept: Tensor) -> torch.memory_format:
    """Give the order in which a kept value lies in memory: its new form is to lie alike."""
    last = kept.ndim == 4 and kept.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last and not kept.is_contiguous() else torch.contiguous_format


def _plus_kept(kept: Tensor, rows: Tensor, added: Tensor, out: Tensor) -> None:
    same = len(rows) == len(kept)  # rows ascend within a block: all of them
    torch.add(kept if same else kept.index_select(0, rows), added, out=out)


def _grouped_conv(run: Running, node: fx.Node) -> Slices | None:
    """Only the units of one group read the change."""
    conv, given = _module_and_input(run, node)
    per_in, per_out = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    group = given.channels // per_in
    if bool((group != group[:, :1]).any()):
        return None
    change, results = _difference(run, node, given), []
    outputs = group[:, :1] * per_out + torch.arange(per_out, device=group.device)
    for first, end in run.items.blocks:
        weight = conv.weight[outputs[first]][:, given.channels[first] % per_in]
        results.append(_convolved(conv, change[first:end], weight, None, 1))
    kept = run.kept(node)[run.items.rows[:, None], outputs]
    return Slices(outputs, kept + torch.cat(results))


def _linear(run: Running, node: fx.Node) -> Tensor:
    linear, given = _module_and_input(run, node)
    change, kept = _difference(run, node, given), run.kept(node)
    result: Tensor = kept.index_select(0, run.items.rows)
    for first, end in run.items.blocks:
        result[first:end] += change[first:end] @ linear.weight[:, given.channels[first]].T
    return result


# Operations that join several values ------------------------------------------------------------------------


def _join(run: Running, node: fx.Node) -> Slices | None:
    """Arithmetic of a changed value with a number, with an unchanged value, or with itself."""
    nodes = node.all_input_nodes
    changed = [n for n in nodes if run.changed(n)]
    given = [run.value(n) for n in changed]
    if not all(isinstance(one, Slices) for one in given):
        return None
    first = given[0]
    if any(not torch.equal(one.channels, first.channels) for one in given[1:]):
        return None
    whole = run.kept(changed[0])
    values: dict[Any, Any] = {n: one.values for n, one in zip(changed, given, strict=True)}
    if any(run.kept(n).shape[1] != whole.shape[1] for n in changed):
        return None
    for other in (n for n in nodes if n not in values):
        beside = _beside(run, other, first, whole)
        if beside is None:
            return None
        values[other] = beside
    return Slices(first.channels, _called(run, node, values))


def _beside(run: Running, other: fx.Node, given: Slices, whole: Tensor) -> Any:
    """Give the channels of an unchanged value that meet the slices, None where they cannot be told."""
    kept = run.kept(other)
    if not isinstance(kept, Tensor):
        return run.value(other)
    if kept.ndim == 0:
        return kept
    if kept.ndim != whole.ndim or kept.shape[1] not in (1, whole.shape[1]):
        return None
    if kept.shape[0] == 1 and len(whole) > 1:
        return kept if kept.shape[1] == 1 else kept[0][given.channels]
    return given.of(kept, run.items) if kept.shape[0] == len(whole) else None


def _axis_of_cat(node: fx.Node) -> Any:
    return node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)


def _cat(run: Running, node: fx.Node) -> Slices | None:
    parts = node.args[0] if node.args else node.kwargs.get("tensors")
    channels, values, offset = [], [], 0
    for part in parts:  # type: ignore[union-attr]
        if run.changed(part):  # type: ignore[arg-type]
            given = run.value(part)  # type: ignore[arg-type]
            if not isinstance(given, Slices):
                return None
            channels.append(given.channels + offset)
            values.append(given.values)
        offset += run.kept(part).shape[1]  # type: ignore[arg-type]
    return Slices(torch.cat(channels, 1), torch.cat(values, 1))


# Which operations are which ---------------------------------------------------------------------------------

_CHANNELWISE_MODULES = {
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign),
    *(nn.Threshold, nn.LogSigmoid, nn.Tanhshrink, nn.Softshrink, nn.Hardshrink, nn.Identity),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
}
_SPACE_MODULES = {
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.LPPool2d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.ConstantPad2d, nn.Upsample),
}
_ELEMENTWISE = {
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish"),
    *("hardsigmoid", "hardtanh", "sigmoid", "tanh", "softplus", "softsign", "threshold", "logsigmoid"),
    *("clamp", "clamp_min", "clamp_max", "exp", "abs", "neg", "square", "sqrt", "contiguous", "clone"),
    *("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_dropout", "float", "pow", "detach"),
}
_POOLS = {
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "interpolate"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d"),
}
_REDUCTIONS = {"mean", "sum", "amax", "amin"}
_RESHAPES = {"view", "reshape", "flatten", "squeeze", "unsqueeze"}
_JOINS = {"add", "sub", "mul", "div", "truediv", "true_divide"}


def _name(node: fx.Node) -> str:
    name = str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", "")
    plain = name if name.startswith("__") else name.rstrip("_")
    return {"iadd": "add", "imul": "mul", "isub": "sub", "itruediv": "truediv"}.get(plain, plain)


def _reads_tensors_beside(node: fx.Node, example: Callable[[fx.Node], Any]) -> bool:
    """Whether a function reads other tensors than its first argument: what they mean is not known."""
    others = [n for n in node.all_input_nodes if n is not node.args[0]]
    return any(isinstance(example(n), Tensor) for n in others)


def _reduces_space(node: fx.Node, ndim: int) -> bool:
    dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    listed = [dims] if isinstance(dims, int) else dims
    if not isinstance(listed, tuple | list) or not listed:
        return False
    return all(isinstance(d, int) and d % ndim >= 2 for d in listed)


def _indexes_space(index: Any) -> bool:
    whole = slice(None)
    if not isinstance(index, tuple) or len(index) < 3 or index[:2] != (whole, whole):
        return False
    return all(isinstance(one, slice) for one in index)
