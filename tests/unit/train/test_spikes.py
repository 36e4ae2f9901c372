"""What a spike is, by hand; that only accepted losses count; and that a run goes back and past the text."""

import json
import math
import os
import signal
import statistics
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_trainer import Scripted, Shown
from toy import number_corpus, number_pairs, stream_of, tiny_model, updater_of

from mt.checkpoint import Checkpoints
from mt.config import BatchConfig, ScheduleConfig, TrainConfig
from mt.errors import MtError, StoppedError
from mt.log import Metrics
from mt.train import spikes
from mt.train.bad_batches import MAX_FILES, dump_batch, lines_of
from mt.train.optim import Ema
from mt.train.spikes import MIN_LOSSES, WINDOW, find_spike, is_spike
from mt.train.state import TrainState
from mt.train.step import Update
from mt.train.trainer import Outputs, Trainer

FLAT = [1.0, 3.0] * 20  # mean 2, deviation 1


@pytest.mark.parametrize(
    ("loss", "sigmas", "spike"),
    [(8.0, 6.0, False), (8.001, 6.0, True), (-50.0, 6.0, False), (math.inf, 6.0, True), (1e9, 0.0, False),
     (2.51, 0.5, True), (2.49, 0.5, False)],
)  # fmt: skip
def test_a_spike_is_sigmas_deviations_above_the_mean(loss, sigmas, spike):
    assert is_spike(FLAT, loss, sigmas) is spike


def test_few_losses_have_no_spike_and_flat_ones_a_minimal_deviation():
    assert not is_spike(FLAT[: MIN_LOSSES - 1], 1e9, 1.0) and is_spike(FLAT[:MIN_LOSSES], 1e9, 1.0)
    assert not is_spike([2.0] * MIN_LOSSES, 2.1, 6.0) and is_spike(
        [2.0] * MIN_LOSSES, 2.13, 6.0
    )  # six hundredths of the mean


@given(st.lists(st.floats(0.1, 10), min_size=MIN_LOSSES, max_size=200), st.floats(0, 100), st.floats(1, 10))
def test_it_agrees_with_the_definition_and_remembers_only_what_it_accepts(losses, loss, sigmas):
    state = TrainState(losses=losses)
    mean, deviation = statistics.fmean(losses), statistics.pstdev(losses)
    reason = find_spike(state, loss, sigmas)
    assert (reason is not None) == (loss > mean + sigmas * max(deviation, 0.01 * mean))
    assert state.losses == (losses if reason else [*losses, loss][-WINDOW:])


def test_one_spike_is_one_spike():
    """A window with the bad value in it would take 128 updates to forget it."""
    state, found = TrainState(losses=FLAT), []
    for loss in [2.0, math.inf, 1.0, 3.0, 1e30, 2.0]:
        found.append(find_spike(state, loss, 6.0))
    assert [reason is not None for reason in found] == [False, True, False, False, True, False]
    assert found[1] == "the loss inf is more than 6 deviations above the 41 before it"


