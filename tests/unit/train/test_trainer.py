"""The loop: when it ends, what it saves and logs, and that it resumes exactly."""

import json
import logging
import math
import signal
from dataclasses import replace

import pytest
import torch
from toy import number_corpus, stream_of, tiny_model, updater_of

from mt.checkpoint import Checkpoints
from mt.compute.distributed import Group
from mt.config import BatchConfig, ScheduleConfig, ScheduleKind, TrainConfig, Watch
from mt.errors import CheckpointError, DataError, MtError, StoppedError
from mt.log import Metrics, logger, read_metrics
from mt.train import trainer as module
from mt.train.optim import Ema
from mt.train.state import TrainState
from mt.train.step import PendingUpdate, Updater
from mt.train.trainer import MAX_SKIPPED_IN_A_ROW, Outputs, Trainer
from mt.train.validate import Validation


class Clock:
    """A second passes between any two calls."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1.0
        return self.now


class Scripted:
    """A validator that gives the scores of a list, and then repeats the last one."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores) or [1.0]

    def __call__(self, model) -> Validation:
        score = self.scores.pop(0) if len(self.scores) > 1 else self.scores[0]
        return Validation(-score, score, score, ["one"], ["eins"], ["zwei"])


class Shown:
    """A progress line that remembers."""

    def __init__(self) -> None:
        self.seen = []

    def update(self, status) -> None:
        self.seen.append(status)


@pytest.fixture
def make(tmp_path):
    def trainer(*scores, folder="checkpoints", schedule=None, ema=False, pool=16384, group=None, **limits) -> Trainer:
        model = tiny_model(dropout=0.1)
        batch = BatchConfig(tokens=64, max_length=32, accumulate=1)
        return Trainer(
            updater=updater_of(model, ema=Ema(model, 0.5) if ema else None, group=group),
            stream=stream_of(number_corpus(30), pool=pool),
            validator=Scripted(*scores),
            checkpoints=Checkpoints(tmp_path / folder, limits.get("keep", 3), {"note.txt": b"hello"}),
            train=TrainConfig(**{"validate_every": 2, "log_every": 1, **limits}),
            batch=batch,
            schedule=schedule or ScheduleConfig(warmup_steps=2),
        )

    return trainer


@pytest.fixture
def fit(tmp_path):
    def call(trainer: Trainer, name: str = "run", **outputs) -> list:
        shown = Shown()
        with Metrics(tmp_path / name, step=trainer.state.step, tensorboard=False) as metrics:
            trainer.fit(Outputs(metrics, shown, **outputs))
        return shown.seen

    return call


# ---------------------------------------------------------------- when it ends


def test_it_ends_at_its_steps_with_a_validation_and_a_checkpoint(make, fit, tmp_path):
    trainer = make(steps=5)
    fit(trainer)
    assert (trainer.state.step, trainer.state.finished) == (5, "the limit of 5 steps was reached")
    dev = [line["step"] for line in read_metrics(tmp_path / "run/metrics.jsonl") if line["kind"] == "dev"]
    assert dev == [2, 4, 5] and trainer.checkpoints.latest().step == 5


def test_it_ends_at_its_epochs(make, fit):
    trainer = make(epochs=2.0)
    fit(trainer)
    assert trainer.stream.place.epoch == 2 and trainer.state.finished == "the limit of 2 epochs was reached"
    in_one = make(epochs=1.0, folder="one")
    fit(in_one, "one")
    assert trainer.state.step == 2 * in_one.state.step > 2


def test_it_ends_at_its_minutes_and_validation_counts(make, fit, monkeypatch):
    monkeypatch.setattr(module, "time", Clock())
    trainer = make(minutes=0.25, validate_every=2)
    fit(trainer)
    # A second for each update and for each validation: 1 2 [3] 4 5 [6] 7 8 [9] 10 11 [12] 13 14 [15].
    assert (trainer.state.step, trainer.state.seconds) == (10, 15.0)
    assert trainer.state.finished == "the limit of 0.25 minutes was reached"
    assert trainer.out_of_time
    trainer.train = replace(trainer.train, minutes=1.0, epochs=1.0, steps=1)
    assert list(trainer.fractions()) == ["1 step", "1 epoch", "1 minute"]


