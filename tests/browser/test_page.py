"""The widget on small notebooks: collect, cancel, views, themes, widths, and what stays without a kernel."""

import re

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from tests.browser.notebook_page import COLLECTED, DEMO, SHOW, write_notebook
from tests.browser.widget_view import SLOW, WidgetView

MODEL_ONLY = """import causal_widget as cw
digits = cw.samples.digits()
widget = cw.CausalWidget(digits.model, digits.train_loader, class_names=digits.class_names)
widget
"""
SLOWLY = """import time
import causal_widget as cw
digits = cw.samples.digits()

class Slow:
    def __len__(self):
        return len(digits.train_loader)
    def __iter__(self):
        for batch in digits.train_loader:
            time.sleep(0.25)
            yield batch

weights = {name: value.clone() for name, value in digits.model.state_dict().items()}
widget = cw.CausalWidget(digits.model, Slow(), class_names=digits.class_names)
widget
"""
UNTOUCHED = "all(bool((weights[name] == value).all()) for name, value in digits.model.state_dict().items())"
# JupyterLab's widget manager says this itself when a saved notebook's widget has no kernel any more.
MODEL_GONE = re.compile("widget model not found")


def test_collect_from_the_page(lab, open_notebook, artifacts):
    notebook = open_notebook(write_notebook(lab, "collect.ipynb", MODEL_ONLY))
    notebook.run_all()
    view = WidgetView(notebook).ready()
    view.root.screenshot(path=artifacts / "before-collect.png")
    assert notebook.kernel_says("widget.explainer.collection") == "None"
    view.part("collect").click()
    view.wait_collected()
    expect(view.part("accuracy")).to_contain_text("100")
    assert notebook.kernel_says("widget.explainer.collection.n_images") == "1297"
    assert notebook.kernel_says("widget.explainer.scm is not None") == "True"
    view.click("conv1", 0)
    expect(view.part("ranks")).to_contain_text("coefficient")
    view.no_error()
    assert notebook.unexpected_errors() == []


def test_a_number_of_batches_is_respected(lab, open_notebook):
    notebook = open_notebook(write_notebook(lab, "batches.ipynb", MODEL_ONLY))
    notebook.run_all()
    view = WidgetView(notebook).ready()
    view.part("batches").fill("3")
    view.part("batches").press("Enter")
    view.part("collect").click()
    view.wait_collected()
    assert notebook.kernel_says("widget.explainer.collection.n_images") == "192"
    assert notebook.unexpected_errors() == []


def test_cancel_a_collect(lab, open_notebook, artifacts):
    notebook = open_notebook(write_notebook(lab, "cancel.ipynb", SLOWLY))
    notebook.run_all()
    view = WidgetView(notebook).ready()
    view.part("collect").click()
    expect(view.part("progress")).to_contain_text(
        re.compile(r"[1-9]\d* of 1,297|[1-9]\d* images"), timeout=SLOW
    )
    view.root.screenshot(path=artifacts / "collecting.png")
    view.part("cancel").click()
    expect(view.part("collect")).to_be_enabled(timeout=3_000)
    expect(view.part("cancel")).to_be_disabled()
    assert notebook.kernel_says(UNTOUCHED) == "True"
    assert notebook.kernel_says("any(m._forward_hooks for m in digits.model.modules())") == "False"
    assert notebook.unexpected_errors() == []


def test_two_views_show_the_same(lab, open_notebook, artifacts):
    notebook = open_notebook(
        write_notebook(lab, "views.ipynb", DEMO + COLLECTED + SHOW, "widget"), height=1700
    )
    notebook.run_all()
    first, second = (WidgetView(notebook, which).ready() for which in (0, 1))
    first.click("conv2", 9)
    first.part("zero").click()
    expect(second.part("zeroed")).to_contain_text("conv2 · 9")
    expect(second.part("inspector-title")).to_contain_text("9")
    second.wait_effect()
    second.part("clear").click()
    expect(first.part("zeroed-summary")).to_contain_text("Nothing")
    notebook.screenshot(artifacts / "two-views.png")
    assert notebook.unexpected_errors() == []


def test_choices_made_in_python_reach_the_page(lab, open_notebook):
    notebook = open_notebook(write_notebook(lab, "python.ipynb", DEMO + COLLECTED + SHOW))
    notebook.run_all()
    view = WidgetView(notebook).ready()
    notebook.kernel_runs("widget.selected, widget.panel = {'conv1': [2]}, 'interventions'")
    notebook.kernel_runs("widget.ablated = {'conv1': [2, 4]}")
    expect(view.part("panel-interventions")).to_be_visible()
    expect(view.part("zeroed")).to_contain_text("conv1 · 4")
    view.wait_effect()
    assert notebook.unexpected_errors() == []


