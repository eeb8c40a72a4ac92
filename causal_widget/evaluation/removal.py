"""The paper's first use: the accuracy after filters are removed, foreseen without running the network."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float64

from causal_widget.devices import resolve_device
from causal_widget.errors import ArgumentError, OrderError, UnknownNameError, check_seed, nearest
from causal_widget.evaluation.kinds import hidden_layers, units_of
from causal_widget.evaluation.local_changes import local_changes, outcomes_for
from causal_widget.evaluation.scores import pearson
from causal_widget.evaluation.truth import answers_under, first_labelled, margins
from causal_widget.graph import FilterGraph
from causal_widget.guard import bare
from causal_widget.interventions import Intervention
from causal_widget.jobs import Progress
from causal_widget.responses import ResponseSet, Source
from causal_widget.scm.local import LocalCoefficients, local_coefficients
from causal_widget.scm.model import StructuralCausalModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ANSWERS", "Removal", "predict_removal"]

ANSWERS = ("local", "equations")
SHARES = (0.05, 0.1, 0.2, 0.3)
Masks = Bool[np.ndarray, "mask unit"]


@dataclass(frozen=True, repr=False, eq=False)
class Removal:
    """Foreseen and true accuracy of a network without some of its filters.

    Attributes
    ----------
    n : int
        Number of images.
    baseline : float
        Accuracy of the whole network.
    series, removed : tuple
        Of each set: how it was chosen, and how many units it has.
    true : array, shape (set,)
        Accuracy without the set, measured.
    foreseen : mapping of answer to array, shape (set,)
    """

    n: int
    baseline: float
    series: tuple[str, ...]
    removed: tuple[int, ...]
    true: Float64[np.ndarray, " mask"]
    foreseen: Mapping[str, Float64[np.ndarray, " mask"]] = field(repr=False)

    def correlation(self, answer: str) -> float:
        """Correlate foreseen and true accuracy over the sets."""
        return pearson(self._of(answer), self.true)

    def error(self, answer: str) -> float:
        """Give the mean absolute error of the foreseen accuracy, 0 .. 1."""
        return float(np.abs(self._of(answer) - self.true).mean())

    def table(self) -> pd.DataFrame:
        """One row a set: how it was chosen, units removed, true and foreseen accuracy."""
        return pd.DataFrame(
            {"sets": self.series, "removed": self.removed, "true": self.true, **dict(self.foreseen)}
        )

    def summary(self) -> pd.DataFrame:
        """One row a way of choosing and answer: correlation and mean absolute error over its sets."""
        rows, chosen = [], np.array(self.series)
        for answer, found in self.foreseen.items():
            for series in dict.fromkeys(self.series):
                at = chosen == series
                rows.append(
                    {
                        "sets": series,
                        "answer": answer,
                        "n": int(at.sum()),
                        "correlation": pearson(found[at], self.true[at]),
                        "error": float(np.abs(found[at] - self.true[at]).mean()),
                    }
                )
        return pd.DataFrame(rows)

    def plot(self, answer: str | None = None, figsize: tuple[float, float] = (5.4, 4.6)) -> Figure:
        """Show foreseen over true accuracy, one point a set."""
        from causal_widget.plots.fidelity import predicted_accuracy

        name = answer or next(iter(self.foreseen))
        found, chosen = self._of(name), np.array(self.series)
        names = list(dict.fromkeys(self.series))
        title = f"Accuracy without some filters, foreseen ({name})"
        parts = {s: found[chosen == s] for s in names}
        return predicted_accuracy(names, parts, {s: self.true[chosen == s] for s in names}, title, figsize)

    def _of(self, answer: str) -> Float64[np.ndarray, " mask"]:
        if answer not in self.foreseen:
            raise UnknownNameError(
                f'there is no answer "{answer}", only {", ".join(self.foreseen)}.'
                f"{nearest(answer, self.foreseen)}"
            )
        return self.foreseen[answer]

    def __repr__(self) -> str:
        head = (
            f"Removal: {self.n:,} images, {len(self.true)} sets, "
            f"accuracy of the whole network {self.baseline:.2%}"
        )
        return f"{head}\n{self.summary().to_string(index=False, float_format='{:.3f}'.format)}"

    def _repr_html_(self) -> str:
        head = html.escape(repr(self).splitlines()[0])
        return f"<p>{head}</p>{self.summary().to_html(index=False, float_format='{:.3f}'.format)}"


def predict_removal(
    scm: StructuralCausalModel,
    loader: Any,
    sets: Mapping[str, Sequence[Mapping[str, Sequence[int]]]] | None = None,
    *,
    answers: Sequence[str] = ANSWERS,
    shares: Sequence[float] = SHARES,
    n_random: int = 5,
    images: int | None = 200,
    passes: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> Removal:
    """Foresee the network's accuracy without some of its units, and measure it to compare.

    The foreseen accuracies cost no forward pass a set: the equations answer from responses, the local
    coefficients from gradients that were taken once. The true ones cost one an image and set.

    Parameters
    ----------
    scm : StructuralCausalModel
        With its network attached.
    loader : iterable
        Labelled images.
    sets : mapping of series to sequence of units by layer, optional
        What is removed together. None: of every hidden convolution the same share, at random, and the least
        and the most important by the local coefficients of the margin.
    answers : sequence of {"local", "equations"}
        What foresees.
    shares : sequence of float
        Of each layer's units, for the sets made here; one that removes no unit of any layer is left out.
    n_random : int
        Random sets at each share.
    images : int or None
        How many; None for all.
    passes : int
        Random contexts an image, and share, of the local coefficients.
    seed : int
        Of sets and contexts.
    progress : Progress, optional

    Raises
    ------
    UnknownNameError, ArgumentError
        If an answer, layer or unit does not exist, or a share is not in 0 .. 1.
    OrderError
        If the causal model has no network attached.
    """
    told, seed, chosen = progress or Progress(), check_seed(seed), _checked_answers(answers)
    x, y = first_labelled(loader, images)
    pair = (x, torch.from_numpy(y))
    responses, source = scm.responses(pair), scm.source
    if source is None:
        raise OrderError("no network is attached to this causal model: attach(model, loader) first")
    local = None
    if sets is None or "local" in chosen:
        local = local_coefficients(
            source.model, scm.graph, pair, outcomes=outcomes_for(scm.graph.output.units), site=scm.site,
            fractions=(0.0, *shares), passes=(1, *[passes] * len(shares)), seed=seed,
            device=_device(source), progress=told,
        )  # fmt: skip
    made = sets if local is None or sets is not None else _sets(local, shares, n_random, seed)
    masks = _masks(scm.graph, made or {})
    everything = np.concatenate([np.zeros((1, masks.shape[1]), dtype=bool), masks])
    logits = answers_under(
        source.model, scm.graph, everything, pair, site=scm.site, device=_device(source), progress=told
    )
    margin = margins(logits, y)
    foreseen = {}
    for answer in chosen:
        if answer == "local" and local is not None:
            change = local_changes(local, masks)[..., 1]
            foreseen[answer] = (margin[:, :1] + change > 0).mean(axis=0)
        elif answer == "equations":
            foreseen[answer] = _by_equations(scm, responses, masks, told)
    return Removal(
        n=len(y),
        baseline=float((margin[:, 0] > 0).mean()),
        series=tuple(name for name, listed in (made or {}).items() for _ in listed),
        removed=tuple(int(mask.sum()) for mask in masks),
        true=(margin[:, 1:] > 0).mean(axis=0),
        foreseen=foreseen,
    )


def _by_equations(
    scm: StructuralCausalModel, responses: ResponseSet, masks: Masks, told: Progress
) -> Float64[np.ndarray, " mask"]:
    found = []
    for mask in masks:
        told.check()
        accuracy = scm.do(units_of(scm.graph, mask), answer="equations").predict(responses).accuracy
        found.append(float("nan") if accuracy is None else accuracy)
    return np.array(found)


def _sets(
    local: LocalCoefficients, shares: Sequence[float], n_random: int, seed: int
) -> dict[str, list[Mapping[str, Sequence[int]]]]:
    """Choose of every hidden convolution the same share: at random, least and most important first.

    Shares too small to remove a single unit are left out: that nothing changes without them is no prediction.

    Raises
    ------
    ArgumentError
        If no share removes any.
    """
    generator = np.random.default_rng(seed)
    singles = np.eye(local.contexts.units, dtype=bool)
    drops = -local_changes(local, singles)[..., 1].mean(axis=0)
    made: dict[str, list[Mapping[str, Sequence[int]]]] = {
        "random": [],
        "least important": [],
        "most important": [],
    }
    layers = [layer for layer in local.graph.hidden_conv_layers if layer.name in local.columns]
    for share in shares:
        counts = {layer.name: min(round(share * layer.units), layer.units - 1) for layer in layers}
        if not any(counts.values()):
            continue
        orders = {name: np.argsort(drops[local.columns[name]], kind="stable") for name in counts}
        made["least important"].append({name: orders[name][:n].tolist() for name, n in counts.items()})
        made["most important"].append(
            {name: orders[name][len(orders[name]) - n :].tolist() for name, n in counts.items()}
        )
        made["random"] += [
            {name: generator.permutation(len(orders[name]))[:n].tolist() for name, n in counts.items()}
            for _ in range(n_random)
        ]
    if not made["least important"]:
        raise ArgumentError(
            f"shares {tuple(shares)} remove no filter: the widest hidden convolution has "
            f"{max((layer.units for layer in layers), default=0)}; give larger shares, or sets"
        )
    return made


def _masks(graph: FilterGraph, sets: Mapping[str, Sequence[Mapping[str, Sequence[int]]]]) -> Masks:
    layers = hidden_layers(graph)
    ends = np.cumsum([layer.units for layer in layers])
    starts = {layer.name: int(end) - layer.units for layer, end in zip(layers, ends, strict=True)}
    masks = []
    for units in (one for listed in sets.values() for one in listed):
        mask = np.zeros(int(ends[-1]), dtype=bool)
        for name, chosen in Intervention(units).checked(graph).units.items():
            mask[starts[name] + np.array(tuple(chosen))] = True
        masks.append(mask)
    if not masks:
        raise ArgumentError("there is no set of units to remove; expected at least one")
    return np.stack(masks)


def _device(source: Source) -> torch.device:
    return resolve_device(source.device, bare(source.model))


def _checked_answers(answers: Sequence[str]) -> list[str]:
    listed = [answers] if isinstance(answers, str) else list(answers)
    for name in listed:
        if name not in ANSWERS:
            raise UnknownNameError(
                f'answer "{name}" does not exist; expected some of {", ".join(ANSWERS)}.'
                f"{nearest(str(name), ANSWERS)}"
            )
    if not listed:
        raise ArgumentError("answers is empty; expected at least one")
    return listed
