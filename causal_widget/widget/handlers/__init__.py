"""What the kernel does for each request of a page, one topic a file.

A page sends ``{v: 1, id, op, args}``; further keys (such as ``client``) come back in the reply, so that
several pages can tell their own. It gets ``{v: 1, id, ok: true, result}`` with buffers described by
``result.buffers``, or ``{v: 1, id, ok: false, error: {kind, message}}``. What is not finite is null, except
in buffers.

==========  ==================================  =====================================================
op          args                                result
==========  ==================================  =====================================================
hello                                           what a page needs first (see `state`)
graph                                           layers, wirings, tracedBy
importance  rule                                float32, one a unit over all layers, NaN if unknown
edges       wirings: positions in the graph     a uint8 matrix (target unit, source unit) for each
unit        layer, unit                         response, r2, importance, parents, children, weights
equations                                       known: the layers; float32 r2, heldoutR2 of all their units
equation    layer, unit                         equation: its parents; float32 points (observed, predicted)
images                                          labels, predictions, uint8 pictures of the strip
heatmap     image, layer, unit?, unitLayer?,    three float32 maps, each with its range
            do
effect      do, seconds?                        accuracy, loss, classes, strip before and after; n of how many
predict     do, by: "equations" or "local"      predicted: the same by the causal model; or reason, cost
collect     batches, device?                    job: its number; then events
prune       percents, rules, repeats, seed      job: its number; then events
pruning                                         curve: the last finished one
check       images, draws, seed                 job: its number; then events
local       seed                                job: measures the equations local to each image
checked     images, draws                       cost of such a check; the last one: depth, fidelity
rankPlan    layers?, precision?                 what silencing each of their filters alone would cost
rank        layers?, precision?                 job: does it; between two steps of it effects are answered
ranking     outcome?, minEffect?                the last finished one, judged; float32 columns, uint8 verdict
classPlan   target, images?, mode               what finding the class's graph would cost; images: how many
explain     target, images?, mode               job: finds it; `explained` knows each layer as it is found
explained   target?, other?                     graph: of a class, or the last one; float32 columns, uint8
                                                verdict (or what is shared with the other), paths
classUnit   target, layer, unit, image          uint8 images: of the strip, then the class's strongest; maps
repair      target                              job: accuracies with shares of the detrimental units blocked
poll                                            job, revision, measured: rises with newer effects; found:
                                                rises with each layer of a class's graph
cancel                                          cancelled: whether there was anything
==========  ==================================  =====================================================

"do" is ``ablated?: {layer: [unit]}, site?, scale?`` (0 silences, 1 leaves alone); without it the person's
present choices count. Only the latest effect counts, and the latest prediction: one that is replaced gets the
error "Superseded". An effect may be asked to answer after some seconds: it then stands on `n` of the `of`
images, and asked again it goes on there. A prediction waits for no effect and no job, only for the first
reading of responses.
Events are ``{v: 1, event, ...}``: "job" (at most ten a second), "changed" (the state of hello, when the
explainer learned something), "refused" (a choice that does not exist).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from causal_widget.widget.handlers.checking import check, check_check, check_local, checked
from causal_widget.widget.handlers.class_units import class_unit
from causal_widget.widget.handlers.classes import (
    check_explain,
    check_repair,
    class_plan,
    explain,
    explained,
    repair,
)
from causal_widget.widget.handlers.collecting import check_collect, collect
from causal_widget.widget.handlers.effect import effect
from causal_widget.widget.handlers.equations import equation, equations
from causal_widget.widget.handlers.graph import edges, graph, importance
from causal_widget.widget.handlers.images import heatmap, images
from causal_widget.widget.handlers.predict import can_predict, local, predict
from causal_widget.widget.handlers.pruning import check_prune, prune, pruning
from causal_widget.widget.handlers.ranking import check_rank, rank, rank_plan, ranking
from causal_widget.widget.handlers.state import state_data
from causal_widget.widget.handlers.unit import unit
from causal_widget.widget.protocol import Reply, Request
from causal_widget.widget.worker import EFFECT, JOB, MODEL, PREDICT, QUICK, Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend

Handler = Callable[["Backend", Task], Reply]

IMMEDIATE = ("hello", "poll", "cancel")
HANDLERS: dict[str, Handler] = {
    "graph": graph,
    "importance": importance,
    "edges": edges,
    "unit": unit,
    "equations": equations,
    "equation": equation,
    "pruning": pruning,
    "images": images,
    "heatmap": heatmap,
    "effect": effect,
    "predict": predict,
    "collect": collect,
    "prune": prune,
    "check": check,
    "local": local,
    "checked": checked,
    "rankPlan": rank_plan,
    "rank": rank,
    "ranking": ranking,
    "classPlan": class_plan,
    "explain": explain,
    "explained": explained,
    "classUnit": class_unit,
    "repair": repair,
}
# between two steps of these the worker does what a person waits for
GIVE_WAY = ("rank", "explain")
LANES = {
    "graph": QUICK,
    "importance": QUICK,
    "edges": QUICK,
    "unit": QUICK,
    "equations": QUICK,
    "equation": QUICK,
    "pruning": QUICK,
    "images": MODEL,
    "heatmap": MODEL,
    "effect": EFFECT,
    "predict": PREDICT,
    "collect": JOB,
    "prune": JOB,
    "check": JOB,
    "local": JOB,
    "checked": QUICK,
    "rankPlan": MODEL,
    "rank": JOB,
    "ranking": QUICK,
    "classPlan": MODEL,
    "explain": JOB,
    "explained": QUICK,
    "classUnit": MODEL,
    "repair": JOB,
}
_CHECKS: dict[str, Callable[[Backend, Mapping[str, Any]], None]] = {
    "collect": check_collect,
    "prune": check_prune,
    "check": check_check,
    "local": check_local,
    "rank": check_rank,
    "explain": check_explain,
    "repair": check_repair,
}


def check_job(backend: Backend, request: Request) -> None:
    """Refuse a job that cannot be done before it is enqueued.

    Raises
    ------
    DataError
        If no images were given.
    CausalWidgetError
        If an argument is out of its range, or something has to be done first.
    """
    _ = backend.data.given
    _CHECKS[request.op](backend, request.args)


__all__ = ["GIVE_WAY", "HANDLERS", "IMMEDIATE", "LANES", "Handler", "can_predict", "check_job", "state_data"]
