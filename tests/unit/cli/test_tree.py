"""What Hydra has composed of presets is kept for the next settings of the same presets, and for no others."""

import shutil

import pytest

from mt.cli import tree
from mt.cli.compose import compose, parse, schema
from mt.cli.folders import CONFIG_DIR


@pytest.fixture
def asked(monkeypatch):
    """What Hydra is asked to compose from here on."""
    tree.of_our_presets.cache_clear()
    calls, hydra = [], tree.hydra.compose

    def counted(name, lines, **options):
        calls.append(lines)
        return hydra(name, lines, **options)

    monkeypatch.setattr(tree.hydra, "compose", counted)
    yield calls
    tree.of_our_presets.cache_clear()


def test_jobs_of_the_same_presets_are_composed_by_hydra_once(asked):
    lines = [["model=tiny", f"optim.lr={lr}", "train.seed=7"] for lr in (1e-3, 2e-3)]
    made = [compose(each) for each in lines]
    assert [config.optim.lr for config in made] == [1e-3, 2e-3] and made[0].train == made[1].train
    assert asked == [["model=tiny"]]
    compose(["model=small"])
    assert len(asked) == 2


def test_one_job_says_nothing_to_the_next(asked):
    first = compose(["data.train=[a.en,a.de]", "model.dim=48", "model.heads=4"])
    first.data.train.append("b.en")
    assert compose([]).data.train == [] and compose([]).model.dim != 48
    assert asked == [[]]


@pytest.mark.parametrize(
    "lines",
    [
        ["optim.lr=3e-3", "model=tiny", "optim.lr=4e-3"],
        ["model={dim: 48}", "model.dim=64", "schedule=cosine"],
        ["data.inputs=['a:text','b:text']", "data.train=[x.tsv]", "experiment=easy_vqa", "debug=fast"],
        ["run.name='${now:%Y}'", "decode.beam=3", "run.root='a,b=c'"],
    ],
)
def test_values_are_set_as_hydra_sets_them(lines):
    schema()
    ours, choices = tree.composed([parse(line) for line in lines], ours=True)
    hydras, theirs = tree.of_presets(tuple(lines))
    assert ours == hydras and choices == theirs


def test_a_preset_that_has_changed_is_read_again(asked, tmp_path, monkeypatch):
    shutil.copytree(CONFIG_DIR, tmp_path / "configs")
    monkeypatch.setattr(tree, "CONFIG_DIR", tmp_path / "configs")
    before, file = compose(["model=tiny"]), tmp_path / "configs/model/tiny.yaml"
    file.write_text(file.read_text().replace(f"dim: {before.model.dim}\n", f"dim: {2 * before.model.dim}\n", 1))
    assert compose(["model=tiny"]).model.dim == 2 * before.model.dim


def test_a_file_and_presets_of_the_users_own_are_read_each_time(asked, tmp_path):
    (tmp_path / "model").mkdir()
    for dim in (32, 64):
        (tmp_path / "model/own.yaml").write_text(f"# @package _global_\nmodel: {{dim: {dim}}}\n")
        (tmp_path / "my.yaml").write_text(f"model: {{dim: {dim}}}\n")
        assert compose(["model=own"], config_dir=tmp_path).model.dim == dim
        assert compose([], config_file=tmp_path / "my.yaml").model.dim == dim
    assert len(asked) == 4
