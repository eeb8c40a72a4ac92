"""The page's files."""

from __future__ import annotations

from pathlib import Path

STATIC = Path(__file__).resolve().parent.parent / "static"


def read_static(name: str) -> str:
    """Read a file of the page.

    Raises
    ------
    FileNotFoundError
        If the page was never built.
    """
    path = STATIC / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: build the page with 'make bundle', or install a wheel")
    return path.read_text(encoding="utf-8")
