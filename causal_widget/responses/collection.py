"""What one pass over the images leaves: moments of all responses, and how well the network does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int

from causal_widget.errors import OrderError
from causal_widget.graph import FilterGraph
from causal_widget.responses.arm import Arm
from causal_widget.responses.moments import Moments
from causal_widget.responses.randomised import RandomInterventions
from causal_widget.responses.raw import RawResponses
from causal_widget.responses.source import Source

if TYPE_CHECKING:
    from causal_widget.responses.one_pass import Seen


@dataclass(frozen=True, eq=False)
class Collection:
    """Moments of a network's responses over a set of images.

    Attributes
    ----------
    graph
        The network's layers and their wirings.
    transform, site
        Name of phi, and where the activations were read.
    observational
        Moments of the network's responses as it is: folds of the images that equations are fitted on, and the
        images kept apart.
    n_images
        Images seen, both parts together.
    accuracy, loss
        Share of the labelled images predicted right, and their mean cross-entropy in nats; None without
        labels.
    class_counts
        (class,), labelled images of each class; None without labels.
    complete
        False where the pass was cancelled or failed; the moments are of the images seen until then.
    seconds
        Time that the pass took.
    interventional
        Moments of the same images under random interventions; None where none were made.
    components
        Columns a unit, by layer: 1 for responses that are one number, and always for the output layer.
    silent
        (column,) by layer: the response to a map of zeros.
    randomised
        What was drawn for the interventional moments, so that it can be drawn again.
    source
        The model and images, to read more responses the same way. It is not saved with anything.
    raw
        Responses of every image; None unless they were asked for.
    seen
        What it takes to resume a pass that was cut short; None of a complete one.
    """

    graph: FilterGraph = field(repr=False)
    transform: str
    site: str
    observational: Arm
    n_images: int
    accuracy: float | None = None
    loss: float | None = None
    class_counts: Int[np.ndarray, " class"] | None = None
    complete: bool = True
    seconds: float = 0.0
    interventional: Arm | None = None
    components: Mapping[str, int] = field(default_factory=dict, repr=False)
    silent: Mapping[str, Float64[np.ndarray, " column"]] = field(default_factory=dict, repr=False)
    randomised: RandomInterventions | None = None
    source: Source | None = field(default=None, repr=False)
    raw: RawResponses | None = None
    seen: Seen | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.components:
            object.__setattr__(self, "components", dict(self.observational.layout.components))
        if not self.silent:
            zeros = {name: np.zeros(width) for name, width in self.observational.layout.widths.items()}
            object.__setattr__(self, "silent", zeros)

    @property
    def train(self) -> Moments:
        """Observational moments of the images that equations are fitted on."""
        return self.observational.train

    @property
    def heldout(self) -> Moments | None:
        """Observational moments of the images kept apart; None where none were."""
        return self.observational.heldout

    def table(self) -> pd.DataFrame:
        """Return a row a layer: units, components, mean response, its deviation, columns without variance."""
        if not self.train.count:
            raise OrderError("No image was collected; collect over a loader first.")
        rows = []
        for layer in self.graph.layers:
            mean, variance = self.train.mean(layer.name), self.train.variance(layer.name)
            rows.append(
                {
                    "layer": layer.name,
                    "units": layer.units,
                    "components": self.components[layer.name],
                    "mean": float(mean.mean()),
                    "deviation": float(np.sqrt(variance.mean())),
                    "dead": int(np.count_nonzero(self.train.dead(layer.name))),
                }
            )
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        """Say what was collected, in one line."""
        return f"Collection({', '.join(f'{name}: {value}' for name, value in self._facts())})"

    def _repr_html_(self) -> str:
        """Say what was collected, as a small table."""
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self._facts()
        )
        return f"<table><caption>Collection</caption>{rows}</table>"

    def _facts(self) -> list[tuple[str, str]]:
        kept_apart = self.heldout.count if self.heldout is not None else 0
        facts = [
            ("model", str(self.graph.model_name)),
            ("images", f"{self.n_images:,} ({kept_apart:,} held out)"),
            ("response", f"{self.transform} at {self.site}"),
        ]
        if self.interventional is not None and self.randomised is not None:
            drawn = self.randomised
            facts.append(("interventions", f"{drawn.fraction:.0%} of a random layer = {drawn.value:g}"))
        if self.accuracy is not None:
            facts.append(("accuracy", f"{self.accuracy:.4f}"))
        if self.loss is not None:
            facts.append(("loss", f"{self.loss:.4f}"))
        facts.append(("complete", "yes" if self.complete else "no"))
        facts.append(("seconds", f"{self.seconds:.1f}"))
        return facts
