"""The house has floors; imports only go down."""

import ast
from pathlib import Path

FLOORS = [
    {
        "errors",
        "log",
        "choices",
        "config",
        "plain",
        "matmul",
        "subword_sampling",
        "host",
        "waiting",
        "ties",
        "files",
        "decode_config",
    },
    {"corpus", "words", "tokenizer", "device", "nn", "losses", "optim", "schedules", "dist", "metrics", "recording"},
    {"clean", "batching", "checkpoint", "decode", "interpret", "guided", "export"},
    {"train", "evaluate", "models", "links"},
    {"preview", "material", "loading"},
    {"run"},
    {"build"},
    {"serve"},
    {"cli"},
]
FLOOR = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}
ROOT = Path(__file__).parents[1] / "mt"


def rooms_used(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = [f"{n.module}.{a.name}" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names]
    names += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    return {name.split(".")[1] for name in names if name.startswith("mt.")}


def test_imports_only_go_down():
    wrong = [
        f"{file.relative_to(ROOT)} (floor {FLOOR[room]}) imports mt.{used} (floor {FLOOR[used]})"
        for file in ROOT.rglob("*.py")
        if (room := file.relative_to(ROOT).parts[0].removesuffix(".py")) not in {"__init__", "__main__"}
        for used in rooms_used(file)
        if used != room and (FLOOR[used] > FLOOR[room] or (FLOOR[used] == FLOOR[room] > 0))
    ]
    assert not wrong, "\n".join(wrong)


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


def test_files_stay_readable():
    long = {str(f.relative_to(ROOT)): n for f in ROOT.rglob("*.py") if (n := f.read_text().count("\n")) > 350}
    assert not long, long