def test_the_first_limit_of_several_counts(make, fit):
    trainer = make(steps=3, epochs=100.0, patience=50)
    fit(trainer)
    assert trainer.state.step == 3


@pytest.mark.parametrize("watch", ["loss", "bleu", "chrf"])
def test_patience_runs_out_on_what_is_watched(make, fit, watch):
    scores = [-5.0, -4.0, -4.5, -4.1, -4.2, 0.0]
    trainer = make(*scores, patience=3, watch=Watch(watch))
    fit(trainer)
    assert trainer.state.finished == f"no better {watch} in 3 validations"
    assert (trainer.state.step, trainer.state.best_step, trainer.state.best_score) == (10, 4, -4.0)
    assert trainer.checkpoints.best().step == 4
    assert (trainer.checkpoints.folder / "best").read_text() == "step-00000004\n"


def stopped(trainer: Trainer, step: int) -> Trainer:
    """The trainer, with a signal to stop in the given update."""
    real = trainer._count

    def count(update, of):
        real(update, of)
        if of == step:
            signal.raise_signal(signal.SIGTERM)

    trainer._count = count
    return trainer


@pytest.mark.parametrize("stop", [1, 5])
def test_the_last_weights_of_a_lowered_limit_are_validated_and_kept_with_their_score(make, fit, tmp_path, stop):
    with pytest.raises(StoppedError, match=f"^stopped by SIGTERM at step {stop}; its state is saved"):
        fit(stopped(make(1.0, steps=8), stop))
    lowered = make(7.0, steps=stop)
    assert lowered.checkpoints.latest().score is None
    lowered.resume(lowered.checkpoints.latest())
    fit(lowered)
    state, best = lowered.state, lowered.checkpoints.best()
    assert (state.step, state.best_score, state.best_step) == (stop, 7.0, stop)
    assert state.finished == f"the limit of {stop} step{'s' * (stop > 1)} was reached"
    assert (best.step, best.score, best.state()["train"]["finished"]) == (stop, 7.0, state.finished)
    again = make(8.0, steps=stop)
    again.resume(best)
    fit(again)  # nothing is left to do
    dev = [line["step"] for line in read_metrics(tmp_path / "run/metrics.jsonl") if line["kind"] == "dev"]
    assert dev == [*range(2, stop, 2), stop] and again.state.best_score == 7.0


def test_a_lowered_patience_does_not_end_a_run_whose_last_weights_are_better(make, fit):
    with pytest.raises(StoppedError, match=r"^stopped by SIGTERM at step 5; its state is saved"):
        fit(stopped(make(3.0, 2.0, steps=8), 5))
    lowered = make(4.0, steps=8, patience=1)
    lowered.resume(lowered.checkpoints.latest())
    assert lowered.state.finished == "no better bleu in 1 validation"
    fit(lowered)
    assert (lowered.state.step, lowered.state.best_step) == (6, 5)


class OneWordLines:
    """A validator of a dev set of single words: BLEU is 0, chrF++ stays, and the loss falls until it is 1."""

    def __init__(self) -> None:
        self.loss = 9.0

    def __call__(self, model) -> Validation:
        self.loss = max(1.0, self.loss - 1)
        return Validation(self.loss, 0.0, 7.0, ["one"], ["eins"], ["zwei"], bleu_tells=False)


def test_patience_does_not_end_a_run_whose_loss_falls_where_bleu_cannot_tell(make, fit, caplog):
    caplog.set_level("INFO", "mt")
    trainer = make(steps=100, patience=2)
    trainer.validator = OneWordLines()
    seen = fit(trainer)
    # The loss is 8 at step 2 and 1 at step 16; then two validations without progress.
    assert (trainer.state.step, trainer.state.best_step, trainer.state.stale) == (20, 16, 2)
    assert seen[-1].best == "chrf 7.00 @ 16"
    said = "BLEU cannot tell yet, because no four words in a row are right: chrF++ decides which is best"
    assert caplog.messages.count(said) == 1


