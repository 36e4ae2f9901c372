"""A run's folder: settings that may change and those that may not, and what is written down."""

import json
import shlex
import signal
from pathlib import Path

import pytest
import yaml

from mt.checkpoint import write_folder
from mt.compute.distributed import Group
from mt.config import Config, DataConfig, OptimConfig, Subset, TrainConfig
from mt.errors import CheckpointError, ConfigError, DataError, StoppedError
from mt.files import write_text
from mt.train.overview import overview
from mt.train.run_folder import RunFolder, check_drift, folder_of_run
from mt.train.saved_config import flatten, read_config
from mt.train.state import TrainState
from mt.train.validate import Validation

FACTS = {
    "name": "x",
    "data": {"fingerprint": "abc", "dev_fingerprint": "de", "test_fingerprint": "te"},
    "tokenizer": {"sha256": "def"},
}

DEFAULTS = Config().to_dict()


def settings(**data):
    return Config(data=DataConfig(corpus=None, train=["a.en", "a.de"], **data), train=TrainConfig(steps=5)).to_dict()


@pytest.fixture
def begun(tmp_path):
    """A run with a checkpoint."""
    folder = RunFolder(tmp_path / "run")
    folder.begin(settings(), DEFAULTS)
    (folder.checkpoints / "step-00000001").mkdir(parents=True)
    return folder


def test_settings_are_written_down_as_plain_values(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.begin(settings(src="no"), DEFAULTS)
    assert read_config(folder.config) == settings(src="no")
    assert yaml.safe_load(folder.config.read_text())["model"]["norm"] == "pre"
    assert [path.name for path in folder.path.iterdir()] == ["config.yaml"]


def test_a_run_of_an_older_version_goes_on_as_it_began(begun):
    old = settings()
    del old["data"]["subset"], old["decode"]["patience"]
    write_text(begun.config, yaml.safe_dump(old))
    config = begun.as_begun(Config(data=DataConfig(corpus=None, train=["a.en", "a.de"]), train=TrainConfig(steps=5)))
    assert config.data.subset is Subset.first and config.decode.patience is None
    begun.begin(config.to_dict(), begun.as_begun(Config()).to_dict())
    assert RunFolder(begun.path / "new").as_begun(Config()) == Config()
    assert begun.as_begun(config) == config  # now that the settings name it


def test_a_run_keeps_values_that_were_defaults_once(begun):
    old = settings()
    del old["optim"]["embedding_lr_ratio"]
    old["schedule"]["warmup_steps"], old["optim"]["momentum"] = 300, 0.95
    write_text(begun.config, yaml.safe_dump(old))
    config = begun.as_begun(Config())
    assert (config.schedule.warmup_steps, config.optim.momentum) == (300, 0.95)
    assert config.optim.embedding_lr_ratio == 1.0  # the run is older than the setting
    assert begun.as_begun(Config(optim=OptimConfig(momentum=0.5))).optim.momentum == 0.5  # given now: refused later


def test_the_same_settings_are_fine_and_limits_and_places_may_move(begun):
    begun.begin(settings(), DEFAULTS)
    moved = settings(root="elsewhere", workers=3)
    moved["train"] |= {"steps": 50, "patience": 3, "device": "cuda", "threads": 1}
    moved["run"]["root"] = "/other"
    begun.begin(moved, DEFAULTS)
    assert read_config(begun.config) == moved


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("optim", "lr", 1.0), ("model", "dim", 8), ("data", "src", "xx"), ("clean", "max_chars", 5),
        ("tokenizer", "sampling", 0.5), ("batch", "accumulate", 7), ("loss", "label_smoothing", 0.0),
        ("train", "seed", 9), ("train", "ema", 0.5), ("train", "precision", "bf16"), ("train", "watch", "loss"),
        ("schedule", "name", "cosine"),
    ],
)  # fmt: skip
def test_settings_that_must_not_change_are_checked(begun, section, key, value):
    changed, old = settings(), read_config(begun.config)
    before = "null" if changed[section][key] is None else changed[section][key]
    changed[section][key] = value
    with pytest.raises(ConfigError) as refused:
        begun.begin(changed, DEFAULTS)
    assert str(refused.value) == (
        f"`{section}.{key}` was {before} when `{begun.path}` was started, but is {value} now. hint: begin another run "
        f"with `run.name=...`, or go on with this one by `mt train --resume {begun.path}`."
    )
    assert read_config(begun.config) == old


