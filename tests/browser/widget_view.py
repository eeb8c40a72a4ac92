"""One view of the widget on a page, driven through what a person sees and clicks."""

import re

from playwright.sync_api import Locator, Page, expect

SLOW = 60_000
NUMBER = re.compile(r"[-+\u2212]?\d+(?:\.\d+)?")


def numbers(text: str) -> list[float]:
    """The numbers in a text, typographic minus signs included."""
    return [float(found.replace("\u2212", "-")) for found in NUMBER.findall(text)]


class WidgetView:
    """The `which`-th view on the page."""

    def __init__(self, page: Page, which: int = 0) -> None:
        self.page = page
        self.root = page.get_by_test_id("cw-root").nth(which)
        expect(self.root).to_be_visible(timeout=SLOW)
        self.root.scroll_into_view_if_needed()

    def part(self, name: str) -> Locator:
        """A part of the view by its `data-testid`, without the prefix."""
        return self.root.get_by_test_id(f"cw-{name}")

    def ready(self) -> "WidgetView":
        """Wait until the kernel has answered and the graph is there."""
        expect(self.part("model")).not_to_have_text(re.compile(r"^\W*$"), timeout=SLOW)
        self.page.wait_for_function(
            "root => root.cwUnitPosition('conv1', 0) !== null", arg=self.root.element_handle(), timeout=SLOW
        )
        return self

    def position(self, layer: str, unit: int) -> tuple[float, float]:
        """Where a filter is drawn, in the page's coordinates."""
        self.part("graph").scroll_into_view_if_needed()
        found = self.root.evaluate("(root, [l, u]) => root.cwUnitPosition(l, u)", [layer, unit])
        return found["x"], found["y"]

    def click(self, layer: str, unit: int) -> None:
        self.page.mouse.click(*self.position(layer, unit))

    def double_click(self, layer: str, unit: int) -> None:
        self.page.mouse.dblclick(*self.position(layer, unit))

    def hover(self, layer: str, unit: int) -> None:
        self.page.mouse.move(*self.position(layer, unit))

    def open(self, panel: str) -> None:
        self.part(f"tab-{panel}").click()
        expect(self.part(f"panel-{panel}")).to_be_visible()

    def wait_collected(self) -> None:
        expect(self.part("progress")).to_contain_text("Collected", timeout=SLOW)

    def wait_effect(self) -> None:
        """Wait until the effect shown is that of what is zeroed now."""
        expect(self.part("zeroed-summary")).to_contain_text("accuracy", timeout=SLOW)
        expect(self.part("zeroed-summary")).not_to_have_class(re.compile("cw-stale"), timeout=SLOW)

    def no_error(self) -> None:
        expect(self.part("error")).to_have_count(0)
