"""Every command block of the README and of docs/ runs, in order, in a clean folder for each page.

The blocks in `bash` run line by line with the programs of `stand_ins.py`, those in `python` as one program. What a page
shows is compared where a comment stands before a block in `text`:

    <!-- output -->                 all that the block before it prints
    <!-- output of: COMMAND -->     all that the command prints, which runs here
    <!-- output like: COMMAND -->   what a line of an earlier block printed: with other numbers and sentences, and with
                                    other lines in the place of "..."

docs/HOUSE.md quotes Python code that is not a program, and is left out.
"""

import gzip
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
import stand_ins
from stand_ins import make_programs, sentences
from toy_tables import write_tables
from zipped import docx

from mt.compute.matmul import has_int8

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SLOW = {"BENCHMARKS", "CLUSTER", "GPU"}
QUOTES = {"HOUSE.md"}  # whose Python is not a program
BLOCK = re.compile(r"(?:^<!-- output(?: (of|like): (.+?))? -->\n)?^```(\w+)\n(.*?)^```$", re.M | re.S)
DEFAULT_RUN = "tatoeba_en_es-small"
RUN_ALONE = {"#!/bin/bash"}  # a block that is one script
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*(?:e[-+]?\d+)?")
# What stands otherwise in the output of the stand-ins: (on the page, here).
OTHERWISE = [
    (r"\(the limit of 8 minutes was reached\)", "(the limit of 6 steps was reached)"),
    ("in bf16, 2 threads", "in fp32, 1 thread"),
    (r"^step (\S+)  epoch", r"step \1/6  epoch"),
    # A model of 6 updates has no four words right.
    ("best bleu", "best chrf"),
    (r"^(BLEU = .*)$", r"\1; no four words in a row are right, so BLEU cannot tell; chrF++ can"),
]


