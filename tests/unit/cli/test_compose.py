"""Settings from presets, files and overrides; and every sentence that refuses some."""

import dataclasses
import json
import os
import re
import threading
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mt.cli.compose import check_overrides, compose, to_config
from mt.cli.folders import CONFIG_DIR, groups
from mt.cli.hydra_job import Jobs, call_hydra, fixed_keys, launch
from mt.cli.run_name import run_name
from mt.cli.schema import settings
from mt.cli.train import parse as train_options
from mt.cli.train_help import ABOUT, SETTINGS, usage
from mt.config import Config, DataConfig, NormPlacement, RunConfig
from mt.errors import ConfigError, DataError

OWN_FILES = "data.train=[my.en,my.de]"


def refusal(*overrides: str, **given: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(list(overrides), **given)
    return str(caught.value)


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "my.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


# ---- presets


@pytest.mark.parametrize("preset", [f"{group}={option}" for group, options in groups().items() for option in options])
def test_every_preset_composes(preset):
    own = [OWN_FILES] if preset == "data=files" else []
    assert isinstance(compose([preset, *own]), Config)


@pytest.mark.parametrize("debug", groups()["debug"])
@pytest.mark.parametrize("experiment", groups()["experiment"])
def test_every_experiment_can_be_debugged(experiment, debug):
    compose([f"experiment={experiment}", f"debug={debug}"])


def test_defaults_are_the_dataclasses_unless_a_preset_says_otherwise():
    config, plain = compose([]), Config()
    for section in ("clean", "batch", "loss", "train", "decode"):
        assert getattr(config, section) == getattr(plain, section)
    assert config.model.norm is NormPlacement.pre


@pytest.mark.parametrize("file", sorted(CONFIG_DIR.rglob("*.yaml")), ids=lambda file: file.stem)
def test_presets_say_why_and_instantiate_nothing(file):
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert "_target_" not in text


def test_later_wins_preset_then_experiment_then_file_then_debug_then_override(file):
    mine = file("model: tiny\ntrain: {minutes: 3, validate_every: 7}\noptim: {lr: 1e-3}\n")
    assert compose(["model=base"]).model.dim == 512
    assert compose(["experiment=multi30k_en_de"]).model.dim == 128
    config = compose(["experiment=multi30k_en_de", "debug=fast", "optim.lr=0.5"], config_file=mine)
    assert (config.train.minutes, config.train.validate_every, config.optim.lr) == (1, 50, 0.5)
    assert compose([], config_file=mine).optim.lr == 1e-3


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_plus_means_no_more_than_equals(sign):
    assert compose([f"{sign}optim.lr=1", f"{sign}model=base"]).optim.lr == 1


def test_a_whole_section_can_be_set_at_once():
    assert compose(["batch={tokens: 300, pool: 5}"]).batch.pool == 5


def test_interpolations_are_filled_in():
    assert compose(["train.seed=7", "train.keep=${train.seed}"]).train.keep == 7


# ---- refusals


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("optim.warmup=3", "`optim.warmup` is not a setting. hint: did you mean `schedule.warmup_steps`?"),
        ("warmup=3", "`warmup` is not a setting. hint: did you mean `schedule.warmup_steps`?"),
        ("+max_step=3", "`max_step` is not a setting. hint: did you mean `train.steps` or `schedule.warmup_steps`?"),
        ("++lr=3", "`lr` is not a setting. hint: did you mean `optim.lr`?"),
        ("modle=base", "`modle` is not a setting. hint: did you mean `model`?"),
        ("batch={tokns: 300}", "`batch.tokns` is not a setting. hint: did you mean `batch.tokens`?"),
        (
            "optim._target_=os.system",
            "`optim._target_` is not a setting. hint: `mt train --cfg job` lists all settings.",
        ),
        ("+_target_=os.system", "`_target_` is not a setting. hint: `mt train --cfg job` lists all settings."),
        ("config_file=x", "`config_file` is not a setting. hint: `mt train --cfg job` lists all settings."),
        (
            "~optim.lr",
            "`~optim.lr` cannot be used, because a setting always has a value. hint: set another value, or null.",
        ),
        ("batch=4", "`batch` is a section of settings. hint: set one of its keys, as in `batch.tokens=...`."),
        ("model.norm=prr", "`model.norm` must be one of pre, post, but is prr. hint: did you mean `pre`?"),
        (
            "train.precision=fp8",
            "`train.precision` must be one of auto, fp32, bf16, fp16, but is fp8.",
        ),
        ("train.precision=int8", "`train.precision` must be one of auto, fp32, bf16, fp16, but is int8."),
        ("model.norm=7", "`model.norm` must be one of pre, post, but is 7."),
        ("batch.tokens=many", "`batch.tokens` must be a whole number or auto, but is many."),
        ("batch.tokens=true", "`batch.tokens` must be a whole number or auto, but is true."),
        ("model.dim=", "`model.dim` must be a whole number, but is empty."),
        *(
            (wrong, f"`{key}` has an empty value (is a variable not set?). hint: give it one, or leave `{key}` out.")
            for wrong, key in (
                ("run.name=", "run.name"),
                ("run.root=''", "run.root"),
                ("run={name: ''}", "run.name"),
                ("data.src=", "data.src"),
                ("train.epochs=", "train.epochs"),
                ("batch.tokens=", "batch.tokens"),
            )
        ),
        ("optim.lr=null", "`optim.lr` must be a number, but is null."),
        ("train.steps=soon", "`train.steps` must be a whole number or null, but is soon."),
        ("model.bias=perhaps", "`model.bias` must be true or false, but is perhaps."),
        ("run.root=[a]", "`run.root` must be text, but is ['a']."),
        (f"optim.lr=1{'0' * 400}", f"`optim.lr` must be a number of at most 64 bits, but is 1{'0' * 78}…."),
        (f"train.steps=1{'0' * 5000}", "00` cannot be read as `key=value`. hint: quote a value with special char"),
        (f"train.steps={2**63}", f"`train.steps` must be a number of at most 64 bits, but is {2**63}."),
        ("data.train=my.tsv", "`data.train` must be a list, as in [first,second], but is my.tsv."),
        (
            "experiment=multi30k",
            "`experiment` has no preset `multi30k`. hint: did you mean `multi30k_image`? The presets are",
        ),
        ("model=bse", "`model` has no preset `bse`. hint: did you mean `base`? The presets are `base`, `big`,"),
        ("optim=null", "`optim` has no preset `null`. hint: the presets are `adamw`, `muon`."),
        ("optim.lr", "`optim.lr` is not a setting. hint: write `key=value`, as in `optim.lr=1e-3`."),
        (
            "b.tmx",
            "`b.tmx` is neither a setting nor a file that exists. hint: correct its name, or write `key=",
        ),
        ("no/such", "`no/such` is neither a setting nor a file that exists. hint: correct its name, or write `key"),
        ("/" * 2 + "x" * 300 + "/y", "xx/y` is neither a setting nor a file that exists. hint: correct its name"),
        ("my.yaml", "`my.yaml` is not a setting: it looks like a settings file. hint: write `--config my.yaml`."),
        (
            "data.train=[a",
            "`data.train=[a` cannot be read as `key=value`. hint: quote a value with special characters",
        ),
        ("optim.lr=1,2", "`optim.lr` has several values, 1,2. hint: add `--multirun` to train with each."),
        ("model=tiny,base", "`model` has several values, tiny,base. hint: add `--multirun` to train with each."),
        (
            "data.train=a,b",
            "values, a,b. hint: add `--multirun` to train with each, or write `'data.train=[a,b]'` for a list.",
        ),
        (
            "model=[tiny,small]",
            "`model` takes one preset, but is ['tiny', 'small']. hint: the presets are `base`, `big`,",
        ),
        ("model.d_model=512", "`model.d_model` is not a setting. hint: did you mean `model.dim`"),
        ("~model", "`~model` cannot be used, because a group always has a preset. hint: choose another preset."),
        (
            "optim.lr=range(1,3)",
            "`optim.lr` has several values, range(1,3). hint: add `--multirun` to train with each.",
        ),
        ("optim.lr=${nope}", "`optim.lr` cannot be resolved: Interpolation key 'nope' not found."),
        ("data=files", "`data.train` must name files when `data.corpus` is null, but is []."),
        ("train.minutes=null", "`train.steps` must be given, or `train.epochs`, `train.minutes` or `train.patience`"),
        (
            "hydra.job.chdirr=1",
            "`hydra.job.chdirr` is not a setting of Hydra. hint: `mt train --cfg hydra` shows them.",
        ),
        ("hydra/launcher=nope", "`hydra/launcher` has no preset `nope`. hint: the presets are `basic`"),
        ("model@other=base", "these settings cannot be combined: Could not override 'model@other'."),
    ],
)
def test_an_override_that_cannot_be_used_is_refused_in_a_sentence(override, says):
    assert says in refusal(override)


