"""The widget in a real kernel: messages over its sockets, the picture renewed from the worker thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

PATIENCE = 60.0
CELL = """
import causal_widget as cw
demo = cw.samples.digits()
widget = cw.CausalWidget(demo.model, demo.test_loader, class_names=demo.class_names)
widget
"""


class Notebook:
    """A client that keeps what the kernel publishes."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.seen: list[dict[str, Any]] = []

    def until(self, find: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        end = time.perf_counter() + PATIENCE
        at = 0
        while time.perf_counter() < end:
            for message in self.seen[at:]:
                if find(message):
                    return message
            at = len(self.seen)
            self.seen.append(self.client.get_iopub_msg(timeout=PATIENCE))
        raise AssertionError("nothing came")

    def run(self, code: str) -> None:
        number = self.client.execute(code)
        self.until(
            lambda m: (
                m["msg_type"] == "status"
                and m["parent_header"].get("msg_id") == number
                and m["content"]["execution_state"] == "idle"
            )
        )
        errors = [m["content"]["traceback"] for m in self.seen if m["msg_type"] == "error"]
        assert not errors, "\n".join(errors[0])

    def tell(self, comm_id: str, data: dict[str, Any]) -> None:
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self.client.shell_channel.send(message)

    def ask(self, comm_id: str, number: int, op: str, **args: Any) -> None:
        content = {"v": 1, "id": number, "op": op, "args": args}
        self.tell(comm_id, {"method": "custom", "content": content})


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=PATIENCE)
    yield Notebook(client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def custom(message: dict[str, Any]) -> dict[str, Any]:
    if message["msg_type"] != "comm_msg" or message["content"]["data"].get("method") != "custom":
        return {}
    return message["content"]["data"]["content"]


def test_display_collect_effect_and_the_renewed_picture(notebook):
    notebook.run(CELL)
    shown = [m["content"] for m in notebook.seen if m["msg_type"] == "display_data"]
    assert len(shown) == 2
    view = shown[0]["data"]["application/vnd.jupyter.widget-view+json"]
    assert "nothing collected yet" in shown[1]["data"]["text/html"]
    comm_id = view["model_id"]

    notebook.ask(comm_id, 1, "hello")
    reply = notebook.until(lambda m: custom(m).get("id") == 1)
    assert custom(reply)["result"]["still"] == shown[1]["transient"]["display_id"]
    notebook.ask(comm_id, 2, "collect")
    notebook.until(lambda m: custom(m).get("event") == "job" and custom(m)["job"]["state"] == "done")
    renewed = notebook.until(lambda m: m["msg_type"] == "update_display_data")
    assert "500 images collected" in renewed["content"]["data"]["text/html"]

    notebook.tell(comm_id, {"method": "update", "state": {"ablated": {"conv1": [2]}}, "buffer_paths": []})
    notebook.ask(comm_id, 3, "effect")
    reply = custom(notebook.until(lambda m: custom(m).get("id") == 3))
    assert reply["result"]["units"] == {"conv1": [2]}
    assert reply["result"]["change"]["loss"] > 0

    # while a cell runs, nothing else can be heard, but the worker goes on and its news arrive
    notebook.run("assert widget.ablated == {'conv1': [2]}; before = widget.explainer.collection")
    notebook.ask(comm_id, 4, "collect")
    notebook.run("assert widget.wait(30); assert widget.explainer.collection is not before")
    notebook.ask(comm_id, 5, "poll")
    reply = custom(notebook.until(lambda m: custom(m).get("id") == 5))
    assert reply["result"]["job"]["state"] == "done"
    notebook.run("widget.close(); del widget")
