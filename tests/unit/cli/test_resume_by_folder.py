"""`mt train --resume`: the settings of a run from its folder."""

import json
import re
import shutil
from pathlib import Path

import pytest
from toy import number_pairs

from mt.cli.main import main
from mt.cli.resume import changes, check_run_folder, resume, saved_settings
from mt.cli.train import parse
from mt.config import Config, DataConfig, Subset
from mt.errors import CheckpointError, ConfigError, DataError

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


def test_another_folder_from_which_names_count_is_told(home, trained, capsys, monkeypatch):
    main(["train", "--resume", "home/runs/golden"])
    told = f"mt train: names of files and folders count from `{home}`, as at the start\n"
    assert capsys.readouterr().err == told
    monkeypatch.chdir(home)
    main(["train", "--resume", "runs/golden"])
    assert capsys.readouterr().err == ""


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


def started_in(run, folder):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["attempts"] = [{"command": ["mt"], "at": "now", "folder": str(folder)}]
    (run / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("place", ["home/runs/renamed", "elsewhere/far/golden"])
def test_a_run_that_was_renamed_or_moved_knows_where_it_was_started(home, trained, tmp_path, place):
    started_in(home / "runs/golden", home)
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(home / "runs/golden", tmp_path / place)
    resume(Path(place), [], [])
    ((config, _, folder),) = trained
    assert Path(config.run.root) / str(config.run.name) == tmp_path / place and folder == home


def test_a_run_that_moved_with_its_text_reads_the_text_beside_it(home, trained, tmp_path):
    started_in(home / "runs/golden", home)
    shutil.copytree(home, tmp_path / "copy")
    resume(tmp_path / "copy/runs/golden", [], [])
    assert trained[0][2] == tmp_path / "copy" and trained[0][0].run.root == "runs"
    (tmp_path / "copy/train.tsv").unlink()  # the run alone was copied
    (tmp_path / "copy/dev.tsv").unlink()
    resume(tmp_path / "copy/runs/golden", [], [])
    config, _, folder = trained[1]
    assert folder == home and Path(config.run.root) / str(config.run.name) == tmp_path / "copy/runs/golden"


@pytest.mark.parametrize("root", ["home/runs", "before"])
def test_a_run_with_an_absolute_root_counts_names_from_its_start_or_else_from_the_folder_at_hand(
    home, trained, tmp_path, root
):
    run = home / "runs/golden"
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("  root: runs\n", f"  root: {tmp_path / root}\n"))
    for unknown in (None, "home", tmp_path / "gone"):
        if unknown is not None:
            started_in(run, unknown)
        with pytest.raises(DataError, match=r"^`train\.tsv` does not exist"):
            resume(run, [], [])
    started_in(run, home)
    resume(run, [], [])
    ((found, _, folder),) = trained
    assert folder == home and Path(found.run.root) / str(found.run.name) == run


def test_text_that_is_gone_is_named(home, trained, capsys):
    (home / "train.tsv").unlink()
    assert main(["train", "--resume", "home/runs/golden"]) == 3
    said = capsys.readouterr().err
    assert "`train.tsv` does not exist" in said and not trained
    assert said.endswith(f"name it, as in `data.train=[new.en,new.de]`; relative names count from `{home}`.\n")
    shutil.copy(home / "dev.tsv", home / "new.tsv")
    assert main(["train", "--resume", "home/runs/golden", "data.train=[new.tsv]"]) == 0


def test_text_that_is_there_and_does_not_fit_has_the_sentence_of_a_start(home):
    for name in ("a.en", "a.de"):
        shutil.copy(home / "train.tsv", home / name)
    words = "`data.columns` chooses the columns en and de, but `a.en` is no table. hint: leave it out; only tables, "
    with pytest.raises(DataError, match=f"^{re.escape(words)}"):
        resume(Path("home/runs/golden"), ["data.train=[a.en,a.de]", "data.dev=[]", "data.columns=[en,de]"], [])


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


@pytest.mark.parametrize("value", ["fp8", "int8"])
def test_only_a_precision_to_train_in_is_listed(home, value):
    config = home / "runs/golden/config.yaml"
    config.write_text(re.sub("(?m)^  precision: .*$", f"  precision: {value}", config.read_text()))
    with pytest.raises(ConfigError) as refused:
        saved_settings(home / "runs/golden", {})
    assert str(refused.value).endswith(
        f"config.yaml: `train`: `precision` must be one of auto, fp32, bf16, fp16, but is {value!r}."
    )


def test_a_damaged_settings_file_is_told_in_one_sentence(home, capsys):
    config = home / "runs/golden/config.yaml"
    config.write_text("run:\n  name: [a\nother: 1\n")
    assert main(["train", "--resume", "home/runs/golden"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "mt train: `home/runs/golden/config.yaml`, line 3: this is not YAML, so the file is damaged: "
    )
    assert "\\n" not in said and said.count("\n") == 1


@pytest.mark.parametrize("option", ["--config", "--config-dir", "--resume"])
def test_a_second_file_or_folder_is_refused_and_not_preferred(option, tmp_path):
    with pytest.raises(ConfigError) as refused:
        parse([option, str(tmp_path), "train.seed=3", f"{option}=b"])
    assert refused.value.message == f"{option} takes one value, but is given {tmp_path} and b; leave out one of them."
    assert getattr(parse([option, str(tmp_path)]), option[2:].replace("-", "_")) == tmp_path


def test_a_run_of_a_version_that_ignored_these_settings_goes_on(home, trained):
    """`data.dev` without `data.train` is refused on the command line, but was not always."""
    config = home / "runs/golden/config.yaml"
    config.write_text(config.read_text().replace("  train:\n  - train.tsv\n", "  train: []\n"))
    resume(home / "runs/golden", [], [])
    assert trained[0][0].data == DataConfig(src="en", tgt="de", dev=["dev.tsv"], subset=Subset.first)


OLD = "run.name=old model=tiny data.dev=[dev.tsv] data.test=[dev.tsv] tokenizer.vocab_size=300 train.minutes=null"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["data.inputs=[de:text,en:text]", "data.target=en", "data.tgt=en"], "`data.target` must name no column of"),
        (["data.columns=[de,de]"], "`data.columns` must name the two columns of"),
    ],
)
def test_a_run_that_would_not_be_begun_today_goes_on_and_is_scored(tmp_path, monkeypatch, capsys, settings, says):
    monkeypatch.chdir(tmp_path)
    for name, count in (("train", 60), ("dev", 5)):
        rows = "".join(f"{pair.src}\t{pair.tgt}\n" for pair in number_pairs(count, count))
        Path(f"{name}.tsv").write_text(f"de\ten\n{rows}")
    command = ["train", "data.train=[train.tsv]", *OLD.split(), *settings]
    for more in ([], ["--dry-run"]):
        assert main([*command, "train.steps=1", *more]) == 2
        assert says in capsys.readouterr().err
    with monkeypatch.context() as older:
        older.setattr("mt.train.run_folder.check_start", lambda config: None)
        assert main([*command, "train.steps=1"]) == 0
    for again in ([*command, "train.steps=2"], ["train", "--resume", "runs/old", "train.steps=3"]):
        capsys.readouterr()
        assert main(again) == 0
        assert "going on from step" in capsys.readouterr().err
    assert main([*command, "train.steps=1", "--dry-run"]) == 0
    assert main(["evaluate", "runs/old", "--bootstrap", "0"]) == 0
    assert "BLEU" in capsys.readouterr().out
