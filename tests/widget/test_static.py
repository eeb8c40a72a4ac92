"""Without a kernel: the picture, the summary, and the offline page."""

from __future__ import annotations

import base64
import json
import re
from collections import OrderedDict
from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import nn

from causal_widget.widget import assets, fallback, recording
from causal_widget.widget import widget as module

from .conftest import Page

EVIL = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Record a few heatmaps, and however slow this machine is, all effects."""
    monkeypatch.setattr(recording, "MAP_BYTES", 60_000)
    monkeypatch.setattr(recording, "MAP_SECONDS", 600.0)
    monkeypatch.setattr(recording, "UNIT_SECONDS", 600.0)
    monkeypatch.setattr(recording, "EFFECT_SECONDS", 600.0)


def picture_of(html: str) -> np.ndarray:
    data = re.search(r'src="data:image/png;base64,([^"]+)"', html)
    assert data
    return imread(BytesIO(base64.b64decode(data[1])), format="png")


def test_mimebundle_carries_view_text_and_html(widget):
    data, _ = widget._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    assert data["text/plain"].startswith("CausalWidget(CausalCNNExplainer(LeNet")
    html = data["text/html"]
    assert "24 filters in 2 convolutions" in html
    assert "nothing collected yet" in html
    assert picture_of(html)[..., 3].max() > 0


def test_summary_follows_what_is_known(collected, widget):
    widget.ablated = {"conv1": [1, 2]}
    html = widget._repr_mimebundle_()[0]["text/html"]
    assert "500 images collected" in html
    assert "accuracy 9" in html
    assert "zeroed: conv1 [1, 2]" in html
    assert "importance (coefficient)" in html


def test_picture_shows_what_is_zeroed(collected, widget):
    def red(html: str) -> int:
        r, g, b = (picture_of(html)[..., k] for k in range(3))
        return int(((r > 0.7) & (g < 0.3) & (b < 0.3)).sum())

    assert red(widget._repr_mimebundle_()[0]["text/html"]) == 0
    widget.ablated = {"conv1": [1, 2]}
    assert red(widget._repr_mimebundle_()[0]["text/html"]) > 20


def test_summary_keeps_the_ranking(page, widget):
    assert "silencing" not in widget._repr_mimebundle_()[0]["text/html"]
    page.run("rank")
    html = fallback.page(widget.backend, widget.choices, widget.layers)
    assert not re.search(r"<(?!/?(div|p|b|img|table|tr|th|td)\b)", html)
    table = widget.explainer.last_effects.ranking().table()
    assert "on 500 images" in html
    assert html.count("<td>conv") >= 15
    assert html.index(f"<td>{table['question'].iloc[0]}</td>") < html.index(
        f"<td>{table['question'].iloc[1]}</td>"
    )
    assert f"<td>{table['effect'].iloc[0]:+.4f}</td>" in html
    assert "and 9 more" in html


def test_html_survives_a_notebook_that_is_not_trusted(widget):
    html = fallback.page(widget.backend, widget.choices, widget.layers)
    assert not re.search(r"<(?!/?(div|p|b|img|table|tr|th|td)\b)", html)


def test_display_shows_the_page_and_beside_it_the_picture(widget, page, monkeypatch):
    shown = []
    monkeypatch.setattr(module, "display", lambda data, **how: shown.append((data, how)))
    page.run("collect")
    assert widget.wait(10)
    assert shown == []
    widget._ipython_display_()
    (view, _), (still, how) = shown
    assert "text/html" not in view
    assert "application/vnd.jupyter.widget-view+json" in view
    assert how["display_id"] == page.ask("hello").result["still"] == widget.still
    assert f'data-cw-still="{widget.still}"' in still["text/html"]
    page.ask("effect", ablated={"conv1": [0]})
    assert widget.wait(10)
    page.wait_for(lambda: len(shown) == 3)
    assert shown[2][1]["update"] is True


def evil() -> nn.Module:
    torch.manual_seed(0)
    named = {EVIL: nn.Conv2d(1, 3, 3), "relu": nn.ReLU(), "flat": nn.Flatten(), "</td>": nn.Linear(108, 2)}
    return nn.Sequential(OrderedDict(named))


@pytest.fixture
def evil_widget(make):
    images = [(torch.randn(8, 1, 8, 8), torch.zeros(8, dtype=torch.long))]
    return make(
        evil(), images, class_names=["<img src=x onerror=alert(2)>", "</script><script>alert(3)</script>"]
    )


def test_names_with_markup_are_text(evil_widget, tmp_path):
    page = Page(evil_widget)
    assert page.ask("graph").result["layers"][0]["name"] == EVIL
    assert "onerror" in page.ask("hello").result["classes"][0]
    evil_widget.ablated = {EVIL: [0]}
    html = evil_widget._repr_mimebundle_()[0]["text/html"]
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "<td></td></td>" not in html
    written = evil_widget.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "alert(1)</script>" not in written
    assert "<script>alert" not in written
    assert "<img src=x" not in written
    assert written.count("<script") == written.count("</script>") == 2


def recorded(text: str) -> dict:
    found = re.search(r'<script type="application/json" id="recorded">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_offline_page_answers_what_the_kernel_answers(collected, widget, tmp_path):
    collected.run("rank")
    widget.ablated, widget.selected = {"conv2": [3]}, {"conv1": [1]}
    path = widget.to_html(tmp_path / "page.html")
    content = recorded(path.read_text(encoding="utf-8"))
    assert content["program"] == widget._esm
    assert content["traits"]["ablated"] == {"conv2": [3]}
    questions = {
        '["graph"]': ("graph", {}),
        '["importance","l1"]': ("importance", {"rule": "l1"}),
        '["edges",1]': ("edges", {"wirings": [1]}),
        '["unit","conv1",1]': ("unit", {"layer": "conv1", "unit": 1}),
        '["images"]': ("images", {}),
        '["effect",[[["conv2",[3]]],"activation","0.00"]]': ("effect", {}),
        '["effect",[]]': ("effect", {"ablated": {}}),
        '["effect",[[["conv2",[3]]],"activation","0.25"]]': ("effect", {"scale": 0.25}),
        '["predict",[[["conv2",[3]]],"activation","0.75"]]': ("predict", {"scale": 0.75}),
        '["equations"]': ("equations", {}),
        '["equation","conv2",3]': ("equation", {"layer": "conv2", "unit": 3}),
        '["checked"]': ("checked", {}),
        '["ranking",null]': ("ranking", {}),
        '["ranking","correct"]': ("ranking", {"outcome": "correct"}),
        '["importance","effect"]': ("importance", {"rule": "effect"}),
        '["effect",[[["conv1",[5]]],"activation","0.00"]]': ("effect", {"ablated": {"conv1": [5]}}),
        '["heatmap",0,"conv2",null,null,"coefficient",[[["conv2",[3]]],"activation","0.00"]]': (
            "heatmap",
            {"image": 0, "layer": "conv2"},
        ),
        '["heatmap",0,"conv1",1,"conv1","coefficient",[[["conv2",[3]]],"activation","0.00"]]': (
            "heatmap",
            {"image": 0, "layer": "conv1", "unit": 1, "unitLayer": "conv1"},
        ),
    }
    for key, (op, args) in questions.items():
        result, buffers = content["replies"][key]
        answer = collected.ask(op, **args)
        expected = json.loads(json.dumps(answer.result))
        for each in (result, expected):
            each.pop("seconds", None)
            (each.get("predicted") or {}).pop("seconds", None)
        assert result == expected
        arrays = list(answer.arrays.values())
        assert [base64.b64decode(data) for data in buffers] == [array.tobytes() for array in arrays]
    hello = content["replies"]['["hello"]'][0]
    assert (hello["canCollect"], hello["job"], hello["nImages"]) == (False, None, 500)


def test_offline_page_asks_nobody(widget, tmp_path):
    text = widget.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text)
    assert not re.search(r"""\b(?:fetch|XMLHttpRequest|WebSocket|importScripts)\s*\(""", text)
    outside = set(re.findall(r"https?://[^\s\"'\\<>)]+", text)) - {"http://www.w3.org/2000/svg"}
    assert outside == set()


def test_offline_page_says_what_was_left_out(widget, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "EDGE_BYTES", 500)
    monkeypatch.setattr(recording, "UNIT_BYTES", 3_000)
    monkeypatch.setattr(recording, "EQUATION_BYTES", 1_000)
    monkeypatch.setattr(recording, "MAP_BYTES", 3_000)
    monkeypatch.setattr(recording, "EFFECT_SECONDS", 0.0)
    text = widget.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    note = re.search(r'<p class="note">(.*?)</p>', text)[1]
    assert "Edges of 2 of 3 layer pairs were left out" in note
    assert "Details of " in note
    assert "Equations of " in note
    assert "heatmaps were left out" in note
    assert "Effects of 24 single filters were left out" in note
    content = recorded(text)
    assert '["edges",0]' in content["replies"]
    assert '["edges",1]' not in content["replies"]


def test_offline_page_without_images(make, demo, tmp_path):
    text = make(demo.model).to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "without images" in text
    assert '["graph"]' in recorded(text)["replies"]


def test_same_widget_same_page(collected, widget, tmp_path):
    pages = [recorded(widget.to_html(tmp_path / name).read_text(encoding="utf-8")) for name in ("a", "b")]
    for content in pages:
        for result, _ in content["replies"].values():
            result.pop("seconds", None)
            (result.get("predicted") or {}).pop("seconds", None)
    assert pages[0] == pages[1]


def test_missing_program_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(assets, "STATIC", tmp_path)
    with pytest.raises(FileNotFoundError, match="build the page"):
        assets.read_static("widget.js")


def test_program_is_a_text_not_a_path(widget):
    assert isinstance(widget._esm, str)
    assert "export" in widget._esm
    assert len(widget._esm) < 120_000
