"""What has been worked out for the pages and holds as long as the explainer does not learn anything new."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, TypeVar

import numpy as np

from causal_widget.effects import Effects
from causal_widget.errors import ArgumentError, OrderError
from causal_widget.explainer import CausalCNNExplainer
from causal_widget.importance import RULES
from causal_widget.scm import StructuralCausalModel
from causal_widget.widget.strength import quantised, weight_norms

T = TypeVar("T")
Importances = dict[str, np.ndarray[Any, Any]]
EFFECT = "effect"
SHOWN_RULES = tuple(rule for rule in RULES if rule != "random")
RECENT = 64
SMALL = 4_000_000


class Store:
    """Caches of importances, edges and effects, emptied when graph, collection or equations change.

    Parameters
    ----------
    explainer : CausalCNNExplainer
        Where everything comes from.
    """

    def __init__(self, explainer: CausalCNNExplainer) -> None:
        self._explainer = explainer
        self.revision = 1
        self._seen = self._now()
        self._cache: dict[Hashable, Any] = {}
        self._recent: OrderedDict[Hashable, Any] = OrderedDict()
        self._latest: dict[str, tuple[Hashable, Any]] = {}
        self._effects = explainer.last_effects
        self.measured = 1
        self._lock = threading.Lock()

    def _now(self) -> tuple[Any, ...]:
        return (self._explainer.graph, self._explainer.collection, self._explainer.scm)

    def observe(self) -> bool:
        """Look whether the explainer has learned something; if so, forget and raise the revision.

        Effects that were measured change nothing else: only `measured` rises.
        """
        with self._lock:
            measured = self._explainer.last_effects is not self._effects
            if measured:
                self._effects = self._explainer.last_effects
                self._cache.pop(("importance", EFFECT), None)
                self.measured += 1
            now = self._now()
            if all(a is b for a, b in zip(now, self._seen, strict=True)):
                return measured
            self._seen = now
            self._cache = {}
            self._recent = OrderedDict()
            self._latest = {}
            self.revision += 1
            return True

    def __contains__(self, key: Hashable) -> bool:
        """Say whether `get` has what belongs to `key`."""
        return key in self._cache

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Give what was made for `key`, making it the first time."""
        cache = self._cache
        if key not in cache:
            cache[key] = make()
        value: T = cache[key]
        return value

    def latest(self, what: str, key: Hashable, make: Callable[[], T]) -> T:
        """Give what was made for `key`; only one of its kind is kept, that of the latest key."""
        known = self._latest.get(what)
        if known is None or known[0] != key:
            self._latest.pop(what, None)  # two may not fit into memory
            known = self._latest[what] = (key, make())
        value: T = known[1]
        return value

    def recall(self, key: Hashable, make: Callable[[], T]) -> T:
        """Give what was made for `key` if that is not too long ago; only the latest are kept."""
        known = self.recent(key)
        if known is None:
            known = make()
            self.remember(key, known)
        value: T = known
        return value

    def recent(self, key: Hashable) -> Any:
        """Give what is remembered of `key`, None if that is nothing or too long ago."""
        with self._lock:
            if key in self._recent:
                self._recent.move_to_end(key)
            return self._recent.get(key)

    def remember(self, key: Hashable, value: object) -> None:
        """Keep something until many others are remembered."""
        with self._lock:
            self._recent[key] = value
            while len(self._recent) > RECENT:
                self._recent.popitem(last=False)

    def weights_key(self, device: str = "") -> Hashable:
        """Give a value that changes when the network's weights are written to, or the device is another."""
        parameters = self._explainer.model.parameters()
        return (device, hash(tuple((id(p), p._version) for p in parameters)))

    @property
    def effects(self) -> Effects | None:
        """What the explainer measured last of units, each changed alone; None where there is nothing."""
        effects = self._explainer.last_effects
        return effects if effects is not None and effects.units else None

    def importance(self, rule: str) -> Importances:
        """Give a rule's importances by layer, empty where the rule needs data that is not collected yet."""
        return self.get(("importance", rule), lambda: self._importance(rule))

    def _importance(self, rule: str) -> Importances:
        if rule == EFFECT:
            return self._by_effect()
        try:
            return dict(self._explainer.importance(rule))
        except OrderError:
            return {}
        except ArgumentError:
            if self.linear_scm is None:  # equations without coefficients: rules by coefficient say nothing
                return {}
            raise

    def _by_effect(self) -> Importances:
        """Give the shares of the layers that were measured, also where not all were."""
        effects = self.effects
        if effects is None:
            return {}
        column = effects.column("loss") if "loss" in effects.columns else 0
        sizes = np.abs(effects.estimate().mean[:, column])
        owners = [question.layer for question in effects.asked]
        found = {}
        for layer, units in effects.units.items():
            own = sizes[[owner == layer for owner in owners]]
            if len(own) == len(units) == self._explainer.graph.layer(layer).units:
                found[layer] = own / own.sum() if own.sum() > 0 else np.full(len(own), 1 / len(own))
        return found

    def ranks(self, rule: str, layer: str) -> np.ndarray[Any, Any] | None:
        """Give the rank of each unit of a layer, 1 for the most important."""
        values = self.importance(rule).get(layer)
        if values is None:
            return None
        order = np.argsort(-np.asarray(values), kind="stable")
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = np.arange(1, len(order) + 1)
        return ranks

    @property
    def linear_scm(self) -> StructuralCausalModel | None:
        """The causal model where all its equations have coefficients, else None."""
        scm = self._explainer.scm
        return scm if scm is not None and all(one.linear for one in scm.equations.values()) else None

    @property
    def edge_source(self) -> str:
        """``"coefficient"`` once there are linear equations, else ``"weight"``."""
        return "weight" if self.linear_scm is None else "coefficient"

    def strengths(self, wiring: int) -> np.ndarray[Any, Any]:
        """Give the strength of every edge of a wiring, shape (target unit, source unit)."""
        graph, scm = self._explainer.graph, self.linear_scm
        one = graph.wirings[wiring]
        if scm is None:
            make = partial(weight_norms, self._explainer.model, graph, one)
            small = one.target_units * one.source_units <= SMALL
            return self.get(("norms", wiring, self.weights_key()), make) if small else make()
        strengths = np.nan_to_num(np.abs(scm.standardised(one.source, one.target)))
        return strengths if one.is_full else np.where(one.mask(), strengths, 0.0)

    def edges(self, wiring: int) -> np.ndarray[Any, Any]:
        """Give the strengths of a wiring's edges against the graph's largest, as bytes."""
        return quantised(self.strengths(wiring), self.largest)

    @property
    def largest(self) -> float:
        """The strongest edge of the graph."""
        return self.get("largest", self._largest)

    def _largest(self) -> float:
        found = (self.strengths(i) for i in range(len(self._explainer.graph.wirings)))
        return max((float(strengths.max(initial=0.0)) for strengths in found), default=0.0)
