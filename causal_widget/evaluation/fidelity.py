"""Is the causal model's answer the network's answer? Foreseen against true changes under do()."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import nn

from causal_widget.errors import ArgumentError, UnknownNameError, check_seed, nearest
from causal_widget.evaluation.coar import checked_sets
from causal_widget.evaluation.foreseen import Foreseen, scored
from causal_widget.evaluation.kinds import KINDS
from causal_widget.evaluation.methods import METHODS, Bench
from causal_widget.evaluation.scores import Score
from causal_widget.evaluation.truth import Truth, truth_under
from causal_widget.graph import FilterGraph, trace
from causal_widget.guard import bare
from causal_widget.jobs import Progress
from causal_widget.responses import first_images
from causal_widget.scm.local import FRACTIONS, PASSES
from causal_widget.scm.model import StructuralCausalModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Fidelity", "fidelity"]

BUDGET = 30_000
SHOWN = ("pearson", "pearson_by_image", "r2")


@dataclass(frozen=True, repr=False, eq=False)
class Fidelity:
    """How well each method foresees what the network does under do().

    Attributes
    ----------
    truth : Truth
        What the network did.
    scores : tuple of Score
        One a method and kind of intervention.
    skipped : mapping of method to reason
        Methods that were asked for and left out.
    notes : mapping of method to note
    """

    truth: Truth
    scores: tuple[Score, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in the order in which they were asked for."""
        return tuple(dict.fromkeys(score.method for score in self.scores))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of intervention."""
        return tuple(dict.fromkeys(score.kind for score in self.scores))

    def score(self, method: str, kind: str) -> Score:
        """Give the score of one method for one kind.

        Raises
        ------
        UnknownNameError
            If there is none.
        """
        for one in self.scores:
            if (one.method, one.kind) == (method, kind):
                return one
        why = f" {self.skipped[method]}." if method in self.skipped else ""
        known = self.kinds if method in self.methods else self.methods
        word = kind if method in self.methods else method
        raise UnknownNameError(f'there is no score of "{method}" for "{kind}".{why}{nearest(word, known)}')

    def table(self) -> pd.DataFrame:
        """One row a method and kind: correlations, R2, accuracy, flips, forward passes."""
        return pd.DataFrame([asdict(score) for score in self.scores])

    def compare(self, what: str = "pearson") -> pd.DataFrame:
        """One row a method, one column a kind, and the forward passes an image.

        Parameters
        ----------
        what : str
            A column of `table`.

        Raises
        ------
        UnknownNameError
            If there is no such column.
        """
        table = self.table()
        if what not in table:
            raise UnknownNameError(f'there is no score "{what}".{nearest(what, table.columns)}')
        wide = table.pivot(index="method", columns="kind", values=what)
        wide = wide.loc[list(self.methods), list(self.kinds)]
        wide["forwards"] = table.groupby("method")["forwards"].first()
        wide["images"] = table.groupby("method")["images"].first()
        wide.columns.name = None
        return wide

    def joined(self, *foreseen: Foreseen) -> Fidelity:
        """Give the same with more methods' answers to the same interventions, judged by the same truth.

        Raises
        ------
        ArgumentError
            If a method of that name is there already.
        """
        names = [*self.methods, *(one.method for one in foreseen)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ArgumentError(f'there is a method "{twice}" already; give the new one another name')
        more = tuple(score for one in foreseen for score in scored(self.truth, one))
        notes = {one.method: one.note for one in foreseen if one.note}
        return Fidelity(self.truth, self.scores + more, self.skipped, {**self.notes, **notes})

    def plot(self, what: str = "pearson", figsize: tuple[float, float] | None = None) -> Figure:
        """Show a score of every method for every kind of intervention."""
        from causal_widget.plots.fidelity import fidelity_dots

        wide = self.compare(what)
        lines = {
            str(method): wide.loc[method, list(self.kinds)].to_numpy(dtype=float) for method in wide.index
        }
        cost = {str(method): float(n) for method, n in wide["forwards"].items()}
        return fidelity_dots(self.kinds, lines, cost, LABELS.get(what, what), figsize)

    def __repr__(self) -> str:
        parts = [f"Fidelity on {self.truth.n_images:,} images: foreseen and true change under do()"]
        for what in SHOWN:
            text = self.compare(what).to_string(float_format="{:.3f}".format)
            parts.append(f"{LABELS[what]}\n{text}")
        parts += [f"{method} left out: {why}" for method, why in self.skipped.items()]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        head, rest = html.escape(repr(self).splitlines()[0]), []
        for what in SHOWN:
            table = self.compare(what).to_html(float_format="{:.3f}".format, escape=True)
            rest.append(f"<p>{html.escape(LABELS[what])}</p>{table}")
        rest += [f"<p>{html.escape(f'{m} left out: {why}')}</p>" for m, why in self.skipped.items()]
        return f"<p>{head}</p>{''.join(rest)}"


LABELS = {
    "pearson": "correlation with the true change of the true class's logit",
    "pearson_by_image": "the same within each image, averaged",
    "spearman": "rank correlation with the true change of the true class's logit",
    "spearman_by_image": "rank correlation within each image, averaged",
    "r2": "R2 of the true change of the true class's logit",
    "margin_pearson": "correlation with the true change of the margin",
    "margin_by_image": "correlation with the change of the margin within each image, averaged",
    "accuracy_r": "correlation with the true accuracy under do()",
    "accuracy_error": "mean absolute error of the accuracy under do()",
    "foreseen": "share of flipped predictions that are foreseen",
}


def fidelity(
    scm: StructuralCausalModel | None,
    model: nn.Module,
    loader: Iterable[Any],
    *,
    images: int | None = 200,
    n_masks: int = 10,
    kinds: Sequence[str] = KINDS,
    methods: Sequence[str] = tuple(METHODS),
    coar_masks: int = 1000,
    budget: int = BUDGET,
    fractions: object = FRACTIONS,
    passes: object = PASSES,
    site: str | None = None,
    graph: FilterGraph | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    truth: Truth | None = None,
    progress: Progress | None = None,
) -> Fidelity:
    """Judge a causal model, and baselines, by the network's own answers under random do().

    Parameters
    ----------
    scm : StructuralCausalModel or None
        With its network attached; None judges the baselines alone.
    model : nn.Module
        The network.
    loader : iterable
        Labelled images that the equations were not fitted on.
    images, n_masks, kinds
        How many images, and random sets of each kind, as for `truth_under`.
    methods : sequence of str
        Of "equations" (the causal model's), "local" (equations local to each image, from gradients),
        "no change", "leave-one-out" (exact effects of single units, summed), "gradient" (the network made
        linear at the image), "weight norm", "COAR", and "COAR on local" (COAR of what the local equations
        leave).
    coar_masks : int
        Random sets that COAR is fitted on.
    budget : int
        Forward passes (images times sets) that a method may cost: leave-one-out and COAR are judged on as
        many images as it allows, and left out, saying so, below 8 (or all images, where there are fewer).
    fractions, passes
        Of the local equations, as for `local_coefficients`.
    site, graph
        Where units are silenced, and the network's graph; None takes the causal model's.
    seed : int
        Of all random sets.
    device, progress
        Where to run, whom to tell.
    truth : Truth, optional
        The network's answers, where they were measured before.

    Raises
    ------
    UnknownNameError
        If a method, kind or site does not exist.
    ArgumentError
        If a number is out of range, or the causal model's network does not answer as the network does.
    OrderError
        If the causal model has no network attached.
    """
    chosen, told = _checked_methods(methods), progress or Progress()
    most, sets, seed = _checked_budget(budget), checked_sets(coar_masks), check_seed(seed)
    true = truth
    if true is None:
        where = site or (scm.site if scm is not None else "activation")
        true = truth_under(
            model, _graph(scm, graph, model, loader), loader, kinds=kinds, images=images, n_masks=n_masks,
            site=where, seed=seed, device=device, progress=told,
        )  # fmt: skip
    bench = Bench(true, scm, most, sets, seed, told, fractions, passes)
    found, skipped = [], {}
    for name in chosen:
        told.check()
        answer = METHODS[name](bench)
        if isinstance(answer, str):
            skipped[name] = answer
        else:
            found.append(answer)
    return Fidelity(true, (), skipped).joined(*found)


def _graph(
    scm: StructuralCausalModel | None, graph: FilterGraph | None, model: nn.Module, loader: Iterable[Any]
) -> FilterGraph:
    if graph is not None:
        return graph
    return scm.graph if scm is not None else trace(bare(model), first_images(loader)[:1])


def _checked_methods(methods: Sequence[str]) -> list[str]:
    listed = [methods] if isinstance(methods, str) else list(methods)
    for name in listed:
        if name not in METHODS:
            raise UnknownNameError(
                f'method "{name}" does not exist; expected some of {", ".join(METHODS)}.'
                f"{nearest(str(name), METHODS)}"
            )
    if not listed or len(set(listed)) < len(listed):
        raise ArgumentError(f"methods must be one or more, each once, got {methods!r:.80}")
    return listed


def _checked_budget(budget: object) -> int:
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < 0:
        raise ArgumentError(f"budget must be a whole number of forward passes, 0 or more, got {budget!r:.80}")
    return budget
