"""What the explainer learns from images: responses, structural equations, importances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from causal_widget.effects import Effects
from causal_widget.errors import OrderError
from causal_widget.explainer.network import Network
from causal_widget.explainer.tables import FilterOutputs, ParentOutputs, conv_position
from causal_widget.importance import importance
from causal_widget.jobs import Progress, bar
from causal_widget.responses import Collection, ResponseSet, ResponseTable, collect
from causal_widget.responses.split import held_out
from causal_widget.scm import StructuralCausalModel, fit

__all__ = ["Importance", "Learner"]

FRESH = ("l1", "effect")  # the weights may have been trained on since, and effects measured

PhiFunction = Callable[[Tensor], Tensor]
Importance = dict[str, Float64[np.ndarray, " unit"]]


class Learner(Network):
    """The part of `CausalCNNExplainer` that runs over images and keeps what it found."""

    collection: Collection | None = None
    scm: StructuralCausalModel | None = None
    loader: Iterable[Any] | None = None
    _keep: bool = True
    _responses: ResponseTable | None = None
    _holdout: float = 0.0
    last_effects: Effects | None = None
    _importances: Mapping[tuple[str, int], Importance] = {}

    @property
    def filter_outputs(self) -> Mapping[int, Float[np.ndarray, "image unit"]]:
        """Raw responses by the number of each convolution; empty before `collect_data`.

        Raises
        ------
        OrderError
            If images were collected with ``keep_responses=False``.
        """
        if self._responses is None and self.collection is not None:
            raise OrderError(
                "raw responses were not kept: construct with keep_responses=True and collect again"
            )
        return {} if self._responses is None else FilterOutputs(self._responses, self.graph)

    @property
    def parent_outputs(self) -> Mapping[int, Float[np.ndarray, "image unit"] | None]:
        """Raw responses of each convolution's parents, side by side; empty before `collect_data`."""
        outputs = self.filter_outputs
        return ParentOutputs(outputs, self.dag) if outputs else {}

    @property
    def filter_importances(self) -> dict[int, Float64[np.ndarray, " unit"]]:
        """Importances by the number of each convolution; empty before `learn_structural_equations`."""
        return {} if self.scm is None else self.get_filter_importances()

    @property
    def heldout_responses(self) -> ResponseSet | None:
        """Raw responses of the images that no equation was fitted to; None where none were kept."""
        if self._responses is None or self.collection is None or not self._holdout:
            return None
        apart = held_out(0, self._responses.n_images, self._holdout)
        kept = {name: part[apart] for name, part in self._responses.items()}
        index = np.flatnonzero(apart)
        return ResponseSet(kept, self.graph.output.name, index=index) if len(index) else None

    def collect_data(
        self,
        data_loader: Iterable[Any],
        frobenius_norm_func: PhiFunction | None = None,
        *,
        max_batches: int | None = None,
        holdout: float = 0.2,
        site: str = "activation",
        intervene: float | None = None,
        progress: Progress | None = None,
    ) -> Collection:
        """Run the network once over the images and keep what the equations need.

        Parameters
        ----------
        data_loader : iterable
            Batches ``(images, labels)``, ``(images, labels, ...)``, ``{"image": ..., "label": ...}`` or
            images alone.
        frobenius_norm_func : callable, optional
            From a layer's maps (image, unit, height, width) to responses (image, unit); otherwise the
            Frobenius norm.
        max_batches : int, optional
            Stop after so many batches.
        holdout : float
            Share of the images on which the equations are judged and not fitted.
        site : str
            Where activations are read.
        intervene : float, optional
            Run each batch once more with this share of the units of a random layer silenced for each image,
            so that the equations also know what the network does under interventions.
        progress : Progress, optional
            Otherwise a bar.

        Raises
        ------
        DataError, NonFiniteError
            If the loader is empty or raises, or images or activations are not what was expected.

        Notes
        -----
        Whatever cuts the pass short, an error of the model's own or Ctrl-C too, `collection` holds the images
        seen until then; where there were none, everything is as before the call.
        """
        table = ResponseTable() if self._keep else None
        self._holdout = holdout
        try:
            self._collected(
                collect(
                    self._network,
                    data_loader,
                    transform=frobenius_norm_func or "frobenius",
                    site=site,
                    intervene=intervene,
                    holdout=holdout,
                    max_batches=max_batches,
                    device=self.device,
                    sinks=() if table is None else (table,),
                    progress=progress or bar("collect"),
                ),
                table,
                data_loader,
            )
        except BaseException as error:
            partial = getattr(error, "partial", None)
            if partial is not None and partial.n_images:
                self._collected(partial, table, data_loader)
            raise
        return self._need_collection()

    def _collected(self, collection: Collection, table: ResponseTable | None, loader: Iterable[Any]) -> None:
        self.collection, self._graph, self._responses = collection, collection.graph, table
        self.loader, self.scm, self._importances = loader, None, {}

    def learn_structural_equations(
        self, estimator: str = "ridge", *, progress: Progress | None = None
    ) -> StructuralCausalModel:
        """Fit each unit's response as a linear function of its parents' responses.

        Raises
        ------
        OrderError
            If nothing was collected.
        """
        self._importances = {}
        self.scm = fit(self._need_collection(), estimator, progress=progress or bar("equations"))
        return self.scm

    def importance(
        self,
        rule: str = "coefficient",
        *,
        seed: int = 0,
        effects: Effects | None = None,
        by: str | None = None,
    ) -> Importance:
        """Give one non-negative number a filter, that sums to 1 in each layer.

        Parameters
        ----------
        rule : str
            "coefficient", "standardised", "l1", "variance", "response", "effect" or "random".
        seed : int
            Of the rule "random".
        effects, by : Effects, str, optional
            Of the rule "effect": what was measured, otherwise what `effects` measured last; and on which
            outcome, ``"abs_loss"`` where there is the loss.

        Raises
        ------
        UnknownNameError
            If there is no such rule.
        OrderError
            If the rule needs images collected, equations learned, or effects measured.
        """
        known = self._importances.get((rule, seed))
        if known is None or rule in FRESH:
            known = importance(
                rule,
                graph=self.graph,
                scm=self.scm,
                collection=self.collection,
                model=self._network,
                seed=seed,
                effects=self.last_effects if effects is None else effects,
                by=by,
            )
            self._importances = {**self._importances, (rule, seed): known}
        return dict(known)

    def get_filter_importances(self, rule: str = "coefficient") -> dict[int, Float64[np.ndarray, " unit"]]:
        """Give the importances by the number of each convolution in forward order.

        A convolution whose filters are the classes has none.
        """
        position = conv_position(self.graph)
        return {position[name]: values for name, values in self.importance(rule).items() if name in position}

    def _need_collection(self) -> Collection:
        if self.collection is None:
            raise OrderError("collect first: call collect_data(loader)")
        return self.collection

    def _need_loader(self, loader: Iterable[Any] | None) -> Iterable[Any]:
        if loader is not None:
            return loader
        if self.loader is None:
            raise OrderError("collect first, or give a loader")
        return self.loader