# ---------------------------------------------------------------- what it logs


def test_the_schedule_sees_where_the_run_stands(make, fit, tmp_path):
    trainer = make(steps=8, schedule=ScheduleConfig(name=ScheduleKind.linear, warmup_steps=2))
    fit(trainer)
    rates = [line["lr"] for line in read_metrics(tmp_path / "run/metrics.jsonl") if line["kind"] == "train"]
    assert rates == pytest.approx([0.01 * share for share in (1 / 2, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8)])


def test_the_progress_line_has_the_best_score_the_patience_and_the_end(make, fit, monkeypatch):
    monkeypatch.setattr(module, "time", Clock())
    seen = fit(make(3.0, 2.0, steps=10, patience=9, validate_every=4))
    assert [status.step for status in seen] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9, 10, 10]  # after a validation again
    assert (seen[0].best, seen[0].patience_left, seen[0].eta_s) == (None, 9, pytest.approx(9.0))
    assert (seen[3].best, seen[4].best) == (None, "bleu 3.00 @ 4")
    assert (seen[10].best, seen[10].patience_left) == ("bleu 3.00 @ 4", 8)
    assert seen[10].eta_s == pytest.approx(11 / 9)  # nine updates and two validations so far, and a tenth to go
    assert (seen[12].eta_s, seen[12].total_steps, seen[12].patience_left) == (0, 10, 7)
    assert all(0 < status.packing <= 1 and status.tgt_tokens_per_s > 0 for status in seen)


def test_the_time_left_after_a_resume_counts_what_was_done_before(make, fit, monkeypatch):
    monkeypatch.setattr(module, "time", Clock())
    fit(make(steps=4, validate_every=4))
    resumed = make(steps=10, validate_every=4)
    resumed.resume(resumed.checkpoints.latest())
    assert resumed.status().eta_s is None  # nothing was measured yet
    seen = fit(resumed)
    assert seen[0].step == 5 and seen[0].eta_s == pytest.approx(6.0)  # five updates and a validation, as many to go


def test_the_numbers_of_updates_are_written_every_log_every_steps(make, fit, tmp_path):
    fit(make(steps=6, log_every=3))
    lines = [line for line in read_metrics(tmp_path / "run/metrics.jsonl") if line["kind"] == "train"]
    assert [line["step"] for line in lines] == [3, 6]
    assert all(line["loss"] > 0 and line["grad_norm"] > 0 and 0 < line["packing"] <= 1 for line in lines)


def test_on_validation_is_called_with_each_validation(make, fit):
    trainer, seen = make(steps=4), []
    fit(trainer, on_validation=lambda validation, state: seen.append((validation.hypotheses, state.step)))
    assert seen == [(["zwei"], 2), (["zwei"], 4)]


# ---------------------------------------------------------------- what is not finite


def test_skipped_updates_are_counted_and_not_averaged(make, fit, monkeypatch, caplog):
    trainer = make(steps=6)
    real = type(trainer.updater).__call__
    monkeypatch.setattr(
        type(trainer.updater), "__call__",
        lambda self, batches, lr, seeds: PendingUpdate(torch.tensor([math.nan, math.nan, math.inf]), 5, 5)
        if trainer.state.step in (2, 3) else real(self, batches, lr, seeds=seeds),
    )  # fmt: skip
    seen = fit(trainer)
    assert (trainer.state.skipped, trainer.state.skipped_in_a_row) == (2, 0)
    assert all(0 < status.loss < 10 for status in seen) and seen[-1].skipped == 2
    assert "step 3: the gradient is not finite; this update is skipped." in caplog.messages


def test_the_last_line_shows_a_best_that_the_last_validation_found(make, fit):
    seen = fit(make(1.0, 2.0, 5.0, steps=6))
    assert [status.best for status in seen[-2:]] == ["bleu 2.00 @ 4", "bleu 5.00 @ 6"]


