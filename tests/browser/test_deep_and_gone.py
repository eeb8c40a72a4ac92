"""The widget on a deep network, and on a kernel that is no longer there."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.notebook_page import write_notebook
from tests.browser.widget_view import SLOW, WidgetView

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DEEP = """from collections import OrderedDict
import torch
from torch import nn
import causal_widget as cw
layers = OrderedDict()
for k in range(1, 41):
    layers[f"conv{k}"] = nn.Conv2d(1 if k == 1 else 4, 4, 3, padding=1)
    layers[f"relu{k}"] = nn.ReLU()
layers.update(pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(4, 3))
model = nn.Sequential(layers)
loader = [(torch.randn(8, 1, 8, 8), torch.arange(8) % 3)]
widget = cw.CausalWidget(model, loader, class_names=["a", "b", "<script>c</script>"])
widget
"""


def in_sight(view: WidgetView, layer: str, unit: int = 0) -> bool:
    x, _ = view.position(layer, unit)
    frame = view.part("graph").bounding_box()
    return bool(frame["x"] <= x <= frame["x"] + frame["width"])


def test_a_deep_network_opens_readable_and_every_layer_can_be_reached(lab, open_notebook, artifacts):
    notebook = open_notebook(write_notebook(lab, "deep.ipynb", DEEP))
    notebook.run_all()
    view = WidgetView(notebook.page).ready()
    assert view.position("conv2", 0)[0] - view.position("conv1", 0)[0] > 40
    assert in_sight(view, "conv1")
    assert not in_sight(view, "conv40")
    view.root.screenshot(path=artifacts / "deep.png")

    notebook.kernel_runs("widget.selected = {'conv40': [2]}")
    notebook.page.wait_for_timeout(300)
    assert in_sight(view, "conv40", 2)

    frame = view.part("graph").bounding_box()
    notebook.page.mouse.click(frame["x"] + 15, frame["y"] + frame["height"] - 15)  # the overview's left end
    notebook.page.wait_for_timeout(300)
    assert in_sight(view, "conv1")
    assert not in_sight(view, "conv40")
    notebook.wait_until_kernel_says("widget.selected", "{'conv40': [2]}")

    view.part("fit").click()
    notebook.page.wait_for_timeout(300)
    assert in_sight(view, "conv1")
    assert in_sight(view, "fc")
    view.part("fit").click()
    notebook.page.wait_for_timeout(300)
    assert not in_sight(view, "fc")
    assert notebook.unexpected_errors() == []


def test_a_restarted_kernel_is_said_and_the_cells_bring_the_page_back(lab, open_notebook, artifacts):
    notebook = open_notebook(write_notebook(lab, "restart.ipynb", DEEP))
    notebook.run_all()
    view = WidgetView(notebook.page).ready()
    view.click("conv1", 1)
    expect(view.part("inspector-title")).to_contain_text("conv1 · 1")
    notebook.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(view.part("error")).to_contain_text("restarted or stopped", timeout=SLOW)
    expect(view.part("collect")).to_be_disabled()
    expect(view.part("progress")).to_have_text("No answer from the kernel")
    view.root.screenshot(path=artifacts / "kernel-restarted.png")
    view.click("conv2", 1)  # nothing is known of it, and no other filter's numbers stand in
    expect(view.part("facts")).to_be_hidden()

    notebook.run_all()
    again = WidgetView(notebook.page).ready()
    again.no_error()
    expect(again.part("collect")).to_be_enabled()
    expect(again.part("inspector-title")).to_have_text(re.compile("Inspector"))
    assert notebook.unexpected_errors() == []
