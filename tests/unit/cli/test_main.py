"""The `mt` command as a user meets it: words, exit codes, and what is imported for them."""

import io
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import mt
from mt.cli import main as main_module
from mt.cli.main import VERBS, main
from mt.errors import DataError, StoppedError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def build(monkeypatch, tmp_path):
    """A stand-in for `mt.build` that keeps what it is asked to train."""

    class Build(ModuleType):
        fault: BaseException | None = None

        def __init__(self) -> None:
            super().__init__("mt.build")
            self.trained, self.shown, self.commands = [], [], []

        def train(self, config, command):
            self.trained.append(config)
            self.commands.append(command)
            if self.fault:
                raise self.fault
            return 1.5

        def dry_run(self, config):
            self.shown.append(config)

    fake = Build()
    monkeypatch.setitem(sys.modules, "mt.build", fake)
    monkeypatch.setattr(mt, "build", fake, raising=False)
    monkeypatch.chdir(tmp_path)
    return fake


def shell(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "mt", *argv],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


# ---- words


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["trian"], ["train", "--help"], []])
def test_quick_answers_import_nothing_heavy(argv):
    script = f"import sys; from mt.cli.main import main; main({argv}); print(sorted(sys.modules))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=600, check=True
    )
    loaded = done.stdout.strip().rpartition("\n")[2]
    assert "'mt.cli.main'" in loaded
    assert not [heavy for heavy in ("torch", "hydra", "omegaconf", "numpy") if f"'{heavy}'" in loaded]


def test_help_and_version_go_to_stdout(capsys):
    assert main(["--help"]) == 0
    assert "translate lines of text" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("mt ")


