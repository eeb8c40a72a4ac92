"""Ranking in a real JupyterLab: its plan, switching filters meanwhile, the table, the file, the graph."""

import csv
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import leave_screenshots
from tests.browser.notebook_page import COLLECTED, DEMO, SHOW, NotebookPage, write_notebook
from tests.browser.widget_view import SLOW, WidgetView, numbers

# One after another in one process (make test keeps a file together): they share a server and a page.
pytestmark = [pytest.mark.browser, pytest.mark.slow]

RESET = "widget.ablated, widget.selected, widget.panel, widget.rule = {}, {}, 'ranking', 'coefficient'"
WIDE = """import torch
import causal_widget as cw
torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 64, 3), torch.nn.ReLU(), torch.nn.Conv2d(64, 64, 3), torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(64, 10))
images = [(torch.randn(100, 3, 40, 40), torch.randint(0, 10, (100,))) for _ in range(10)]
widget = cw.CausalWidget(model, images)
widget
"""
# The milliseconds from each toggle to the answer that is shown for it, by the page's own clock.
ROUND_TRIPS = """async ([root, units]) => {
    const line = root.querySelector('[data-testid=cw-zeroed-summary]');
    const chips = root.querySelector('[data-testid=cw-zeroed]');
    const model = root.querySelector('[data-testid=cw-zero]');
    const found = [];
    for (const unit of units) {
        const canvas = root.querySelector('[data-testid=cw-graph]');
        const { x, y } = root.cwUnitPosition('conv2', unit);
        const at = { clientX: x, clientY: y, bubbles: true };
        const before = performance.now();
        canvas.dispatchEvent(new MouseEvent('dblclick', at));
        await new Promise((done) => {
            const look = () => {
                const there = line.textContent.includes('accuracy') && !line.classList.contains('cw-stale');
                if (there) done();
                else setTimeout(look, 4);
            };
            setTimeout(look, 4);
        });
        found.push(performance.now() - before);
        await new Promise((done) => setTimeout(done, 100));
    }
    return found;
}"""


@pytest.fixture(scope="module")
def shared_notebook(lab, module_desk) -> NotebookPage:
    notebook = module_desk(write_notebook(lab, "ranking.ipynb", DEMO + COLLECTED + SHOW), height=1400)
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


def ranked(view: WidgetView, button: str = "rank-all") -> None:
    view.part(button).click()
    expect(view.part("rank-plan")).to_contain_text("each silenced alone", timeout=SLOW)
    view.part("rank-run").click()
    expect(view.part("rank-table")).to_be_visible(timeout=SLOW)
    expect(view.part("rank-plan")).to_contain_text(" in ", timeout=SLOW)


def first_cells(view: WidgetView, column: int) -> list[str]:
    rows = view.part("rank-table").locator("tbody tr")
    return [row.locator("th, td").nth(column).inner_text() for row in rows.all()]


def test_a_toggle_is_answered_at_once(view, shared_notebook, artifacts):
    """From the double click to the numbers that are shown; the fastest of nine, as other tests run beside."""
    view.open("interventions")
    shared_notebook.page.evaluate(ROUND_TRIPS, [view.root.element_handle(), [0]])
    trips = shared_notebook.page.evaluate(ROUND_TRIPS, [view.root.element_handle(), list(range(1, 10))])
    (artifacts / "round-trips.txt").write_text(" ".join(f"{trip:.0f}" for trip in trips) + " ms\n")
    assert sorted(trips)[0] < 300, trips
    expect(view.part("classes").locator(".cw-whisker")).to_have_count(10)
    expect(view.part("loss-change")).to_contain_text("±")


def test_before_it_ran_nothing_is_judged(view, artifacts):
    expect(view.part("rank-empty")).to_be_visible()
    expect(view.part("rank-layer")).to_be_disabled()
    expect(view.part("legend-verdicts")).to_be_hidden()
    assert "effect" not in view.part("rule").inner_text()
    view.root.screenshot(path=artifacts / "ranking-before.png")


