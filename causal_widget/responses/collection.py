"""What one pass over the images leaves: moments of all responses, and how well the network does."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

import numpy as np
import pandas as pd
from jaxtyping import Int

from causal_widget.errors import OrderError
from causal_widget.graph import FilterGraph
from causal_widget.responses.moments import Moments


@dataclass(frozen=True, eq=False)
class Collection:
    """Moments of a network's responses over a set of images.

    Attributes
    ----------
    graph
        The network's layers and their wirings.
    transform, site
        Name of phi, and where the activations were read.
    train, heldout
        Moments of the images that equations are fitted on, and of those kept apart (None where none were).
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
    """

    graph: FilterGraph = field(repr=False)
    transform: str
    site: str
    train: Moments
    heldout: Moments | None
    n_images: int
    accuracy: float | None
    loss: float | None
    class_counts: Int[np.ndarray, " class"] | None
    complete: bool
    seconds: float

    def table(self) -> pd.DataFrame:
        """Return a row a layer: units, mean response, its standard deviation, units without variance."""
        if not self.train.count:
            raise OrderError("No image was collected; collect over a loader first.")
        rows = []
        for layer in self.graph.layers:
            mean, variance = self.train.mean(layer.name), self.train.variance(layer.name)
            rows.append(
                {
                    "layer": layer.name,
                    "units": layer.units,
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
        if self.accuracy is not None:
            facts.append(("accuracy", f"{self.accuracy:.4f}"))
        if self.loss is not None:
            facts.append(("loss", f"{self.loss:.4f}"))
        facts.append(("complete", "yes" if self.complete else "no"))
        facts.append(("seconds", f"{self.seconds:.1f}"))
        return facts