def test_before_the_first_checkpoint_everything_may_change(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.begin(settings(), DEFAULTS)
    changed = settings()
    changed["optim"]["lr"] = 1.0
    folder.begin(changed, DEFAULTS)
    assert read_config(folder.config) == changed


def test_a_setting_that_an_older_version_did_not_have_is_no_change(tmp_path):
    old = settings()
    del old["optim"]["eps"]
    check_drift(old, settings(), DEFAULTS, tmp_path)


def test_a_setting_that_an_older_version_did_not_have_was_its_default(tmp_path):
    old, new = settings(), settings()
    del old["optim"]["eps"], old["train"]["average"]
    new["optim"]["eps"] = 1.0
    with pytest.raises(ConfigError, match=rf"^`optim.eps` was {settings()['optim']['eps']} when .* but is 1.0 now"):
        check_drift(old, new, DEFAULTS, tmp_path)
    new["optim"]["eps"] = settings()["optim"]["eps"]
    new["train"]["average"] = 2  # may change
    check_drift(old, new, DEFAULTS, tmp_path)


def test_a_run_that_is_refused_leaves_no_new_folder_behind(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "a" / "b")
    with pytest.raises(DataError, match="torn"), folder_of_run(folder, settings(), DEFAULTS, Group()):
        assert sorted(path.name for path in folder.path.iterdir()) == [".lock", "config.yaml", "train.log"]
        (tmp_path / "runs" / "other").mkdir()
        raise DataError("torn")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["other"]
    (tmp_path / "runs" / "other").rmdir()
    with pytest.raises(DataError), folder_of_run(folder, settings(), DEFAULTS, Group()):
        raise DataError("torn")
    assert list(tmp_path.iterdir()) == [tmp_path / "runs"]  # which was there before


@pytest.mark.parametrize("inside", ["manifest.json", "checkpoints/step-00000001/model", "mine.txt"])
def test_a_run_that_began_or_a_folder_with_more_in_it_stays(tmp_path, inside):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(DataError), folder_of_run(folder, settings(), DEFAULTS, Group()):
        (folder.path / inside).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / inside).touch()
        raise DataError("torn")
    assert (folder.path / inside).exists()
    assert folder.config.exists() == (inside != "mine.txt")


def test_an_old_folder_and_files_of_an_internal_error_stay(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ZeroDivisionError), folder_of_run(folder, settings(), DEFAULTS, Group()):
        raise ZeroDivisionError
    left = sorted(folder.path.iterdir())
    assert [path.name for path in left] == [".lock", "config.yaml", "failed.json", "train.log"]
    with pytest.raises(DataError), folder_of_run(folder, settings(), DEFAULTS, Group()):
        raise DataError("torn")
    assert sorted(folder.path.iterdir()) == left


def test_the_error_that_ended_a_start_is_kept_until_the_next_one(tmp_path):
    folder = RunFolder(tmp_path / "run")
    known = {
        ZeroDivisionError("by nought"): "internal error: ZeroDivisionError: by nought hint: set MT_DEBUG=1 for",
        MemoryError(): "the memory is too small for this (MemoryError: ) hint: take a smaller model or smaller batches",
        PermissionError(13, "Permission denied", "x"): "`x`: Permission denied",
    }
    for error, said in known.items():
        with pytest.raises(type(error)), folder_of_run(folder, settings(), DEFAULTS, Group()):
            raise error
        found = overview(folder.path)
        assert found.state == "failed" and str(found.error).startswith(said)
    with pytest.raises(StoppedError), folder_of_run(folder, settings(), DEFAULTS, Group()):
        raise StoppedError("by a signal.")
    assert (overview(folder.path).state, overview(folder.path).error) == ("empty", None)


