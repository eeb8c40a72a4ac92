"""The Class panel in a real JupyterLab: plan, run, the graph, a unit's maps, two classes compared, repair."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import leave_screenshots
from tests.browser.notebook_page import DEMO, NotebookPage, write_notebook
from tests.browser.widget_view import SLOW, WidgetView, numbers

# One after another in one process (make test keeps a file together): they share a server and a page.
pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHOW = "widget = cw.CausalWidget(explainer, images=digits.train_loader)\nwidget"
RESET = "widget.ablated, widget.selected, widget.panel = {}, {}, 'classes'"
SLOW_NET = """import torch
import causal_widget as cw
torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 96, 3), torch.nn.ReLU(), torch.nn.Conv2d(96, 96, 3), torch.nn.ReLU(),
    torch.nn.Conv2d(96, 96, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
    torch.nn.Linear(96, 2))
images = [(torch.randn(100, 3, 40, 40), torch.arange(100) % 2) for _ in range(4)]
widget = cw.CausalWidget(model, images, panel="classes")
widget
"""
FEW = DEMO + "widget = cw.CausalWidget(explainer, images=digits.test_loader, panel='classes')\nwidget"


@pytest.fixture(scope="module")
def shared_notebook(lab, module_desk) -> NotebookPage:
    notebook = module_desk(write_notebook(lab, "classes.ipynb", DEMO + SHOW), height=1400)
    notebook.run_all()
    return notebook


@pytest.fixture
def view(shared_notebook, request, artifacts) -> Iterator[WidgetView]:
    shared_notebook.kernel_runs(RESET)
    seen = WidgetView(shared_notebook.page).ready()
    yield seen
    leave_screenshots(request.node, [shared_notebook], artifacts)
    seen.no_error()
    assert shared_notebook.unexpected_errors() == []


def explained(view: WidgetView, target: str, mode: str = "sound") -> None:
    view.part("class-target").select_option(label=target)
    view.part("class-mode").select_option(mode)
    view.part("class-explain").click()
    expect(view.part("class-plan")).to_contain_text("88 units", timeout=SLOW)
    view.part("class-run").click()
    expect(view.part("class-plan")).to_contain_text(" in ", timeout=SLOW)
    expect(view.part("class-table")).to_be_visible(timeout=SLOW)


def picture(view: WidgetView) -> bytes:
    view.page.mouse.move(5, 5)
    view.page.wait_for_timeout(300)
    return view.part("graph").screenshot()


def test_before_it_ran_nothing_is_explained(view, artifacts):
    expect(view.part("class-empty")).to_be_visible()
    expect(view.part("legend-verdicts")).to_be_hidden()
    view.root.screenshot(path=artifacts / "class-before.png")


def test_a_class_is_explained_by_keyboard_after_its_plan_was_shown(view, shared_notebook, artifacts):
    page = shared_notebook.page
    view.part("class-target").focus()
    view.part("class-target").select_option(label="three")
    view.part("class-explain").focus()
    page.keyboard.press("Enter")
    expect(view.part("class-plan")).to_contain_text("94 images of the 126 of three, 88 units", timeout=SLOW)
    expect(view.part("class-run")).to_be_focused()
    view.root.screenshot(path=artifacts / "class-plan.png")
    page.keyboard.press("Enter")
    expect(view.part("class-plan")).to_contain_text("94 images in", timeout=SLOW)
    graph = "widget.class_graphs[3]"
    for kind in ("critical", "detrimental"):
        found = shared_notebook.kernel_says(f"sum(map(len, {graph}.units({kind!r}).values()))")
        chip = view.part(f"class-only-{kind}").locator("xpath=..")
        expect(chip).to_contain_text(re.compile(rf"{kind} {found}$"))
    rows = view.part("class-table").locator("tbody tr")
    best = shared_notebook.kernel_says(
        f"(lambda t: round(float(t['effect'].abs().max()), 3))({graph}.table())"
    )
    assert abs(numbers(rows.first.locator("td").first.inner_text())[0]) == pytest.approx(
        float(best), abs=2e-3
    )
    expect(view.part("legend-verdicts")).to_contain_text("not asked")


def test_the_graph_shows_the_class_and_its_paths(view, shared_notebook, artifacts):
    shown = picture(view)
    view.root.screenshot(path=artifacts / "class.png")
    view.part("verdicts-on").uncheck()
    assert picture(view) != shown
    view.part("verdicts-on").check()
    view.open("inspector")
    assert picture(view) != shown, "paths belong to the panel"
    view.open("classes")
    assert picture(view) == shown
    view.hover("conv2", 4)
    expect(view.part("tooltip")).to_contain_text("output")


def test_a_units_effect_and_maps(view, shared_notebook, artifacts):
    view.click("conv2", 5)
    said = re.compile(r"output .*\[.*\] · . (critical|detrimental|neutral|undecided).* p ")
    expect(view.part("class-effect")).to_contain_text(said)
    buttons = view.part("class-strongest").locator("button")
    expect(buttons).to_have_count(7, timeout=SLOW)
    expect(view.part("class-says")).to_contain_text("critical parents")
    view.root.screenshot(path=artifacts / "class-unit.png")
    first = view.part("class-map").screenshot()
    buttons.nth(3).focus()
    shared_notebook.page.keyboard.press("Enter")
    expect(buttons.nth(3)).to_have_attribute("aria-pressed", "true")
    expect(buttons.nth(3)).to_be_focused()
    assert view.part("class-map").screenshot() != first
    expect(view.part("class-says")).to_contain_text("strongest 3")
    view.part("class-table").locator("tbody tr").first.locator("button").focus()
    shared_notebook.page.keyboard.press("Enter")
    shared_notebook.wait_until_kernel_says("sum(map(len, widget.selected.values()))", "1")


def test_repair_is_a_slider(view, shared_notebook, artifacts):
    view.part("repair-run").click()
    expect(view.part("repair").locator("tbody tr")).to_have_count(2, timeout=SLOW)
    slider = view.part("repair-share")
    slider.focus()
    shared_notebook.page.keyboard.press("Home")
    expect(view.part("repair-value")).to_have_text("0 %: 0 units")
    shared_notebook.page.keyboard.press("End")
    harmful = shared_notebook.kernel_says(
        "sum(map(len, widget.class_graphs[3].units('detrimental').values()))"
    )
    expect(view.part("repair-value")).to_have_text(re.compile(rf"^100 %: {harmful} units?$"))
    for row in view.part("repair").locator("tbody tr").all():
        before, after, change, low, high = numbers(row.inner_text())[:5]
        assert after - before == pytest.approx(change, abs=0.11)
        assert low <= change <= high
    view.root.screenshot(path=artifacts / "class-repair.png")


def test_two_classes_are_compared(view, artifacts):
    explained(view, "five")
    alone = picture(view)
    view.part("class-other").select_option(label="three")
    expect(view.part("legend-verdicts")).to_contain_text("only five")
    expect(view.part("legend-verdicts")).to_contain_text("only three")
    expect(view.part("class-only-shared")).to_be_visible()
    assert picture(view) != alone
    view.root.screenshot(path=artifacts / "class-compared.png")
    view.part("class-target").select_option(label="three ✓")
    expect(view.part("class-plan")).to_contain_text("94 images in")
    expect(view.part("class-only-critical")).to_be_visible()


def test_in_both_themes_and_at_all_widths(view, shared_notebook, artifacts):
    view.click("conv2", 5)
    for theme in ("Light", "Dark"):
        shared_notebook.theme(f"JupyterLab {theme}")
        expect(view.root).to_have_attribute("data-theme", theme.lower())
        for width in (1700, 1000, 640):
            shared_notebook.page.set_viewport_size({"width": width, "height": 1700})
            shared_notebook.page.wait_for_timeout(400)
            view.root.scroll_into_view_if_needed()
            view.root.screenshot(path=artifacts / f"class-{theme.lower()}-{width}.png")
            assert view.root.evaluate("root => root.scrollWidth <= root.clientWidth + 1"), (theme, width)
            tabs = view.root.locator(".cw-tabs")
            assert tabs.evaluate("tabs => tabs.scrollWidth <= tabs.clientWidth + 1"), (theme, width)
    shared_notebook.theme("JupyterLab Light")
    shared_notebook.page.set_viewport_size({"width": 1500, "height": 1400})


def test_the_offline_page_keeps_the_graphs(view, shared_notebook, chromium, tmp_path, artifacts):
    file = tmp_path / "offline.html"
    shared_notebook.kernel_runs(f"widget.to_html({str(file)!r})")
    context = chromium.new_context(viewport={"width": 1400, "height": 900}, offline=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    offline = WidgetView(page).ready()
    offline.open("classes")
    expect(offline.part("class-table")).to_be_visible()
    offline.part("class-target").select_option(label="three ✓")
    expect(offline.part("repair").locator("tbody tr")).to_have_count(2)
    offline.part("class-other").select_option(label="five")
    expect(offline.part("class-only-shared")).to_be_visible()
    offline.click("conv2", 5)
    expect(offline.part("class-strongest").locator("button")).to_have_count(7)
    page.screenshot(path=artifacts / "class-offline.png")
    assert errors == []
    context.close()


def test_too_few_images_say_how_many_would_do(lab, open_notebook, artifacts):
    notebook = open_notebook(write_notebook(lab, "few.ipynb", FEW), height=1400)
    notebook.run_all()
    view = WidgetView(notebook.page).ready()
    view.part("class-target").select_option(label="three")
    view.part("class-explain").click()
    expect(view.part("class-plan")).to_contain_text("60 would do", timeout=SLOW)
    view.part("class-run").click()
    expect(view.part("class-notes")).to_contain_text("60 would do", timeout=SLOW)
    expect(view.part("class-notes")).to_contain_text("could be decided")
    expect(view.part("repair-run")).to_be_disabled()
    view.root.screenshot(path=artifacts / "class-few.png")
    assert notebook.unexpected_errors() == []


def test_layers_come_from_the_class_backwards_and_it_is_cancelled(lab, open_notebook, artifacts):
    notebook = open_notebook(write_notebook(lab, "backwards.ipynb", SLOW_NET), height=1400)
    notebook.run_all()
    view = WidgetView(notebook.page)
    notebook.page.wait_for_function(
        "root => root.cwUnitPosition('0', 0) !== null", arg=view.root.element_handle(), timeout=SLOW
    )
    view.part("class-mode").select_option("paper")
    view.part("class-explain").click()
    expect(view.part("class-plan")).to_contain_text("288 units", timeout=SLOW)
    view.part("class-run").click()
    expect(view.part("class-plan")).to_contain_text("Found: 4", timeout=SLOW)
    view.root.screenshot(path=artifacts / "class-running.png")
    expect(view.part("class-target")).to_be_disabled()
    view.part("class-cancel").click()
    expect(view.part("class-plan")).to_contain_text("Cancelled", timeout=SLOW)
    expect(view.part("class-empty")).to_be_visible()
    assert notebook.unexpected_errors() == []
