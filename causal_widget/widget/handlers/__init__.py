"""What the kernel does for each request of a page, one topic a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from causal_widget.widget.handlers.collecting import check_job, collect
from causal_widget.widget.handlers.effect import effect
from causal_widget.widget.handlers.graph import edges, graph, importance
from causal_widget.widget.handlers.images import heatmap, images
from causal_widget.widget.handlers.pruning import prune, pruning
from causal_widget.widget.handlers.state import state_data
from causal_widget.widget.handlers.unit import unit
from causal_widget.widget.protocol import Reply
from causal_widget.widget.worker import EFFECT, JOB, MODEL, QUICK, Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend

Handler = Callable[["Backend", Task], Reply]

IMMEDIATE = ("hello", "poll", "cancel")
HANDLERS: dict[str, Handler] = {
    "graph": graph,
    "importance": importance,
    "edges": edges,
    "unit": unit,
    "pruning": pruning,
    "images": images,
    "heatmap": heatmap,
    "effect": effect,
    "collect": collect,
    "prune": prune,
}
LANES = {
    "graph": QUICK,
    "importance": QUICK,
    "edges": QUICK,
    "unit": QUICK,
    "pruning": QUICK,
    "images": MODEL,
    "heatmap": MODEL,
    "effect": EFFECT,
    "collect": JOB,
    "prune": JOB,
}

__all__ = ["HANDLERS", "IMMEDIATE", "LANES", "Handler", "check_job", "state_data"]