@pytest.mark.parametrize("odd", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_leaves_no_trace_before_there_are_enough(odd):
    state = TrainState()
    for loss in [odd, *FLAT]:
        assert find_spike(state, loss, 6.0) is None
    assert state.losses == FLAT and find_spike(state, 1e9, 6.0) is not None


def test_without_sigmas_nothing_is_remembered():
    state = TrainState()
    assert find_spike(state, 5.0, 0.0) is None and state.losses == []


# ---------------------------------------------------------------- in a run


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr(spikes, "MIN_LOSSES", 4)

    def trainer(spiked=(), folder="checkpoints", **limits) -> Trainer:
        """A run whose loss is set to a million at some steps."""
        model = tiny_model(dropout=0.1)
        made = Trainer(
            updater=updater_of(model, ema=Ema(model, 0.5)),
            stream=stream_of(number_corpus(30)),
            validator=Scripted(1.0),
            checkpoints=Checkpoints(tmp_path / folder, 3),
            train=TrainConfig(**{"validate_every": 6, "log_every": 1, "spike_sigmas": 20.0, "steps": 20, **limits}),
            batch=BatchConfig(tokens=64, max_length=32),
            schedule=ScheduleConfig(warmup_steps=2),
        )
        made.bad = []
        check = made.check_update

        def check_update(step, update):
            check(step, replace(update, loss=1e6) if step.step in spiked else update)

        made.check_update = check_update
        return made

    return trainer


def fit(trainer, folder):
    with Metrics(folder, step=trainer.state.step, tensorboard=False) as metrics:
        trainer.fit(
            Outputs(
                metrics,
                Shown(),
                on_bad_update=lambda step, reason, update, indices: trainer.bad.append((step, reason, indices)),
            )
        )


def weights(trainer):
    return {name: p.detach().clone() for name, p in trainer.updater.model.named_parameters()}


def test_after_a_spike_the_run_goes_back_and_skips_its_text(make, tmp_path, caplog):
    caplog.set_level("WARNING", "mt")
    trainer, places = make(spiked={9}), []
    stop_if_requested = trainer.stop_if_requested  # the last of a step

    def watched():
        stop_if_requested()
        places.append((trainer.state.step, trainer.stream.state_dict()))
        if trainer.state.step == 9:
            saved = trainer.checkpoints.folder / "step-00000006/model.safetensors"
            from mt.checkpoint import read_tensors

            assert all(torch.equal(read_tensors(saved)[name], p) for name, p in weights(trainer).items())

    trainer.stop_if_requested = watched
    fit(trainer, tmp_path / "run")
    assert "step 9: back to the weights of step 6, going on with the next text." in caplog.messages
    assert (trainer.state.step, trainer.state.went_back) == (20, 1)
    plain = make(folder="plain")
    fit(plain, tmp_path / "plain_run")
    assert plain.stream.state_dict() == trainer.stream.state_dict()  # the same text was passed
    [(bad_step, reason, indices)] = trainer.bad
    assert bad_step == 9 and reason.startswith("the loss 1000000.000 is more than 20 deviations above the 8 ")
    assert len(indices) == len(set(indices)) > 1


@pytest.mark.parametrize("stop", [3, 7, 8, 10, 13])
def test_a_run_that_goes_back_is_the_same_when_it_is_stopped(make, tmp_path, stop):
    """Also when the stop saved a checkpoint without a score between the last good one and the spike."""
    unbroken = make(spiked={9})
    fit(unbroken, tmp_path / "unbroken")
    first = make(spiked={9}, folder="broken")
    count = first._count

    def counted(update, step):
        count(update, step)
        if step == stop:
            signal.raise_signal(signal.SIGTERM)

    first._count = counted
    with pytest.raises(StoppedError):
        fit(first, tmp_path / "broken")
    second = make(spiked={9}, folder="broken")
    second.resume(second.checkpoints.latest())
    fit(second, tmp_path / "broken")
    assert all(torch.equal(p, weights(second)[name]) for name, p in weights(unbroken).items())
    assert second.state.losses == unbroken.state.losses and second.state.went_back == 1


def test_states_saved_by_the_clock_are_not_gone_back_to(make, tmp_path):
    """They leave the newest checkpoint with a score where it is, though it is not among the best."""
    plain, clocked = (make(spiked={15}, folder=name, keep=1, save_minutes=minutes)
                      for name, minutes in (("plain", None), ("clocked", 1e-9)))  # fmt: skip
    for trainer in (plain, clocked):
        trainer.validator = Scripted(2.0, 1.0)
        trainer.checkpoints = trainer.saver.checkpoints = Checkpoints(trainer.checkpoints.folder, keep=1)
        stop_if_requested = trainer.stop_if_requested

        def watched(*, trainer=trainer, stop_if_requested=stop_if_requested):
            stop_if_requested()
            if trainer.state.step == 15:
                found = trainer.checkpoints.latest()
                assert found is not None and found.step == (15 if trainer is clocked else 12)

        trainer.stop_if_requested = watched
        fit(trainer, tmp_path / trainer.checkpoints.folder.name)
        assert trainer.state.went_back == 1
    assert all(torch.equal(p, weights(clocked)[name]) for name, p in weights(plain).items())


def test_without_a_checkpoint_with_a_score_training_goes_on(make, tmp_path, caplog):
    trainer = make(spiked={5}, steps=6)
    fit(trainer, tmp_path / "run")
    assert "there is no checkpoint with a score to go back to; training goes on." in caplog.messages
    assert trainer.state.step == 6 and trainer.state.went_back == 0


def test_too_many_spikes_end_the_run(make, tmp_path, monkeypatch):
    monkeypatch.setattr(spikes, "MAX_RETURNS", 2)
    trainer = make(spiked=set(range(7, 99)), steps=50)
    with pytest.raises(MtError, match=r"^the loss has spiked more than 2 times \(the last at step 9\)\. hint: look"):
        fit(trainer, tmp_path / "run")


def test_sigusr1_saves_and_goes_on(make, tmp_path):
    trainer = make(steps=10)
    count = trainer._count

    def counted(update, step):
        count(update, step)
        if step in (3, 6):  # 6 is saved by its validation anyhow
            os.kill(os.getpid(), signal.SIGUSR1)

    trainer._count = counted
    saved = []
    real = trainer.saver._write
    trainer.saver._write = lambda state, tensors, score: (
        saved.append((state.step, score)),
        real(state, tensors, score),
    )
    before = signal.getsignal(signal.SIGUSR1)
    fit(trainer, tmp_path / "run")
    assert saved == [
        (4, None),
        (6, (1.0, 1.0, 1.0)),
        (7, None),
        (10, (1.0, 1.0, 1.0)),
    ]  # received in `log`, after the processes have agreed
    assert signal.getsignal(signal.SIGUSR1) is before
    other = make(steps=10, folder="other")
    fit(other, tmp_path / "other")
    assert all(torch.equal(p, weights(trainer)[name]) for name, p in weights(other).items())


# ---------------------------------------------------------------- the dump

UPDATE = Update(math.nan, math.nan, math.inf, 5, 5, True)


def test_a_bad_batch_is_written_with_its_lines(tmp_path, caplog):
    pairs = number_pairs(3)
    dump_batch(tmp_path / "bad", 12, "the gradient is not finite", UPDATE, pairs)
    dump = json.loads((tmp_path / "bad/step-00000012.json").read_text())
    assert (dump["step"], dump["reason"], dump["loss"], dump["grad_norm"]) == (
        12,
        "the gradient is not finite",
        "nan",
        "inf",
    )
    assert dump["pairs"][2] == {"file": "numbers.tsv", "line": 3, "src": pairs[2].src, "tgt": pairs[2].tgt}
    wanted = f"{dump['reason']}; its text is in {tmp_path}/bad/step-00000012.json: numbers.tsv lines 1, 2, 3."
    assert f"step 12: {wanted}" in caplog.messages


def test_lines_are_named_by_file_and_not_without_end():
    assert lines_of(number_pairs(1)) == "numbers.tsv line 1"
    assert lines_of(number_pairs(50)) == "numbers.tsv lines 1, 2, 3, 4, 5, 6, 7, 8 and 42 more"


def test_a_dump_that_cannot_be_written_causes_a_warning(tmp_path, caplog):
    (tmp_path / "bad").write_text("in the way")
    dump_batch(tmp_path / "bad", 12, "odd", UPDATE, number_pairs(1))
    [said] = caplog.messages
    assert said.startswith("step 12: odd; its text: numbers.tsv line 1. `")
    assert "bad/step-00000012.json` cannot be written: " in said


def test_a_run_that_goes_wrong_for_hours_does_not_fill_the_disk(tmp_path, caplog):
    for step in range(MAX_FILES):
        (tmp_path / f"step-{step:08d}.json").touch()
    dump_batch(tmp_path, 500, "odd", UPDATE, number_pairs(1))
    assert len(list(tmp_path.iterdir())) == MAX_FILES
    assert "step 500: odd; its text: numbers.tsv line 1." in caplog.messages
