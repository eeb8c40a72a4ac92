"""One JupyterLab server and one Chromium for all browser tests of a process."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser import lab as servers
from tests.browser.notebook_page import NotebookPage

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-dev-shm-usage"),
)
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here, and keep them in one process: they share a server."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Lab]:
    running, process = servers.start(tmp_path_factory.mktemp("lab"))
    yield running
    servers.stop(running, process)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(
            f"no Chromium on PATH (looked for {', '.join(NAMES)}); `make test` installs one where it may"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def open_notebook(
    lab: servers.Lab, chromium: Browser, artifacts: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., NotebookPage]]:
    """Return ``open_notebook(name, kernel=True, width=1400, height=900)``; a failed test leaves a screenshot."""
    pages: list[NotebookPage] = []

    def opened(name: str, *, kernel: bool = True, width: int = 1400, height: int = 900) -> NotebookPage:
        context = chromium.new_context(viewport={"width": width, "height": height})
        pages.append(NotebookPage(context.new_page(), lab))
        return pages[-1].open(name, kernel)

    yield opened
    for number, notebook in enumerate(pages):
        report = getattr(request.node, "report", None)
        if report is None or report.failed:
            notebook.screenshot(artifacts / f"failed-{request.node.name}-{number}.png")
        notebook.page.context.close()
    lab.stop_kernels()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.report = report
    return report
