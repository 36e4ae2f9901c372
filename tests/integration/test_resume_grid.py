"""A run stopped at critical points and resumed is bit for bit the unbroken run."""

import multiprocessing
import signal

import pytest
import torch
from toy import number_pairs, number_tokenizer, tiny_model, updater_of

from mt.checkpoint import Checkpoints
from mt.config import BatchConfig, ScheduleConfig, ScheduleKind, TrainConfig
from mt.data.batching import BatchStream, TokenizedCorpus, Variation
from mt.errors import StoppedError
from mt.log import Metrics, read_metrics
from mt.text.tokenizer import Tokenizer
from mt.train.optim import Ema, optimizer_tensors
from mt.train.trainer import Outputs, Trainer
from mt.train.validate import Validation

EVERY = 4  # updates between validations
SCORES = [3.0, 5.0, 4.0, 4.5, 1.0, 2.0]  # the second is the best: patience counts from the third on
PATIENCE = 3


class Scripted:
    """A validator whose scores depend on the step alone."""

    trainer: Trainer

    def __call__(self, model) -> Validation:
        score = SCORES[min(-(-self.trainer.state.step // EVERY), len(SCORES)) - 1]
        return Validation(-score, score, score, ["one"], ["eins"], ["zwei"])


class Killed(BaseException):
    """An exception that the trainer does not catch, so that nothing is saved."""


class Silent:
    def update(self, status) -> None:
        pass


def make(folder, *, accumulate: int, workers: int = 0, save_minutes: float | None = None) -> Trainer:
    """A run with dropout, subword sampling, an EMA, several batches an update, several epochs."""
    files = number_tokenizer().files()
    corpus = TokenizedCorpus(number_pairs(30), Tokenizer.from_files(files, sampling=0.3))
    model = tiny_model(dropout=0.1)
    batch = BatchConfig(tokens=32 if accumulate > 1 else 64, max_length=32, accumulate=accumulate, pool=8)
    validator = Scripted()
    trainer = Trainer(
        updater=updater_of(model, ema=Ema(model, 0.5), clip_norm=1.0),
        stream=BatchStream(corpus, batch, seed=1, variation=Variation(sampling=True), workers=workers),
        validator=validator,  # pyright: ignore[reportArgumentType]
        checkpoints=Checkpoints(folder / "checkpoints", 2),
        train=TrainConfig(
            steps=40, patience=PATIENCE, validate_every=EVERY, log_every=1, keep=2, save_minutes=save_minutes
        ),
        batch=batch,
        schedule=ScheduleConfig(name=ScheduleKind.cosine, warmup_steps=3),
    )
    validator.trainer = trainer
    return trainer


def fit(trainer: Trainer, folder, **outputs) -> None:
    with Metrics(folder, step=trainer.state.step, tensorboard=False) as metrics:
        trainer.fit(Outputs(metrics, Silent(), **outputs))  # pyright: ignore[reportArgumentType]


def everything(trainer: Trainer, folder) -> tuple[dict[str, torch.Tensor], object]:
    updater = trainer.updater
    assert updater.ema is not None
    tensors = {name: p.detach() for name, p in updater.model.named_parameters()}
    tensors |= optimizer_tensors(updater.model, updater.optimizer)
    tensors |= {f"mean of {name}": mean for name, mean in updater.ema.means.items()}
    clocks = {"seconds", "src_tokens_per_s", "tgt_tokens_per_s"}
    lines = [{k: v for k, v in line.items() if k not in clocks} for line in read_metrics(folder / "metrics.jsonl")]
    state = {name: value for name, value in trainer.state.to_dict().items() if name != "seconds"}
    kept = sorted((p.name, p.read_text()) for p in (folder / "checkpoints").iterdir() if p.is_file())
    return tensors, (lines, state, trainer.stream.state_dict(), kept)


@pytest.fixture(scope="module", params=[1, 3], ids=lambda n: f"accumulate {n}")
def unbroken(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    torch.manual_seed(0)
    trainer = make(folder, accumulate=request.param)
    fit(trainer, folder)
    lines = [line for line in read_metrics(folder / "metrics.jsonl") if line["kind"] == "train"]
    return request.param, everything(trainer, folder), [line["epoch"] for line in lines]


def place(where: str, epochs: list[float]) -> int:
    """The update after which to stop; `epochs[n - 1]` are the epochs that update n ended at."""
    first_epoch = next(n for n, epoch in enumerate(epochs, 1) if epoch >= 1)
    return {
        "first update": 1,
        "middle of an epoch": max(first_epoch // 2, 2),
        "last batch of an epoch": first_epoch,
        "first batch of the next": first_epoch + 1,
        "right after a validation": EVERY + 1,
        "with a validation": 2 * EVERY,
        "while patience counts": 4 * EVERY + 1,
        "last but one": len(epochs) - 1,
    }[where]


PLACES = (
    "first update", "middle of an epoch", "last batch of an epoch", "first batch of the next",
    "right after a validation", "with a validation", "while patience counts", "last but one",
)  # fmt: skip


def stopped_and_gone_on(folder, stop: int, *, accumulate: int, workers: tuple[int, int] = (0, 0), killed: bool = False):
    """The result of a run that is stopped after some updates, with numbers of workers before and after.

    One that is killed saves its state after every update, by the clock.
    """
    minutes = 1e-9 if killed else None
    first, second = (make(folder, accumulate=accumulate, workers=n, save_minutes=minutes) for n in workers)
    seen = [watch(first, stop, killed=killed), watch(second)]
    try:
        with pytest.raises(Killed) if killed else pytest.raises(StoppedError, match=f"at step {stop}; its state"):
            fit(first, folder)
        first.stream.close()
        torch.rand(99)  # random numbers advance in between
        saved = second.checkpoints.latest()
        assert saved is not None
        second.resume(saved)
        assert second.state.step == stop
        fit(second, folder)
    finally:
        first.stream.close()
        second.stream.close()
    assert [set(numbers) for numbers in seen] == [{number} for number in workers]  # the workers made the pools
    return everything(second, folder)


def watch(trainer: Trainer, stop: int | None = None, *, killed: bool = False) -> list[int]:
    """The number of workers at each coming update. Update `stop` is the last: it gets a SIGTERM, or the next one raises
    `Killed`."""
    real, seen = trainer.updater, []

    def update(*args, **more):
        seen.append(len(multiprocessing.active_children()))
        if killed and trainer.state.step - 1 == stop:
            raise Killed
        if trainer.state.step == stop and not killed:
            signal.raise_signal(signal.SIGTERM)
        return real(*args, **more)

    trainer.updater = Spy(real, update)  # pyright: ignore[reportAttributeAccessIssue]
    return seen


def assert_same(found, unbroken) -> None:
    assert found[1] == unbroken[1]
    assert found[0].keys() == unbroken[0].keys()
    assert all(torch.equal(found[0][name], tensor) for name, tensor in unbroken[0].items())


@pytest.mark.parametrize("where", PLACES)
def test_it_goes_on_as_if_it_had_not_stopped(unbroken, where, tmp_path):
    accumulate, whole, epochs = unbroken
    stop = place(where, epochs)
    assert 0 < stop < len(epochs)
    assert_same(stopped_and_gone_on(tmp_path, stop, accumulate=accumulate), whole)


@pytest.mark.parametrize("unbroken", [3], indirect=True, ids=lambda n: f"accumulate {n}")
@pytest.mark.parametrize("where", PLACES)
def test_killed_after_a_save_by_the_clock_it_goes_on_the_same(unbroken, where, tmp_path):
    accumulate, whole, epochs = unbroken
    assert_same(stopped_and_gone_on(tmp_path, place(where, epochs), accumulate=accumulate, killed=True), whole)


# A worker takes seconds to start, so only one case is in the default suite, with pools made ahead and not used.
CHANGES = [
    pytest.param(where, change, id=f"{where}, {change[0]} to {change[1]}",
                 marks=[] if (where, change) == ("middle of an epoch", (2, 0)) else pytest.mark.slow)
    for where in PLACES for change in ((0, 2), (2, 0))
]  # fmt: skip


@pytest.mark.parametrize("unbroken", [3], indirect=True, ids=lambda n: f"accumulate {n}")
@pytest.mark.parametrize(("where", "workers"), CHANGES)
def test_the_number_of_workers_may_change_across_the_stop(unbroken, where, workers, tmp_path):
    accumulate, whole, epochs = unbroken
    stop = place(where, epochs)
    assert_same(stopped_and_gone_on(tmp_path, stop, accumulate=accumulate, workers=workers), whole)


class Spy:
    """An updater with a hook around its call."""

    def __init__(self, inner, call) -> None:
        self._inner, self._call = inner, call

    def __call__(self, *args, **more):
        return self._call(*args, **more)

    def __getattr__(self, name):
        return getattr(self._inner, name)


def test_the_unbroken_run_passes_all_places(unbroken):
    _, (_, (_lines, state, _, _)), epochs = unbroken
    assert state["finished"] == f"no better bleu in {PATIENCE} validations" and state["step"] == 5 * EVERY
    assert epochs[-1] > 2
    assert len({place(where, epochs) for where in PLACES}) >= 6
    assert state["stale"] == PATIENCE and state["best_step"] == 2 * EVERY