def test_files_alone_are_no_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.en", "a.de"):
        (tmp_path / name).touch()
    assert (
        refusal("a.en", "a.de")
        == "`a.en` is a file, not a setting. hint: to train on it write `'data.train=[a.en,a.de]'`."
    )


def test_no_recipe_is_an_option(file):
    assert compose(["experiment=null", "debug=null"]) == compose([])
    assert compose(["run.name=x"], config_file=file("experiment: null\nrun: {name: x}\n")) == compose(["run.name=x"])
    chosen = file("experiment: multi30k_en_de\n")
    assert compose(["run.name=x", "experiment=null"], config_file=chosen) == compose(["run.name=x"])
    assert "`model` has no preset `null`" in refusal("model=null")
    with pytest.raises(ConfigError, match="`debug` has no preset `null`"):
        check_overrides(["debug=fast,null"], multirun=True)


def test_a_sweep_is_checked_value_by_value():
    assert check_overrides(["optim.lr=1,2", "model=glob(t*)"], multirun=True) == ["optim.lr=1,2", "model=glob(t*)"]
    for sweep in ("optim.lr=1,many", "model=tiny,bse", "warmup=1,2", "train.seed=choice(1,x)"):
        with pytest.raises(ConfigError):
            check_overrides([sweep], multirun=True)


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"optim": {"lrr": 1}}, "`optim.lrr` is not a setting. hint: did you mean `optim.lr`?"),
        ({"other": {"lr": 1}}, "`other` is not a setting"),
        ({"optim": {"lr": "fast"}}, "`optim.lr` must be a number, but is fast."),
        ({"optim": {"lr": "${optim.eps}"}}, "`optim.lr` cannot be resolved"),
    ],
)
def test_any_tree_is_held_against_the_schema(tree, says):
    with pytest.raises(ConfigError, match=re.escape(says)):
        to_config(OmegaConf.create(tree))