def test_flattened_keys():
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": {}}) == {"a.b": 1, "a.c.d": [2]}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (b"- a\n- b\n", "` must be a table of settings, but is not: it is damaged."),
        (b"", "` must be a table of settings, but is not: it is damaged."),
        (
            b"x: 1\na: [1\n",
            "`, line 3: this is not YAML, so the file is damaged: expected ',' or ']', but got '<stream ",
        ),
        (b"a: 'b\n", "`, line 2: this is not YAML, so the file is damaged: found unexpected end of stream."),
        (b"a: \x01\n", "` is not YAML: it is damaged."),
        (b"a: 2024-99-99\n", "` is not YAML: it is damaged."),
        (b"a: " + b"[" * 5000, "` is not YAML: it is damaged."),
        (b"\xff", "` must be UTF-8 text, but is not: it is damaged."),
        (None, "` cannot be read: No such file or directory."),
    ],
)
def test_settings_that_cannot_be_read_are_refused_in_one_sentence(tmp_path, damage, says):
    if damage is not None:
        (tmp_path / "config.yaml").write_bytes(damage)
    with pytest.raises(CheckpointError) as refused:
        read_config(tmp_path / "config.yaml")
    said = str(refused.value)
    assert said.startswith(f"`{tmp_path}/config.yaml{says}") and "\n" not in said


def test_every_start_adds_an_attempt_to_the_manifest(begun):
    for command in (["mt", "train"], ["mt", "train", "train.steps=9"]):
        begun.write_manifest(FACTS, command)
    manifest = json.loads(begun.manifest.read_text())
    assert [attempt["command"] for attempt in manifest["attempts"]] == [
        ["mt", "train"],
        ["mt", "train", "train.steps=9"],
    ]
    assert manifest["data"] == FACTS["data"]
    assert all(attempt["packages"]["torch"] and attempt["python"] and attempt["at"] for attempt in manifest["attempts"])


def test_a_damaged_manifest_is_named(begun):
    begun.manifest.write_text("{")
    with pytest.raises(CheckpointError, match=r"manifest.json` is not valid JSON"):
        begun.write_manifest(FACTS, [])


def test_an_incomplete_manifest_is_refused_or_replaced(begun):
    begun.manifest.write_text('{"data": "abc", "attempts": "many"}')
    with pytest.raises(CheckpointError) as refused:
        begun.check_text(FACTS)
    assert str(refused.value) == (f"`{begun.manifest}` must have `data.fingerprint`, but does not: it is damaged.")
    begun.write_manifest(FACTS, ["mt"])
    assert [attempt["command"] for attempt in json.loads(begun.manifest.read_text())["attempts"]] == [["mt"]]


def test_other_training_text_is_refused(begun):
    begun.check_text(FACTS)  # nothing is known yet
    begun.write_manifest(FACTS, [])
    begun.check_text(FACTS)
    for what, part in (
        ("training text", {"data": {**FACTS["data"], "fingerprint": "x"}}),
        ("dev set", {"data": {**FACTS["data"], "dev_fingerprint": "x"}}),
        ("test set", {"data": {**FACTS["data"], "test_fingerprint": "x"}}),
        ("training vocabulary", {"tokenizer": {"sha256": "x"}}),
    ):
        with pytest.raises(
            DataError, match=rf"^the {what} is not the one that .*run` was started with\. hint: restore it"
        ):
            begun.check_text({**FACTS, **part})


def test_tables_are_the_same_text_in_another_folder(begun):
    """Names of files in their cells begin with the folder, and count in `fingerprint`, but not in `as_written`."""
    keys = [key for key in FACTS["data"] if key.endswith("fingerprint")]
    facts = {**FACTS, "data": {**FACTS["data"], "as_written": {key: f"own {key}" for key in keys}}}
    begun.write_manifest(facts, [])
    for key in keys:
        moved = {**facts["data"], key: "x"}
        begun.check_text({**facts, "data": moved})
        changed = {**moved, "as_written": {**facts["data"]["as_written"], key: "y"}}
        with pytest.raises(DataError, match=r"is not the one that .* was started with"):
            begun.check_text({**facts, "data": changed})


def test_text_of_an_older_cache_is_not_known_by_where_it_is(begun):
    """Its facts have no hash of what the tables say: two that are not known are not the same."""
    facts = {**FACTS, "data": {**FACTS["data"], "as_written": {"fingerprint": ""}}}
    begun.write_manifest(facts, [])
    with pytest.raises(DataError, match=r"is not the one that .* was started with"):
        begun.check_text({**facts, "data": {**facts["data"], "fingerprint": "x"}})


