"""A notebook in JupyterLab as a person sees it: open, run, look, save, reload."""

import re
import time
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import ConsoleMessage, Locator, Page

from tests.browser.lab import Lab

DEMO = """import causal_widget as cw
digits = cw.samples.digits()
normal = {"mean": digits.mean, "std": digits.std}
explainer = cw.CausalCNNExplainer(digits.model, class_names=digits.class_names, **normal)
"""
COLLECTED = """quiet = cw.Progress()
explainer.collect_data(digits.train_loader, progress=quiet)
explainer.learn_structural_equations()
"""
SHOW = "widget = cw.CausalWidget(explainer, images=digits.test_loader)\nwidget"


def write_notebook(lab: Lab, name: str, *sources: str) -> str:
    """Put a notebook of code cells into the server's folder and return its name."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, lab.notebooks / name)
    return name


# What JupyterLab, Chromium and the widget manager print by themselves; everything else is an error.
NOT_OURS = [
    re.compile(pattern)
    for pattern in (
        r"favicon",
        r"net::ERR_ABORTED",
    )
]


class NotebookPage:
    """One browser page with one notebook."""

    def __init__(self, page: Page, lab: Lab) -> None:
        self.page, self.lab, self.name = page, lab, ""
        self.errors: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location.get("url", "")
            self.errors.append(f"{message.text} [{where}]")

    def unexpected_errors(self) -> list[str]:
        return [error for error in self.errors if not any(known.search(error) for known in NOT_OURS)]

    def open(self, name: str, kernel: bool = True) -> "NotebookPage":
        """Open a notebook of the server's folder, with a kernel or (as a reader would) without one."""
        self.name = name
        self.page.goto(f"{self.lab.url}/lab/tree/{name}?reset")
        return self._ready(kernel)

    def reload(self) -> "NotebookPage":
        self.page.reload()
        return self._ready(True)

    def _ready(self, kernel: bool) -> "NotebookPage":
        # Asked again and again: JupyterLab may yet replace the widget, and its promise would never end.
        self.page.wait_for_function(
            """() => {
                const widget = window.jupyterapp?.shell.currentWidget;
                return widget?.content?.widgets?.length > 0 && widget.context?.isReady;
            }""",
            timeout=60_000,
        )
        self.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        if kernel:
            self.page.wait_for_function(
                "() => jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
                timeout=60_000,
            )
        return self

    def command(self, name: str, **arguments: Any) -> Any:
        """Execute one of JupyterLab's commands, as its menus do, and wait for it."""
        return self.page.evaluate(
            "([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => null)",
            [name, arguments],
        )

    def run_all(self) -> None:
        """Run all cells and wait for the last; raises what a cell raised."""
        self.command("notebook:run-all-cells")
        failed = self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.widgets
                .filter(cell => cell.model.type === 'code')
                .flatMap(cell => cell.model.outputs.toJSON())
                .filter(output => output.output_type === 'error')
                .map(output => `${output.ename}: ${output.evalue}`)"""
        )
        if failed:
            raise AssertionError(f"a cell failed: {failed}")

    def save(self) -> None:
        # After an effect the widget renews its picture, which makes a notebook just saved dirty again.
        self.page.wait_for_function(
            """async () => {
                const { context } = window.jupyterapp.shell.currentWidget;
                if (context.model.dirty) await context.save();
                return !context.model.dirty;
            }""",
            polling=500,
            timeout=60_000,
        )

    def kernel_says(self, expression: str) -> str:
        """The value of a Python expression in the notebook's kernel, as its `repr`."""
        return self.page.evaluate(
            """async (expression) => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const future = kernel.requestExecute({
                    code: '', silent: true, store_history: false, user_expressions: { value: expression }
                });
                const reply = await future.done;
                const value = reply.content.user_expressions.value;
                if (value.status !== 'ok') { throw new Error(`${value.ename}: ${value.evalue}`); }
                return value.data['text/plain'];
            }""",
            expression,
        )

    def wait_until_kernel_says(self, expression: str, expected: str, seconds: float = 20) -> None:
        """Wait for what the page has sent: a choice made while another is on its way is sent after that."""
        deadline = time.monotonic() + seconds
        while (said := self.kernel_says(expression)) != expected and time.monotonic() < deadline:
            self.page.wait_for_timeout(100)
        assert said == expected

    def kernel_runs(self, code: str) -> None:
        """Run statements in the notebook's kernel, as if a cell were run elsewhere."""
        self.kernel_says(f"exec({code!r}, globals())")

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme: "JupyterLab Light" or "JupyterLab Dark"."""
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_function(
            "name => document.body.dataset.jpThemeName === name", arg=name, timeout=20_000
        )

    def output(self, cell: int) -> Locator:
        """What a cell printed and showed; cells are counted from 0, text cells included."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-Cell-outputArea")

    def screenshot(self, file: Path, what: Locator | None = None) -> None:
        (what or self.page).screenshot(path=file)