def test_a_tree_may_leave_settings_out():
    assert to_config(OmegaConf.create({"optim": {"lr": 3}})) == dataclasses.replace(
        Config(), optim=dataclasses.replace(Config().optim, lr=3.0)
    )


# ---- text that is named and not there


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["data.train=[]"], r"`data\.train` names no file \(is a variable not set\?\)\. hint: name some, or leave"),
        (["data.train="], r"`data\.train` names no file \(is a variable not set\?\)\. hint: name some, or leave"),
        ([OWN_FILES, "data.dev=[]"], r"`data\.dev` names no file "),
        ([OWN_FILES, "data.test=[]"], r"`data\.test` names no file "),
        (
            ["data.dev=[d.en,d.de]"],
            r"`data\.dev` names d\.en, but `data\.train` names no file, and the corpus tatoeba_",
        ),
        (["data.test=[t.tsv]"], r"`data\.test` names t\.tsv, but `data\.train` names no file"),
        (["data.columns=[en,es]"], r"`data\.columns` chooses the columns en and es, but `data\.train` names no file"),
        (
            ["data.src=de", "data.tgt=en"],
            "`data.src` and `data.tgt` ask for de to en, but the corpus tatoeba_en_es is en",
        ),
        (["data.tgt=de"], "ask for en to de, but the corpus tatoeba_en_es is en to es. hint: name your own text with"),
    ],
)
def test_nothing_else_is_trained_on_than_what_was_named(overrides, says):
    assert re.match(says, refusal(*overrides)) or says in refusal(*overrides)


