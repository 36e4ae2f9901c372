"""What the documents say, held against what is there: files, commands, numbers, versions."""

import ast
import contextlib
import io
import os
import re
import shlex
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from mt.cli import train
from mt.cli.compose import check_overrides, compose, with_files
from mt.cli.main import VERBS
from mt.config import Config
from mt.data.corpus.catalog import CATALOG
from mt.decode.translator import Translator

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
ATTENTION = ROOT / "docs" / "attention.md"
PAGES = [
    README,
    ROOT / "CHANGELOG.md",
    *(p for d in ("docs", "data", "scripts") for p in sorted((ROOT / d).glob("*.md"))),
]
INSTALL, TEST = "pip install -e . && mt train", "pip install -e '.[dev]' && pytest"


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page that are in `language`."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def commands(text: str) -> list[list[str]]:
    """The `mt` commands in some lines of shell, without what they are piped to and from."""
    found = []
    for line in re.sub(r"\\\n\s*", "", text).split("\n"):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words, parts = list(lexer), [[]]
        for before, word in zip(["", *words], words, strict=False):
            if set(word) <= set("|&;"):
                parts.append([])
            elif not {before, word} & {"<", ">"}:
                parts[-1].append(word)
        found += [part[1:] for part in parts if part and part[0] == "mt"]
    return found


COMMANDS = [(page, argv) for page in PAGES for block in blocks(page, "bash") for argv in commands(block)]


# ---- files


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_named_files_exist(page):
    text = page.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    named = re.findall(r"`((?:mt|docs|configs|scripts|tests|data)/[\w./-]+\.(?:py|md|yaml))`", text)
    missing = [link for link in links if link and not (page.parent / link).exists()]
    missing += [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_names_in_the_attention_page_stand_in_the_files_beside_them():
    rows = re.findall(r"^\| (`[^|]+`) \| `(mt/[\w/]+\.py)` \|", ATTENTION.read_text(encoding="utf-8"), re.M)
    assert len(rows) == 14
    for names, file in rows:
        code = (ROOT / file).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^\s*(?:def|class) {name}\b", code, re.M), f"{file} has no {name}"


def test_dotted_names_in_the_attention_page_exist():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "mt" / "nn").glob("*.py"))
    names = re.findall(r"`([A-Z]\w+)\.(\w+)`", ATTENTION.read_text(encoding="utf-8"))
    assert len(names) >= 7
    for owner, name in names:
        assert re.search(rf"^class {owner}\b", code, re.M)
        assert re.search(rf"def {name}\(|self\.{name} = ", code)


def test_the_data_page_lists_the_catalogue():
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*(\|.*)$", (ROOT / "data" / "README.md").read_text(encoding="utf-8"), re.M))
    assert set(rows) == set(CATALOG)
    for name, entry in CATALOG.items():
        assert entry.licence in rows[name] or "as above" in rows[name]


# ---- commands


def test_the_readme_begins_with_the_two_commands_and_ci_runs_the_second():
    assert [block.strip() for block in blocks(README, "bash")[:2]] == [INSTALL, TEST]
    ci = ROOT / ".ci" / "run"
    assert TEST in ci.read_text(encoding="utf-8")
    assert os.access(ci, os.X_OK)


def test_commands_are_found():
    line = "echo 'a | b' | mt translate x < in > out  # said\npip list && mt train a='[1,2]'"
    assert commands(line) == [["translate", "x"], ["train", "a=[1,2]"]]
    assert len([page for page, _ in COMMANDS if page == README]) >= 20


MADE_BY_THE_PAGE = {"init=runs/debian_lead", "init=runs/reuters_lead"}


@pytest.mark.parametrize("argv", [argv for _, argv in COMMANDS], ids=" ".join)
def test_every_command_of_the_pages_is_one(argv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (own,) = blocks(README, "yaml")
    Path("my.yaml").write_text(own, encoding="utf-8")
    Path("terms.tsv").write_text("cat\tKatze\n", encoding="utf-8")
    if find_spec("submitit") is None:  # the extra `cluster`
        argv = [word for word in argv if not word.startswith(("hydra/launcher=", "hydra.launcher."))]
    verb, *rest = argv
    assert verb in VERBS
    for file in (Path(word.removeprefix("@")) for word in rest if word.startswith("@")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    if verb != "train":
        import_module(VERBS[verb][0]).parse(rest)
        return
    asked = train.parse(rest)
    Path("runs").mkdir()
    Path("runs/my-run").symlink_to(ROOT / "tests/golden/schema-1/runs/golden")  # for `init=`
    for file in (word for word in asked.overrides if "=" not in word):
        Path(file).touch()
    # Only tests/integration/test_docs_run.py has a run that an earlier command of the page makes.
    asked.overrides = [word for word in with_files(asked.overrides) if word not in MADE_BY_THE_PAGE]
    if asked.multirun:
        assert check_overrides(asked.overrides, multirun=True)
    else:
        assert isinstance(compose(asked.overrides, config_file=asked.config), Config)


def test_the_first_run_is_called_what_the_readme_calls_it():
    assert f"runs/{compose([]).run.name}/" in README.read_text(encoding="utf-8")


def test_the_python_of_the_readme_uses_what_a_translator_has():
    (code,) = blocks(README, "python")
    uses = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    used = {n.attr for n in uses if isinstance(n.value, ast.Name) and n.value.id == "translator"}
    assert used == {"translate", "search"}
    assert all(hasattr(Translator, name) for name in used)


# ---- numbers


def test_the_worked_example_prints_what_the_page_says():
    (code, *_), (said, *_) = blocks(ATTENTION, "python"), blocks(ATTENTION, "text")
    out, names = io.StringIO(), {}
    with contextlib.redirect_stdout(out):
        exec(compile(code, str(ATTENTION), "exec"), names)
    assert out.getvalue() == said
    rows = re.findall(
        r"^\| (\d) \| [^|]+ \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", ATTENTION.read_text(encoding="utf-8"), re.M
    )
    assert len(rows) == 2
    for row, weights, result in rows:
        place = int(row) - 1
        assert names["maps"][0][0, place].tolist() == pytest.approx([float(w) for w in weights.split(",")])
        assert names["mixed"][place, 0].tolist() == pytest.approx([float(r) for r in result.split(",")])


def test_the_costs_that_the_attention_page_states():
    t = s = 20
    d = 256
    grid, layers = 2 * t * s * d, 4 * t * d * d
    text = ATTENTION.read_text(encoding="utf-8")
    assert f"{grid:,}" in text
    assert f"{layers:,}" in text
    assert f"{layers / grid:.0f} times as many" in " ".join(text.split())


def test_the_changelog_has_the_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
