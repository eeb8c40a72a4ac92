"""The widget on small notebooks: collect, cancel, views, themes, widths, and what stays without a kernel."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from tests.browser.conftest import desk, leave_screenshots
from tests.browser.notebook_page import COLLECTED, DEMO, SHOW, NotebookPage, write_notebook
from tests.browser.widget_view import SLOW, WidgetView, numbers

# One after another in one process (make test keeps a file together): they share a server and a page.
pytestmark = [pytest.mark.browser, pytest.mark.slow]

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
            time.sleep(1)
            yield batch

weights = {name: value.clone() for name, value in digits.model.state_dict().items()}
widget = cw.CausalWidget(digits.model, Slow(), class_names=digits.class_names)
widget
"""
RESET = "widget.ablated, widget.scale, widget.selected, widget.panel = {}, 0.0, {}, 'inspector'"
UNTOUCHED = "all(bool((weights[name] == value).all()) for name, value in digits.model.state_dict().items())"
# JupyterLab's widget manager says this itself when a saved notebook's widget has no kernel any more.
MODEL_GONE = re.compile("widget model not found")


def test_collect_from_the_page(lab, open_notebook, artifacts):
    notebook = open_notebook(write_notebook(lab, "collect.ipynb", MODEL_ONLY))
    notebook.run_all()
    view = WidgetView(notebook.page).ready()
    view.root.screenshot(path=artifacts / "before-collect.png")
    assert notebook.kernel_says("widget.explainer.collection") == "None"
    view.part("collect").click()
    view.wait_collected()
    expect(view.part("accuracy")).to_contain_text("100")
    assert notebook.kernel_says("widget.explainer.collection.n_images") == "1297"
    assert notebook.kernel_says("widget.explainer.scm is not None") == "True"
    view.click("conv1", 0)
    expect(view.part("ranks")).to_contain_text("coefficient")

    view.part("batches").fill("3")
    view.part("batches").press("Enter")
    view.part("collect").click()
    expect(view.part("progress")).to_contain_text("Collected 192 images", timeout=SLOW)
    assert notebook.kernel_says("widget.explainer.collection.n_images") == "192"
    view.no_error()
    assert notebook.unexpected_errors() == []


def test_cancel_a_collect(lab, open_notebook, artifacts):
    notebook = open_notebook(write_notebook(lab, "cancel.ipynb", SLOWLY))
    notebook.run_all()
    view = WidgetView(notebook.page).ready()
    view.part("collect").click()
    expect(view.part("progress")).to_contain_text(re.compile(r"Collecting: [1-9]\d*"), timeout=SLOW)
    view.root.screenshot(path=artifacts / "collecting.png")
    view.part("cancel").click()
    expect(view.part("collect")).to_be_enabled(timeout=10_000)
    expect(view.part("cancel")).to_be_disabled()
    assert (
        notebook.kernel_says("(lambda c: c is None or c.n_images < 1297)(widget.explainer.collection)")
        == "True"
    )
    assert notebook.kernel_says(UNTOUCHED) == "True"
    assert notebook.kernel_says("any(m._forward_hooks for m in digits.model.modules())") == "False"
    assert notebook.unexpected_errors() == []


@pytest.fixture(scope="module")
def shared_notebook(module_desk, lab) -> NotebookPage:
    """A notebook in which the widget stands twice, collected."""
    notebook = module_desk(
        write_notebook(lab, "shared.ipynb", DEMO + COLLECTED + SHOW, "widget"), height=1700
    )
    notebook.run_all()
    return notebook


@pytest.fixture
def notebook(shared_notebook, request, artifacts) -> Iterator[NotebookPage]:
    shared_notebook.kernel_runs(RESET)
    yield shared_notebook
    leave_screenshots(request.node, [shared_notebook], artifacts)
    assert shared_notebook.unexpected_errors() == []


def test_two_views_show_the_same(notebook, artifacts):
    first, second = (WidgetView(notebook.page, which).ready() for which in (0, 1))
    first.click("conv2", 9)
    first.part("zero").click()
    expect(second.part("zeroed")).to_contain_text("conv2 · 9")
    expect(second.part("inspector-title")).to_contain_text("9")
    second.wait_effect()
    notebook.screenshot(artifacts / "two-views.png")
    second.part("clear").click()
    expect(first.part("zeroed-summary")).to_contain_text("Nothing")


def test_choices_made_in_python_reach_the_page(notebook):
    view = WidgetView(notebook.page).ready()
    notebook.kernel_runs("widget.selected, widget.panel = {'conv1': [2]}, 'interventions'")
    notebook.kernel_runs("widget.ablated = {'conv1': [2, 4]}")
    expect(view.part("panel-interventions")).to_be_visible()
    expect(view.part("zeroed")).to_contain_text("conv1 · 4")
    view.wait_effect()


