"""What the explainer measures on the network itself: the effects of silencing units, and of other edits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from causal_widget.effects import EffectPlan, Effects, plan_effects
from causal_widget.explainer.learning import Learner
from causal_widget.guard import guarded
from causal_widget.jobs import Progress, bar

__all__ = ["Measurer"]


class Measurer(Learner):
    """The part of `CausalCNNExplainer` that asks the network what edits do to its answers."""

    def plan_effects(
        self,
        layers: Iterable[str] | None = None,
        units: Mapping[str, Iterable[int]] | None = None,
        loader: Iterable[Any] | None = None,
        **options: Any,
    ) -> EffectPlan:
        """Plan what `effects` would measure: units, images, expected time and memory, before anything runs.

        Parameters
        ----------
        layers, units
            Whose units, or which ones, are changed, each alone. None: all filters of all convolutions.
        loader : iterable, optional
            The images. None: those collected.
        **options
            As for `causal_widget.plan_effects`: edits, intervention, site, outcomes, precision, exact, ...
        """
        given = {"graph": self.graph, "device": self.device, **options}
        with guarded(self._network):
            return plan_effects(self._network, self._need_loader(loader), layers, units, **given)

    def effects(
        self,
        layers: Iterable[str] | None = None,
        units: Mapping[str, Iterable[int]] | None = None,
        loader: Iterable[Any] | None = None,
        *,
        seed: int = 0,
        progress: Progress | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Effects:
        """Measure what changing each unit alone does to the answers; what was found is remembered.

        `last_effects` holds it, and `importance` by the rule "effect" uses it.

        Parameters
        ----------
        layers, units, loader, **options
            As for `plan_effects`.
        seed : int
            Of what is drawn.
        progress : Progress, optional
            Otherwise a bar.
        checkpoint : str or Path, optional
            A file to go on from, and to write to.
        """
        plan = self.plan_effects(layers, units, loader, **options)
        self.last_effects = plan.run(seed=seed, progress=progress or bar("effects"), checkpoint=checkpoint)
        return self.last_effects
