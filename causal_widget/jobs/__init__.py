"""Long computations: progress that can be watched and cancelled."""

from causal_widget.jobs.progress import Progress, Tick, bar

__all__ = ["Progress", "Tick", "bar"]
