"""Ways to foresee what do() does to the network: the causal model, its local equations, and baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from causal_widget.errors import ArgumentError
from causal_widget.evaluation.coar import coar_of
from causal_widget.evaluation.foreseen import Foreseen, from_logits
from causal_widget.evaluation.kinds import hidden_layers
from causal_widget.evaluation.local_changes import PAIR, local_changes, outcomes_for
from causal_widget.evaluation.truth import Truth, answers_under
from causal_widget.guard import bare
from causal_widget.jobs import Progress
from causal_widget.scm.local import FRACTIONS, PASSES, LocalCoefficients, local_coefficients
from causal_widget.scm.local.contexts import checked_contexts
from causal_widget.scm.model import StructuralCausalModel

__all__ = ["METHODS", "Bench", "by_equations", "by_local", "of_local"]

FEWEST = 8
SAME = 1e-2  # of the largest logit: more than devices and precisions differ by


@dataclass(frozen=True)
class Bench:
    """What every method may use.

    Attributes
    ----------
    truth : Truth
    model : StructuralCausalModel or None
    budget : int
        Forward passes, images times sets, that one method may cost; an expensive one is judged on as many of
        the images as it allows.
    coar_masks : int
        Random sets that COAR is fitted on.
    fractions, passes
        Of the local equations.
    seed : int
    progress : Progress
    """

    truth: Truth
    model: StructuralCausalModel | None
    budget: int
    coar_masks: int
    seed: int
    progress: Progress
    fractions: object = FRACTIONS
    passes: object = PASSES

    def affordable(self, cost: int) -> int | str:
        """On how many images a method of that many forward passes each may be judged, or why on none."""
        fewest = min(FEWEST, self.truth.n_images)
        n = min(self.truth.n_images, self.budget // cost)
        if n < fewest:
            return f"{cost:,} forward passes an image; give a budget of {fewest * cost:,} or more"
        return n


def _no_change(bench: Bench) -> Foreseen:
    truth = bench.truth
    none = {kind: np.zeros((truth.n_images, len(masks))) for kind, masks in truth.masks.items()}
    return Foreseen("no change", none, none, 0)


def by_equations(model: StructuralCausalModel, truth: Truth, method: str = "equations") -> Foreseen:
    """Foresee by the structural equations, each image's residuals kept.

    Raises
    ------
    OrderError
        If the causal model has no network attached to read responses from.
    ArgumentError
        If that network answers otherwise than the one that is the truth.
    """
    responses = model.responses(truth.loader)
    off = float(np.abs(responses[responses.output] - truth.logits).max())
    if off > SAME * (1 + float(np.abs(truth.logits).max())):
        raise ArgumentError(
            "the network attached to the causal model is not the one that it is judged by: their logits "
            f"differ by up to {off:.3g}; attach(model, loader) first, or give its own network"
        )
    changes = {
        kind: np.stack(
            [model.do(one, answer="equations").change(responses) for one in truth.interventions(kind)], axis=1
        )
        for kind in truth.kinds
    }
    return from_logits(method, truth, changes, 0)


def _equations(bench: Bench) -> Foreseen | str:
    if bench.model is None:
        return "no causal model was given"
    found = by_equations(bench.model, bench.truth)
    n = bench.model.n_images
    return replace(
        found, note=f"fitted once on {n:,} images: {bench.model.estimator}, {bench.model.transform}"
    )


def by_local(
    truth: Truth,
    *,
    images: int | None = None,
    outcomes: object = None,
    fractions: object = FRACTIONS,
    passes: object = PASSES,
    seed: int = 0,
    method: str = "local",
    progress: Progress | None = None,
) -> Foreseen:
    """Foresee by equations local to each image.

    Parameters
    ----------
    truth : Truth
    images : int, optional
        Only so many of its first images.
    outcomes
        What is measured: None, the logits of all classes, of which the margin follows, or of networks with
        very many classes the true class's logit and the margin itself. The margin's own gradient knows
        nothing of the classes behind the runner-up: on a CIFAR-10 LeNet-5 its foreseen change under 10 % of
        the units correlates .70 with the true one, by all logits .88.
    fractions, passes, seed, progress
        As for `local_coefficients`.
    method : str
        Under which name.
    """
    wanted = outcomes if outcomes is not None else outcomes_for(truth.logits.shape[1])
    local = local_coefficients(
        truth.model,
        truth.graph,
        truth.first(images or truth.n_images),
        outcomes=wanted,
        site=truth.site,
        fractions=fractions,
        passes=passes,
        seed=seed,
        device=truth.device,
        progress=progress,
    )
    return of_local(truth, local, method)


def of_local(truth: Truth, local: LocalCoefficients, method: str = "local") -> Foreseen:
    """Foresee by local equations that were measured before: of all classes, or of "true" and "margin"."""
    found = {kind: local_changes(local, masks) for kind, masks in truth.masks.items()}
    true, margin = ({kind: change[..., k] for kind, change in found.items()} for k in (0, 1))
    return Foreseen(method, true, margin, local.forward_equivalents)


def _local(bench: Bench) -> Foreseen | str:
    return _measured(bench, "local", bench.fractions, bench.passes)


def _gradient(bench: Bench) -> Foreseen | str:
    return _measured(bench, "gradient", (0.0,), 1)


def _measured(bench: Bench, method: str, fractions: object, passes: object) -> Foreseen | str:
    truth = bench.truth
    units = sum(layer.units for layer in hidden_layers(truth.graph))
    backward = truth.logits.shape[1] if outcomes_for(truth.logits.shape[1]) == "all" else len(PAIR)
    cost = sum(checked_contexts(fractions, passes, units).passes) * (1 + 2 * backward)
    n = bench.affordable(cost)
    if isinstance(n, str):
        return n
    return by_local(
        truth, images=n, fractions=fractions, passes=passes, seed=bench.seed, method=method,
        progress=bench.progress,
    )  # fmt: skip


def _leave_one_out(bench: Bench) -> Foreseen | str:
    truth = bench.truth
    units = sum(layer.units for layer in hidden_layers(truth.graph))
    n = bench.affordable(units)
    if isinstance(n, str):
        return n
    singles = np.eye(units, dtype=bool)
    after = answers_under(
        truth.model,
        truth.graph,
        singles,
        truth.first(n),
        site=truth.site,
        device=truth.device,
        progress=bench.progress,
    )
    effects = after - truth.logits[:n, None]
    changes = {
        kind: np.einsum("mu,iuc->imc", masks.astype(np.float64), effects, optimize=True)
        for kind, masks in truth.masks.items()
    }
    return from_logits("leave-one-out", truth, changes, units)


def _weight_norm(bench: Bench) -> Foreseen | str:
    """Every image loses the same: one constant times the sum of the norms of the silenced units' weights.

    The constant is fitted to the very changes that are to be foreseen, in the baseline's favour.
    """
    truth = bench.truth
    norms = _norms(truth)
    if norms is None:
        return "a layer has no weights of its own"
    true, margin = {}, {}
    for kind, masks in truth.masks.items():
        total = np.broadcast_to(masks @ norms, (truth.n_images, len(masks)))
        true[kind] = _fitted(total, truth.true_change(kind))
        margin[kind] = _fitted(total, truth.margin_change(kind))
    return Foreseen("weight norm", true, margin, 0, "its one constant was fitted to these very changes")


def _norms(truth: Truth) -> Float64[np.ndarray, " unit"] | None:
    network, found = bare(truth.model), []
    for layer in hidden_layers(truth.graph):
        module = network.get_submodule(layer.module)
        weight = getattr(module, "weight", None)
        if weight is None:
            return None
        axis = 1 if getattr(module, "transposed", False) else 0
        rows = weight.detach().double().cpu().movedim(axis, 0).reshape(layer.units, -1)
        found.append(rows.norm(dim=1).numpy())
    return np.concatenate(found)


def _fitted(
    total: Float64[np.ndarray, "image mask"], true: Float64[np.ndarray, "image mask"]
) -> Float64[np.ndarray, "image mask"]:
    squares = float((total**2).sum())
    return np.asarray(total * (float((total * true).sum()) / squares if squares else 0.0))


def _coar(bench: Bench) -> Foreseen | str:
    return _regression(bench, "COAR", controlled=False)


def _controlled(bench: Bench) -> Foreseen | str:
    return _regression(bench, "COAR on local", controlled=True)


def _regression(bench: Bench, method: str, controlled: bool) -> Foreseen | str:
    truth, n = bench.truth, bench.affordable(bench.coar_masks)
    if isinstance(n, str):
        return n
    local = None
    if controlled:
        local = local_coefficients(
            truth.model,
            truth.graph,
            truth.first(n),
            outcomes=outcomes_for(truth.logits.shape[1]),
            site=truth.site,
            fractions=bench.fractions,
            passes=bench.passes,
            seed=bench.seed,
            device=truth.device,
        )
    coar = coar_of(
        truth, images=n, n_masks=bench.coar_masks, control=local, seed=bench.seed, progress=bench.progress
    )
    true, margin = {}, {}
    for kind, masks in truth.masks.items():
        change = coar.predict_masks(masks)
        if local is not None:
            change = change + local_changes(local, masks)
        true[kind], margin[kind] = change[..., 0], change[..., 1]
    spent = bench.coar_masks + (0 if local is None else local.forward_equivalents)
    return Foreseen(method, true, margin, spent, f"ridge {coar.penalty:.3g}, sets of {coar.fraction:.0%}")


Method = Callable[[Bench], "Foreseen | str"]
METHODS: Mapping[str, Method] = {
    "equations": _equations,
    "local": _local,
    "no change": _no_change,
    "leave-one-out": _leave_one_out,
    "gradient": _gradient,
    "weight norm": _weight_norm,
    "COAR": _coar,
    "COAR on local": _controlled,
}