def test_the_equations_are_read_by_keyboard(notebook, artifacts):
    view = WidgetView(notebook.page).ready()
    view.part("tab-inspector").focus()
    notebook.page.keyboard.press("ArrowRight")
    expect(view.part("panel-equations")).to_be_visible()
    expect(view.part("r2").get_by_role("button")).to_have_count(3)
    view.root.screenshot(path=artifacts / "equations.png")
    worst = view.part("worst").get_by_role("button").first
    name = worst.locator(".cw-relative-name").text_content()
    worst.focus()
    notebook.page.keyboard.press("Enter")
    expect(view.part("equation-title")).to_have_text(name)
    expect(view.part("scatter")).to_be_visible(timeout=SLOW)
    strongest = view.part("coefficients").get_by_role("button").first
    before = strongest.inner_text()
    view.part("by-coefficient").click()
    expect(view.part("by-coefficient")).to_have_attribute("aria-pressed", "true")
    assert strongest.inner_text() != before
    view.root.screenshot(path=artifacts / "equation.png")
    view.part("equations-tab-one").focus()
    notebook.page.keyboard.press("ArrowRight")
    expect(view.part("check-cost")).to_contain_text("forward passes")


def test_the_worst_equation_is_that_of_the_model(notebook):
    view = WidgetView(notebook.page).ready()
    view.open("equations")
    view.part("equations-tab-layers").click()
    said = view.part("worst").locator("button .cw-number").first.inner_text()
    least = "min(float(numpy.nanmin(one.heldout_r2)) for one in explainer.scm.equations.values())"
    known = float(notebook.kernel_says(f"(lambda numpy: {least})(__import__('numpy'))"))
    assert numbers(said) == [pytest.approx(known, abs=0.006)]


def test_a_value_is_dragged_down_and_both_answer(notebook, artifacts):
    """By keyboard, with a filter that is only selected: the equations and the network answer as in Python."""
    view = WidgetView(notebook.page).ready()
    view.click("conv2", 5)
    view.open("interventions")
    expect(view.part("scale-of")).to_contain_text("conv2 · 5")
    view.part("scale").focus()
    for _ in range(6):
        notebook.page.keyboard.press("PageDown")
    expect(view.part("scale-value")).to_have_text("× 0.40")
    view.wait_effect()
    assert notebook.kernel_says("(widget.ablated, widget.scale)") == "({'conv2': [5]}, 0.4)"
    do = "cw.Intervention({'conv2': [5]}, scale=0.4)"
    measured = f"explainer.effect_of({do}, digits.test_loader, progress=cw.Progress()).accuracy.after"
    truth = float(notebook.kernel_says(f"float({measured})"))
    responses = "explainer.scm.source.read(digits.test_loader)"
    guess = float(notebook.kernel_says(f"float(explainer.scm.do({do}).predict({responses}).accuracy)"))
    expect(view.part("answers")).not_to_have_class(re.compile("cw-measuring"), timeout=SLOW)
    assert numbers(view.part("accuracy-after").inner_text()) == [pytest.approx(100 * truth, abs=0.06)]
    assert numbers(view.part("accuracy-predicted").inner_text()) == [pytest.approx(100 * guess, abs=0.06)]
    expect(view.part("verdict")).to_contain_text(re.compile("agree"))
    view.root.screenshot(path=artifacts / "dragged.png")
    notebook.page.keyboard.press("Home")
    expect(view.part("scale-value")).to_have_text("× 0.00")
    view.part("clear").click()
    expect(view.part("scale-value")).to_have_text("× 1.00")
    expect(view.part("effect-empty")).to_be_visible()


def test_local_equations_are_measured_from_the_page(notebook, artifacts):
    view = WidgetView(notebook.page).ready()
    notebook.kernel_runs("widget.ablated, widget.panel = {'conv2': [5, 7]}, 'interventions'")
    view.wait_effect()
    view.part("by").select_option("local")
    expect(view.part("prediction-reason")).to_contain_text("forward passes")
    expect(view.part("accuracy-predicted")).to_have_text("–")
    view.part("local-run").click()
    expect(view.part("accuracy-predicted")).to_contain_text("%", timeout=SLOW)
    view.root.screenshot(path=artifacts / "local.png")
    view.part("by").select_option("equations")