@pytest.mark.parametrize("key", ["dev", "test"])
def test_a_set_that_an_older_version_knew_by_name_only_must_stay_where_it_was(begun, key):
    begun.write_manifest({**FACTS, "data": {"fingerprint": "abc"}}, [])
    begun.check_text(FACTS)
    moved = settings()
    moved["data"][key] = ["elsewhere/b.en", "elsewhere/b.de"]
    with pytest.raises(ConfigError, match=rf"^`data\.{key}` was .* when .* was started, but is \['elsewhere/b.en', "):
        begun.begin(moved, DEFAULTS)
    begun.manifest.unlink()
    begun.write_manifest(FACTS, [])
    begun.begin(moved, DEFAULTS)


def test_a_run_goes_on_with_text_that_has_moved(begun, caplog):
    caplog.set_level("INFO")
    moved = settings()
    before, moved["data"]["train"] = moved["data"]["train"], ["elsewhere/b.en.gz", "elsewhere/b.de.gz"]
    begun.begin(moved, DEFAULTS)
    begun.settle()
    said = f"going on with changed settings: `data.train` was {before}, is {moved['data']['train']}"
    assert said in caplog.messages


@pytest.mark.parametrize("what", ["a file", "a link to nothing"])
def test_what_is_in_the_place_of_a_folder_is_named(tmp_path, what):
    runs = tmp_path / "runs"
    if what == "a file":
        runs.touch()
    else:
        runs.symlink_to("nowhere")
    folder = RunFolder(runs / "x")
    with pytest.raises(CheckpointError) as refused, folder_of_run(folder, settings(), DEFAULTS, Group()):
        pass
    assert str(refused.value) == (
        f"`{folder.path}` cannot be a folder, because `{runs}` is {what}. hint: move it away, or set `run.root` or "
        "`run.name`."
    )


@pytest.mark.parametrize("part", ["checkpoints", "eval"])
def test_a_file_in_the_place_of_what_the_end_needs_is_named_at_the_start(tmp_path, part):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    (folder.path / part).touch()
    wanted = (
        f"`{folder.path / part}` cannot be a folder, because `{folder.path / part}` is a file. hint: move it away, "
    )
    with pytest.raises(CheckpointError) as refused, folder_of_run(folder, settings(), DEFAULTS, Group()):
        pass
    assert str(refused.value).startswith(wanted)
    (folder.path / part).unlink()
    with folder_of_run(folder, settings(), DEFAULTS, Group()):
        pass


def test_a_run_without_its_settings_or_its_manifest_goes_on_with_a_warning(begun, caplog):
    begun.config.unlink()
    begun.begin(settings(), DEFAULTS)
    begun.check_text(FACTS)
    assert caplog.messages == [
        f"`{begun.config}` is missing: nothing tells whether these are the settings of the run.",
        f"`{begun.manifest}` is missing: nothing tells whether this is the text of the run.",
    ]
    caplog.clear()
    begun.write_manifest(FACTS, [])
    begun.begin(settings(), DEFAULTS)
    begun.check_text(FACTS)
    assert not caplog.messages


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_outside_the_updates_stops_the_run(tmp_path, number):
    folder, before = RunFolder(tmp_path / "run"), signal.getsignal(number)
    with pytest.raises(StoppedError) as stopped, folder_of_run(folder, settings(), DEFAULTS, Group()):
        signal.raise_signal(number)
    name = signal.Signals(number).name
    assert str(stopped.value) == f"stopped by {name}, with nothing to save. hint: the same command continues it."
    assert not folder.path.exists() and signal.getsignal(number) is before  # it had not begun
    with pytest.raises(KeyboardInterrupt), folder_of_run(folder, settings(), DEFAULTS, Group()):
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)