def test_no_command_shows_the_help_and_fails(capsys):
    assert main([]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err[:8]) == ("", "mt train")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["trian"], "mt: `trian` is not a command.\n\nhint: did you mean `train`?\n"),
        *(
            ([word], f"mt: `{word}` is not a command.\n\nhint: did you mean `mt {verb} {word}`?\n")
            for verb, word in (("runs", "compare"), ("runs", "delete"), ("runs", "list"), ("inspect", "attention"))
        ),
        (["xyzzy"], "mt: `xyzzy` is not a command.\n\nhint: `mt --help` lists the commands.\n"),
        (["--hepl"], "mt: `--hepl` is not an option.\n\nhint: did you mean `--help`?\n"),
        (
            ["train", "warmup=3"],
            "mt train: `warmup` is not a setting.\n\nhint: did you mean `schedule.warmup_steps`?\n",
        ),
        (
            ["train", "--confg", "x"],
            "mt train: unrecognized arguments: --confg.\n\nhint: did you mean `--config`?\n",
        ),
        (["train", "--dryrun"], "unrecognized arguments: --dryrun.\n\nhint: did you mean `--dry-run`?"),
        (["train", "--seed", "3"], "--seed.\n\nhint: settings are written without dashes, as in `train.seed=3`."),
        (["train", "--train", "a.en"], "--train.\n\nhint: settings are written without dashes, as in `train.seed=3`."),
        (["train", "-sc"], "mt train: -sc takes install, uninstall or query, and bash, zsh or fish, as in -sc install"),
        (["train", "-sc", "install=nosuch"], "mt train: -sc takes install, uninstall or query"),
        (["train", ""], "mt train: an argument has an empty value (is a variable not set?)."),
        (["train", "--resume", ""], "mt train: --resume has an empty value (is a variable not set?)."),
        (["train", "--resolve"], "mt train: --resolve needs --cfg.\n\nhint: `mt train --help` lists the options.\n"),
        (["train", "-cd", "nope"], "mt train: --config-dir must name a folder of presets, but nope is not a folder."),
        (["train", "-m", "-c", "job"], "not allowed with argument --multirun/-m.\n\nhint: `mt train --help` lists"),
        (["train", "--experimental-rerun", "x.pickle"], "mt train: unrecognized arguments: --experimental-rerun."),
        (
            ["train", "-m", "optim.lr=interval(1,2)"],
            "mt train: these settings cannot be combined: BasicSweeper does",
        ),
    ],
)
def test_a_mistake_is_one_line_with_a_hint_and_exit_code_2(argv, says, capsys, build):
    assert main(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    line, _, hint = said.err.partition("\n\nhint: ")
    assert (line + hint).count("\n") == 1


def test_completion_knows_the_commands_and_the_presets(capsys, monkeypatch):
    monkeypatch.setenv("COMP_LINE", "mt tr")
    assert main(["-sc", "query=bash"]) == 0
    assert capsys.readouterr().out == " ".join(VERBS) + "\n"
    monkeypatch.setenv("COMP_LINE", "mt train model=b")
    assert main(["-sc", "query=bash"]) == 0
    assert capsys.readouterr().out == "model=base model=big\n"
    monkeypatch.setenv("COMP_LINE", "mt translate x")
    assert main(["-sc", "query=bash"]) == 0
    assert capsys.readouterr().out == ""


# ---- errors

REPORT = "set MT_DEBUG=1 for the traceback, and please report it."


def test_python_m_mt_is_the_same_door():
    done = shell("trian")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "mt: `trian` is not a command.\n\nhint: did you mean `train`?\n"


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (DataError("a.en ends after 3 lines, a.de after 4."), 3, "mt train: a.en ends after 3 lines, a.de after 4.\n"),
        (StoppedError("Stopped at step 7."), 75, "mt train: Stopped at step 7.\n"),
        (OSError(28, "No space left on device"), 1, "mt train: No space left on device\n"),
        (PermissionError(13, "Permission denied", "x"), 1, "mt train: `x`: Permission denied\n"),
        (ValueError("odd"), 1, f"mt train: internal error: ValueError: odd\n\nhint: {REPORT}\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(4), 4, ""),
        (SystemExit("why"), 1, ""),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_what_a_command_raises_becomes_a_message_and_an_exit_code(fault, code, says, capfd, monkeypatch):
    def run(argv):
        raise fault

    monkeypatch.setattr("mt.cli.train.run", run)
    assert main(["train"]) == code
    assert capfd.readouterr().err == says


@pytest.mark.parametrize(
    ("fault", "code"), [(StoppedError("why"), 75), (ValueError("why"), 1), (KeyboardInterrupt(), 130)]
)
def test_hydra_neither_prints_nor_changes_what_training_raises(fault, code, build, capsys):
    build.fault = fault
    assert main(["train"]) == code
    said = capsys.readouterr().err
    assert said.count("why") == said.count("mt train: ") == (code != 130)
    assert said.count("\n") == {75: 1, 1: 3, 130: 0}[code]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory\nframes"), "can't allocate memory)"),
        (RuntimeError("CUDA out of memory. Tried to allocate 1 GiB."), "RuntimeError: CUDA out of memory. Tried"),
        (MemoryError(), "(MemoryError: )"),
    ],
    ids=["host", "GPU", "Python"],
)
def test_too_little_memory_is_no_fault_of_mt(fault, says, build, capsys):
    build.fault = fault
    assert main(["train"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("mt train: the memory is too small for this (") and says in said
    assert said.endswith("\n\nhint: take a smaller model or smaller batches, or end other programs.\n")


def test_debugging_shows_the_traceback(build, capsys, monkeypatch):
    monkeypatch.setenv("MT_DEBUG", "1")
    build.fault = ValueError("odd")
    assert main(["train"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mt", "help"],
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=600,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"mt: stdout cannot be written: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_stderr_leaves_the_exit_code_as_it_is():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "mt", "bogus"]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=full, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.skipif(os.name == "nt", reason="needs a shell of POSIX")
def test_messages_do_not_go_to_stdout_where_stderr_is_closed():
    shell = f"{sys.executable} -m mt info nothing 2>&-"
    done = subprocess.run(shell, shell=True, cwd=ROOT, stdout=subprocess.PIPE, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_a_closed_pipe_is_quiet():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "mt", "--help"],
            cwd=ROOT,
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=600,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


# ---- train


def test_settings_reach_the_builder_and_nothing_is_left_behind(build, tmp_path):
    argv, before = ["train", "model=tiny", "optim.lr=1e-3"], (list(sys.argv), dict(os.environ))
    assert main(argv) == 0
    (config,) = build.trained
    assert (config.model.dim, config.optim.lr, config.run.name) == (128, 1e-3, "tatoeba_en_es-tiny")
    assert build.commands == [["mt", *argv]]
    assert list(tmp_path.iterdir()) == []
    assert (list(sys.argv), dict(os.environ)) == before


@pytest.mark.parametrize("asking", [["--dry-run"], ["debug=dry_run"], ["optim.lr=1", "--dry-run", "model=tiny"]])
def test_a_dry_run_trains_nothing(asking, build):
    assert main(["train", *asking]) == 0
    assert (len(build.shown), build.trained) == (1, [])


@pytest.mark.parametrize("asking", [[], ["--dry-run"]])
def test_files_that_are_missing_are_named_before_torch_is_imported(asking, tmp_path):
    (tmp_path / "a.en").touch()
    (tmp_path / "a.de").touch()
    files = ["data.train=[a.en,a.de]", "data.dev=[a.en,b.de]"]
    told = "import sys; from mt.cli.main import main; code = main(sys.argv[1:]); print('torch' in sys.modules, code)"
    done = subprocess.run(
        [sys.executable, "-c", told, "train", *files, *asking], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False 3\n"
    assert done.stderr == "mt train: `b.de` does not exist.\n\nhint: did you mean `a.de`?\n"
    assert not (tmp_path / "runs").exists()


def test_a_file_and_a_folder_of_presets(build, tmp_path):
    Path("my.yaml").write_text("model: own\noptim: {lr: 1e-3}\n")
    Path("more/model").mkdir(parents=True)
    Path("more/model/own.yaml").write_text("dim: 64\nheads: 2\n")
    assert main(["train", "--config", "my.yaml", "-cd", "more", "train.seed=3"]) == 0
    (config,) = build.trained
    assert (config.model.dim, config.optim.lr, config.train.seed, config.run.name) == (64, 1e-3, 3, "my")


def test_cfg_shows_every_setting_as_yaml(build):
    done = shell("train", "--cfg", "job", "model=tiny")
    assert done.returncode == 0
    assert "  dim: 128\n" in done.stdout
    assert "hydra" not in done.stdout


def test_info_shows_the_defaults(build, capsys):
    assert main(["train", "--info", "defaults", "model=tiny"]) == 0
    assert "model/tiny" in capsys.readouterr().out


def test_a_sweep_trains_each_combination_in_a_folder_of_its_own(build, tmp_path, capsys):
    assert main(["train", "-m", "model=tiny,small", "optim.lr=1,2", "run.root=here"]) == 0
    names = [config.run.name for config in build.trained]
    assert names == [f"tatoeba_en_es-{model}-lr={lr}" for model in ("tiny", "small") for lr in (1, 2)]
    assert "mt train: job 3 of the sweep is tatoeba_en_es-small-lr=2\n" in capsys.readouterr().err
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["multirun.yaml"]
    assert [folder.name for folder in (tmp_path / "here").iterdir()] == ["sweeps"]


@pytest.mark.parametrize(
    ("typed", "seeds"), [(["train.seed=9", "train.seed=1,2"], [1, 2]), (["train.seed=1,2", "train.seed=9"], [9])]
)
def test_the_last_value_counts_in_a_sweep_too(typed, seeds, build):
    assert main(["train", "-m", "model=tiny,small", *typed, "run.name=x"]) == 0
    trained = [(config.train.seed, config.run.name) for config in build.trained]
    assert [seed for seed, _ in trained] == seeds * 2
    assert len(set(trained)) == len({name for _, name in trained}) == 2 * len(seeds)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["train.minutes=3", "train.minutes=5"], ["`train.minutes` is 5, the last that is given, not 3"]),
        (["model=tiny", "+model=small"], ["`model` is small, the last that is given, not tiny"]),
        (["-m", "train.seed=9", "train.seed=1,2"], ["`train.seed` is 1,2, the last that is given, not 9"]),
        (["optim.lr=1", "optim.lr=2", "optim.lr=3"], ["`optim.lr` is 3, the last that is given, not 1 and 2"]),
        (["train.seed=3", "train.seed=3", "train={seed:4}"], []),
    ],
)
def test_of_several_values_that_which_counts_is_told(typed, told, build, capsys):
    assert main(["train", *typed]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "the last that" in line] == [f"mt train: {line}" for line in told]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            ["optim.name=adamw"],
            "`optim.name` is adamw, but the warm-up of 50 updates is that of muon; `optim=adamw` ch",
        ),
        (["optim.name=adamw", "model=tiny"], "`optim.name` is adamw, but the warm-up of 50 updates is that of muon"),
        (["optim=adamw", "optim.name=muon"], "`optim.name` is muon, but the warm-up of 300 updates is that of adamw; "),
        (["-m", "optim.name=muon,adamw"], "`optim.name` is adamw, but the warm-up of 50 updates is that of muon; "),
        (["optim=adamw"], ""),
        (["optim.name=adamw", "schedule.warmup_steps=50"], ""),
        (["optim.name=adamw", "model=base"], ""),  # which has a warm-up of its own
        (["optim.name=muon"], ""),
    ],
)
def test_an_optimizer_without_its_warm_up_is_told(typed, told, build, capsys):
    assert main(["train", *typed]) == 0
    err = capsys.readouterr().err
    assert err.count("the warm-up of") == bool(told) and told in err


