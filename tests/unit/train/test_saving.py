"""Saves by the clock: when they are due, what they replace, and that they do not change training."""

import shutil
import signal

import pytest
import torch
from test_trainer import Clock, Scripted, Shown
from toy import number_corpus, stream_of, tiny_model, updater_of

from mt.checkpoint import Checkpoints
from mt.compute.distributed import Group
from mt.config import BatchConfig, ScheduleConfig, TrainConfig
from mt.errors import CheckpointError, StoppedError
from mt.log import Metrics, read_metrics
from mt.train import trainer as module
from mt.train.optim import Ema
from mt.train.trainer import Outputs, Trainer
from mt.train.validate import Judgement, Validation

SCORES = (3.0, 1.0, 2.0)


class ByStep:
    """A validator whose score hangs on the step alone, also in a run that goes on."""

    trainer: Trainer

    def __call__(self, model) -> Validation:
        return Scripted(SCORES[self.trainer.state.step // 4 - 1])(model)


class Killed(BaseException):
    """An error that the trainer does not catch."""


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """An update takes a second, and a validation one more."""
    monkeypatch.setattr(module, "time", Clock())


@pytest.fixture
def make(tmp_path):
    def trainer(folder: str, seconds: float | None = None, group=None, **limits) -> Trainer:
        """Args: seconds: between two saves by the clock; None: there are none."""
        model = tiny_model(dropout=0.1)
        minutes = seconds / 60 if seconds is not None else None
        made = Trainer(
            updater=updater_of(model, ema=Ema(model, 0.5), group=group),
            stream=stream_of(number_corpus(30), pool=8),
            validator=ByStep(),
            checkpoints=Checkpoints(tmp_path / folder / "checkpoints", 1),
            train=TrainConfig(
                **{"steps": 12, "validate_every": 4, "log_every": 1, "keep": 1, "save_minutes": minutes, **limits}
            ),
            batch=BatchConfig(tokens=64, max_length=32),
            schedule=ScheduleConfig(warmup_steps=2),
        )
        made.validator.trainer, made.folder = made, tmp_path / folder
        return made

    return trainer


def fit(trainer, until: int | None = None) -> list[str]:
    """Train, and be killed within the update after `until`; returns every score and step that was saved."""
    saved, write, deal = [], trainer.saver._write, trainer._next_batches

    def watched(state, tensors, score):
        saved.append(f"{state.step}" if score is None else f"{state.step}: {score[0]:g}")
        write(state, tensors, score)

    def deal_or_die():
        if until is not None and trainer.state.step > until:
            raise Killed
        return deal()

    trainer.saver._write, trainer._next_batches = watched, deal_or_die
    with Metrics(trainer.folder, step=trainer.state.step, tensorboard=False) as metrics:
        trainer.fit(Outputs(metrics, Shown()))
    return saved


def everything(trainer):
    """Weights, moments and means by name; then lines without what a clock measured, state and place in the data."""
    tensors = {f"{kind} {name}": t for kind, found in trainer.updater.tensors().items() for name, t in found.items()}
    clocks = {"seconds", "src_tokens_per_s", "tgt_tokens_per_s"}
    lines = [
        {k: v for k, v in line.items() if k not in clocks} for line in read_metrics(trainer.folder / "metrics.jsonl")
    ]
    state = {name: value for name, value in trainer.state.to_dict().items() if name != "seconds"}
    kept = sorted(path.name for path in trainer.checkpoints.folder.iterdir())
    return {name: t.clone() for name, t in tensors.items()}, (lines, state, trainer.stream.state_dict(), kept)


def assert_same(one, other) -> None:
    assert one[1] == other[1] and one[0].keys() == other[0].keys()
    assert all(torch.equal(tensor, other[0][name]) for name, tensor in one[0].items())


def test_a_save_is_due_after_so_many_minutes(make):
    # Seconds after each update: 1 2 3 | 4, validated 5 | 6 7 8 | 9, validated 10 | 11 12 13 | 14.
    assert fit(make("run", seconds=3)) == ["3", "4: 3", "7", "8: 1", "11", "12: 2"]


def test_a_validation_counts_as_a_save_and_null_means_none(make):
    assert fit(make("long", seconds=5)) == fit(make("never")) == ["4: 3", "8: 1", "12: 2"]


def test_a_run_that_goes_on_counts_from_where_it_was_saved(make):
    with pytest.raises(Killed):
        fit(make("run", seconds=3), until=4)
    second = make("run", seconds=3)
    second.resume(second.checkpoints.latest())
    assert second.state.seconds == 5.0
    assert fit(second)[0] == "7"


def test_a_save_by_the_clock_replaces_the_last_but_no_validated_one(make):
    trainer, seen = make("run", seconds=1), []
    save_and_prune = trainer.saver.save_and_prune

    def watched(state, *, score=None):
        save_and_prune(state, score=score)
        seen.append(sorted(int(path.name[5:]) for path in trainer.checkpoints.folder.glob("step-*")))

    trainer.saver.save_and_prune = watched
    fit(trainer)
    assert seen == [
        [1], [2], [3], [4], [4, 5], [4, 6], [4, 7], [4, 8], [4, 8, 9], [4, 8, 10], [4, 8, 11], [4, 8, 12]
    ]  # fmt: skip
    assert [path.name for path in trainer.checkpoints.ranked()] == ["step-00000004", "step-00000012", "step-00000008"]


@pytest.mark.parametrize("killed", [1, 3, 5, 7, 10, 11])
def test_a_run_killed_after_a_save_by_the_clock_resumes_exactly(make, killed):
    unbroken, first = make("unbroken"), make("killed", seconds=1)
    fit(unbroken)
    with pytest.raises(Killed):
        fit(first, until=killed)
    second = make("killed", seconds=1)
    saved = second.checkpoints.latest()
    assert (saved.step, saved.score) == (killed, None)
    torch.rand(99)  # random numbers move on in between
    second.resume(saved)
    fit(second)
    assert_same(everything(second), everything(unbroken))


@pytest.mark.parametrize("section", ["train", "stream", "updater", "random"])
@pytest.mark.parametrize("change", ["lost", None, 5, "x", [], {"a": None}])
def test_a_state_of_another_form_is_named(make, section, change, monkeypatch):
    with pytest.raises(Killed):
        fit(make("run", seconds=1), until=3)
    second = make("run", seconds=1)
    saved = second.checkpoints.latest()
    state = saved.state()
    if change == "lost":
        del state[section]
    else:
        state[section] = change
    monkeypatch.setattr(type(saved), "state", lambda _: state)
    with pytest.raises(CheckpointError) as told:
        second.resume(saved)
    own = {
        "train": "the state of this run is of another version of mt: ",
        "random": "the random state of the checkpoint cannot be restored: ",
    }
    if section in own and change != "lost":
        assert told.value.message.startswith(own[section])
    else:
        assert told.value.message.startswith(f"`{saved.path}` has no state that training could go on from (")
        assert told.value.hint == "remove this folder, and the run goes on from the checkpoint before it."
    shutil.rmtree(saved.path)
    assert (before := second.checkpoints.latest()) is None or before.step < saved.step


def test_numbers_are_on_the_disk_before_each_state_is(make, monkeypatch):
    """A run that goes on from a state never writes the lines before it again. Saves: by the clock, at a validation, at
    a stop."""
    trainer, events = make("run", seconds=3), []
    write, next_batches = trainer.saver._write, trainer._next_batches
    monkeypatch.setattr(Metrics, "sync", lambda metrics: events.append("flushed"))
    trainer.saver._write = lambda *parts: (events.append(parts[0].step), write(*parts))

    def stop_at_six():
        trainer.requests.signal = signal.SIGTERM if trainer.state.step == 6 else None
        return next_batches()

    trainer._next_batches = stop_at_six
    with (
        Metrics(trainer.folder, tensorboard=False) as metrics,
        pytest.raises(StoppedError, match="stopped by SIGTERM at step 6; its state is saved"),
    ):
        trainer.fit(Outputs(metrics=metrics))
    assert events == ["flushed", 3, "flushed", 4, "flushed", 6]


@pytest.mark.parametrize("work", ["prune", "complete_save"])
def test_checkpoints_that_cannot_be_removed_cause_a_warning(make, monkeypatch, caplog, work):
    trainer = make("run", steps=1)
    caplog.clear()  # the size of the tokenizer was logged

    def refuse(*_):
        raise CheckpointError("`step-1` cannot be removed: Read-only file system.")

    monkeypatch.setattr(Checkpoints, work, refuse)
    trainer.fit()
    trainer.saver.complete_save(trainer.checkpoints.folder / "step-00000001")
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["`step-1` cannot be removed: Read-only file system. Old checkpoints are kept."] * len(warnings)
    assert len(warnings) == (2 if work == "prune" else 1)


def test_a_full_disk_is_not_tried_again_at_every_update(make, monkeypatch, caplog):
    trainer, tried = make("run", seconds=3), []

    def save(self, step, **parts):
        tried.append(step)
        if step < 12:
            raise CheckpointError("No space left on device.")

    monkeypatch.setattr(Checkpoints, "save", save)
    trainer.fit()
    assert tried == [3, 4, 7, 8, 11, 12]
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["No space left on device. Training goes on, and the next save tries again."]


def test_a_stop_saves_once_though_a_save_by_the_clock_is_due(make):
    trainer = make("run", seconds=1, steps=2)
    trainer.requests.signal = signal.SIGTERM
    saved, write = [], trainer.saver._write
    trainer.saver._write = lambda *parts: (saved.append(parts[0].step), write(*parts))
    with pytest.raises(StoppedError, match="stopped by SIGTERM at step 1; its state is saved"):
        trainer.fit()
    assert saved == [1]


# ---------------------------------------------------------------- of several processes


class Other(Group):
    """The second of two processes, with the clock of the first; its waits are recorded."""

    def __init__(self) -> None:
        super().__init__(rank=1, world=2)
        self.seconds, self.waits = 0.0, []

    def owns(self, place):
        return True  # there is one batch an update, and a process without one has nothing to do

    def all_reduce(self, *numbers):
        if not isinstance(numbers[1], bool):
            return list(numbers)
        assert numbers[0] == 0.0  # its own clock is not to count
        self.seconds += 1.0
        return [self.seconds, *map(float, numbers[1:])]

    def all_reduce_tensors(self, tensors):
        pass

    def from_main(self, work):
        name = work.__qualname__
        self.waits.append(("validation" if "validate" in name else "save", self.trainer.state.step))
        if "validate" not in name:
            return None
        self.seconds += 1.0
        return Judgement(rank=[1.0], tells=True, loss=1.0, seconds=1.0)


def test_every_process_saves_when_the_first_one_does(make):
    """However its own clock runs: here at a thousand seconds an update."""
    other = Other()
    trainer = make("run", seconds=3, group=other)
    other.trainer = trainer
    module.time.perf_counter = lambda clock=module.time: setattr(clock, "now", clock.now + 1000) or clock.now
    trainer.fit()
    assert [step for what, step in other.waits if what == "save"] == [3, 4, 7, 8, 11, 12]
    assert [step for what, step in other.waits if what == "validation"] == [4, 8, 12]
