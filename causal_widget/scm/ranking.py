"""Rank filters by what silencing them costs, with intervals that say how far the ranks can be trusted."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from causal_widget.errors import ArgumentError, UnknownNameError, check_seed, nearest
from causal_widget.responses import ResponseSet
from causal_widget.scm.do import check_answer
from causal_widget.scm.local.answering import answers_locally, local_for
from causal_widget.scm.silencing import (
    MEASURES,
    Measured,
    as_is,
    labels_of,
    silenced,
    silenced_locally,
)
from causal_widget.scm.total import layers_before

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from causal_widget.scm.model import StructuralCausalModel

__all__ = ["LayerRanking", "Ranking", "ranking"]

Array = NDArray[np.float64]
Blocks = Iterator[tuple[str, slice, slice, Measured]]
SHOWN = 40
ALIKE = "all alike"


@dataclass(frozen=True, eq=False)
class LayerRanking:
    """The units of one layer.

    Attributes
    ----------
    drop
        (unit,), what silencing the unit costs: how much accuracy or margin falls, or the loss rises.
    rank, low, high
        (unit,), the rank by the drop, 1 where it is largest (the mean rank of equals), and the interval of
        the rank over bootstrap samples of the images; NaN without a bootstrap, and of a single image, which
        has no other samples.
    effect
        (unit,), the same drop as the network itself has it; None where it was not given.
    """

    drop: Float64[np.ndarray, " unit"]
    rank: Float64[np.ndarray, " unit"]
    low: Float64[np.ndarray, " unit"]
    high: Float64[np.ndarray, " unit"]
    effect: Float64[np.ndarray, " unit"] | None = None

    @property
    def order(self) -> Int64[np.ndarray, " unit"]:
        """Units from the most important to the least, of equals the first first."""
        return np.argsort(-self.drop, kind="stable")


@dataclass(frozen=True, repr=False, eq=False)
class Ranking:
    """What each unit is foreseen to cost when it is silenced, and its rank in its layer.

    Attributes
    ----------
    by
        "accuracy", "loss" or "margin".
    n
        Number of images.
    baseline
        Of the network as it is.
    layers
        The ranking of each layer.
    level, bootstrap
        Coverage of the rank intervals, and how many samples of the images they are from.
    answer
        What foresaw the costs: "equations" or "local".
    """

    by: str
    n: int
    baseline: float
    layers: Mapping[str, LayerRanking] = field(repr=False)
    level: float = 0.95
    bootstrap: int = 0
    answer: str = "equations"

    @property
    def undecided(self) -> tuple[str, ...]:
        """Layers all of whose units cost the same: their order says nothing."""
        return tuple(name for name, one in self.layers.items() if len(one.drop) > 1 and not np.ptp(one.drop))

    def least(self, k: int = 3) -> dict[str, tuple[int, ...]]:
        """Give the k least important units of each layer, the least important first."""
        return {name: tuple(map(int, one.order[::-1][:k])) for name, one in self.layers.items()}

    def most(self, k: int = 3) -> dict[str, tuple[int, ...]]:
        """Give the k most important units of each layer, the most important first."""
        return {name: tuple(map(int, one.order[:k])) for name, one in self.layers.items()}

    def extremes(self, k: int = 3) -> pd.DataFrame:
        """Give one row a layer with its k least and k most important units (table 7 of the paper).

        "all alike" where all units of a layer cost the same.
        """
        least, most, alike = self.least(k), self.most(k), self.undecided
        rows = [
            {
                "layer": name,
                "least important": ALIKE if name in alike else ", ".join(map(str, least[name])),
                "most important": ALIKE if name in alike else ", ".join(map(str, most[name])),
            }
            for name in self.layers
        ]
        return pd.DataFrame(rows)

    def correlation(self) -> dict[str, float]:
        """Give Spearman's correlation of each layer's drops with the network's own; empty without those.

        NaN where all drops of a layer, or all of the network's, are the same.
        """
        return {
            name: float(spearmanr(one.drop, one.effect).statistic)
            if np.ptp(one.drop) and np.ptp(one.effect)
            else float("nan")
            for name, one in self.layers.items()
            if one.effect is not None and len(one.drop) > 1
        }

    def table(self) -> pd.DataFrame:
        """Give one row a unit, the largest drop first: layer, unit, drop, rank and its interval.

        With the network's own effects also those and their rank.
        """
        whole = pd.concat([self._of(name) for name in self.layers], ignore_index=True)
        return whole.sort_values("drop", ascending=False, kind="stable", ignore_index=True)

    def _of(self, name: str) -> pd.DataFrame:
        one = self.layers[name]
        columns = {
            "layer": name,
            "unit": np.arange(len(one.drop)),
            "drop": one.drop,
            "rank": one.rank,
            "low": one.low,
            "high": one.high,
        }
        if one.effect is not None:
            columns |= {"network drop": one.effect, "network rank": rankdata(-one.effect)}
        return pd.DataFrame(columns)

    def plot(self, layer: str | None = None, figsize: tuple[float, float] | None = None) -> Figure:
        """Show the ranks of a layer's units with their intervals; of more than 40 the most important.

        Raises
        ------
        UnknownNameError
            The layer is not ranked.
        """
        from causal_widget.plots.scm import rank_intervals

        name = next(iter(self.layers)) if layer is None else layer
        if name not in self.layers:
            raise UnknownNameError(f'layer "{name}" is not ranked.{nearest(name, self.layers)}')
        one = self.layers[name]
        order = one.order[:SHOWN]
        some = f", the first {SHOWN} of {len(one.drop)}" if len(one.drop) > SHOWN else ""
        title = f"{name} by the {self._words()}{some}, {self.n:,} images"
        labels = [str(unit) for unit in order]
        return rank_intervals(labels, one.rank[order], one.low[order], one.high[order], title, figsize)

    def _words(self) -> str:
        return "rise of the loss" if self.by == "loss" else f"drop of the {self.by}"

    def __repr__(self) -> str:
        units = sum(len(one.drop) for one in self.layers.values())
        by = "the equations" if self.answer == "equations" else "coefficients local to each image"
        head = (
            f"Ranking of {units:,} units in {len(self.layers)} layers by the {self._words()} that "
            f"{by} foresee on {self.n:,} images ({self.by} {self.baseline:.4g} as it is)"
        )
        told = [one for name, one in self.layers.items() if name not in self.undecided]
        spans = [np.median((one.high - one.low) / len(one.drop)) for one in told]
        if self.bootstrap and spans:
            head += (
                f"; the {self.level:.0%} interval of a rank spans {np.mean(spans):.0%} of its layer (median)"
            )
        return f"{head}\n{self.extremes().to_string(index=False)}"

    def _repr_html_(self) -> str:
        head = repr(self).splitlines()[0]
        return f"<p>{html.escape(head)}</p>{self.extremes().to_html(index=False, escape=True)}"


def ranking(
    model: StructuralCausalModel,
    layer: str | None = None,
    by: str = "accuracy",
    images: Any = None,
    *,
    bootstrap: int = 200,
    level: float = 0.95,
    seed: int = 0,
    effects: Mapping[str, Float64[np.ndarray, " unit"]] | None = None,
    answer: str | None = None,
) -> Ranking:
    """Rank units by what silencing each alone is foreseen to cost.

    Source: Narendra et al. 2018, table 7, which ranks by accuracy; by accuracy the ranks are mostly noise at
    a few thousand images, and the intervals say so.

    Parameters
    ----------
    model
        The causal model.
    layer
        Whose units; None ranks every layer before the classes, each by itself.
    by
        "accuracy", "loss" or "margin" (the true logit minus the largest other).
    images
        As for `do`; they need labels.
    bootstrap
        How many samples of the images, drawn with replacement, the rank intervals are from; 0 for none, as
        of a single image.
    level
        Coverage of the intervals: their ends are quantiles of the ranks over the samples.
    seed
        Of the samples.
    effects
        By layer, the network's own drops, to stand beside.
    answer
        What foresees: "equations" (the paper's way), "local" or None, as for `do`.

    Raises
    ------
    UnknownNameError
        If `by` or a layer does not exist.
    ArgumentError
        If a number is out of range, or an effect has another number of units.
    DataError
        If the images have no labels.
    OrderError
        If images must be read and no network is attached.
    """
    _check(by, bootstrap, level)
    layers, known = layers_before(model, model.graph.output.name, layer), dict(effects or {})
    _check_effects(model, layers, known)
    check_answer(answer)
    local = answer == "local" or (answer is None and answers_locally(model, images))
    responses, blocks = (_locally if local else _by_equations)(model, images, layers, layer)
    bootstrap = int(bootstrap) if responses.n_images > 1 else 0
    own = as_is(responses)
    draws = _draws(responses.n_images, bootstrap, check_seed(seed))
    costs = _costs(model, blocks, by, own, draws)
    found = {}
    for name in layers:
        drop, samples = costs[name][:, 0].numpy(), costs[name][:, 1:].numpy()
        low, high = _interval(samples, level)
        effect = known.get(name)
        found[name] = LayerRanking(
            drop, rankdata(-drop), low, high, None if effect is None else np.asarray(effect, dtype=np.float64)
        )
    return Ranking(
        by,
        responses.n_images,
        float(getattr(own, by).mean()),
        found,
        float(level),
        bootstrap,
        "local" if local else "equations",
    )


def _by_equations(
    model: StructuralCausalModel, images: Any, layers: list[str], layer: str | None
) -> tuple[ResponseSet, Blocks]:
    responses = model.responses(images)
    return responses, silenced(model, responses, layer)


def _locally(
    model: StructuralCausalModel, images: Any, layers: list[str], layer: str | None
) -> tuple[ResponseSet, Blocks]:
    found = local_for(model, images, 1)
    output = model.graph.output.name
    responses = ResponseSet({output: found.logits}, output, found.labels)
    return responses, silenced_locally(found, layers, labels_of(responses))


def _draws(n: int, bootstrap: int, seed: int) -> Float64[Tensor, "image draw"]:
    """Give how often each image counts: once (first column), and in each bootstrap sample.

    Counts rather than shares, so that sums of right and wrong answers are exact and equals stay equal.
    """
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=bootstrap)
    return torch.as_tensor(np.ascontiguousarray(np.concatenate([np.ones((1, n)), counts]).T))


def _costs(
    model: StructuralCausalModel,
    blocks: Blocks,
    by: str,
    own: Measured,
    draws: Float64[Tensor, "image draw"],
) -> dict[str, Float64[Tensor, "unit draw"]]:
    """Give what silencing each unit costs, over the images as they are and over every sample."""
    sign = 1.0 if by == "loss" else -1.0
    baseline = getattr(own, by)[0]
    costs: dict[str, Tensor] = {}
    for name, units, images, found in blocks:
        change = sign * (getattr(found, by) - baseline[images])
        if name not in costs:
            costs[name] = torch.zeros(model.graph.layer(name).units, draws.shape[1], dtype=torch.float64)
        costs[name][units].addmm_(change, draws[images])
    return {name: total / len(draws) for name, total in costs.items()}


def _interval(samples: Float64[np.ndarray, "unit draw"], level: float) -> tuple[Array, Array]:
    if not samples.shape[1]:
        unknown = np.full(len(samples), np.nan)
        return unknown, unknown
    ranks = rankdata(-samples, axis=0)
    low, high = np.quantile(ranks, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return low, high


def _check(by: str, bootstrap: int, level: float) -> None:
    if by not in MEASURES:
        raise UnknownNameError(
            f'by "{by}" is not known; expected one of {", ".join(MEASURES)}.{nearest(str(by), MEASURES)}'
        )
    if not isinstance(bootstrap, Integral) or isinstance(bootstrap, bool) or bootstrap < 0:
        raise ArgumentError(f"bootstrap is {bootstrap!r:.80}; expected a whole number, 0 for none")
    if not isinstance(level, Real) or not 0 < level < 1:
        raise ArgumentError(f"level is {level!r:.80}; expected a share between 0 and 1")


def _check_effects(model: StructuralCausalModel, layers: list[str], effects: Mapping[str, Array]) -> None:
    for name, effect in effects.items():
        if name not in layers:
            raise UnknownNameError(
                f'effects are of layer "{name}", which is not ranked.{nearest(name, layers)}'
            )
        units = model.graph.layer(name).units
        if np.shape(effect) != (units,):
            raise ArgumentError(
                f'effects of layer "{name}" have shape {np.shape(effect)}; expected a drop for each of its '
                f"{units} units"
            )
