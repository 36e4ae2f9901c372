"""The test set that a run was given is found again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from toy import number_pairs

from mt.config import Config, DataConfig, RunConfig, TrainConfig
from mt.data.corpus.catalog import CATALOG
from mt.data.corpus.pair import Origin, Pair, fingerprint
from mt.data.corpus.store import fingerprint as file_fingerprint
from mt.data.corpus.store import identity
from mt.errors import CheckpointError, DataError
from mt.train import evaluation_set
from mt.train.run_folder import RunFolder


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, (name, count) in enumerate({"train": 60, "dev": 5, "test": 6}.items()):
        lines = [f"{pair.src}\t{pair.tgt}\n" for pair in number_pairs(count, seed)]
        Path(f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    return DataConfig(train=["train.tsv"], dev=["dev.tsv"], test=["test.tsv"])


@pytest.fixture
def run(data):
    """A run that was started in the folder at hand."""
    return started(data, number_pairs(6, 2))


def started(data, test, **facts):
    folder = RunFolder(Path("runs/x"))
    values = Config(data=data, train=TrainConfig(steps=1), run=RunConfig(name="x")).to_dict()
    folder.path.mkdir(parents=True)
    folder.config.write_text(yaml.safe_dump(values), encoding="utf-8")
    folder.write_manifest({"data": {"test_fingerprint": fingerprint(test)}, **facts}, ["mt", "train"])
    return folder.path


def texts(pairs):
    return [(pair.src, pair.tgt) for pair in pairs]


def test_a_run_that_began_before_there_were_workers_has_its_test_set(data):
    folder = RunFolder(Path("run"))
    values = Config(data=data, train=TrainConfig(steps=1)).to_dict()
    del values["data"]["workers"]
    folder.path.mkdir()
    folder.config.write_text(yaml.safe_dump(values), encoding="utf-8")
    folder.manifest.write_text("{}", encoding="utf-8")
    pairs, _ = evaluation_set.test_set(folder.path, None, None)
    assert [pair.src for pair in pairs] == [pair.src for pair in number_pairs(6, 2)]


@pytest.mark.parametrize("lost", ["config.yaml", "manifest.json"])
def test_a_run_that_lost_a_file_is_still_a_run(run, lost):
    (run / lost).unlink()
    (run / "model").mkdir()
    for model in (run, run / "model"):
        with pytest.raises(CheckpointError) as refused:
            evaluation_set.test_set(model, None, None)
        said = f"the test set of `{run}` is not known, because its `{lost}` is missing."
        assert str(refused.value) == f"{said} hint: name one with `--test SOURCE TARGET`."


def test_nothing_but_the_test_set_is_read(run, caplog):
    for name in ("train", "dev"):
        Path(f"{name}.tsv").unlink()
    pairs, _ = evaluation_set.test_set(run, None, None)
    assert texts(pairs) == texts(number_pairs(6, 2)) and not caplog.text.count("is not that")


def test_the_languages_of_files_that_are_gone_are_those_of_the_run(data, caplog):
    run = started(data, number_pairs(6, 2), src="en", tgt="de")
    Path("train.tsv").unlink()
    assert evaluation_set.test_set(run, None, None)[1] == "de"
    assert "do not say which languages" not in caplog.text


@pytest.mark.parametrize("place", ["runs/x", "renamed", "far/from/there"])
def test_names_count_from_the_folder_of_the_start(run, place, tmp_path, tmp_path_factory, monkeypatch, caplog):
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    run.rename(place)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    Path("test.tsv").write_text("not\tthat\n", encoding="utf-8")
    pairs, _ = evaluation_set.test_set(tmp_path / place, None, None)
    assert texts(pairs) == texts(number_pairs(6, 2)) and not caplog.text.count("is not that")
    assert str(pairs[0].origin) == f"{tmp_path}/test.tsv:1"
    assert texts(evaluation_set.test_of_run(tmp_path / place)) == texts(pairs)


def test_a_run_of_an_older_version_that_was_moved_counts_names_from_the_folder_at_hand(run, tmp_path, monkeypatch):
    manifest = json.loads((run / "manifest.json").read_text())
    for attempts in ([{"command": ["mt"]}], ["odd"], "odd", None, [{"folder": 3}], [{"folder": "relative"}]):
        (run / "manifest.json").write_text(json.dumps({**manifest, "attempts": attempts}))
        run = run.rename(tmp_path / "moved") if run.name == "x" else run
        assert len(evaluation_set.test_set(run, None, None)[0]) == 6
        assert str(evaluation_set.test_of_run(run)[0].origin) == "test.tsv:1"


def test_where_a_test_set_that_is_gone_was_looked_for_is_told(run, tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    (tmp_path / "test.tsv").unlink()
    with pytest.raises(DataError) as missing:
        evaluation_set.test_set(tmp_path / run, None, None)
    assert missing.value.message.startswith(f"`{tmp_path}/test.tsv` does not exist")
    assert missing.value.hint == "if the test set is elsewhere now, name it with `--test`."
    (tmp_path / "test.tsv").write_text("one\n")
    with pytest.raises(DataError) as damaged:
        evaluation_set.test_set(tmp_path / run, None, None)
    assert "elsewhere now" not in damaged.value.hint


def test_another_text_than_at_the_start_is_told(run, caplog):
    pairs = evaluation_set.test_of_run(run)
    assert evaluation_set.is_that_of_training(run, pairs)
    Path("test.tsv").write_text("one\teins\n", encoding="utf-8")
    pairs, _ = evaluation_set.test_set(run, None, None)
    assert len(pairs) == 1 and not evaluation_set.is_that_of_training(run, pairs)
    assert caplog.messages[-1] == (
        "the text of the test set is not that which `runs/x` was started with, so these scores are not those of its "
        "test set, and are not kept in its folder."
    )
    for damage in ("{}", '{"data": 3}', "{"):  # of an older version, or damaged: nothing is known
        (run / "manifest.json").write_text(damage)
        assert evaluation_set.is_that_of_training(run, pairs)


def test_files_named_in_a_table_are_the_same_seen_from_another_folder(data, tmp_path, tmp_path_factory, monkeypatch):
    Path("t").mkdir()
    Path("t/table.tsv").write_text("clip\tde\na.wav\teins\n", encoding="utf-8")
    data = DataConfig(train=["train.tsv"], dev=["dev.tsv"], test=["t/table.tsv"], inputs=["clip:audio"], tgt="de")
    run = started(data, [Pair("t/a.wav", "eins", Origin("t/table.tsv", 2))])
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    pairs = evaluation_set.test_of_run(tmp_path / run)
    assert pairs[0].src == f"{tmp_path}/t/a.wav"
    assert evaluation_set.is_that_of_training(tmp_path / run, pairs)
    assert not evaluation_set.is_that_of_training(tmp_path / run, [replace(pairs[0], tgt="zwei")])


def test_a_table_that_moved_with_the_files_it_names_is_that_of_training(data):
    data = DataConfig(train=["train.tsv"], dev=["dev.tsv"], test=["t/table.tsv"], inputs=["clip:audio"], tgt="de")
    written = {"test_fingerprint": fingerprint([Pair("a.wav", "eins", Origin("", 1))])}
    run = started(data, [])
    manifest = run / "manifest.json"
    manifest.write_text(json.dumps({"data": {"test_fingerprint": "of the place", "as_written": written}}))
    pairs = [Pair("u/a.wav", "eins", Origin("u/table.tsv", 2))]
    assert evaluation_set.is_that_of_training(run, pairs)
    assert not evaluation_set.is_that_of_training(run, [replace(pairs[0], src="u/b.wav")])


def test_of_a_corpus_that_is_fetched_the_test_set_alone_is_needed(tmp_path, monkeypatch):
    """No network: the folder holds what a recipe made of it, but for the training text."""
    monkeypatch.chdir(tmp_path)
    entry = CATALOG["tatoeba_en_es"]
    assert entry.recipe is not None
    folder = tmp_path / "data/tatoeba_en_es"
    folder.mkdir(parents=True)
    (folder / "test.tsv").write_text("one\tuno\n", encoding="utf-8")
    made = {"recipe": identity(entry.recipe), "files": {"test.tsv": file_fingerprint(folder / "test.tsv")}}
    (folder / "MANIFEST.json").write_text(json.dumps(made))
    run = started(DataConfig(corpus="tatoeba_en_es"), [Pair("one", "uno", Origin("test.tsv", 1))])
    pairs, tgt = evaluation_set.test_set(run, None, None)
    assert (texts(pairs), tgt) == ([("one", "uno")], "es")