def environment() -> dict[str, str]:
    """With this tree's package before any other."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


@dataclass
class Block:
    language: str
    text: str
    output: str | None  # "", "of", "like": how the block shows output; None: it does not
    command: str


@dataclass
class Page:
    """A page in its folder, and what its lines have printed."""

    path: Path
    folder: Path
    environment: dict[str, str]
    printed: dict[str, str] = field(default_factory=dict)

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False, text=True, encoding="utf-8",
        )  # fmt: skip
        self.printed[command] = done.stdout
        self.code = done.returncode
        return done.stdout

    def must_run(self, command: str) -> str:
        said = self.run(command)
        assert self.code == 0, f"{self.path.name}: exit code {self.code} of\n{command}\n{said}"
        return said


def blocks(path: Path) -> list[Block]:
    found = []
    for match in BLOCK.finditer(path.read_text(encoding="utf-8")):
        marked = match[0].startswith("<!--")
        found.append(Block(match[3], match[4], (match[1] or "") if marked else None, match[2] or ""))
    return found


def lines(text: str) -> list[str]:
    """The commands of a block: continued lines as one, a script as a whole."""
    if text.split("\n", 1)[0] in RUN_ALONE:
        return [text]
    joined = re.sub(r"\\\n\s*", "", text)
    found = [line for line in joined.split("\n") if line.strip() and not line.startswith("#")]
    without = () if find_spec("ctranslate2") else ("mt export", "mt import")
    refused = [] if has_int8() else ["--precision int8"]
    return [line for line in found if not line.startswith(without) and not any(part in line for part in refused)]


# ---- the folder of a page


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Iterator[Path]:
    """A folder with the stand-ins, and the process behind them."""
    folder = tmp_path_factory.mktemp("programs")
    address = str(folder / "socket")
    command = [sys.executable, str(Path(stand_ins.__file__)), address]
    make_programs(folder, address)
    with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield folder
        assert process.stdin is not None
        process.stdin.close()


def page_environment(programs: Path) -> dict[str, str]:
    settings = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "SLURM_NNODES": "1", "SLURM_JOB_ID": "7",
        "PARTS": "none",  # scripts/gpu_day.sh is tested by test_gpu_day.py
    }  # fmt: skip
    return {**environment(), **settings, "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module")
def prepared(programs, tmp_path_factory) -> Path:
    """A folder with the files and models that the pages name."""
    folder = tmp_path_factory.mktemp("prepared")
    for language in ("de", "es"):
        for seed, name in enumerate(("train", "dev", "test", "val", "new", "a", "b", "d")):
            pairs = sentences(120 if name in ("train", "a", "b") else 32, seed, ("en", language))
            for side, suffix in enumerate(("en", language)):
                (folder / f"{name}.{suffix}").write_text("".join(f"{pair[side]}\n" for pair in pairs), encoding="utf-8")
    make_files(folder)
    three_checkpoints = {"LAST_SETTINGS": "train.validate_every=2"}
    page = Page(Path("models"), folder, page_environment(programs) | three_checkpoints)
    for name, src, tgt in (("my-run", "en", "de"), ("backwards", "de", "en"), (DEFAULT_RUN, "en", "es")):
        files = ",".join(f"train.{side}" for side in (src, tgt)), ",".join(f"dev.{side}" for side in (src, tgt))
        test = ",".join(f"test.{side}" for side in (src, tgt))
        page.must_run(
            f"mt train 'data.train=[{files[0]}]' 'data.dev=[{files[1]}]' 'data.test=[{test}]' run.name={name}"
        )
    for name in ("second", "third", "other", "a", "b", "en-de"):
        shutil.copytree(folder / "runs/my-run", folder / "runs" / name)
    shutil.copytree(folder / "runs/backwards", folder / "runs/de-en")
    shutil.copytree(folder / "runs/my-run", folder / "MODEL")
    return folder


def make_files(folder: Path) -> None:
    """Files in other formats, made of the plain ones."""
    import pyarrow
    import pyarrow.parquet

    rows = [dict(zip(("en", "de"), pair, strict=True)) for pair in sentences(120, 0, ("en", "de"))]
    (folder / "news.tsv").write_text("".join(f"{row['en']}\t{row['de']}\n" for row in rows), encoding="utf-8")
    (folder / "talks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "table.csv").write_text(
        "source,target\n" + "".join(f"{row['en']},{row['de']}\n" for row in rows), encoding="utf-8"
    )
    units = "".join(
        f'<tu><tuv xml:lang="en"><seg>{row["en"]}</seg></tuv><tuv xml:lang="de"><seg>{row["de"]}</seg></tuv></tu>'
        for row in rows
    )
    (folder / "memory.tmx").write_text(f'<tmx version="1.4"><header/><body>{units}</body></tmx>', encoding="utf-8")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "laws.parquet")
    english = (folder / "new.en").read_bytes()
    (folder / "input.en").write_bytes(english)
    (folder / "input.en.gz").write_bytes(gzip.compress(english))
    (folder / "report.docx").write_bytes(docx("<w:p><w:r><w:t>one two three</w:t></w:r></w:p>"))
    (folder / "paragraphs.en").write_text("one two three. four five six.\nseven eight.\n", encoding="utf-8")
    for language in ("en", "de"):
        (folder / f"b.{language}.gz").write_bytes(gzip.compress((folder / f"b.{language}").read_bytes()))
        (folder / f"c.{language}.xz").write_bytes(lzma.compress((folder / f"a.{language}").read_bytes()))
    count = len((folder / "a.en").read_text(encoding="utf-8").split("\n")) - 1
    (folder / "a.links").write_text("0-0 1-1\n" * count, encoding="utf-8")
    (folder / "train.links").write_text("0-0 1-1\n" * count, encoding="utf-8")
    shutil.copy(folder / "test.de", folder / "out.de")
    (folder / "terms.tsv").write_text("cat\tKatze\n*\t!Bude\n", encoding="utf-8")
    (folder / "noise").mkdir()
    for language in ("en", "de"):
        shutil.copy(folder / f"train.{language}", folder / f"noise/noise20.{language}")
    for place in ("data/multi30k", "DIR/multi30k"):
        (folder / place).mkdir(parents=True)
        for name, file in (("train", "train"), ("val", "dev"), ("test_2016_flickr", "test")):
            for language in ("en", "de"):
                shutil.copy(folder / f"{file}.{language}", folder / place / f"{name}.{language}")
    (folder / "writings").mkdir()  # what scripts/other_writings.py writes
    for language in ("en", "es"):
        shutil.copy(folder / f"test.{language}", folder / f"writings/small.{language}")
    write_tables(folder / "data")
    (folder / "scripts").symlink_to(ROOT / "scripts")


# ---- the test


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else []) for path in PAGES]
)
def test_the_page_runs_and_prints_what_it_shows(path, prepared, programs, tmp_path):
    folder = tmp_path / "page"
    shutil.copytree(prepared, folder, symlinks=True)
    page, found = Page(path, folder, page_environment(programs)), blocks(path)
    if any(re.search(r"\bmt train$", block.text, re.M) for block in found):
        shutil.rmtree(folder / "runs" / DEFAULT_RUN)  # the page trains it
    for block in found:
        if block.language == "yaml":
            (folder / "my.yaml").write_text(block.text, encoding="utf-8")
    python = [] if path.name in QUOTES else [block for block in found if block.language == "python"]
    said, last = "", ""
    for block in found:
        if block.language == "bash":
            said = "".join(page.must_run(line) for line in lines(block.text))
            check_markup(block.text, said)
        elif block in python:
            said, last = run_python(page, python, block, last)
        elif block.output == "":
            assert said == block.text
        elif block.output == "of":
            assert page.run(block.command) == block.text
            assert page.code == 2
        elif block.output == "like":
            assert_alike(block.text, page.printed[block.command])
    check_torchrun(folder)


def run_python(page: Page, python: list[Block], block: Block, last: str) -> tuple[str, str]:
    """What a block prints; all blocks of the page run with the first. `last`: what is still to be shown of them."""
    mark = "-- end of a block --"
    if block is python[0]:
        program = f"print({mark!r})\n".join(one.text for one in python)
        (page.folder / "page.py").write_text(program, encoding="utf-8")
        last = page.must_run("python page.py 2> python.err || { cat python.err; exit 1; }")
    said, _, last = last.partition(f"{mark}\n")
    return said, last


def assert_alike(shown: str, printed: str) -> None:
    """Every shown line is printed, directly behind the one before it, or anywhere after "..."; empty ones aside."""
    for here, there in OTHERWISE:
        shown = re.sub(here, there, shown, flags=re.M)
    there, place, anywhere = [skeleton(line) for line in printed.split("\n") if line], -1, True
    for line in filter(None, shown.split("\n")):
        if line == "...":
            anywhere = True
            continue
        wanted = skeleton(line)
        place = there.index(wanted) if anywhere and wanted in there else place + 1
        assert there[place : place + 1] == [wanted], f"{line!r} is not in its place in\n{printed}"
        anywhere = False


def skeleton(line: str) -> str:
    """A line without what differs from run to run: numbers, times, and the sentences behind a label."""
    label = re.match(r"  (source|translation|reference)  |  echo '", line)
    return label[0] if label else NUMBER.sub("N", re.sub(r"eta \S+", "eta N", line))


def check_markup(shown: str, printed: str) -> None:
    """A comment that shows a translation with its mark and its links is such a line in the output, too."""
    if re.search(r"^# .*\{name\}.* \|\|\| [\d -]+$", shown, re.M):
        assert re.search(r"\{name\}.* \|\|\| [\d -]*$", printed, re.M), printed


def check_torchrun(folder: Path) -> None:
    """The real torchrun takes the options that its stand-in was given."""
    log = folder / "torchrun.log"
    if log.exists():
        from torch.distributed.run import get_args_parser

        for line in log.read_text(encoding="utf-8").split("\n")[:-1]:
            asked = get_args_parser().parse_args(line.split())
            assert asked.module and asked.training_script == "mt"


# ---- the harness itself


def test_blocks_and_their_marks_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n```bash\nmt x\n```\n<!-- output like: mt x -->\n```text\n1\n```\n```text\n2\n```\n", "utf-8")
    assert [(b.language, b.text, b.output, b.command) for b in blocks(page)] == [
        ("bash", "mt x\n", None, ""), ("text", "1\n", "like", "mt x"), ("text", "2\n", None, ""),
    ]  # fmt: skip
    assert lines("# no\nmt a \\\n    b\n\nmt c\n") == ["mt a b", "mt c"]
    assert lines("#!/bin/bash\nmt a\n") == ["#!/bin/bash\nmt a\n"]


def test_a_shown_line_that_is_not_printed_is_found():
    printed = "step 1  loss 7.0  eta 3s\nother\nstep 20  loss 6.5  eta 1s\n  source       a b\nend\n"
    assert_alike("step 50  loss 1,2  eta 7m50s\n...\n  source       x y z\nend\n", printed)
    assert_alike("end\n...\nother\n", printed)
    for wrong in ("step 50  perplexity 1.2  eta 7s\n", "step 1  loss 1  eta 1s\nend\n", "end\nother\n"):
        with pytest.raises(AssertionError, match="is not in its place in"):
            assert_alike(wrong, printed)
