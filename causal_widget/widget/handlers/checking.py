"""check and checked: the job that holds the equations against the network, its cost, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from causal_widget.errors import OrderError
from causal_widget.scm import StructuralCausalModel
from causal_widget.scm.sanity import Sanity
from causal_widget.widget.handlers.predict import NOT_ATTACHED, UNCOLLECTED, observed
from causal_widget.widget.protocol import Reply
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend


@dataclass(frozen=True)
class Checked:
    """What a check found, and of which equations."""

    scm: StructuralCausalModel
    sanity: Sanity


def check_check(backend: Backend, args: Mapping[str, Any]) -> None:
    """Refuse a check that cannot be made.

    Raises
    ------
    OrderError
        If there are no equations, or they know no network.
    """
    reason = _reason(backend)
    if reason is not None:
        raise OrderError(reason)


def check(backend: Backend, task: Task) -> Reply:
    """Roll the equations out from every depth, and compare what they foresee with what the network does."""
    scm = backend.explainer.scm
    assert scm is not None
    responses, _ = observed(backend, task, scm)
    backend.checked = Checked(scm, scm.sanity(responses))
    return Reply({"message": f"{responses.n_images:,} images"})


def checked(backend: Backend, task: Task) -> Reply:
    """Give what a check would cost, and the last one of the present equations."""
    found, reason = backend.checked, _reason(backend)
    known = found is not None and found.scm is backend.explainer.scm
    return Reply(
        {
            "reason": reason,
            "cost": None,
            "depth": _depth(found.sanity) if found is not None and known else None,
            "fidelity": None,
        }
    )


def _reason(backend: Backend) -> str | None:
    scm = backend.explainer.scm
    if scm is None:
        return UNCOLLECTED
    return NOT_ATTACHED if scm.source is None else None


def _depth(sanity: Sanity) -> dict[str, Any]:
    accuracy = sanity.accuracy
    return {
        "layers": sanity.layers,
        "agreement": sanity.agreement,
        "accuracy": [None] * len(sanity.layers) if accuracy is None else accuracy,
        "network": sanity.network.accuracy,
        "images": sanity.network.n,
    }