def test_themes_and_widths(lab, open_notebook, artifacts):
    name = write_notebook(lab, "themes.ipynb", DEMO + COLLECTED + SHOW)
    notebook = open_notebook(name, width=1700)
    notebook.run_all()
    view = WidgetView(notebook).ready()
    for theme in ("Light", "Dark"):
        notebook.theme(f"JupyterLab {theme}")
        expect(view.root).to_have_attribute("data-theme", theme.lower())
        for width in (1700, 1000, 640):
            notebook.page.set_viewport_size({"width": width, "height": 1100})
            notebook.page.wait_for_timeout(400)
            view.root.scroll_into_view_if_needed()
            view.root.screenshot(path=artifacts / f"{theme.lower()}-{width}.png")
            assert view.root.evaluate("root => root.scrollWidth <= root.clientWidth + 1"), (theme, width)
    notebook.theme("JupyterLab Light")
    assert notebook.unexpected_errors() == []


@pytest.fixture
def saved(lab, open_notebook):
    """A notebook that was run, looked at, saved and left; its kernel is gone."""
    notebook = open_notebook(write_notebook(lab, "saved.ipynb", DEMO + COLLECTED + SHOW))
    notebook.run_all()
    view = WidgetView(notebook).ready()
    notebook.kernel_runs("widget.ablated = {'conv2': [3]}")
    view.wait_effect()
    notebook.page.wait_for_timeout(1_000)  # the picture follows the effect
    notebook.save()
    assert notebook.unexpected_errors() == []
    notebook.page.close()
    lab.stop_kernels()
    return lab.notebooks / "saved.ipynb"


def check_still(page) -> None:
    still = page.get_by_test_id("cw-still").first
    expect(still).to_be_visible(timeout=SLOW)
    expect(still).to_contain_text("LeNet")
    expect(still).to_contain_text("1,297 images")
    expect(still).to_contain_text("conv2 [3]")
    picture = still.locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("img => img.complete && img.naturalWidth > 200")


def test_a_saved_notebook_reopened_without_its_kernel_shows_the_picture(saved, open_notebook, artifacts):
    notebook = open_notebook("saved.ipynb")
    check_still(notebook.page)
    expect(notebook.page.get_by_test_id("cw-root")).to_have_count(0)
    expect(notebook.page.get_by_text("model not found")).to_be_hidden()
    notebook.page.get_by_test_id("cw-still").scroll_into_view_if_needed()
    notebook.screenshot(artifacts / "reopened-without-kernel.png")
    assert [error for error in notebook.unexpected_errors() if not MODEL_GONE.search(error)] == []


def test_on_another_machine_too_where_the_notebook_is_not_trusted(saved, lab, open_notebook, artifacts):
    notebook = nbformat.read(saved, as_version=4)
    notebook.cells[0].outputs[-1]["data"]["text/html"] += (
        "<i>changed, so that the signature no longer fits</i>"
    )
    nbformat.write(notebook, lab.notebooks / "foreign.ipynb")
    page = open_notebook("foreign.ipynb")
    page.page.locator(".jp-OutputArea").first.scroll_into_view_if_needed()
    still = page.page.get_by_text("1,297 images")
    expect(still).to_be_visible(timeout=SLOW)
    assert page.page.locator(".jp-OutputArea img").first.evaluate("img => img.naturalWidth > 200")
    page.screenshot(artifacts / "untrusted.png")
    assert page.unexpected_errors() == []


def test_converted_to_html_it_shows_the_picture(saved, chromium, tmp_path, artifacts):
    body, _ = HTMLExporter().from_filename(str(saved))
    (tmp_path / "saved.html").write_text(body, encoding="utf-8")
    page = chromium.new_page()
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto((tmp_path / "saved.html").as_uri())
    check_still(page)
    page.screenshot(path=artifacts / "nbconvert.png")
    page.close()


def test_the_offline_page_is_alive(lab, open_notebook, chromium, tmp_path, artifacts):
    """`to_html` writes one file: opened from disk, with every connection cut, it hovers and selects."""
    notebook = open_notebook(write_notebook(lab, "offline.ipynb", DEMO + COLLECTED + SHOW))
    notebook.run_all()
    file = tmp_path / "offline.html"
    notebook.kernel_runs(f"widget.to_html({str(file)!r})")
    context = chromium.new_context(viewport={"width": 1400, "height": 900}, offline=True)
    notebook.page = context.new_page()  # the view looks at the page of its notebook
    errors: list[str] = []
    notebook.page.on("pageerror", lambda error: errors.append(str(error)))
    notebook.page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    notebook.page.goto(file.as_uri())
    view = WidgetView(notebook).ready()
    expect(view.part("model")).to_have_text("LeNet")
    view.hover("conv2", 5)
    expect(view.part("tooltip")).to_contain_text("conv2")
    view.click("conv2", 5)
    expect(view.part("inspector-title")).to_contain_text("5")
    view.root.screenshot(path=artifacts / "offline.png")
    assert errors == []
    context.close()