@pytest.mark.usefixtures("without_nohup")
def test_a_terminal_that_ends_may_say_so_twice_and_is_not_heard_under_nohup(tmp_path):
    folder, before = RunFolder(tmp_path / "run"), signal.getsignal(signal.SIGHUP)
    words = r"^stopped by SIGHUP, with nothing to save\."
    with pytest.raises(StoppedError, match=words), folder_of_run(folder, settings(), DEFAULTS, Group()):
        try:
            signal.raise_signal(signal.SIGHUP)
        finally:
            signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is before
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` starts a command
    try:
        with folder_of_run(folder, settings(), DEFAULTS, Group()):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_links_are_refused(begun):
    facts = {**FACTS, "data": {**FACTS["data"], "links": "123"}}
    begun.write_manifest(facts, [])
    begun.check_text(facts)
    for other in (FACTS, {**FACTS, "data": {**FACTS["data"], "links": "456"}}):
        with pytest.raises(DataError) as refused:
            begun.check_text(other)
        assert str(refused.value) == (
            f"the word links (`alignment.links`) are not those that `{begun.path}` was started with. hint: "
            "restore it, or give the new run its own name: `run.name=...`"
        )


def test_samples_are_three_lines_and_an_empty_one(begun):
    found = Validation(1.0, 2.0, 3.0, ["one", "two\u2028"], ["eins", "zwei"], ["ein", ""])
    begun.write_samples(found, TrainState(step=40))
    text = (begun.samples / "step-00000040.txt").read_bytes().decode()
    assert text == "one\neins\nein\n\ntwo\u2028\nzwei\n\n\n"


def test_samples_that_cannot_be_written_cause_a_warning(begun, caplog):
    begun.samples.write_text("in the way")
    begun.write_samples(Validation(1.0, 2.0, 3.0, ["one"], ["eins"], ["ein"]), TrainState(step=40))
    assert "step-00000040.txt` cannot be written: " in caplog.text


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match=r"folder` cannot be written: Is a directory"):
        write_text(tmp_path / "folder", "text")


def test_a_finished_run_gives_its_scores_and_the_next_commands(tmp_path):
    folder = RunFolder(tmp_path / "it's here")
    state = TrainState(step=1234, finished="the limit of 5 minutes was reached")
    assert (
        folder.report_finished(state)
        .split("\n")[0]
        .endswith("is finished after 1,234 steps: the limit of 5 minutes was reached.")
    )
    score = {"name": "BLEU", "value": 31.25, "signature": "nrefs:1"}
    assert folder.report_finished(state).endswith(" --test SOURCE TARGET")
    write_text(folder.evaluation / "test.json", json.dumps({"scores": [score]}))
    assert folder.report_finished(state).endswith("here'")
    assert "\n  BLEU 31.25  nrefs:1\n" in folder.report_finished(state)


@pytest.mark.parametrize("scores", ["no JSON", {}, {"scores": 5}, {"scores": [{"name": "BLEU", "value": "high"}]}])
def test_a_finished_run_with_damaged_scores_is_finished(tmp_path, scores, caplog):
    folder, state = RunFolder(tmp_path / "it's here"), TrainState(step=3, finished="so")
    report = folder.evaluation / "test.json"
    write_text(report, json.dumps(scores) if isinstance(scores, dict) else scores)
    said = folder.report_finished(state)
    assert said.startswith(f"{folder.path} is finished after 3 steps: so.\nTranslate")
    again = f"`mt evaluate {shlex.quote(str(folder.path))}` writes it again"
    assert caplog.messages == [f"`{report}` must list scores, but does not: it is damaged, and {again}."]


@pytest.mark.parametrize("sentence", ["It's $HOME `now`.", 'say "no"', "-n", "a\\b"])
def test_commands_are_safe_in_a_shell(tmp_path, sentence):
    folder = RunFolder(tmp_path / "it's here; rm x")
    first, second = (shlex.split(line) for line in folder.commands(sentence, tested=True).split("\n"))
    assert first == ["echo", sentence, "|", "mt", "translate", str(folder.path)]
    assert second == ["mt", "evaluate", str(folder.path)]


def test_without_a_test_set_files_must_be_named(tmp_path):
    said = RunFolder(tmp_path).commands("x", tested=False)
    assert said.endswith(f"\n  mt evaluate {tmp_path} --test SOURCE TARGET")


def test_a_model_of_an_earlier_step_does_not_count(begun):
    assert not begun.has_model(40)
    write_folder(begun.model, {"config.json": b"{}"}, meta={"step": 40})
    assert begun.has_model(40)
    assert not begun.has_model(80)  # the run was made longer, and died before it wrote the new one
    (begun.model / "config.json").write_bytes(b"[]")
    assert not begun.has_model(40)


def test_settings_that_may_change_are_noted(begun, caplog):
    caplog.set_level("INFO", "mt")
    begun.begin(settings(), DEFAULTS)
    begun.settle()
    moved = settings()
    moved["train"] |= {"steps": 50, "patience": 3}
    begun.begin(moved, DEFAULTS)
    assert not [text for text in caplog.messages if "changed settings" in text]  # it may be refused or finished
    begun.settle()
    noted = "going on with changed settings: `train.steps` was 5, is 50; `train.patience` was null, is 3"
    assert noted in caplog.messages


