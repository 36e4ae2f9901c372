"""The interface, frozen: help of every command, every setting with its default, and the likeliest mistakes.

The files in tests/snapshots hold what users see; `pytest tests/unit/cli/test_interface.py --update-snapshots` writes
them anew, so that a change of the interface is a change that a reviewer sees. What a message says to type is typed.
"""

import ast
import contextlib
import io
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from mt.cli.compose import compose
from mt.cli.main import VERBS, main
from mt.config import Config
from mt.data.corpus.records import OWN_FILES
from mt.train.saved_config import flatten

ROOT = Path(__file__).resolve().parents[3]
SNAPSHOTS = ROOT / "tests/snapshots"
GOLDEN = ROOT / "tests/golden/schema-1/runs/golden"


@dataclass(frozen=True)
class Mistake:
    """A command line that is refused, and the words of the message that become the next command line.

    `typed` are those words; `then` is what a user types who follows them: it holds `typed` and succeeds.
    """

    line: str
    typed: str = ""
    then: str = ""


MISTAKES = (
    Mistake("mt trian", "train", "mt train --help"),
    Mistake("mt --hlep", "--help", "mt --help"),
    Mistake("mt train warmup=100", "schedule.warmup_steps", "mt train --dry-run schedule.warmup_steps=100"),
    Mistake("mt train lr=0.001", "optim.lr", "mt train --dry-run optim.lr=0.001"),
    Mistake("mt train model=smal", "small", "mt train --dry-run model=small"),
    Mistake("mt train optim.lr=fast"),
    Mistake("mt train train.precision=bf61", "bf16", "mt train --dry-run train.precision=bf16"),
    Mistake("mt train model=[tiny,small]"),
    Mistake("mt train a.en", "data.train=[a.en,a.de]", "mt train --dry-run 'data.train=[a.en,a.de]'"),
    Mistake("mt train data.train=é.en,é.de", "[é.en,é.de]", "mt train --dry-run 'data.train=[é.en,é.de]'"),
    Mistake("mt train data.train=a.en", "data.train=[a.en,a.de]", "mt train --dry-run 'data.train=[a.en,a.de]'"),
    Mistake("mt train data.train=a", "data.train=[a.de,a.en]", "mt train --dry-run 'data.train=[a.de,a.en]'"),
    Mistake("mt train data.train=[a]", "data.train=[a.de,a.en]", "mt train --dry-run 'data.train=[a.de,a.en]'"),
    Mistake("mt train data.train=[é.en]", "data.train=[é.en,é.de]", "mt train --dry-run 'data.train=[é.en,é.de]'"),
    Mistake("mt train data.train=text.tsv", "data.train=[text.tsv]", "mt train --dry-run 'data.train=[text.tsv]'"),
    Mistake("mt train data.train=[b.en,a.de]"),
    Mistake("mt train data.train=[aa.en,a.de]", "a.en", "mt train --dry-run 'data.train=[a.en,a.de]'"),
    Mistake("mt train optim=3", "adamw", "mt train --dry-run optim=adamw"),
    Mistake("mt train my.yaml", "--config my.yaml", "mt train --dry-run --config my.yaml"),
    Mistake("mt train data.train=a.en,a.de", "[a.en,a.de]", "mt train --dry-run 'data.train=[a.en,a.de]'"),
    Mistake("mt train --seed 5", "train.seed=", "mt train --dry-run train.seed=5"),
    Mistake("mt train --config missing.yaml", "mt train --cfg job", "mt train --cfg job"),
    Mistake("mt train train.minutes=never"),
    Mistake("mt translate nothing", "mt train", "mt train --dry-run"),
    Mistake("mt translate golde", "golden", "mt translate golden -i a.en"),
    Mistake("mt translate golden --bem 5", "--beam", "mt translate golden --beam 5 -i a.en"),
    Mistake("mt translate golden --beam 0", "mt translate --help", "mt translate --help"),
    Mistake("mt translate golden -i missing.en"),
    Mistake("mt translate golden -i latin1.en"),
    Mistake("mt translate golden --device cuda", "cpu", "mt translate golden --device cpu -i a.en"),
    Mistake("mt translate golden -i a.en -o a.en"),
    Mistake("mt translate golden -i a.en -o nowhere/out.de"),
    Mistake("mt evaluate golden --test a.en"),
    Mistake("mt evaluate golden --test a.en short.de"),
    Mistake("mt score golden --source a.en", "mt score --help", "mt score --help"),
    Mistake("mt score golden --source a.en --target short.de"),
    Mistake("mt average golden --best 5"),
    Mistake("mt average golden --best 5 -o mean"),
    Mistake("mt export ct2", "mt export --help", "mt export --help"),
)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with a small corpus, a trained run and files that do not fit; training itself is a stand-in."""
    shutil.copytree(GOLDEN, tmp_path / "golden")
    for name in ("a", "é", "a=b"):
        (tmp_path / f"{name}.en").write_text("a b\nb a\n")
        (tmp_path / f"{name}.de").write_text("c d\nd c\n")
    (tmp_path / "short.de").write_text("c d\n")
    (tmp_path / "text.tsv").write_text("a b\tc d\n")
    (tmp_path / "my.yaml").write_text("model: tiny\n")
    (tmp_path / "latin1.en").write_bytes(b"a b\nb\xe9 a\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mt.build.dry_run", lambda config: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def typed(line: str) -> tuple[int, str, str]:
    """The exit code of a command line, and what it wrote to stdout and stderr."""
    command, *words = shlex.split(line)
    assert command == "mt"
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    out.flush()
    return code, out.buffer.getvalue().decode(), err.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def check(name: str, text: str, update: bool) -> None:
    file = SNAPSHOTS / name
    if update:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{name} changed; --update-snapshots writes it anew"


def same_on_every_python(text: str) -> str:
    """Help without what argparse writes differently from Python 3.13 on: `-i INPUT, --input INPUT` is `-i, --input
    INPUT` there, and lines are filled in other places."""
    text = re.sub(r"(-\w) \S+, (--[\w-]+)", r"\1, \2", text)
    blocks = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(block.split()).replace(" --", "\n  --") for block in blocks) + "\n"


@pytest.fixture
def update(request):
    return request.config.getoption("--update-snapshots")


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help(verb, desk, update):
    code, out, err = typed(f"mt {verb} --help")
    assert (code, err) == (0, "")
    check(f"help/{verb or 'mt'}.txt", out if verb in {"", "train"} else same_on_every_python(out), update)


def test_settings(desk, update):
    """Each setting with its default."""
    code, out, err = typed("mt train --cfg job")
    assert (code, err) == (0, "")
    check("settings.yaml", out, update)


def test_mistakes(desk, update):
    said = []
    for mistake in MISTAKES:
        code, _, err = typed(mistake.line)
        assert code in {1, 2, 3}, mistake.line
        said.append(f"$ {mistake.line}\n{err}exit {code}\n")
    check("mistakes.txt", "\n".join(said), update)


@pytest.mark.parametrize("mistake", [one for one in MISTAKES if one.then], ids=lambda one: one.line)
def test_what_a_message_says_to_type_works(mistake, desk):
    _, _, err = typed(mistake.line)
    assert mistake.typed in err and mistake.typed in mistake.then
    code, _, err = typed(mistake.then)
    assert code == 0, err


def test_the_folder_that_is_missing_is_made_as_the_hint_says(desk):
    _, _, err = typed("mt translate golden -i a.en -o 'no where/out.de'")
    subprocess.run(["bash", "-c", err.split("`")[-2]], check=True)
    assert typed("mt translate golden -i a.en -o 'no where/out.de'")[0] == 0


def hints() -> list[str]:
    """The hints in the source of mt, with `{}` for what is filled in; also those that are given a name first."""
    found = []
    for file in (ROOT / "mt").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        named = {}
        for assigned in (node for node in ast.walk(tree) if isinstance(node, ast.Assign)):
            target, value = assigned.targets[0], assigned.value
            both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            for name, one in zip(target.elts, value.elts, strict=True) if both else [(target, value)]:
                named.setdefault(ast.unparse(name), []).append(one)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            for value in (keyword.value for keyword in call.keywords if keyword.arg == "hint"):
                for each in named.get(value.id, []) if isinstance(value, ast.Name) else [value]:
                    found += texts_in(each)
    return found


def texts_in(node: ast.AST) -> list[str]:
    """The strings of an expression, such as those of both branches of a condition."""
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)]
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    return [text for child in ast.iter_child_nodes(node) for text in texts_in(child)]


def test_every_setting_that_a_hint_names_is_one_and_takes_the_value_that_it_names():
    known = flatten(Config().to_dict())
    named = [match for hint in hints() for match in re.finditer(r"`([a-z_]+\.[a-z_0-9]+)(?:=([^`]*))?`", hint)]
    assert len(named) > 30
    assert not [match[0] for match in named if match[1] not in known]
    for match in named:
        if match[2] and not {"{", "."} & set(match[2]):
            table = ["data.train=[a.csv]"] if match[1] == "data.columns" else []  # no corpus of the catalogue has any
            compose([match[0].strip("`"), *table])


def test_the_command_that_trains_on_own_files_works(desk):
    assert typed(f"{OWN_FILES.split('`')[1]} --dry-run")[0] == 0


@pytest.mark.parametrize("files", ["a.en a.de", "é.en é.de", "a=b.en a=b.de", "a.en a.de é.en é.de", "text.tsv"])
def test_files_alone_are_the_text_to_train_on(desk, monkeypatch, files):
    seen = list[Config]()
    monkeypatch.setattr("mt.build.dry_run", seen.append)
    listed = ",".join(files.split())
    for line in (f"mt train {files}", f"mt train 'data.train=[{listed}]'"):
        assert typed(f"{line} --dry-run")[0] == 0
    assert seen[0] == seen[1] and seen[0].data.train == files.split()


@pytest.mark.skipif(shutil.which("iconv") is None, reason="there is no iconv")
def test_a_file_is_converted_as_the_hint_says(desk):
    _, _, err = typed("mt translate golden -i latin1.en")
    line = err.split("`")[-2].replace("OLD", "latin1.en").replace("NEW", "utf8.en")
    subprocess.run(["bash", "-c", line], check=True)
    assert Path("utf8.en").read_text(encoding="utf-8") == "a b\nbé a\n"
