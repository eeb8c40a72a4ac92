"""`to_html`: one page with the widget's program and a stand-in for the kernel that knows recorded answers."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causal_widget.widget import fallback
from causal_widget.widget.offline_model import SCRIPT
from causal_widget.widget.recording import Recording, record

if TYPE_CHECKING:
    from causal_widget.widget.widget import CausalWidget

TRAITS = (
    "layers selected ablated site scale rule n_edges panel image heat_layer device batches theme".split()  # noqa: SIM905
)
# nothing is fetched, whatever the page is made to believe
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:"
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body{{margin:12px;font-family:system-ui,sans-serif}} .note{{font-size:13px;opacity:.8}}
{css}</style>
</head>
<body>
<p class="note">{note}</p>
<div id="widget"></div>
<noscript>{picture}</noscript>
<script type="application/json" id="recorded">{recorded}</script>
<script type="module">
{script}
</script>
</body>
</html>
"""


def write(widget: CausalWidget, path: Path) -> Path:
    """Write the page of `widget` to `path`.

    Raises
    ------
    OrderError
        If the widget is closed.
    """
    path.write_text(render(widget), encoding="utf-8")
    return path


def render(widget: CausalWidget) -> str:
    """Give the page of `widget` as text."""
    backend, choices = widget.backend, widget.choices
    recording = record(backend, choices, widget.selected)
    state = {name: getattr(widget, name) for name in TRAITS}
    content = {"traits": state, "program": widget._esm, **_packed(recording)}
    model = backend.explainer.graph.model_name
    return PAGE.format(
        policy=POLICY,
        title=html.escape(f"{model}: causal graph of its filters"),
        css=widget._css.replace("</", "<\\/"),
        note=html.escape(" ".join(["Offline copy: it answers what was recorded.", *recording.left_out])),
        picture=fallback.page(backend, choices, widget.layers),
        recorded=_script_safe(json.dumps(content, allow_nan=False)),
        script=SCRIPT,
    )


def _packed(recording: Recording) -> dict[str, Any]:
    replies = {
        key: [result, [base64.b64encode(data).decode() for data in buffers]]
        for key, (result, buffers) in recording.replies.items()
    }
    return {"replies": replies}


def _script_safe(text: str) -> str:
    """Keep names with markup in them from ending the script element that holds them."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