def test_too_many_in_a_row_end_the_run(make, fit, monkeypatch):
    trainer = make(steps=100)
    monkeypatch.setattr(
        type(trainer.updater),
        "__call__",
        lambda self, batches, lr, seeds: PendingUpdate(torch.tensor([0.0, 0.0, math.nan]), 5, 5),
    )
    with pytest.raises(
        MtError, match=r"^20 updates in a row had gradients that are not finite \(the last at step 20\)\. hint: begin"
    ):
        fit(trainer)
    assert trainer.state.step == MAX_SKIPPED_IN_A_ROW


def test_a_source_that_cannot_be_read_any_more_says_how_the_run_goes_on(make, fit, monkeypatch):
    trainer = make(steps=4)

    def gone(stream):
        raise DataError("a.wav cannot be read.")

    monkeypatch.setattr(type(trainer.stream), "__next__", gone)
    with pytest.raises(DataError) as refused:
        fit(trainer)
    assert str(refused.value) == (
        "a.wav cannot be read. hint: it could be read when the run started; when it is back, the same command goes on "
        "from the last save."
    )


# ---------------------------------------------------------------- an update ahead


def test_updates_read_one_step_late_are_logged_as_if_read_at_once(make, fit, tmp_path, monkeypatch, caplog):
    real = Updater.__call__
    where: list[Trainer] = []

    def call(self, batches, lr, seeds):
        found = real(self, batches, lr, seeds=seeds)
        return PendingUpdate(torch.tensor([math.nan] * 3), 5, 5) if where[-1].state.step in (3, 4) else found

    monkeypatch.setattr(Updater, "__call__", call)
    found = []
    for ahead in (0, 1):
        where.append(make(steps=5, validate_every=2, folder=f"ahead-{ahead}"))
        where[-1].ahead = ahead
        caplog.clear()
        seen = fit(where[-1], f"run-{ahead}")
        lines = read_metrics(tmp_path / f"run-{ahead}/metrics.jsonl")
        numbers = [tuple(line[k] for k in ("step", "epoch", "loss", "lr")) for line in lines if line["kind"] == "train"]
        state = {name: value for name, value in where[-1].state.to_dict().items() if name != "seconds"}
        found.append((numbers, state, [text for text in caplog.messages if "not finite" in text], len(seen)))
    assert found[0] == found[1] and found[0][1]["skipped"] == 2 and (len(found[0][0]), found[0][3]) == (5, 8)
    assert found[0][2] == [f"step {n}: the gradient is not finite; this update is skipped." for n in (3, 4)]


def test_one_update_is_running_while_the_one_before_is_read(make, fit, monkeypatch):
    trainer = make(steps=6, validate_every=4)
    trainer.ahead = 1
    read, real = [], PendingUpdate.read
    monkeypatch.setattr(PendingUpdate, "read", lambda self: (read.append(trainer.state.step), real(self))[1])
    fit(trainer)
    assert read == [2, 3, 4, 4, 6, 6]  # a validation, like the end, waits for all


# ---------------------------------------------------------------- several processes


class Pair(Group):
    """The first of two processes; the second has an empty share of every update, and gets a signal."""

    def __init__(self, at_call: int) -> None:
        super().__init__(rank=0, world=2)
        self.calls_left = at_call

    def all_reduce(self, *numbers):
        if isinstance(numbers[1], bool):  # seconds, and whether there was a signal
            self.calls_left -= 1
            return [numbers[0], numbers[1] + (self.calls_left == 0), *numbers[2:]]
        return list(numbers)

    def all_reduce_tensors(self, tensors):
        pass


def test_a_signal_to_another_process_stops_this_one_too(make, fit):
    trainer = make(steps=50, group=Pair(at_call=3))
    with pytest.raises(StoppedError, match=r"^stopped by a signal to another process at step 3; its state is saved"):
        fit(trainer)
    assert trainer.checkpoints.latest().step == 3