def test_in_a_sweep_the_values_that_count_keep_their_order(build):
    assert main(["train", "-m", "train.seed=1", "train={seed:2}", "train.seed=3", "optim.lr=1e-3,2e-3"]) == 0
    assert [config.train.seed for config in build.trained] == [3, 3]


@pytest.mark.parametrize("asking", [["model.dropout=0.1,2"], ["batch.tokens=300,9000", "batch.max_length=256,512"]])
def test_no_job_of_a_sweep_begins_when_one_cannot(asking, build, capsys):
    assert main(["train", "-m", *asking]) == 2
    assert build.trained == []
    assert "mt train: `" in capsys.readouterr().err


def test_a_sweep_goes_on_after_a_failed_job_and_stops_when_asked(build, capsys):
    build.fault = DataError("torn")
    assert main(["train", "--multirun", "train.seed=1,2"]) == 3
    assert len(build.trained) == 2
    err = capsys.readouterr().err
    assert err.count("torn") == 2 and err.endswith("seed=2 failed: torn\nmt train: 2 of 2 jobs of the sweep failed.\n")
    build.trained.clear()
    build.fault = StoppedError("stopped")
    assert main(["train", "--multirun", "train.seed=1,2"]) == 75
    assert len(build.trained) == 1


def test_what_a_file_slipped_into_an_error_cannot_move_the_cursor_or_fill_the_screen():
    assert main_module.readable("`a\nb\x1b[2J\x9b1mé\ud800` is no key") == r"`a\nb\x1b[2J\x9b1mé\ud800` is no key"
    long = main_module.readable("begin " + "x" * 10**6 + " end")
    assert len(long) < 1600 and long.startswith("begin ") and long.endswith(" end") and "[…]" in long


def test_results_are_utf8_whatever_the_locale(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr(main_module, "dispatch", lambda argv: print("▁ein") or 0)
    assert main(["score"]) == 0
    assert raw.getvalue() == "▁ein\n".encode()
