"""The layout of the package: imports only go down its floors (docs/HOUSE.md)."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

FLOORS = [
    {"errors", "log", "progress", "files", "provenance", "config"},  # the ground floor: these may import each other
    {"compute", "text", "inputs"},
    {"nn", "documents"},
    {"checkpoint", "evaluate"},
    {"decode", "alignment"},
    {"data", "interpret", "interchange"},
    {"train", "postprocess"},
    {"build"},
    {"serve"},
    {"cli"},
]
FLOOR = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}
# a new room is a decision; documents, inputs, progress and serve came with 19 arrows, kept exports with 2
MOST_ROOMS, MOST_ARROWS = 23, 120
ROOT = Path(__file__).parents[1] / "mt"
UNIT = Path(__file__).parent / "unit"


def modules_used(file: Path) -> set[tuple[str, ...]]:
    """What a file imports of mt, as parts: ("mt", "nn", "ragged", "Ragged")."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = [f"{n.module}.{a.name}" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names]
    names += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    return {tuple(name.split(".")) for name in names if name.startswith("mt.")}


def room_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def arrows() -> set[tuple[str, str, str]]:
    """(file, its room, another room that the file imports)."""
    return {
        (str(file.relative_to(ROOT)), room, used)
        for file in ROOT.rglob("*.py")
        if (room := room_of(file)) not in {"__init__", "__main__"}
        for _, used, *_ in modules_used(file)
        if used != room
    }


def test_the_names_under_start_here_are_in_the_code():
    page = (ROOT.parent / "docs" / "HOUSE.md").read_text(encoding="utf-8")
    section = page.partition("## Start here")[2].partition("\n## ")[0]
    prose = re.sub(r"^```.*?^```", "", section, flags=re.M | re.S)
    quoted = [text for text in re.findall(r"`([^`]+)`", prose) if "/" not in text and "read_bars" not in text]
    names = {name for text in quoted for name in re.findall(r"\b[A-Za-z_]\w+\b", text)} - {"py"}
    code = "\n".join(file.read_text(encoding="utf-8") for file in ROOT.rglob("*.py"))
    assert len(names) > 20
    assert not sorted(name for name in names if not re.search(rf"\b{name}\b", code))


def test_every_room_has_a_floor():
    rooms = {room_of(file) for file in ROOT.rglob("*.py")} - {"__init__", "__main__"}
    homeless = sorted(rooms - set(FLOOR))
    assert not homeless, f"put {homeless} into a room, or give it a floor here and in docs/HOUSE.md"
    assert len(rooms) <= MOST_ROOMS
    assert len({(room, used) for _, room, used in arrows()}) <= MOST_ARROWS


def test_imports_only_go_down():
    wrong = [
        f"{file} (floor {FLOOR[room]}) imports mt.{used} (floor {FLOOR[used]})"
        for file, room, used in sorted(arrows())
        if FLOOR[used] > FLOOR[room] or (FLOOR[used] == FLOOR[room] > 0)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_circle_on_the_ground_floor_nor_between_the_parts_of_a_room():
    graph: dict[str, set[str]] = {}
    for _, room, used in arrows():
        graph.setdefault(room, set()).add(used)
    for file in ROOT.rglob("*.py"):
        room, *rest = file.relative_to(ROOT).parts
        for _, *used in modules_used(file):
            inner = len(rest) > 1 and used[0] == room and len(used) > 2 and (ROOT / room / used[1]).is_dir()
            if inner and used[1] != rest[0]:
                graph.setdefault(f"{room}/{rest[0]}", set()).add(f"{room}/{used[1]}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None


def test_unit_tests_mirror_the_house():
    """A folder of unit tests has the name of a package, and a test file a name that no other has (pytest's default)."""
    folders = {file.parent.relative_to(UNIT) for file in UNIT.rglob("test_*.py")}
    assert not [str(folder) for folder in folders if not (ROOT / folder).is_dir()]
    names = sorted(file.name for file in UNIT.parent.rglob("test_*.py"))
    assert names == sorted(set(names))


def test_hydra_stops_at_the_door():
    wrong = [
        str(file.relative_to(ROOT))
        for file in ROOT.rglob("*.py")
        if file.relative_to(ROOT).parts[0] != "cli"
        and any(
            name.split(".")[0] in {"hydra", "omegaconf"}
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            for name in (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        )
    ]
    assert not wrong, wrong


def test_nothing_is_pickled_and_lines_end_at_lf_only():
    banned = ("pickle", "weights_only=False", ".splitlines(", "hydra.utils.instantiate", "yaml.load(")
    wrong = [
        f"{file.relative_to(ROOT)}:{n}: {line.strip()}"
        for file in ROOT.rglob("*.py")
        for n, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1)
        if any(word in line for word in banned)
    ]
    assert not wrong, "\n".join(wrong)


def test_shapes_are_of_classes():
    """On Python 3.13 jaxtyping takes no generic alias: `np.ndarray` has shapes, `NDArray[...]` and its names none."""
    found = [
        str(file)
        for file in ROOT.rglob("*.py")
        if re.search(r"\[NDArray\[[^]]*\], *\"|^\w+ = NDArray\[", file.read_text(encoding="utf-8"), re.M)
    ]
    assert not found


def test_files_stay_readable():
    long = {str(f.relative_to(ROOT)): n for f in ROOT.rglob("*.py") if (n := f.read_text().count("\n")) > 350}
    assert not long, long
