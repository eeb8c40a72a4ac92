"""The page that is committed is the page that its source makes."""

import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

LIMIT = 60 * 1024  # the whole bundle is copied into every saved widget


def unpacked(file: Path) -> tuple[str, bytes]:
    """The frame and the code it carries: two releases of Node may deflate the same bytes differently."""
    text = file.read_text(encoding="utf-8")
    before, data, after = re.split(r'const data = "([^"]+)"', text)
    n_bytes = int(re.search(r"Uint8Array\((\d+)\)", after)[1])
    return before + after.replace(str(n_bytes), "N", 1), zlib.decompress(decoded(data)[:n_bytes])


def decoded(data: str) -> bytes:
    """Thirteen bits in two of 91 characters, the highest first."""
    digits = [chr(code) for code in range(35, 126)]
    digits[digits.index("\\")], digits[digits.index("<")] = "~", "!"
    value = {digit: k for k, digit in enumerate(digits)}
    pairs = zip(data[::2], data[1::2], strict=True)
    bits = "".join(f"{value[high] * 91 + value[low]:013b}" for high, low in pairs)
    whole = len(bits) // 8 * 8
    return int(bits[:whole], 2).to_bytes(whole // 8, "big")


def test_the_text_needs_no_escaping(root):
    """Neither in JSON, in which notebooks keep it, nor in the script element of an offline page."""
    text = (root / "causal_widget" / "static" / "widget.js").read_text(encoding="utf-8")
    data = re.search(r'const data = "([^"]+)"', text)[1]
    assert len(json.dumps(data, ensure_ascii=True)) == len(data) + 2
    assert "<" not in data


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