def test_a_named_corpus_may_stand_instead_of_files(file):
    assert compose(["data.train=[]", "data=multi30k_hub"]).data.corpus == "multi30k_hub"
    assert compose(["data.src=en", "data.tgt=es"]).data.corpus == "tatoeba_en_es"
    mine = file("data: {train: [a.en, a.de], dev: [b.en, b.de]}\n")
    assert compose(["data.dev=[]"], config_file=mine).data.dev == []  # takes back what the file names
    assert "`data.train` names no file" in refusal("data.train=[]", config_file=mine)


def test_a_file_that_names_no_text_or_nothing_is_refused(file):
    path = file("data:\n  train: []\n")
    assert refusal(config_file=path) == f"{path}, line 2: `data.train` names no file. hint: name some, or leave it out."
    path = file(" \n")
    said = refusal(config_file=path)
    assert said.startswith(f"`{path}` is empty. hint: `--config` takes a YAML file of settings; `mt train --cfg job`")


def test_a_pipe_of_settings_is_read_once_and_the_run_is_named_after_what_it_held(tmp_path, monkeypatch):
    """As `--config <(...)` of a shell: what is read twice is empty the second time."""
    configs, pipe = [], tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("model: tiny\ndata: {train: [a.en, a.de]}\n"))
    writer.start()
    monkeypatch.setattr("mt.cli.hydra_job.train", lambda config, command: configs.append(config))
    launch(train_options(["--config", str(pipe), "optim.lr=1e-3"]), ["mt"])  # reading twice would wait for ever
    writer.join()
    (config,) = configs
    assert (config.model.dim, config.data.train) == (compose(["model=tiny"]).model.dim, ["a.en", "a.de"])
    assert re.fullmatch("settings-[0-9a-f]{8}", str(config.run.name))


# ---- a file of one's own


def test_a_file_chooses_presets_and_sets_values_and_the_command_line_wins(file):
    mine = file("model: base\nbatch:\noptim:\n  lr: 1e-3\ndata: {train: [a.en, a.de]}\n")
    config = compose(["model=big"], config_file=mine)
    assert (config.model.dim, config.optim.lr, config.data.train) == (1024, 1e-3, ["a.en", "a.de"])