@pytest.mark.usefixtures("without_nohup")
@pytest.mark.parametrize(
    ("number", "group", "stop"),
    [
        (signal.SIGTERM, Pair(at_call=99), 4),  # of several processes one may get it twice; known to all a step later
        (signal.SIGHUP, Group(), 3),  # a terminal that ends may say so twice
    ],
)
def test_a_signal_that_may_come_twice(make, fit, number, group, stop):
    trainer = make(steps=50, group=group)
    real = trainer._count

    def count(update, step):
        real(update, step)
        if step == 3:
            signal.raise_signal(number)
            signal.raise_signal(number)

    trainer._count = count
    words = rf"^stopped by {signal.Signals(number).name} at step {stop}; its state is saved"
    with pytest.raises(StoppedError, match=words):
        fit(trainer)


def test_each_process_gets_its_batches_with_their_own_seeds(make, monkeypatch):
    alone, dealt = make(steps=5), []
    alone.batch = BatchConfig(tokens=64, max_length=32, accumulate=4)
    batches, seeds, indices = alone._next_batches()
    for rank in range(2):
        trainer = make(steps=5)
        trainer.batch, trainer.group = alone.batch, Group(rank=rank, world=2)
        dealt.append(trainer._next_batches())
        assert trainer.stream.place == alone.stream.place
    assert [b.indices for b in batches] == [dealt[n % 2][0][n // 2].indices for n in range(4)]
    assert seeds == [dealt[n % 2][1][n // 2] for n in range(4)] and len(set(seeds)) == 4
    # Each knows the pairs of all: the first one names those of a bad update.
    assert indices == dealt[0][2] == dealt[1][2] == tuple(index for batch in batches for index in batch.indices)


# ---------------------------------------------------------------- on disk


def test_old_checkpoints_are_removed_but_the_best_and_the_newest(make, fit):
    trainer = make(9.0, 1.0, 2.0, 8.0, 3.0, 4.0, steps=12, keep=2)
    fit(trainer)
    kept = sorted(path.name for path in trainer.checkpoints.folder.glob("step-*"))
    assert kept == ["step-00000002", "step-00000008", "step-00000010", "step-00000012"]


def test_a_full_disk_causes_a_missing_checkpoint_and_one_warning(make, fit, monkeypatch, caplog):
    trainer, real = make(steps=10), Checkpoints.save
    full = {2, 4, 8}

    def save(self, step, **parts):
        if step in full:
            raise CheckpointError(f"step {step}: No space left on device.")
        return real(self, step, **parts)

    monkeypatch.setattr(Checkpoints, "save", save)
    caplog.set_level(logging.WARNING, "mt")
    fit(trainer)
    assert trainer.state.step == 10 and trainer.checkpoints.latest().step == 10
    assert caplog.messages == [
        f"step {step}: No space left on device. Training goes on, and the next save tries again." for step in (2, 8)
    ]


def test_the_last_checkpoint_must_be_saved(make, fit, monkeypatch):
    def save(self, step, **parts):
        raise CheckpointError("No space left on device.")

    monkeypatch.setattr(Checkpoints, "save", save)
    with pytest.raises(CheckpointError, match="No space left"):
        fit(make(steps=4))


def test_checkpoints_that_cannot_be_removed_are_kept(make, fit, monkeypatch, caplog):
    def prune(self):
        raise CheckpointError("`x` cannot be removed: it is dear.")

    monkeypatch.setattr(Checkpoints, "prune", prune)
    trainer = make(steps=4)
    fit(trainer)
    assert trainer.checkpoints.latest().step == 4
    assert "`x` cannot be removed: it is dear. Old checkpoints are kept." in caplog.messages


def everything(trainer):
    tensors = {**dict(trainer.updater.model.named_parameters()), **trainer.updater.ema.means}
    state = {name: value for name, value in trainer.state.to_dict().items() if name != "seconds"}
    return {name: t.detach().clone() for name, t in tensors.items()}, state, trainer.stream.place


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5, 6, 7])
def test_a_run_stopped_at_any_step_resumes_exactly(make, fit, stop):
    unbroken = make(1.0, 3.0, 2.0, steps=8, ema=True, pool=8)
    fit(unbroken)
    first = make(1.0, 3.0, 2.0, steps=8, ema=True, pool=8, folder="broken")
    with pytest.raises(
        StoppedError, match=f"^stopped by SIGTERM at step {stop}; its state is saved. hint: the same command"
    ):
        fit(stopped(first, stop), "broken")
    torch.rand(99)  # random numbers move on in between
    scores = [1.0, 3.0, 2.0][stop // 2 :] or [2.0]
    second = make(*scores, steps=8, ema=True, pool=8, folder="broken")
    second.resume(second.checkpoints.latest())
    assert second.done() == first.done() and second.stream.epoch == first.stream.epoch
    fit(second, "broken")
    one, other = everything(unbroken), everything(second)
    assert one[1:] == other[1:] and all(torch.equal(one[0][name], other[0][name]) for name in one[0])


def test_a_resumed_run_limited_in_epochs_is_not_finished(make, fit):
    trainer = make(epochs=3.0, validate_every=2)
    with pytest.raises(StoppedError):
        fit(trainer, on_validation=lambda validation, state: signal.raise_signal(signal.SIGTERM))
    again = make(epochs=3.0)
    again.resume(again.checkpoints.latest())
    assert again.stream.place.batch == 2 and again.done() < 1 / 3 and again.why_finished() is None


def test_a_second_signal_ends_at_once_and_handlers_are_restored(make, fit):
    before = signal.getsignal(signal.SIGINT)
    trainer = make(steps=50)
    real = trainer._count

    def count(update, step):
        real(update, step)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    trainer._count = count
    with pytest.raises(KeyboardInterrupt):
        fit(trainer)
    assert signal.getsignal(signal.SIGINT) is before and trainer.checkpoints.latest() is None


class Busy(logging.Handler):
    """What writes messages: in the middle of the first one a signal comes."""

    def __init__(self) -> None:
        super().__init__()
        self.writing, self.messages = False, []

    def emit(self, record) -> None:
        assert not self.writing, "a message within a message: a buffered stream raises RuntimeError"
        self.writing = True
        self.messages.append(record.getMessage())
        if len(self.messages) == 1:
            signal.raise_signal(signal.SIGTERM)
        self.writing = False


def test_a_signal_within_a_message_is_acknowledged_after_it(make, fit, caplog):
    caplog.set_level("INFO", "mt")
    busy, trainer = Busy(), make(steps=50)
    logger.addHandler(busy)
    try:
        with pytest.raises(StoppedError, match="at step 2"):  # within the validation's message
            fit(trainer)
    finally:
        logger.removeHandler(busy)
    assert busy.messages[0].startswith("step 2: dev loss")
    assert busy.messages[1:] == ["SIGTERM: saving after this update; a second signal stops at once."]


def test_a_signal_is_acknowledged_before_the_validation_that_is_due(make, fit, caplog):
    caplog.set_level("INFO", "mt")
    trainer = make(steps=50)
    deal = trainer._next_batches

    def deal_and_stop():
        if trainer.state.step == 2:
            signal.raise_signal(signal.SIGINT)
        return deal()

    trainer._next_batches = deal_and_stop
    with pytest.raises(StoppedError, match="stopped by SIGINT at step 2"):
        fit(trainer)
    said = [text.split(":")[0] for text in caplog.messages]
    assert said == ["SIGINT", "step 2"]


def test_a_stop_during_the_last_validation_is_obeyed(make, fit):
    trainer = make(steps=2)
    with pytest.raises(StoppedError, match="at step 2"):
        fit(trainer, on_validation=lambda validation, state: signal.raise_signal(signal.SIGTERM))
    last = trainer.checkpoints.latest()
    assert last.score == 1.0 and last.state()["train"]["finished"] == "the limit of 2 steps was reached"


def test_a_checkpoint_is_usable_alone(make, fit):
    trainer = make(steps=2, ema=True)
    fit(trainer)
    last = trainer.checkpoints.latest()
    assert (last.path / "note.txt").read_bytes() == b"hello"
    assert TrainState.from_dict(json.loads(json.dumps(last.state()["train"]))) == trainer.state
    assert all(torch.equal(last.ema()[name], mean) for name, mean in trainer.updater.ema.means.items())
