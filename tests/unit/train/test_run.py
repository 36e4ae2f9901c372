"""Which weights are chosen, and what a run prints at its end."""

import math
from pathlib import Path

import pytest
import torch
from toy import number_corpus, number_pairs, number_tokenizer, tiny_model

from mt.checkpoint import Checkpoints
from mt.compute.distributed import Group
from mt.config import TrainConfig, Watch
from mt.data.corpus.catalog import Corpus
from mt.data.prepare import PreparedData
from mt.train.run import Run, choose_weights, conclude, learnt_by_heart, text_left
from mt.train.run_folder import RunFolder
from mt.train.saving import Saver
from mt.train.state import TrainState
from mt.train.validate import Validation

# ---------------------------------------------------------------- which weights are chosen


class FakeTrainer:
    """A model, checkpoints of it with scores, and a validator that gives their mean a score."""

    def __init__(self, folder: Path, scores: list[float | None], mean: float) -> None:
        self.model, self.mean, self.validations = tiny_model(), mean, 0
        self.checkpoints = Checkpoints(folder, keep=5)
        for step, score in enumerate(scores, 1):
            self.checkpoints.save(step, model=constant(float(step)), optimizer={}, state={}, score=score)

    def validator(self, model) -> Validation:
        self.validations += 1
        return Validation(-self.mean, self.mean, self.mean, [], [], [])


def constant(value: float) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(p, value) for name, p in tiny_model().named_parameters()}


def chosen(trainer: FakeTrainer, average: int, watch: Watch = Watch.bleu) -> float:
    """The one number that all weights have."""
    trainer.train = TrainConfig(steps=1, average=average, keep=5, watch=watch)
    choose_weights(trainer)  # pyright: ignore
    values = {value for p in trainer.model.parameters() for value in p.unique().tolist()}
    assert len(values) == 1
    return values.pop()


@pytest.mark.parametrize(("mean", "wanted"), [(9.5, 3.0), (9.0, 3.0), (8.9, 4.0)])
def test_the_mean_of_the_best_is_taken_only_where_it_is_no_worse(tmp_path, mean, wanted, caplog):
    caplog.set_level("INFO", "mt")
    trainer = FakeTrainer(tmp_path, [1.0, 8.0, 2.0, 9.0], mean)  # the mean of steps 2 and 4 is 3
    assert chosen(trainer, average=2) == wanted
    assert caplog.messages[-1].endswith(f"taking the {'mean' if wanted == 3 else 'best'}")


@pytest.mark.parametrize(("mean", "wanted"), [(-2.0, 3.0), (-2.2, 4.0)])
def test_of_losses_the_lower_is_better(tmp_path, mean, wanted):
    assert chosen(FakeTrainer(tmp_path, [-9.0, -3.0, -8.0, -2.1], mean), average=2, watch=Watch.loss) == wanted


def test_without_averaging_the_best_is_taken_and_nothing_is_validated(tmp_path):
    trainer = FakeTrainer(tmp_path, [1.0, 8.0, 2.0], 99.0)
    assert (chosen(trainer, average=1), trainer.validations) == (2.0, 0)


def test_a_checkpoint_without_a_score_has_no_part_in_the_mean(tmp_path):
    trainer = FakeTrainer(tmp_path, [4.0, None, None], 99.0)
    assert (chosen(trainer, average=3), trainer.validations) == (1.0, 0)


def test_the_ema_is_chosen_if_there_is_one(tmp_path):
    trainer = FakeTrainer(tmp_path, [], 0.0)
    trainer.checkpoints.save(1, model=constant(1.0), ema=constant(5.0), optimizer={}, state={}, score=1.0)
    assert chosen(trainer, average=1) == 5.0


# ---------------------------------------------------------------- resuming


def test_a_resumed_run_completes_the_save_of_a_killed_one(tmp_path):
    folder = RunFolder(tmp_path)
    trainer = FakeTrainer(folder.checkpoints, [5.0, 1.0, 2.0, 3.0, 9.0], 0.0)  # none was removed
    trainer.checkpoints = Checkpoints(folder.checkpoints, keep=1)
    for pointer in ("latest", "best"):
        (folder.checkpoints / pointer).write_text("step-00000001\n")
    trainer.group, trainer.saver = Group(), Saver(trainer.checkpoints, None, None, minutes=None)  # pyright: ignore
    last = Run(trainer, None, None, folder, {}).last_checkpoint()  # pyright: ignore
    assert last is not None and last.step == 5
    assert sorted(path.name for path in folder.checkpoints.iterdir()) == [
        "best", "latest", "step-00000004", "step-00000005"
    ]  # fmt: skip
    pointers = [(folder.checkpoints / pointer).read_text() for pointer in ("latest", "best")]
    assert pointers == ["step-00000005\n"] * 2


# ---------------------------------------------------------------- the end


def test_a_slow_machine_is_told_how_long_all_of_the_text_takes():
    said = text_left(0.43, 8.1)
    assert said is not None and "has not read all of its training text; " in said
    assert "needs about `train.minutes=19`. The same command with that limit goes on" in said
    assert text_left(0.0, 8.1) is text_left(1.0, 8.1) is text_left(2.5, 8.1) is None


def test_a_run_whose_loss_on_dev_rose_is_told_what_may_help():
    said = learnt_by_heart(2.804, 3.018, 19.4)
    assert said is not None and said.startswith("The loss on dev rose from 2.80 to 3.02: the model learns its text by")
    assert "read 19 times" in said and "(`loss.consistency=2`), in a run with another `run.name`." in said
    assert (
        learnt_by_heart(2.804, 2.9, 19.4) is learnt_by_heart(None, 3.0, 2.0) is learnt_by_heart(2.0, None, 2.0) is None
    )
    assert learnt_by_heart(2.804, math.nan, 19.4) is learnt_by_heart(0.001, 0.04, 19.4) is None


@pytest.mark.parametrize(
    ("sources", "command"),
    [
        (["one " * 30, "one", "It's one of $HOME's `five`."], "echo 'It'\"'\"'s one of $HOME'\"'\"'s `five`.'"),
        (["It's one of $HOME's `five`.", "and one of the others here"], "echo 'and one of the others here'"),
        (["one"], "echo 'Some text.'"),
    ],
)
def test_the_next_command_uses_a_short_and_plain_sentence_of_dev(tmp_path, capsys, sources, command):
    dev = [pair.__class__(text, "x", pair.origin) for text, pair in zip(sources, number_pairs(4), strict=False)]
    corpus = Corpus("en", "de", [], dev, [], name="x", licence="")
    prepared = PreparedData(corpus, {}, number_tokenizer(), number_corpus(2), number_corpus(2))
    conclude(prepared, TrainState(step=7, seconds=90, finished="so"), RunFolder(tmp_path / "run"), None)
    said = capsys.readouterr().out
    assert "Trained 7 updates in 1.5 minutes (so)." in said
    run = tmp_path / "run"
    assert said.endswith(f"{command} | mt translate {run}\n  mt evaluate {run} --test SOURCE TARGET\n")
