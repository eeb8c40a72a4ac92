"""The page that is committed is the page that its source makes."""

import base64
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

LIMIT = 60 * 1024  # the whole bundle is copied into every saved widget


def unpacked(file: Path) -> tuple[str, bytes]:
    """The frame and the code it carries: two releases of Node may deflate the same bytes differently."""
    before, data, after = re.split(r'const data = "([A-Za-z0-9+/=]+)"', file.read_text(encoding="utf-8"))
    return before + after, zlib.decompress(base64.b64decode(data))


def test_building_again_gives_the_same_bytes(root, tmp_path):
    if not (root / "js" / "node_modules").is_dir():
        pytest.skip("js/node_modules is missing: run `make bundle` first")
    if shutil.which("node") is None:
        pytest.skip("no Node on PATH")
    committed = root / "causal_widget" / "static" / "widget.js"
    # A copy of the layout, so that the build writes beside it and never into the checkout.
    shutil.copytree(root / "js", tmp_path / "js", ignore=shutil.ignore_patterns("node_modules", ".*"))
    (tmp_path / "js" / "node_modules").symlink_to(root / "js" / "node_modules")
    done = subprocess.run(
        ["node", "build.mjs"], cwd=tmp_path / "js", capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    built = tmp_path / "causal_widget" / "static" / "widget.js"
    assert unpacked(built) == unpacked(committed), "widget.js is stale: run `make bundle` and commit it"


def test_the_bundle_is_small(root):
    size = (root / "causal_widget" / "static" / "widget.js").stat().st_size
    assert size < LIMIT, f"{size} bytes"
