"""The text of a run: tokenised once, and then read from the cache."""

from pathlib import Path

import pytest
import yaml
from toy import number_pairs

from mt import material
from mt.config import BatchConfig, CleanConfig, Config, DataConfig, TokenizerConfig, TrainConfig
from mt.material import prepare
from mt.tokenizer import Tokenizer
from mt.train.folder import RunFolder


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, (name, count) in enumerate({"train": 60, "dev": 5, "test": 6}.items()):
        lines = [f"{pair.src}\t{pair.tgt}\n" for pair in number_pairs(count, seed)]
        Path(f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    return DataConfig(train=["train.tsv"], dev=["dev.tsv"], test=["test.tsv"])


def prepared(data):
    pieces = TokenizerConfig(vocab_size=60, byte_fallback=False)
    return prepare(data=data, clean=CleanConfig(), tokenizer=pieces, batch=BatchConfig(), longest=None)


def test_a_second_start_tokenises_the_dev_set_only(data, monkeypatch):
    first, asked = prepared(data), []
    (table,) = Path(data.cache).glob("corpora/*/pairs.arrow")
    encode = Tokenizer.encode_source
    monkeypatch.setattr(Tokenizer, "encode_source", lambda self, texts: asked.append(len(texts)) or encode(self, texts))
    second = prepared(data)
    assert asked == [5]
    assert list(second.train.source) == list(first.train.source) and list(second.train.pairs) == list(first.train.pairs)
    assert second.train.fingerprint() == first.train.fingerprint()
    assert [str(pair.origin) for pair in second.train.pairs[:2]] == ["train.tsv:1", "train.tsv:2"]
    assert list(Path(data.cache).glob("corpora/*/pairs.arrow")) == [table]


def test_the_pairs_are_not_kept_twice(data):
    found = prepared(data)
    assert (found.corpus.train, len(found.train), len(found.corpus.dev), len(found.corpus.test)) == ([], 60, 5, 6)


def test_a_run_that_began_before_there_were_workers_has_its_test_set(data):
    folder = RunFolder(Path("run"))
    values = Config(data=data, train=TrainConfig(steps=1)).to_dict()
    del values["data"]["workers"]
    folder.path.mkdir()
    folder.config.write_text(yaml.safe_dump(values), encoding="utf-8")
    folder.manifest.write_text("{}", encoding="utf-8")
    pairs, _ = material.test_set(folder.path, None, None)
    assert [pair.src for pair in pairs] == [pair.src for pair in number_pairs(6, 2)]