def test_the_equations_are_checked_from_the_page(notebook, artifacts):
    view = WidgetView(notebook.page).ready()
    view.open("equations")
    view.part("equations-tab-check").click()
    expect(view.part("check-empty")).to_be_visible()
    view.part("check-run").click()
    for method in ("SCM equations", "local SCM", "COAR", "leave-one-out", "no change"):
        expect(view.part("fidelity")).to_contain_text(method, timeout=SLOW)
    expect(view.part("depth")).to_be_visible()
    view.part("fidelity-setting").select_option("1")
    expect(view.part("fidelity")).to_contain_text("gradient")
    view.root.screenshot(path=artifacts / "checked.png")


def test_the_layer_list_leaves_layers_out(notebook, artifacts):
    view = WidgetView(notebook.page).ready()
    view.part("layers").get_by_label("fc1").uncheck()
    notebook.page.wait_for_function(
        "root => root.cwUnitPosition('fc1', 0) === null", arg=view.root.element_handle()
    )
    notebook.wait_until_kernel_says("widget.layers", "['conv1', 'conv2', 'fc2']")
    view.root.screenshot(path=artifacts / "without-fc1.png")
    view.part("layers-all").click()
    notebook.page.wait_for_function(
        "root => root.cwUnitPosition('fc1', 0) !== null", arg=view.root.element_handle()
    )


def test_themes_and_widths(notebook, artifacts):
    view = WidgetView(notebook.page).ready()
    notebook.kernel_runs("widget.selected, widget.ablated = {'conv2': [4]}, {'conv1': [2]}")
    for theme in ("Light", "Dark"):
        notebook.theme(f"JupyterLab {theme}")
        expect(view.root).to_have_attribute("data-theme", theme.lower())
        for width in (1700, 1000, 640):
            notebook.page.set_viewport_size({"width": width, "height": 1700})
            notebook.page.wait_for_timeout(400)
            view.root.scroll_into_view_if_needed()
            view.root.screenshot(path=artifacts / f"{theme.lower()}-{width}.png")
            assert view.root.evaluate("root => root.scrollWidth <= root.clientWidth + 1"), (theme, width)
    notebook.theme("JupyterLab Light")
    notebook.page.set_viewport_size({"width": 1500, "height": 1700})


def test_the_offline_page_is_alive(notebook, chromium, tmp_path, artifacts):
    """`to_html` writes one file: opened from disk, with every connection cut, it hovers and selects."""
    file = tmp_path / "offline.html"
    notebook.kernel_runs(f"widget.to_html({str(file)!r})")
    context = chromium.new_context(viewport={"width": 1400, "height": 900}, offline=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(file.as_uri())
    view = WidgetView(page).ready()
    expect(view.part("model")).to_have_text("LeNet")
    view.hover("conv2", 5)
    expect(view.part("tooltip")).to_contain_text("conv2")
    view.click("conv2", 5)
    expect(view.part("inspector-title")).to_contain_text("5")
    view.open("equations")
    view.part("equations-tab-one").click()
    expect(view.part("equation-title")).to_contain_text("conv2 · 5")
    expect(view.part("scatter")).to_be_visible()
    view.part("tab-inspector").click()
    page.screenshot(path=artifacts / "offline.png")
    assert errors == []
    context.close()


@pytest.fixture(scope="module")
def saved(lab, chromium) -> Path:
    """A notebook that was run, looked at, saved and left; its kernel is gone."""
    with desk(lab, chromium) as open_one:
        notebook = open_one(write_notebook(lab, "saved.ipynb", DEMO + COLLECTED + SHOW))
        notebook.run_all()
        view = WidgetView(notebook.page).ready()
        notebook.kernel_runs("widget.ablated = {'conv2': [3]}")
        view.wait_effect()
        notebook.page.wait_for_timeout(1_000)  # the picture follows the effect
        notebook.save()
    return lab.notebooks / "saved.ipynb"


def check_still(page) -> None:
    expect(
        page.get_by_text("1,297 images collected", exact=False).locator("visible=true").last
    ).to_contain_text("LeNet")
    expect(page.get_by_text("zeroed: conv2 [3]")).to_be_visible(timeout=SLOW)
    picture = page.get_by_alt_text("Causal graph of LeNet")
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
    foreign = open_notebook("foreign.ipynb")
    check_still(foreign.page)
    foreign.page.get_by_alt_text("Causal graph of LeNet").scroll_into_view_if_needed()
    foreign.screenshot(artifacts / "untrusted.png")
    assert foreign.unexpected_errors() == []


def test_converted_to_html_it_shows_the_picture(saved, chromium, tmp_path, artifacts):
    body, _ = HTMLExporter().from_filename(str(saved))
    (tmp_path / "saved.html").write_text(body, encoding="utf-8")
    page = chromium.new_page()
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto((tmp_path / "saved.html").as_uri())
    check_still(page)
    page.screenshot(path=artifacts / "nbconvert.png")
    page.close()