def test_the_settings_of_a_run_are_such_a_file(file):
    config = compose(["model=modern", "train.steps=7", "data.train=[a.tsv]"])
    saved = file(OmegaConf.to_yaml(OmegaConf.create(config.to_dict())), "config.yaml")
    assert compose([], config_file=saved) == config


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model:\n  dim: 64\n\noptim:\n  warmup: 3\n", ", line 5: `optim.warmup` is not a setting. hint: did you mean"),
        ("\nmodl: base\n", ", line 2: `modl` is not a setting. hint: did you mean `model`?"),
        (
            "model:\n  norm: prr\n",
            ", line 2: `model.norm` must be one of pre, post, but is prr. hint: did you mean `pre`?",
        ),
        (
            "model: [tiny, small]\n",
            ", line 1: `model` takes one preset, but is ['tiny', 'small']. hint: the presets are `base`,",
        ),
        ("model: bse\n", ", line 1: `model` has no preset `bse`. hint: did you mean `base`? The presets are"),
        ("optim:\n  _target_: os.system\n", ", line 2: `optim._target_` is not a setting"),
        ("hydra:\n  x: 1\n", ", line 1: `hydra` is not allowed here. hint: give Hydra's settings on the command line"),
        (
            "defaults:\n  - model: base\n",
            ", line 1: `defaults` is not allowed here. hint: write `model: base` to choose a",
        ),
        (
            "optim.lr: 3\n",
            ", line 1: `optim.lr` is not allowed here. hint: write `optim:` and, indented below it, `lr: ...`.",
        ),
        ("model: [1\noptim:\n  x: 3\n", ", line 2: this is not YAML: expected ',' or ']', but got ':'."),
        ("a: 1\na: 2\n", ", line 2: this is not YAML: found duplicate key a."),
        ("a: !!python/name:os.system\n", ", line 1: this is not YAML: could not determine a constructor for the tag"),
        ("- a\n", " must contain sections of settings, such as `model:` with `dim: 512` below it."),
        ("only text\n", " must contain sections of settings, such as `model:` with `dim: 512` below it."),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(file, text, says):
    path = file(text)
    assert f"{path}{says}" in refusal(config_file=path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path, file):
    assert "nope.yaml` does not exist" in refusal(config_file=tmp_path / "nope.yaml")
    assert "cannot be read: Is a directory." in refusal(config_file=tmp_path)
    path = file("")
    path.write_bytes(b"\xff")
    assert "is not UTF-8 text" in refusal(config_file=path)


# ---- a folder of one's own


def test_a_folder_adds_presets_and_groups(file, tmp_path):
    file("dim: 64\nheads: 2\n", "model/own.yaml")
    file("# @package _global_\noptim: {lr: 0.5}\n", "speed/high.yaml")
    config = compose(["model=own", "speed=high"], config_dir=tmp_path)
    assert (config.model.dim, config.optim.lr) == (64, 0.5)
    assert "`model` has no preset `owm`. hint: did you mean `own`?" in refusal("model=owm", config_dir=tmp_path)
    (odd := tmp_path / "it's, (my) ${own}").mkdir()
    (tmp_path / "model").rename(odd / "model")
    assert compose(["model=own"], config_dir=odd).model.dim == 64


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dimm: 64\n", "model/own.yaml: `model.dimm` is not a setting. hint: did you mean `model.dim`?"),
        ("dim: many\n", "model/own.yaml: `model.dim` must be a whole number, but is many."),
        ("dim: [1\n  x: 3\n", "own.yaml, line 2: this is not YAML"),
    ],
)
def test_a_faulty_preset_of_a_folder_is_named(file, tmp_path, text, says):
    file(text, "model/own.yaml")
    assert says in refusal("model=own", config_dir=tmp_path)


# ---- names of runs


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "tatoeba_en_es-small"),
        (["model=base"], "tatoeba_en_es-base"),
        (["data.train=[texts/news.en,texts/news.de]"], "news-small"),
        (["data.train=[news/train.en,news/train.de]"], "news-small"),
        (["data.train=[train.en,train.de]"], "en-de-small"),
        (["data.train=[train.tsv]", "data.src=en", "data.tgt=de"], "en-de-small"),
        (["data.train=[train.tsv]"], "train-small"),
        (["data.train=[a.en,a.de,b.tsv]", "data.src=en", "data.tgt=de"], "a+b-small"),
        (["data.corpus=opus100_en_es"], "opus100_en_es-small"),
        (["data=multi30k_hub"], "multi30k_hub-small"),
        (["data.train=['hub:Helsinki-NLP/opus-100/de-en@train']"], "opus-100-small"),
        (["experiment=multi30k_en_de"], "multi30k_en_de"),
        (["debug=fast"], "tatoeba_en_es-tiny-fast"),
        (["run.name=mine", "debug=fast"], "mine"),
    ],
)
def test_a_run_is_named_after_what_was_chosen(overrides, name):
    assert compose(overrides).run.name == name


