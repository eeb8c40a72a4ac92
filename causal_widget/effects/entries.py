"""Where questions enter the network: cut where it can be, as a whole where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from causal_widget.effects.cutting import CutModel, WholeModel
from causal_widget.effects.questions import Questions
from causal_widget.graph import FilterGraph

__all__ = ["Entries"]


@dataclass(frozen=True, eq=False)
class Entries:
    """The network cut where it can be, and as a whole where it cannot.

    Attributes
    ----------
    questions : Questions
        What is asked.
    cut, whole : CutModel, WholeModel or None
        The two.
    reasons : mapping of layer name to str
        Layers whose questions are answered by the whole network, and why.
    """

    questions: Questions
    cut: CutModel | None
    whole: WholeModel | None
    reasons: Mapping[str, str]

    @staticmethod
    def of(model: nn.Module, graph: FilterGraph, questions: Questions) -> Entries:
        """Cut a network for some questions.

        Raises
        ------
        UnsupportedModelError
            If an image's answer depends on the images beside it, or a path leads into a layer that computes
            in a way of its own.
        """
        questions.check(model)
        cut = CutModel.of(model, graph)
        reasons = {layer: reason for layer in questions.groups if (reason := questions.reason(layer, cut))}
        whole = WholeModel(model, graph, next(iter(reasons.values()))) if reasons else None
        return Entries(questions, None if isinstance(cut, str) else cut, whole, reasons)

    @property
    def told(self) -> dict[str, str]:
        """Why whole passes answer questions, by layer, or by name where only some of a layer's do."""
        found = dict(self.reasons)
        for question in self.questions.all:
            if question.reason and question.layer not in found:
                found[question.name] = question.reason
        return found

    def entry(self, layer: str) -> CutModel | WholeModel:
        """Give what enters the network at a layer."""
        found = self.whole if layer in self.reasons else self.cut
        assert found is not None  # there is a whole one if any layer has a reason
        return found

    def kept(self, layers: tuple[str, ...], images: int) -> int:
        """Bytes kept for some layers' questions together."""
        places = {place for layer in layers for place in self.questions.places(layer)}
        return 0 if self.cut is None else self.cut.kept_bytes(sorted(places), images)

    def bytes_per_item(self, layer: str) -> int:
        """Bytes that run at one time for a pair of question and image; 0 where that is not known."""
        if self.cut is None or layer in self.reasons:
            return 0
        regions = [self.cut.region(*place) for place in self.questions.entries(layer)]
        return max((0 if isinstance(one, str) else one.bytes_per_item for one in regions), default=0)

    def groups(self, images: int, budget: int) -> tuple[tuple[str, ...], ...]:
        """Cut the layers, in forward order, into groups whose kept values fit into the budget together."""
        found: list[tuple[str, ...]] = []
        for layer in self.questions.groups:
            beside = bool(found) and found[-1][0] not in self.reasons and layer not in self.reasons
            if beside and self.kept((*found[-1], layer), images) <= budget:
                found[-1] = (*found[-1], layer)
            else:
                found.append((layer,))
        return tuple(found)
