"""`mt train --resume`: the settings of a run from its folder."""

import shutil
from pathlib import Path

import pytest

from mt.cli.main import main
from mt.cli.resume import changes, check_run_folder, resume, saved_settings, start_folder
from mt.cli.train import parse
from mt.config import Config, DataConfig, RunConfig, Subset
from mt.errors import CheckpointError, ConfigError

GOLDEN = Path(__file__).resolve().parents[2] / "golden/schema-1"


@pytest.fixture
def home(tmp_path, monkeypatch):
    shutil.copytree(GOLDEN, tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def trained(monkeypatch):
    """What training is called with, and in which folder."""
    calls = []
    monkeypatch.setattr("mt.build.train", lambda config, command: calls.append((config, command, Path.cwd())))
    return calls


def test_a_run_goes_on_where_it_was_started_with_its_settings_and_other_limits(home, trained):
    before = Path.cwd()
    assert main(["train", "--resume", "home/runs/golden", "train.steps=20"]) == 0
    ((config, command, folder),) = trained
    assert folder == home and Path.cwd() == before
    assert (config.run.root, config.run.name, config.train.steps) == ("runs", "golden", 20)
    assert (config.optim.lr, config.train.minutes, config.data.train) == (0.02, None, ["train.tsv"])
    assert command == ["mt", "train", "--resume", "home/runs/golden", "train.steps=20"]


def test_settings_that_are_younger_than_the_run_are_as_they_were_then(home):
    config = saved_settings(home / "runs/golden", {})
    assert config.data.subset is Subset.first and config.decode.patience is None
    assert config.tokenizer.normalization == "identity"  # what the file says
    assert config.alignment == Config().alignment


def test_a_folder_that_was_moved_is_the_run(home, trained, tmp_path):
    shutil.move(home / "runs/golden", tmp_path / "moved")
    for name in ("train.tsv", "dev.tsv"):
        shutil.copy(home / name, tmp_path)
    resume(tmp_path / "moved", [], [])
    ((config, _, folder),) = trained
    assert (config.run.root, config.run.name, folder) == (str(tmp_path), "moved", tmp_path)


def test_a_run_with_an_absolute_root_stays_in_the_folder_at_hand(tmp_path):
    config = Config(run=RunConfig(root=str(tmp_path), name="a"))
    assert start_folder(tmp_path / "a", config) == Path.cwd()
    assert start_folder(tmp_path / "b", config) is None


def test_text_that_is_gone_is_named(home, trained, capsys):
    (home / "train.tsv").unlink()
    assert main(["train", "--resume", "home/runs/golden"]) == 3
    assert "train.tsv" in capsys.readouterr().err and not trained


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("golden", r"^`golden` is not the folder of a run: it does not exist. hint: `mt runs` lists the runs\.$"),
        (
            "runs/goldn",
            r"^`runs/goldn` is not the folder of a run: it does not exist. hint: did you mean `runs/golden`\?$",
        ),
        ("runs", r"^`runs` is not the folder of a run: it has no config\.yaml. hint: `mt runs` lists the runs\.$"),
        ("runs/golden/model", r"^`runs/golden/model` is not the folder of a run. hint: did you mean `runs/golden`\?$"),
        ("runs/golden/checkpoints/step-00000012", r"did you mean `runs/golden`\?$"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(home, monkeypatch, folder, says):
    monkeypatch.chdir(home)
    if folder == "golden":
        monkeypatch.chdir(home.parent)
    with pytest.raises(CheckpointError, match=says):
        check_run_folder(Path(folder))


def test_the_name_alone_is_understood_in_the_refusal(home, monkeypatch):
    monkeypatch.chdir(home)
    with pytest.raises(CheckpointError, match=r"did you mean `runs/golden`\?$"):
        check_run_folder(Path("golden"))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model=base", "`model=base` cannot be used with --resume: a run keeps its presets."),
        ("debug=fast", "`debug=fast` cannot be used with --resume: a run keeps its presets."),
        ("run.name=x", "`run.name=x` cannot be used with --resume, which continues the run in its folder."),
        ("hydra.run.dir=x", "cannot be used with --resume, which continues"),
        ("train.stepps=3", "`train.stepps` is not a setting. hint: did you mean `train.steps`?"),
        ("train.steps=3,4", "`train.steps` has several values"),
        ("train.steps=many", "`train.steps` must be a whole number or null, but is many."),
    ],
)
def test_overrides_that_do_not_fit_are_refused(override, says):
    with pytest.raises(ConfigError) as caught:
        changes([override])
    assert says in str(caught.value)


def test_a_section_may_be_set_at_once():
    assert changes(["train={steps: 3, minutes: null}", "train.keep=2"]) == {
        "train.steps": 3, "train.minutes": None, "train.keep": 2
    }  # fmt: skip


@pytest.mark.parametrize("option", ["--dry-run", "--multirun", "--config=x.yaml", "--cfg=job"])
def test_other_options_are_refused(option):
    name = option.partition("=")[0]
    with pytest.raises(ConfigError, match=f"^{name} cannot be used with --resume, which takes only settings such as"):
        parse(["--resume", "runs/x", option])


def test_settings_of_another_version_are_refused(home):
    config = home / "runs/golden/config.yaml"
    text = config.read_text()
    config.write_text(f"{text}future: {{a: 1}}\n")
    with pytest.raises(ConfigError, match=r"config\.yaml has the section `future`, which this version of mt does not"):
        saved_settings(home / "runs/golden", {})
    config.write_text(text.replace("  beta1:", "  beta0:"))
    with pytest.raises(ConfigError, match=r"config\.yaml: `optim` has no setting `beta0`"):
        saved_settings(home / "runs/golden", {})


def test_a_run_of_a_version_that_ignored_these_settings_goes_on(home, trained):
    """`data.dev` without `data.train` is refused on the command line, but was not always."""
    config = home / "runs/golden/config.yaml"
    config.write_text(config.read_text().replace("  train:\n  - train.tsv\n", "  train: []\n"))
    resume(home / "runs/golden", [], [])
    assert trained[0][0].data == DataConfig(src="en", tgt="de", dev=["dev.tsv"], subset=Subset.first)