def test_a_finished_run_keeps_its_settings_but_for_where_its_text_is(begun, caplog):
    begun.begin(settings(), DEFAULTS)
    begun.keep_settings()
    before, other = read_config(begun.config), settings()
    assert not caplog.messages
    other["train"] |= {"steps": 3}
    other["decode"] = {**other.get("decode", {}), "beam": 7}
    other["data"]["train"] = ["elsewhere/b.en", "elsewhere/b.de"]
    begun.begin(other, DEFAULTS)
    begun.keep_settings()
    before["data"]["train"] = ["elsewhere/b.en", "elsewhere/b.de"]
    assert read_config(begun.config) == before
    (said,) = caplog.messages
    assert said.startswith(f"{begun.path} is finished, so these settings are not used: `train.steps` was 5, is 3")
    assert "data.train" not in said and said.endswith(
        "Begin another run with them (`run.name=...`), or raise the limit that was reached."
    )
    begun.restore()  # nothing is left to put back
    assert read_config(begun.config) == before


def test_values_are_spelt_as_in_a_file_of_settings():
    old, new = {"model": {"bias": None}}, {"model": {"bias": True}}
    with pytest.raises(ConfigError, match=r"^`model\.bias` was null when `runs/k` was started, but is true now"):
        check_drift(old, new, old, Path("runs/k"))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ("ab", "2 settings of `runs/k` must stay as they were at its start: `model.a` was 1, is 2; `model.b` was 1, "),
        ("abcde", "5 settings of .* `model.d` was 1, is 2; `model.e` was 1, is 2\\."),
        ("abcdefg", "7 settings of .* `model.d` was 1, is 2; `model.e` was 1, is 2; and 2 more\\."),
    ],
)
def test_all_settings_that_must_not_change_are_named(changed, told):
    old = {"model": dict.fromkeys("abcdefgh", 1)}
    new = {"model": old["model"] | dict.fromkeys(changed, 2)}
    with pytest.raises(ConfigError, match=rf"^{told}.*hint: begin another run"):
        check_drift(old, new, old, Path("runs/k"))


def test_the_folder_in_a_hint_is_quoted():
    with pytest.raises(ConfigError) as refused:
        check_drift({"model": {"dim": 1}}, {"model": {"dim": 2}}, {"model": {"dim": 1}}, Path("runs/k 2"))
    assert str(refused.value.hint).endswith("or go on with this one by `mt train --resume 'runs/k 2'`.")


def test_a_start_that_is_refused_puts_the_settings_back(begun, monkeypatch):
    def full(*_):
        raise CheckpointError("the disk is full.")

    before, longer = begun.config.read_text(encoding="utf-8"), settings()
    longer["train"]["steps"] = 50
    begun.begin(longer, DEFAULTS)
    assert begun.config.read_text(encoding="utf-8") != before
    with monkeypatch.context() as patched:
        patched.setattr("mt.train.run_folder.write_text", full)
        begun.restore()  # the reason of the refusal is told, not this one
    begun.restore()
    assert begun.config.read_text(encoding="utf-8") == before
    begun.begin(longer, DEFAULTS)
    begun.settle()
    begun.restore()
    assert begun.config.read_text(encoding="utf-8") != before


@pytest.mark.parametrize("model", ["whole", "damaged"])
def test_a_model_without_checkpoints_is_not_replaced_by_a_new_training(tmp_path, model):
    folder = RunFolder(tmp_path / "k 2")
    folder.begin(settings(), DEFAULTS)
    if model == "whole":
        write_folder(folder.model, {"config.json": b"{}"}, meta={"step": 40})
    else:
        folder.model.mkdir()
    before = folder.config.read_bytes()
    longer = settings()
    longer["train"]["steps"] = 50
    with pytest.raises(CheckpointError) as refused, folder_of_run(folder, longer, DEFAULTS, Group()):
        raise AssertionError("it began")
    assert refused.value.message == (
        f"`{folder.path}` has a model but no checkpoint to go on from, and a new training would replace the model."
    )
    assert refused.value.hint == (
        "begin another run with `run.name=...`, from this model if you add "
        f"`init='{folder.path}'`, or move `{folder.path}` away to start again."
    )
    assert folder.config.read_bytes() == before and folder.model.is_dir()
