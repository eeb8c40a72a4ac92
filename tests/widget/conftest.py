"""A widget with a page that is no browser: it speaks the wire format over a comm that records."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import comm
import numpy as np
import pytest
import torch
from comm.base_comm import BaseComm
from torch import Tensor, nn

from causal_widget import samples
from causal_widget.explainer import CausalCNNExplainer
from causal_widget.widget import CausalWidget

PATIENCE = 30.0


class RecordingComm(BaseComm):
    """Keeps what the kernel sends, with the time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sent: list[tuple[float, dict[str, Any], list[Any]]] = []
        self.news = threading.Condition()
        super().__init__(*args, **kwargs)

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        with self.news:
            self.sent.append((time.perf_counter(), data or {}, buffers or []))
            self.news.notify_all()


@dataclass
class Answer:
    content: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def result(self) -> dict[str, Any]:
        assert self.content["ok"], self.content
        return self.content["result"]

    @property
    def error(self) -> dict[str, str]:
        assert not self.content["ok"], self.content
        return self.content["error"]


class Page:
    """Asks as a page does, and decodes buffers by what the reply says of them."""

    def __init__(self, widget: CausalWidget, client: str = "page") -> None:
        self.comm: RecordingComm = widget.comm
        self.client = client
        self._next = 0

    def send(self, op: str, **args: Any) -> int:
        self._next += 1
        self.deliver({"v": 1, "id": self._next, "op": op, "args": args, "client": self.client})
        return self._next

    def deliver(self, content: Any) -> None:
        data = {"method": "custom", "content": content}
        self.comm.handle_msg({"content": {"data": data}, "buffers": []})

    def set(self, **traits: Any) -> None:
        data = {"method": "update", "state": traits, "buffer_paths": []}
        self.comm.handle_msg({"content": {"data": data}, "buffers": []})

    def ask(self, op: str, **args: Any) -> Answer:
        return self.answer(self.send(op, **args))

    def answer(self, number: int) -> Answer:
        def there() -> Any:
            return next(
                (
                    m
                    for m in self.messages()
                    if m[0].get("id") == number and m[0].get("client") == self.client
                ),
                None,
            )

        found = self.wait_for(there)
        content, buffers = found
        infos = content.get("result", {}).get("buffers", []) if content["ok"] else []
        assert len(infos) == len(buffers)
        arrays = {
            info["name"]: np.frombuffer(data, dtype=info["dtype"]).reshape(info["shape"])
            for info, data in zip(infos, buffers, strict=True)
        }
        return Answer(content, arrays)

    def wait_for(self, find: Callable[[], Any]) -> Any:
        end = time.perf_counter() + PATIENCE
        with self.comm.news:
            while not (found := find()):
                left = end - time.perf_counter()
                assert left > 0, "nothing came"
                self.comm.news.wait(left)
        return found

    def messages(self) -> list[tuple[dict[str, Any], list[Any]]]:
        with self.comm.news:
            return [(d["content"], b) for _, d, b in self.comm.sent if d.get("method") == "custom"]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [content for content, _ in self.messages() if content.get("event") == name]

    def jobs(self, number: int) -> list[dict[str, Any]]:
        return [event["job"] for event in self.events("job") if event["job"]["id"] == number]

    def end_of(self, number: int) -> dict[str, Any]:
        ended = ("done", "failed", "cancelled")
        return self.wait_for(lambda: next((j for j in self.jobs(number) if j["state"] in ended), None))

    def run(self, op: str, **args: Any) -> dict[str, Any]:
        """Start a job and wait for its end."""
        return self.end_of(self.ask(op, **args).result["job"])


@pytest.fixture(autouse=True)
def recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", RecordingComm)


@pytest.fixture
def demo() -> samples.Digits:
    return samples.digits()


@pytest.fixture
def explainer(demo: samples.Digits) -> CausalCNNExplainer:
    return CausalCNNExplainer(
        demo.model, device="cpu", mean=demo.mean, std=demo.std, class_names=demo.class_names
    )


Maker = Callable[..., CausalWidget]


@pytest.fixture
def make() -> Iterator[Maker]:
    """Make widgets that are closed at the end."""
    made: list[CausalWidget] = []

    def making(*args: Any, **kwargs: Any) -> CausalWidget:
        made.append(CausalWidget(*args, **kwargs))
        return made[-1]

    yield making
    for widget in made:
        widget.close()


@pytest.fixture
def widget(make: Maker, explainer: CausalCNNExplainer, demo: samples.Digits) -> CausalWidget:
    return make(explainer, images=demo.test_loader)


@pytest.fixture
def page(widget: CausalWidget) -> Page:
    return Page(widget)


@pytest.fixture
def collected(widget: CausalWidget, page: Page) -> Page:
    """A page whose widget has collected."""
    assert page.run("collect")["state"] == "done"
    return page


class Gate(nn.Module):
    """Lets a batch through only while it is open, and counts those that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Semaphore(0)

    def forward(self, x: Tensor) -> Tensor:
        assert bool((x.abs() >= 0).all())  # decides by numbers: the network runs as a whole, the gate in it
        self.reached.release()
        assert self.open.wait(PATIENCE)
        return x


class Gated(nn.Module):
    """A network with one convolution that can be held in the middle of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.gate = Gate()
        self.fc = nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.gate(torch.relu(self.conv(x))).flatten(1))


@pytest.fixture
def gated() -> Gated:
    torch.manual_seed(0)
    return Gated()


@pytest.fixture
def few() -> list[tuple[Tensor, Tensor]]:
    """Eight batches of eight images."""
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 1, 8, 8, generator=generator), torch.randint(0, 3, (8,), generator=generator))
        for _ in range(8)
    ]