def test_a_layer_is_ranked_after_its_plan_was_shown(view, shared_notebook, artifacts):
    view.click("conv2", 3)
    view.part("rank-layer").click()
    expect(view.part("rank-plan")).to_contain_text("16 filters of 1 layer", timeout=SLOW)
    expect(view.part("rank-plan")).to_contain_text("500 images")
    expect(view.part("rank-run")).to_be_focused()
    view.root.screenshot(path=artifacts / "ranking-plan.png")
    shared_notebook.page.keyboard.press("Enter")
    expect(view.part("rank-table").locator("tbody tr")).to_have_count(16, timeout=SLOW)
    expect(view.part("rank-plan")).to_contain_text("16 filters on 500 images")
    view.part("rank-drop").wait_for(state="hidden")


def test_the_table_is_sorted_by_keyboard_and_says_what_python_says(view, shared_notebook, artifacts):
    ranked(view)
    table = view.part("rank-table")
    expect(table.locator("tbody tr")).to_have_count(24)
    view.root.screenshot(path=artifacts / "ranking.png")
    sizes = [abs(numbers(cell)[0]) for cell in first_cells(view, 1)]
    assert sizes == sorted(sizes, reverse=True)
    best = "widget.explainer.last_effects.ranking().table()"
    top = shared_notebook.kernel_says(
        f"(lambda t: [t['question'].iloc[0], round(float(t['effect'].iloc[0]), 3)])({best})"
    )
    unit = first_cells(view, 0)[0]
    assert re.sub(r"\W+", " ", unit).strip() == re.sub(r"\W+", " ", top.split(",")[0]).strip()
    assert numbers(first_cells(view, 1)[0]) == [pytest.approx(float(top.split(",")[1].strip(" ]")), abs=1e-3)]
    p = table.locator("[data-sort=corrected]")
    p.focus()
    shared_notebook.page.keyboard.press("Enter")
    expect(table.locator("th[aria-sort=ascending]")).to_have_count(1)
    shared_notebook.page.keyboard.press("Enter")
    expect(table.locator("th[aria-sort=descending]")).to_have_count(1)
    table.locator("[data-sort=unit]").click()
    assert [numbers(cell)[-1] for cell in first_cells(view, 0)][:8] == list(range(8))
    table.locator("[data-sort=effect]").click()


def test_a_row_selects_its_filter(view, shared_notebook):
    row = view.part("rank-table").locator("tbody tr").nth(2)
    layer, unit = row.get_attribute("data-unit").split(" ")
    row.locator("td").nth(1).click()
    shared_notebook.wait_until_kernel_says("widget.selected", f"{{{layer!r}: [{unit}]}}")
    expect(row).to_have_attribute("aria-selected", "true")
    view.open("inspector")
    expect(view.part("effect-line")).to_contain_text("loss")


def test_verdicts_are_filtered_and_judged_anew(view, shared_notebook):
    count = lambda kind: int(numbers(view.part(f"rank-only-{kind}").locator("xpath=..").inner_text())[0])  # noqa: E731
    rows = view.part("rank-table").locator("tbody tr")
    kinds = ("critical", "neutral", "detrimental", "undecided")
    assert sum(map(count, kinds)) == 24
    critical = count("critical")
    assert critical > 0
    view.part("rank-only-critical").uncheck()
    expect(rows.filter(has=view.page.locator(".cw-critical"))).to_have_count(0)
    view.part("rank-only-critical").check()
    view.part("rank-least").fill("1000")
    view.part("rank-least").press("Tab")
    expect(view.part("rank-only-neutral").locator("xpath=..")).to_contain_text("24")
    expect(view.part("rank-default")).to_contain_text("default 0.01")
    view.part("rank-outcome").select_option("correct")
    expect(view.part("rank-default")).to_have_text("default")
    assert float(view.part("rank-least").input_value()) == 0.01
    view.part("rank-outcome").select_option("loss")
    expect(view.part("rank-only-critical").locator("xpath=..")).to_contain_text(str(critical))


def test_the_table_is_saved_as_a_file(view, artifacts):
    with view.page.expect_download() as caught:
        view.part("rank-csv").click()
    assert caught.value.suggested_filename == "effects-loss.csv"
    text = Path(caught.value.path()).read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 24
    assert {row["layer"] for row in rows} == {"conv1", "conv2"}
    assert all(float(row["low"]) <= float(row["effect"]) <= float(row["high"]) for row in rows)
    assert {row["verdict"] for row in rows} <= {"critical", "neutral", "detrimental", "undecided"}


