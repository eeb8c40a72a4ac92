"""The display of an explainer in a notebook: traits are the person's choices, messages carry the data."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import anywidget
import IPython.display
import traitlets
from torch import nn

from causal_widget.devices import resolve_device
from causal_widget.errors import ArgumentError, DeviceError, OrderError
from causal_widget.explainer import CausalCNNExplainer
from causal_widget.explanations import ClassGraph
from causal_widget.graph import SITES
from causal_widget.widget import assets, fallback, offline, protocol, traits
from causal_widget.widget.backend import Backend, Choices
from causal_widget.widget.links import renewer, sender, sources
from causal_widget.widget.store import SHOWN_RULES

PANELS = ("inspector", "equations", "interventions", "ranking", "classes", "heatmaps", "pruning")
THEMES = ("auto", "light", "dark")
WORDS = {"site": SITES, "rule": SHOWN_RULES, "panel": PANELS, "theme": THEMES}
CLOSE_SECONDS = 2.0
display: Callable[..., None] = IPython.display.display


class CausalWidget(anywidget.AnyWidget):
    """Show a network's filters as a causal graph, and intervene on them.

    Parameters
    ----------
    explainer : CausalCNNExplainer or nn.Module
        What is shown; a model gets an explainer of its own.
    images : iterable, optional
        A data loader: what is collected from the page, what effects are measured on, and its first images are
        the strip. By default the one that the explainer collected from; without any, the graph is shown, and
        effects and heatmaps say what they miss.
    class_names : sequence of str, optional
        One name a class, for a model; an explainer has its own.
    n_strip : int
        Images in the strip.
    n_effect : int, optional
        Measure effects and pruning curves on at most so many images; by default on all that are collected.

    Raises
    ------
    UnsupportedModelError
        If the model is none, or its graph cannot be read.
    DataError
        If the loader gives no images.

    Examples
    --------
    >>> widget = CausalWidget(explainer, images=loader)  # doctest: +SKIP
    >>> widget.ablated, widget.scale = {"conv1": [3]}, 0.5  # doctest: +SKIP
    """

    _backend: Backend | None = None

    # a text, not a path: anywidget keeps every widget alive that is made from a path
    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)

    layers = traitlets.List(traitlets.Unicode()).tag(sync=True)
    selected = traitlets.Dict().tag(sync=True)
    ablated = traitlets.Dict().tag(sync=True)
    site = traitlets.Unicode("activation").tag(sync=True)
    scale = traitlets.Float(0.0).tag(sync=True)
    rule = traitlets.Unicode("coefficient").tag(sync=True)
    n_edges = traitlets.Int(2000).tag(sync=True)
    panel = traitlets.Unicode("inspector").tag(sync=True)
    image = traitlets.Int(0).tag(sync=True)
    heat_layer = traitlets.Unicode().tag(sync=True)
    device = traitlets.Unicode("cpu").tag(sync=True)
    batches = traitlets.Int(0).tag(sync=True)
    theme = traitlets.Unicode("auto").tag(sync=True)

    def __init__(
        self,
        explainer: CausalCNNExplainer | nn.Module,
        images: Iterable[Any] | None = None,
        *,
        class_names: Sequence[str] | None = None,
        n_strip: int = 12,
        n_effect: int | None = None,
        **choices: Any,
    ) -> None:
        unknown = [name for name in choices if not self.has_trait(name)]
        if unknown:
            raise TypeError(f"CausalWidget() has no argument {unknown[0]!r}")
        for name, number in (("n_strip", n_strip), ("n_effect", n_effect)):
            if number is not None and number < 1:
                raise ArgumentError(f"{name} must be 1 or more, got {number}")
        explainer, data = sources(explainer, images, class_names, n_strip, n_effect)
        _ = explainer.class_names  # as many as there are classes, or it is said here
        self._still = uuid4().hex
        self._displayed = False
        myself = weakref.ref(self)
        self._backend = Backend(explainer, data, sender(myself), renewer(myself), self._still)
        try:
            super().__init__(device=str(explainer.device), **choices)
        except BaseException:
            self._backend.close()
            raise
        self.on_msg(_receive)

    @property
    def explainer(self) -> CausalCNNExplainer:
        """The explainer that is shown."""
        return self.backend.explainer

    @property
    def backend(self) -> Backend:
        """The kernel side, for whoever writes pages.

        Raises
        ------
        OrderError
            If the widget is closed.
        """
        if self._backend is None:
            raise OrderError("this widget is closed; make a new one")
        return self._backend

    @property
    def class_graphs(self) -> dict[int, ClassGraph]:
        """The graphs of classes that were found from the page, by class."""
        return {k: one.graph for k, one in self.backend.classes.found.items() if one.graph is not None}

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being computed.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Returns
        -------
        bool
            False if it took longer.
        """
        return self.backend.wait(timeout)

    def refresh(self) -> None:
        """Tell the pages what the explainer has learned since they last asked."""
        self.backend.observe()

    def to_html(self, path: str | Path) -> Path:
        """Write one page that shows the graph without a kernel and without a network connection.

        Parameters
        ----------
        path : str or Path
            The file; it is overwritten.

        Returns
        -------
        Path
            Where it was written.
        """
        return offline.write(self, Path(path))

    def close(self) -> None:
        """Cancel what runs, end the worker, and let go of explainer, model and images."""
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.close(CLOSE_SECONDS)
        super().close()

    def __del__(self) -> None:
        # the collector may come along on any thread: do not wait for the worker here
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()
        super().__del__()

    def receive(self, content: object) -> None:
        """Take a message from a page: answer it if that is cheap, else enqueue it, and return."""
        if self._backend is not None:
            self._backend.receive(content, self.choices)

    @property
    def choices(self) -> Choices:
        """What the person has chosen now, for the worker."""
        ablated = {layer: tuple(units) for layer, units in self.ablated.items()}
        return Choices(ablated, self.site, self.scale, self.rule, self.device, self.batches)

    def set_state(self, sync_data: Mapping[str, Any]) -> None:
        """Take values from a page; what is not valid is refused, and the page told the value that holds."""
        for name, value in sync_data.items():
            self._take(name, value)

    def _take(self, name: str, value: Any) -> None:
        try:
            super().set_state({name: value})
        except traitlets.TraitError as error:
            self.send_state(name)
            self.send(protocol.write_event("refused", trait=name, message=str(error)))

    @property
    def still(self) -> str:
        """The name of the picture that stands in for a page, for the page to hide it."""
        return self._still

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        found = super()._repr_mimebundle_(**kwargs)
        if found is None or self._backend is None:
            return found
        data, metadata = found
        return {**data, **self._still_data()}, metadata

    def _ipython_display_(self) -> None:
        """Show the page, and beside it the picture: JupyterLab shows only the latter without a kernel."""
        found = super()._repr_mimebundle_()
        if found is None or self._backend is None:
            display({"text/plain": repr(self)}, raw=True)
            return
        data, metadata = found
        display(data, metadata=metadata, raw=True)
        self._displayed = True
        display(self._still_data(), raw=True, display_id=self._still)

    def _still_data(self) -> dict[str, str]:
        html = fallback.page(self.backend, self.choices, self.layers, self._still)
        return {"text/html": html, "text/plain": repr(self)}

    def renew_still(self) -> None:
        """Bring the picture up to date where it was displayed, for the notebook that will be saved."""
        if self._displayed and self._backend is not None:
            display(self._still_data(), raw=True, display_id=self._still, update=True)

    def __repr__(self) -> str:
        if self._backend is None:
            return "CausalWidget(closed)"
        return f"CausalWidget({self.explainer!r})"

    @traitlets.default("_esm")
    def _default_esm(self) -> str:
        return assets.read_static("widget.js")

    @traitlets.default("_css")
    def _default_css(self) -> str:
        return assets.read_static("widget.css") if (assets.STATIC / "widget.css").is_file() else ""

    @traitlets.default("layers")
    def _default_layers(self) -> list[str]:
        return list(self.explainer.graph.names)

    @traitlets.default("heat_layer")
    def _default_heat_layer(self) -> str:
        graph = self.explainer.graph
        return (graph.hidden_conv_layers or graph.layers)[-1].name

    @traitlets.validate("layers")
    def _valid_layers(self, proposal: traitlets.Bunch) -> list[str]:
        return traits.forward_order("layers", proposal.value, self.explainer.graph)

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: traitlets.Bunch) -> dict[str, list[int]]:
        return traits.chosen_units("selected", proposal.value, self.explainer.graph)

    @traitlets.validate("ablated")
    def _valid_ablated(self, proposal: traitlets.Bunch) -> dict[str, list[int]]:
        return traits.removable_units("ablated", proposal.value, self.explainer.graph)

    @traitlets.validate("heat_layer")
    def _valid_heat_layer(self, proposal: traitlets.Bunch) -> str:
        return traits.one_of("heat_layer", proposal.value, self.explainer.graph.names)

    @traitlets.validate("site", "rule", "panel", "theme")
    def _valid_word(self, proposal: traitlets.Bunch) -> str:
        name = proposal.trait.name
        return traits.one_of(name, proposal.value, WORDS[name])

    @traitlets.validate("n_edges", "batches")
    def _valid_count(self, proposal: traitlets.Bunch) -> int:
        return int(traits.within(proposal.trait.name, proposal.value, 0))

    @traitlets.validate("scale")
    def _valid_scale(self, proposal: traitlets.Bunch) -> float:
        return float(traits.within("scale", proposal.value, 0.0, 1.0))

    @traitlets.validate("image")
    def _valid_image(self, proposal: traitlets.Bunch) -> int:
        strip = self.backend.data.strip
        last = 0 if strip is None else len(strip.images) - 1
        return int(traits.within("image", proposal.value, 0, last))

    @traitlets.validate("device")
    def _valid_device(self, proposal: traitlets.Bunch) -> str:
        try:
            return str(resolve_device(proposal.value))
        except DeviceError as error:
            raise traitlets.TraitError(f"device: {error}") from error


def _receive(widget: CausalWidget, content: object, buffers: object) -> None:
    widget.receive(content)