def test_a_run_is_named_after_its_file(file):
    assert compose([], config_file=file("model: base\n", "my news (2).yaml")).run.name.startswith("my_news_2_")


def test_jobs_of_a_sweep_have_short_names_of_their_own():
    config, choices = Config(), {"data": "tatoeba_en_es", "model": "tiny"}
    jobs = [["model=tiny", f"optim.lr={lr}", f"data.train=[{name}]"] for lr in (1, 2) for name in ("a/b", "a_b")]
    names = {run_name(config, choices, job) for job in jobs}
    assert len(names) == 4
    assert all(re.fullmatch(r"tatoeba_en_es-tiny-train=_a_b_-\w{8}-lr=[12]", name) for name in names)
    config.run.name = "mine"
    assert run_name(config, choices, ["run.name=mine", "model=tiny"]) == "mine-model=tiny"
    assert len(run_name(config, choices, ["tokenizer.normalization=" + "x" * 500])) < 150


def test_the_name_of_a_job_has_what_differs_and_no_more():
    config, choices = Config(), {"data": "tatoeba_en_es", "model": "tiny"}
    job = ["model=tiny", "+optim.lr=0.1", "train.steps=5", "model.dropout=0.3"]
    assert run_name(config, choices, job, {"train.steps", "model.dropout"}) == "tatoeba_en_es-tiny-lr=0.1"
    both = ["model.max_length=300", "batch.max_length=256"]
    assert run_name(config, choices, both) == "tatoeba_en_es-tiny-batch.max_length=256-model.max_length=300"
    assert fixed_keys(["optim.lr=1,2", "model=glob(*)", "train.steps=5"]) == {"train.steps"}


def test_one_job_is_composed_once_and_as_hydra_would(monkeypatch):
    def by(*options: str) -> tuple[Config, int]:
        jobs, calls = [], []
        monkeypatch.setattr("mt.cli.hydra_job.train", lambda config, command: jobs.append(config) or 0.0)
        monkeypatch.setattr("mt.cli.hydra_job.call_hydra", lambda *given: calls.append(given) or call_hydra(*given))
        launch(train_options(["model=tiny", "train.seed=7", "data.train=[a.en,a.de]", *options]), ["mt", "train"])
        (config,) = jobs
        return config, len(calls)

    plain, calls = by()
    assert calls == 0 and by("--run") == (plain, 0)
    assert plain.train.seed == 7 and str(plain.run.name).endswith("-tiny")
    assert by("hydra.job.name=mine") == (plain, 1)


def test_a_sweep_may_also_be_asked_for_by_a_setting_of_hydra(tmp_path, monkeypatch):
    seeds = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mt.cli.hydra_job.train", lambda config, command: seeds.append(config.train.seed) or 0.0)
    launch(train_options(["hydra.mode=MULTIRUN", "train.seed=1,2"]), ["mt", "train"])
    assert seeds == [1, 2]


