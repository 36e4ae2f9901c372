"""The test set that a run was given is found again."""

from pathlib import Path

import pytest
import yaml
from toy import number_pairs

from mt.config import Config, DataConfig, TrainConfig
from mt.train import evaluation_set
from mt.train.run_folder import RunFolder


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, (name, count) in enumerate({"train": 60, "dev": 5, "test": 6}.items()):
        lines = [f"{pair.src}\t{pair.tgt}\n" for pair in number_pairs(count, seed)]
        Path(f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    return DataConfig(train=["train.tsv"], dev=["dev.tsv"], test=["test.tsv"])


def test_a_run_that_began_before_there_were_workers_has_its_test_set(data):
    folder = RunFolder(Path("run"))
    values = Config(data=data, train=TrainConfig(steps=1)).to_dict()
    del values["data"]["workers"]
    folder.path.mkdir()
    folder.config.write_text(yaml.safe_dump(values), encoding="utf-8")
    folder.manifest.write_text("{}", encoding="utf-8")
    pairs, _ = evaluation_set.test_set(folder.path, None, None)
    assert [pair.src for pair in pairs] == [pair.src for pair in number_pairs(6, 2)]
