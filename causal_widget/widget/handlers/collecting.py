"""collect: responses of every unit in one pass, then the structural equations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from causal_widget.devices import resolve_device
from causal_widget.explainer import CausalCNNExplainer
from causal_widget.widget.job import StoppedError
from causal_widget.widget.protocol import Reply
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend

# share of a layer that is silenced: equations fitted on undisturbed images alone foresee no intervention
INTERVENE = 0.1
ENOUGH_IMAGES = 100


def check_collect(backend: Backend, args: Mapping[str, Any]) -> None:
    """Refuse a device that is not there.

    Raises
    ------
    DeviceError
    """
    if args["device"] is not None:
        resolve_device(args["device"])


def collect(backend: Backend, task: Task) -> Reply:
    """Collect and fit on a twin of the explainer, which takes over at the end."""
    twin = backend.twin(task.request.args["device"] or task.choices.device)
    loader, batches = backend.data.given, task.request.args["batches"]
    try:
        twin.collect_data(
            loader, max_batches=batches or None, intervene=INTERVENE, progress=backend.progress(task)
        )
        twin.learn_structural_equations(progress=backend.progress(task))
    except Exception as error:
        raise StoppedError(error, _salvaged(backend, twin)) from error
    _take_over(backend.explainer, twin)
    return Reply({"message": f"{_seen(twin):,} images collected"})


def _salvaged(backend: Backend, twin: CausalCNNExplainer) -> str:
    """Use what was collected until the end came, unless there is something better; say what was done."""
    before, seen = backend.explainer.collection, _seen(twin)
    if before is not None:
        return f"The earlier collection of {before.n_images:,} images stays."
    if seen < ENOUGH_IMAGES:
        return f"The {seen:,} images seen are too few to learn from." if seen else "Nothing was collected."
    if twin.scm is None:
        twin.learn_structural_equations()
    _take_over(backend.explainer, twin)
    return f"The {seen:,} images collected until then are used."


def _seen(explainer: CausalCNNExplainer) -> int:
    return 0 if explainer.collection is None else explainer.collection.n_images


def _take_over(explainer: CausalCNNExplainer, twin: CausalCNNExplainer) -> None:
    """Give the explainer all that its twin has learned, at once."""
    vars(explainer).update(vars(twin))
