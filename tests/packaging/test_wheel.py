"""The wheel and the sdist: what is in them, and that they install and work without Node or the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

SHIPPED = ("static/widget.js", "samples/digits_lenet.safetensors", "py.typed")
NOT_SHIPPED = ("tests/", "js/", "notebooks/", "node_modules")


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def distributions(root, tmp_path_factory) -> dict[str, Path]:
    """The sdist made from the files git would commit, and the wheel made from that sdist."""
    folder = tmp_path_factory.mktemp("build")
    source, out = folder / "source", folder / "dist"
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=root).splitlines()
    for name in filter(lambda name: (root / name).is_file(), listed):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, source / name)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=source)
    return {"wheel": next(out.glob("*.whl")), "sdist": next(out.glob("*.tar.gz"))}


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory) -> Path:
    """The Python of a new environment that has this one's libraries, but not this one's causal_widget."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    # A plain path line adds the folder without reading its own .pth files: an editable install stays unseen.
    (Path(purelib) / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_wheel_has_the_page_the_weights_and_every_module(distributions, root):
    with zipfile.ZipFile(distributions["wheel"]) as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read(next(name for name in names if name.endswith("METADATA"))).decode()
    modules = {path.relative_to(root).as_posix() for path in (root / "causal_widget").rglob("*.py")}
    assert modules <= names, sorted(modules - names)
    assert {f"causal_widget/{name}" for name in SHIPPED} <= names
    assert not [name for name in names if name.startswith(NOT_SHIPPED)]
    assert "License-Expression: MIT" in metadata
    assert "Requires-Dist: torch" in metadata


def test_the_sdist_has_what_a_build_needs(distributions):
    with tarfile.open(distributions["sdist"]) as sdist:
        names = {name.split("/", 1)[-1] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert {f"causal_widget/{name}" for name in SHIPPED} <= names


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_installs_and_works_without_node(distributions, clean_python, tmp_path, kind):
    bare = tmp_path / "bin"
    bare.mkdir()
    env = {**os.environ, "PATH": str(bare), "PYTHONPATH": ""}
    assert shutil.which("node", path=env["PATH"]) is None
    install = (
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--ignore-installed",
    )
    run(clean_python, *install, distributions[kind], cwd=tmp_path, env=env)
    said = run(clean_python, "-c", TRY, cwd=tmp_path, env=env)
    where, accuracy = said.split()
    assert Path(where).is_relative_to(clean_python.parents[1])
    assert float(accuracy) >= 0.97


TRY = """
import importlib.resources, torch
import causal_widget as cw
page = importlib.resources.files("causal_widget") / "static" / "widget.js"
assert "export default" in page.read_text(encoding="utf-8")
digits = cw.samples.digits()
with torch.no_grad():
    right = [(digits.model(x).argmax(1) == y).double() for x, y in digits.test_loader]
print(cw.__file__, float(torch.cat(right).mean()))
"""
