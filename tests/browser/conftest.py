"""One JupyterLab server and one Chromium for all browser tests of a process."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser import lab as servers
from tests.browser.notebook_page import NotebookPage

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-dev-shm-usage"),
)
expect.set_options(timeout=15_000)  # other tests run beside this one


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


@contextmanager
def desk(lab: servers.Lab, chromium: Browser) -> Iterator[Callable[..., NotebookPage]]:
    """Give a way to open notebooks; on the way out their pages are closed and their kernels ended."""
    pages: list[NotebookPage] = []

    def open_one(name: str, *, kernel: bool = True, width: int = 1500, height: int = 1100) -> NotebookPage:
        context = chromium.new_context(viewport={"width": width, "height": height})
        pages.append(NotebookPage(context.new_page(), lab))
        return pages[-1].open(name, kernel)

    yield open_one
    for notebook in pages:
        notebook.page.context.close()
        lab.stop_kernels(notebook.name)


@pytest.fixture
def open_notebook(
    lab: servers.Lab, chromium: Browser, artifacts: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., NotebookPage]]:
    """Return ``open_notebook(name, kernel=..., width=..., height=...)``; a failed test leaves screenshots."""
    with desk(lab, chromium) as open_one:
        opened: list[NotebookPage] = []
        yield lambda *given, **named: opened.append(open_one(*given, **named)) or opened[-1]
        leave_screenshots(request.node, opened, artifacts)


@pytest.fixture(scope="module")
def module_desk(lab: servers.Lab, chromium: Browser) -> Iterator[Callable[..., NotebookPage]]:
    """The same for notebooks that several tests of a module look at."""
    with desk(lab, chromium) as open_one:
        yield open_one


def leave_screenshots(test: pytest.Item, pages: list[NotebookPage], folder: Path) -> None:
    report = getattr(test, "report", None)
    if report is not None and report.passed:
        return
    for number, notebook in enumerate(page for page in pages if not page.page.is_closed()):
        notebook.screenshot(folder / f"failed-{test.name}-{number}.png")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.report = report
    return report
