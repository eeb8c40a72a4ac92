"""The rules of the house: imports run downward, nothing unpickles, no error is swallowed."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "causal_widget"

# README, "Architecture". A room may import from rooms of a lower floor and from itself.
FLOORS = [
    {"_version", "errors"},
    {"jobs", "guard", "devices", "files", "plots", "samples"},
    {"graph"},
    {"responses", "interventions"},
    {"scm", "effects"},
    {"importance", "explanations", "pruning"},
    {"evaluation"},
    {"explainer"},
    {"widget"},
]
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}
FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(file: Path) -> set[str]:
    """Every room of the package that a file imports from, anywhere in it, type-checking blocks included."""
    package = ("causal_widget", *file.relative_to(PACKAGE).parts[:-1])
    modules = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            start = ".".join(filter(None, [base, node.module]))
            modules |= (
                {f"{start}.{alias.name}" for alias in node.names} if start == "causal_widget" else {start}
            )
    return {module.split(".")[1] for module in modules if module.startswith("causal_widget.")}


def test_every_room_has_a_floor():
    rooms = {room_of(file) for file in FILES} - {"__init__"}
    assert rooms <= set(FLOOR_OF), f"no floor for {sorted(rooms - set(FLOOR_OF))}"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_run_downward_only(file):
    room = room_of(file)
    if room == "__init__":
        return
    upward = {other for other in imported_rooms(file) if other != room and FLOOR_OF[other] >= FLOOR_OF[room]}
    assert not upward, f"{name_of(file)} (floor {FLOOR_OF[room]}) imports from {sorted(upward)}"


UNPICKLES = {
    "torch.load": re.compile(r"\btorch\.load\("),
    "pickle": re.compile(
        r"^\s*(import|from) (pickle|cloudpickle|dill|joblib|marshal|shelve)\b", re.MULTILINE
    ),
    "allow_pickle=True": re.compile(r"allow_pickle\s*=\s*True"),
    "numpy.load without allow_pickle=False": re.compile(r"\bnp\.load\((?![^)]*allow_pickle=False)"),
}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_nothing_is_unpickled(file):
    text = file.read_text(encoding="utf-8")
    assert [name for name, pattern in UNPICKLES.items() if pattern.search(text)] == []


SWALLOWS = re.compile(r"except[^:\n]*:\s*(#[^\n]*)?\n?\s*(pass|\.\.\.)\s*$", re.MULTILINE)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_error_is_swallowed(file):
    assert SWALLOWS.findall(file.read_text(encoding="utf-8")) == []


def test_the_checks_see_what_they_look_for(tmp_path):
    """The patterns above are worth nothing if they never match."""
    bad = {
        "torch.load": "weights = torch.load(path)",
        "pickle": "import pickle",
        "allow_pickle=True": "np.load(path, allow_pickle=True)",
        "numpy.load without allow_pickle=False": "np.load(path)",
    }
    assert all(UNPICKLES[name].search(line) for name, line in bad.items())
    assert not UNPICKLES["numpy.load without allow_pickle=False"].search("np.load(path, allow_pickle=False)")
    assert SWALLOWS.search("try:\n    a()\nexcept ValueError:\n    pass\n")
    example = PACKAGE / "samples" / "train.py"
    assert imported_rooms(example) == {"samples"}
