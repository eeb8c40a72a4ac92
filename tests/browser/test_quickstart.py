"""The quickstart in a real JupyterLab: run it, and do with the widget what its text says one can."""

import ast
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import leave_screenshots
from tests.browser.notebook_page import NotebookPage
from tests.browser.widget_view import SLOW, WidgetView, numbers

# One after another in one process (make test keeps a file together): they share a server and a page.
pytestmark = [pytest.mark.browser, pytest.mark.slow]
# A map that is drawn has many colours; an empty canvas has one.
COLOURFUL = """canvas => canvas.width > 1 && new Set(new Uint32Array(canvas.getContext('2d')
    .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size > 10"""
RESET = "widget.ablated, widget.selected, widget.panel, widget.site = {}, {}, 'inspector', 'activation'"


@pytest.fixture(scope="module")
def notebook(module_desk, lab, root) -> NotebookPage:
    shutil.copy(root / "notebooks" / "01_quickstart.ipynb", lab.notebooks)
    page = module_desk("01_quickstart.ipynb")
    page.run_all()
    page.save()
    return page


@pytest.fixture
def view(notebook, request, artifacts) -> Iterator[WidgetView]:
    notebook.kernel_runs(RESET)
    seen = WidgetView(notebook.page).ready()
    yield seen
    leave_screenshots(request.node, [notebook], artifacts)
    seen.no_error()
    assert notebook.unexpected_errors() == []


def kernel_effect(notebook: NotebookPage, units: dict[str, list[int]], site: str = "activation"):
    """Accuracy before, after, change and its standard error, as `effect_of` gives them in the kernel."""
    effect = (
        f"explainer.effect_of({units}, digits.test_loader, site={site!r}, progress=cw.Progress()).accuracy"
    )
    return ast.literal_eval(
        notebook.kernel_says(f"(lambda a: [float(x) for x in (a.before, a.after, a.change, a.se)])({effect})")
    )


def test_the_page_shows_the_network(view, notebook, artifacts):
    expect(view.part("model")).to_have_text("LeNet")
    expect(view.part("about")).to_contain_text("24 filters")
    view.wait_collected()
    expect(view.part("layers")).to_contain_text("conv2")
    view.root.screenshot(path=artifacts / "quickstart.png")
    notebook.screenshot(artifacts / "quickstart-notebook.png")
    expect(notebook.page.get_by_test_id("cw-still").first).to_be_hidden()


def test_hovering_names_the_filter_and_clicking_selects_it(view, notebook, artifacts):
    view.hover("conv2", 5)
    expect(view.part("tooltip")).to_contain_text("conv2")
    expect(view.part("tooltip")).to_contain_text("5")
    view.click("conv2", 5)
    expect(view.part("inspector-title")).to_contain_text("conv2")
    notebook.wait_until_kernel_says("widget.selected", "{'conv2': [5]}")
    expect(view.part("parents")).to_contain_text("conv1")
    view.root.screenshot(path=artifacts / "inspector.png")


@pytest.mark.parametrize("site", ["activation", "conv"])
def test_zeroing_a_filter_shows_the_effect_that_python_measures(view, notebook, artifacts, site):
    notebook.kernel_runs(f"widget.site = {site!r}")
    view.click("conv2", 4)
    view.part("zero").click()
    view.open("interventions")
    view.wait_effect()
    notebook.wait_until_kernel_says("widget.ablated", "{'conv2': [4]}")
    before, after, change, se = kernel_effect(notebook, {"conv2": [4]}, site)
    assert numbers(view.part("accuracy-before").inner_text()) == [pytest.approx(100 * before, abs=0.06)]
    assert numbers(view.part("accuracy-after").inner_text()) == [pytest.approx(100 * after, abs=0.06)]
    shown, half = numbers(view.part("accuracy-change").inner_text())
    assert shown == pytest.approx(100 * change, abs=0.06)
    assert half == pytest.approx(100 * 1.96 * se, abs=0.06)
    view.root.screenshot(path=artifacts / f"interventions-{site}.png")
    view.part("clear").click()
    expect(view.part("zeroed-summary")).to_contain_text("Nothing")
    notebook.wait_until_kernel_says("widget.ablated", "{}")


def test_the_effect_follows_every_toggle(view, notebook):
    """Toggle faster than the network answers: in the end the effect is that of what is zeroed then."""
    for unit in (0, 3, 5):
        view.double_click("conv1", unit)
    view.double_click("conv1", 3)
    view.open("interventions")
    notebook.wait_until_kernel_says("widget.ablated", "{'conv1': [0, 5]}")
    _, after, _, _ = kernel_effect(notebook, {"conv1": [0, 5]})
    view.wait_effect()
    assert numbers(view.part("accuracy-after").inner_text()) == [pytest.approx(100 * after, abs=0.06)]


def test_heatmaps_are_drawn(view, notebook, artifacts):
    notebook.kernel_runs("widget.selected = widget.ablated = {'conv2': [4]}")
    view.open("heatmaps")
    expect(view.part("heat-image")).to_be_visible(timeout=SLOW)
    for kind in ("importance", "activation", "difference"):
        expect(view.part(f"heat-{kind}")).to_be_visible(timeout=SLOW)
        notebook.page.wait_for_function(COLOURFUL, arg=view.part(f"heat-{kind}").element_handle())
    view.root.screenshot(path=artifacts / "heatmaps.png")


def test_a_pruning_curve_runs_from_the_page(view, notebook, artifacts):
    view.open("pruning")
    view.part("prune-steps").fill("3")
    view.part("prune-repeats").fill("2")
    view.part("prune-run").click()
    expect(view.part("prune-progress")).to_contain_text("Measured on", timeout=SLOW)
    chart = view.part("panel-pruning").locator("svg").first
    expect(chart).to_be_visible()
    for rule in ("coefficient", "standardised", "L1 norm", "random (2 draws"):
        expect(view.part("panel-pruning")).to_contain_text(rule)
    view.root.screenshot(path=artifacts / "pruning.png")


def test_a_reload_finds_the_same_state(view, notebook, artifacts):
    view.click("conv2", 7)
    view.part("zero").click()
    view.open("interventions")
    view.wait_effect()
    accuracy = view.part("accuracy-after").inner_text()
    notebook.save()
    notebook.reload()
    again = WidgetView(notebook.page).ready()
    expect(again.part("panel-interventions")).to_be_visible()
    again.wait_effect()
    expect(again.part("accuracy-after")).to_have_text(accuracy)
    expect(again.part("zeroed")).to_contain_text("conv2 · 7")
    again.open("inspector")
    expect(again.part("inspector-title")).to_contain_text("7")
    again.root.screenshot(path=artifacts / "reloaded.png")