def test_a_sweep_says_which_jobs_failed_and_why(tmp_path, monkeypatch, capsys):
    def train(config: Config, command: list[str]) -> float:
        folder = Path(config.run.root) / str(config.run.name)
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("{}")
        if config.train.seed > 1:
            (folder / "train.log").touch()
            raise {2: DataError("no text."), 3: ZeroDivisionError("by nought"), 4: MemoryError()}[config.train.seed]
        return 1.0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mt.build.train", train)
    args = train_options(["-m", "train.seed=1,2,3,4", "run.name=a"])
    with pytest.raises(DataError, match=r"^3 of 4 jobs of the sweep failed\.$"):  # with the exit code of the first
        launch(args, ["mt", "train"])
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines() if line.startswith("runs/")]
    assert [(row[0], "failed" in row) for row in rows] == [
        ("runs/a-seed=1", False), *((f"runs/a-seed={seed}", True) for seed in (2, 3, 4))
    ]  # fmt: skip
    assert "mt train: runs/a-seed=2 failed: no text. (see runs/a-seed=2/train.log)\n" in err
    assert "runs/a-seed=3 failed: internal error: ZeroDivisionError: by nought (see runs/a-seed=3/train.log)\n" in err
    assert "runs/a-seed=4 failed: the memory is too small for this (MemoryError: ) (see runs/a-seed=4/train.log)" in err
    assert err.endswith("\n\nhint: take a smaller model or smaller batches, or end other programs.\n")


def test_runs_of_a_launcher_are_found_by_their_command(tmp_path, capsys):
    for name, command in (("a", ["mt", "train", "-m"]), ("b", ["mt", "train"]), ("c", ["mt", "train", "-m"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("{}")
        attempts = [{"command": ["mt", "other"]}, {"command": command}]
        (tmp_path / name / "manifest.json").write_text(json.dumps({"attempts": attempts}))
    (tmp_path / "c/failed.json").write_text('{"error": "no text."}')
    assert Jobs(["mt", "train", "-m"], roots={tmp_path}).report() == 1
    out, err = capsys.readouterr()
    _, *rows = out.strip().split("\n")
    assert sorted((row.split()[0], "failed" in row) for row in rows) == [
        (str(tmp_path / "a"), False), (str(tmp_path / "c"), True)
    ]  # fmt: skip
    assert err == f"mt train: {tmp_path}/c failed: no text.\n"
    for none in (Jobs(["mt", "train"]), Jobs(["mt"], roots={tmp_path})):
        assert none.report() == 0
        assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("old", "job", "new"),
    [
        ("train-tiny", [], "news-tiny"),
        ("train-tiny-optim.lr=2,train.steps=5", ["optim.lr=2", "train.steps=5"], "news-tiny-lr=2"),
    ],
)
def test_a_run_keeps_the_name_that_an_older_version_gave_it(tmp_path, old, job, new):
    files = ["news/train.en", "news/train.de"]
    config = Config(run=RunConfig(root=str(tmp_path)), data=DataConfig(train=files))
    choices = {"data": "files", "model": "tiny"}
    assert run_name(config, choices, job, {"train.steps"}) == new
    (tmp_path / old / "checkpoints/step-00000001").mkdir(parents=True)
    saved = tmp_path / old / "config.yaml"
    saved.write_text("data: {train: [news/train.en, news/train.de]}\n")
    assert run_name(config, choices, job, {"train.steps"}) == old
    for other in ("data: {train: [books/train.en, books/train.de]}\n", "data: 3\n", "{"):
        saved.write_text(other)
        assert run_name(config, choices, job, {"train.steps"}) == new


def test_no_name_of_a_run_looks_like_an_option():
    with pytest.raises(ConfigError, match=r"^`run\.name` must not begin with a dash, but is -o\.$"):
        compose(["run.name=-o"])
    assert re.fullmatch(r"_o-[0-9a-f]{8}-small", compose(["data.train=[-o.en,-o.de]"]).run.name)


# ---- help


def test_help_names_settings_and_presets_that_exist():
    assert set(SETTINGS) <= {*settings(), "init"}
    assert set(ABOUT) == set(groups())
    assert "small*" in usage()


def test_a_misspelt_file_is_told_from_a_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "memory.tmx").touch()
    with pytest.raises(ConfigError) as refused:
        compose(["memroy.tmx"])
    assert refused.value.hint == "did you mean `memory.tmx`?"
    near = refused.value.hint.split("`")[1]
    with pytest.raises(ConfigError, match=r"`memory\.tmx` is a file, not a setting"):
        compose([near])