def test_verdicts_stand_on_the_graph_and_effects_colour_it(view, shared_notebook, artifacts):
    def picture() -> bytes:
        view.page.mouse.move(5, 5)
        view.page.wait_for_timeout(300)
        return view.part("graph").screenshot()

    expect(view.part("legend-verdicts")).to_contain_text("critical")
    shown = picture()
    view.part("verdicts-on").uncheck()
    plain = picture()
    assert plain != shown
    view.part("rule").select_option("effect")
    shared_notebook.wait_until_kernel_says("widget.rule", "'effect'")
    assert picture() != plain
    view.root.screenshot(path=artifacts / "effect-rule.png")
    view.part("verdicts-on").check()
    view.hover("conv2", 4)
    expect(view.part("tooltip")).to_contain_text("loss")


def test_verdicts_in_both_themes_and_at_all_widths(view, shared_notebook, artifacts):
    for theme in ("Light", "Dark"):
        shared_notebook.theme(f"JupyterLab {theme}")
        expect(view.root).to_have_attribute("data-theme", theme.lower())
        for width in (1700, 1000, 640):
            shared_notebook.page.set_viewport_size({"width": width, "height": 1700})
            shared_notebook.page.wait_for_timeout(400)
            view.root.scroll_into_view_if_needed()
            view.root.screenshot(path=artifacts / f"ranking-{theme.lower()}-{width}.png")
            assert view.root.evaluate("root => root.scrollWidth <= root.clientWidth + 1"), (theme, width)
            tabs = view.root.locator(".cw-tabs")
            assert tabs.evaluate("tabs => tabs.scrollWidth <= tabs.clientWidth + 1"), (theme, width)
    shared_notebook.theme("JupyterLab Light")
    shared_notebook.page.set_viewport_size({"width": 1500, "height": 1400})


def test_the_offline_page_keeps_the_table(view, shared_notebook, chromium, tmp_path, artifacts):
    file = tmp_path / "offline.html"
    shared_notebook.kernel_runs(f"widget.to_html({str(file)!r})")
    context = chromium.new_context(viewport={"width": 1400, "height": 900}, offline=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    offline = WidgetView(page).ready()
    offline.open("ranking")
    expect(offline.part("rank-table").locator("tbody tr")).to_have_count(24)
    offline.part("rank-outcome").select_option("margin")
    expect(offline.part("rank-default")).to_have_text("default")
    expect(offline.part("rank-all")).to_be_disabled()
    with page.expect_download() as caught:
        offline.part("rank-csv").click()
    assert caught.value.suggested_filename == "effects-margin.csv"
    page.screenshot(path=artifacts / "ranking-offline.png")
    assert errors == []
    context.close()


def test_while_it_runs_filters_are_switched_and_it_is_cancelled(lab, open_notebook, artifacts):
    notebook = open_notebook(write_notebook(lab, "wide.ipynb", WIDE), height=1400)
    notebook.run_all()
    view = WidgetView(notebook.page)
    notebook.page.wait_for_function(
        "root => root.cwUnitPosition('0', 0) !== null", arg=view.root.element_handle(), timeout=SLOW
    )
    view.open("ranking")
    view.part("rank-all").click()
    expect(view.part("rank-plan")).to_contain_text("128 filters of 2 layers", timeout=SLOW)
    view.root.screenshot(path=artifacts / "ranking-plan-wide.png")
    view.part("rank-run").click()
    expect(view.part("rank-cancel")).to_be_visible()
    expect(view.part("rank-progress")).to_contain_text("left", timeout=SLOW)
    view.double_click("2", 5)
    began = time.monotonic()
    expect(view.part("zeroed-summary")).to_contain_text("accuracy", timeout=SLOW)
    answered = time.monotonic() - began
    (artifacts / "toggle-while-ranking.txt").write_text(f"{1000 * answered:.0f} ms\n")
    expect(view.part("rank-cancel")).to_be_visible()
    view.root.screenshot(path=artifacts / "ranking-running.png")
    view.part("rank-cancel").click()
    expect(view.part("rank-plan")).to_contain_text("Cancelled", timeout=SLOW)
    view.root.screenshot(path=artifacts / "ranking-cancelled.png")
    assert notebook.unexpected_errors() == []
