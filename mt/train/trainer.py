"""The training loop: update, log, validate, save.

Its whole state is in every checkpoint, so that a resumed run continues exactly. With several processes, all run this
loop in step; only the main process validates and writes, and its clock is the one that time limits use.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch

from mt.checkpoint import Checkpoint, Checkpoints
from mt.config import BatchConfig, ScheduleConfig, TrainConfig, Watch
from mt.data.batching import Batch, BatchStream, mix
from mt.errors import MtError, StoppedError, counted
from mt.log import Metrics
from mt.nn.transformer import Transformer
from mt.progress import Progress, Status
from mt.train.acceleration.sharding import gathered
from mt.train.neighbours import Neighbours
from mt.train.saving import Saver, sources_may_vanish
from mt.train.schedules import rate
from mt.train.signals import Requests
from mt.train.spikes import find_spike, go_back
from mt.train.state import TrainState, decisive
from mt.train.step import PendingUpdate, Update, Updater
from mt.train.validate import Judgement, Validation, Validator, ema_weights, set_weights
from mt.train.window import Window

logger = logging.getLogger("mt")
MAX_SKIPPED_IN_A_ROW = 20
OnBadUpdate = Callable[[int, str, Update, Sequence[int]], None]  # step, what is wrong, the update, indices of its pairs


@dataclass(frozen=True)
class PendingStep:
    """A step whose update may still be running on the device, and what its log line needs."""

    update: PendingUpdate
    step: int
    epoch: float
    lr: float
    indices: tuple[int, ...]  # of its pairs, on all processes


@dataclass(frozen=True)
class Outputs:
    """Where the numbers of a run go. The defaults discard them; only the main process has others."""

    metrics: Metrics | None = None
    progress: Progress | None = None
    on_validation: Callable[[Validation, TrainState], None] = lambda validation, state: None
    on_bad_update: OnBadUpdate = lambda step, reason, update, indices: None


class Trainer:
    """One run. `resume` restores a checkpoint; `fit` trains until a limit is reached."""

    def __init__(
        self,
        *,
        updater: Updater,
        stream: BatchStream,
        validator: Validator,
        checkpoints: Checkpoints,
        train: TrainConfig,
        batch: BatchConfig,
        schedule: ScheduleConfig,
        model: Transformer | None = None,
    ) -> None:
        """Args: model: the whole model, where the updater's is sharded; None: the updater's."""
        self.updater = updater
        self.group = updater.group
        self.model = model or updater.model
        self.stream = stream
        self.validator = validator
        self.checkpoints = checkpoints
        self.saver = Saver(checkpoints, updater, stream, minutes=train.save_minutes)
        self.train = train
        self.batch = batch
        self.schedule = schedule
        self.peak_rate = updater.optimizer.param_groups[0]["lr"]
        self.state = TrainState(watched=train.watch.value)
        self.window = Window(size=50)
        self.requests = Requests(self.group)
        self.pending: deque[PendingStep] = deque()
        self.neighbours = Neighbours(torch.get_num_threads())
        self.outputs = Outputs()
        # The host is one update ahead of an accelerator, so it never waits for the device.
        self.ahead = 0 if updater.device.type == "cpu" else 1
        self.spiked = False
        self.unvalidated = False  # the run resumes from weights that are its last and were saved between validations

    # ---- the loop -------------------------------------------------------------------------------------------

    def fit(self, outputs: Outputs | None = None, *, validate_first: bool = False) -> None:
        """Train until a limit is reached.

        Args: outputs: where metrics and progress go; None discards them; validate_first: validate before the first
        update, so that the initial weights are the result of a run that finds no better ones.
        Raises: StoppedError: on a signal to stop, after saving; MtError: when too many updates in a row fail.
        """
        self.outputs = outputs or Outputs()
        with self.requests.handled(), closing(self.stream), sources_may_vanish():
            if self.unvalidated or (validate_first and self.state.step == 0 and self.state.best_score is None):
                self.validate()
                self.stop_if_requested()
            while self.state.finished is None:
                completed, seconds = self.train_step()
                self.log(completed, seconds)
                if self.spiked:
                    self.finish_pending()
                self.validate_if_due()
                self.save_if_due()
                self.stop_if_requested()

    def train_step(self) -> tuple[list[tuple[PendingStep, Update]], float]:
        """Launch one update. Returns the steps that are completed, and the seconds that this call took."""
        started = time.perf_counter()
        lr = self.learning_rate()
        self.state.step += 1
        batches, seeds, indices = self._next_batches()
        update = self.updater(batches, lr, seeds=seeds)
        self.pending.append(PendingStep(update, self.state.step, self.stream.epoch, lr, indices))
        completed = self._completed(ahead=self.ahead)
        seconds = time.perf_counter() - started
        self.neighbours.add(seconds)
        # One exchange per update carries both the signals and the clock of the main process.
        self.state.seconds = self.requests.agree(self.state.seconds + seconds)
        return completed, seconds

    def log(self, completed: list[tuple[PendingStep, Update]], seconds: float) -> None:
        """Check, count and show completed steps. Args: seconds: to count for these steps."""
        for step, update in completed:
            self.check_update(step, update)
            self._count(update, step.step)
            self.window.add(update, seconds)
            status = self._show_status()
            if self.outputs.metrics is not None and step.step % self.train.log_every == 0:
                self.outputs.metrics.write(
                    "train", step.step, epoch=step.epoch, loss=update.loss, nll=update.nll, lr=step.lr,
                    grad_norm=update.grad_norm, src_tokens_per_s=status.src_tokens_per_s,
                    tgt_tokens_per_s=status.tgt_tokens_per_s,
                    packing=update.larger_side / (self.batch.budget * self.batch.accumulate), **update.extra,
                )  # fmt: skip

    def check_update(self, step: PendingStep, update: Update) -> None:
        """Report the pairs of an update with a loss spike, or with a gradient that is not finite."""
        if update.skipped:
            reason = "the gradient is not finite"
        else:
            reason = find_spike(self.state, update.loss, self.train.spike_sigmas)
            self.spiked |= reason is not None
        if reason is not None:
            self.outputs.on_bad_update(step.step, reason, update, step.indices)

    def finish_pending(self) -> None:
        """Wait for all updates; after a loss spike, go back to the last weights with a score."""
        self.log(self._completed(ahead=0), 0.0)
        if self.spiked:
            self.spiked = False
            go_back(self.updater, self.checkpoints, self.state)

    def validate_if_due(self) -> None:
        """Validate and save every `validate_every` steps, and at the end of the run."""
        ended = self.why_finished()
        if ended is not None or self.state.step % self.train.interval == 0:
            self.validate(ended)

    def validate(self, ended: str | None = None) -> None:
        """Validate and save. Args: ended: why the run is over; None: it is not, unless this validation ends it."""
        self.finish_pending()
        self._gather_weights()
        found: Judgement = self.group.from_main(self._validate)
        self.state.seconds += found["seconds"]
        self.state.record(*found["rank"], tells=found["tells"], loss=found["loss"])
        self.state.finished = ended or self.why_finished()
        self._sync_metrics()
        self.saver.save_and_prune(self.state, score=tuple(found["rank"]))
        self.requests.save = False
        if self.window.updates:
            self._show_status()  # the best score may have changed

    def save_if_due(self) -> None:
        """Save by the clock, or on a signal; before a stop, `stop_if_requested` saves."""
        if (self.requests.save or self.saver.due(self.state)) and not self.requests.stop:
            self.finish_pending()
            self._sync_metrics()
            self.saver.save_and_prune(self.state)

    def stop_if_requested(self) -> None:
        """Raises: StoppedError: on a signal to stop, after saving."""
        if self.requests.stop:
            self.finish_pending()
            self.requests.acknowledge()
            self._sync_metrics()
            self.saver.save(self.state)
            raise StoppedError(
                f"stopped by {self.requests.stop_reason} at step {self.state.step:,}; its state is saved.",
                hint="the same command continues it.",
            )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Restore a checkpoint; the run goes on as if it had never stopped. Its limits may differ from those before."""
        self.state = self.saver.load(checkpoint)
        self.state.watched = self.state.watched or self.train.watch.value  # older versions did not keep it
        validated = checkpoint.score is not None or self.state.finished is not None
        self.state.finished = self.why_finished()
        self.unvalidated = self.state.finished is not None and not validated

    # ---- progress -------------------------------------------------------------------------------------------

    def fractions(self) -> dict[str, float]:
        """How much of each limit is used, by the limit in words."""
        limits = {
            "step": (self.state.step, self.train.steps),
            "epoch": (self.stream.epoch, self.train.most_epochs),
            "minute": (self.state.seconds / 60, self.train.minutes),
        }
        return {counted(limit, name): now / limit for name, (now, limit) in limits.items() if limit is not None}

    def done(self) -> float:
        """The fraction of the run that is over: of the limit that will be reached first."""
        return max(self.fractions().values(), default=0.0)

    def why_finished(self) -> str | None:
        """Which limit was reached, in words; None: none."""
        patience = self.train.patience
        if patience is not None and self.state.stale >= patience:
            return f"no better {self.train.watch.value} in {counted(patience, 'validation')}"
        reached = (limit for limit, used in self.fractions().items() if used >= 1)
        return next((f"the limit of {limit} was reached" for limit in reached), None)

    @property
    def out_of_time(self) -> bool:
        """Whether `train.minutes` are over."""
        return self.train.minutes is not None and self.state.seconds >= 60 * self.train.minutes

    def learning_rate(self) -> float:
        """The learning rate of the next update."""
        return self.peak_rate * rate(self.schedule, self.state.step + 1, self.done())

    def status(self) -> Status:
        """For the progress line."""
        loss, src_rate, tgt_rate, tokens = self.window.means()
        done, state = self.done(), self.state
        best = None
        if state.best_score is not None:
            name, score = decisive(self.train.watch, state.best_score, *state.best_ties)
            best = f"{name} {score:.2f} @ {state.best_step:,}"
        return Status(
            step=state.step,
            processes=self.group.world,
            total_steps=self.train.steps,
            epoch=self.stream.epoch,
            loss=loss,
            lr=self.learning_rate(),
            src_tokens_per_s=src_rate,
            tgt_tokens_per_s=tgt_rate,
            packing=tokens / (self.batch.budget * self.batch.accumulate),
            best=best,
            patience_left=self.train.patience - state.stale if self.train.patience is not None else None,
            eta_s=state.seconds * (1 - done) / done if 0 < done <= 1 and self.window.updates else None,
            skipped=state.skipped,
            done=done if self.fractions() else None,
        )

    def _show_status(self) -> Status:
        status = self.status()
        if self.outputs.progress is not None:
            self.outputs.progress.update(status)
        return status

    # ---- parts of the loop ----------------------------------------------------------------------------------

    def _next_batches(self) -> tuple[list[Batch], list[int], tuple[int, ...]]:
        """This process's batches of the next update, their seeds, and the indices of the pairs of all processes."""
        batches, seeds, indices = list[Batch](), list[int](), list[int]()
        for place in range(self.batch.accumulate):
            indices += self.stream.indices()
            if self.group.owns(place):
                batches.append(next(self.stream))
                seeds.append(mix(self.train.seed, self.state.step, place))
            else:
                self.stream.skip(1)  # every process stays at the same place in the data
        return batches, seeds, tuple(indices)

    def _completed(self, *, ahead: int) -> list[tuple[PendingStep, Update]]:
        """Wait for all pending steps but the last `ahead`; returns them with their numbers."""
        steps = [self.pending.popleft() for _ in range(len(self.pending) - ahead)]
        return [(step, step.update.read()) for step in steps]

    def _count(self, update: Update, step: int) -> None:
        state = self.state
        state.src_tokens += update.src_tokens
        state.tgt_tokens += update.tgt_tokens
        state.skipped += update.skipped
        state.skipped_in_a_row = state.skipped_in_a_row + 1 if update.skipped else 0
        if update.skipped:
            logger.warning(f"step {step:,}: the gradient is not finite; this update is skipped.")
        if state.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise MtError(
                f"{MAX_SKIPPED_IN_A_ROW} updates in a row had gradients that are not finite (the last at step "
                f"{step:,}).",
                hint="begin a new run (`run.name=...`) with a lower `optim.lr`, or `train.precision=fp32`.",
            )

    def _validate(self) -> Judgement:
        started = time.perf_counter()
        with ema_weights(self.model, None if self.updater.sharded else self.updater.ema):
            validation = self.validator(self.model)
        seconds = time.perf_counter() - started
        rank = validation.rank(self.train.watch)
        if self.outputs.metrics is not None:
            self.outputs.metrics.write(
                "dev", self.state.step, loss=validation.loss, bits_per_char=validation.bits_per_char,
                bleu=validation.bleu, chrf=validation.chrf, seconds=seconds, **validation.extra(),
            )  # fmt: skip
        found = [f", {watch} {value:.2f}" for watch, value in validation.other.items()]
        found += [", the best so far"] if self.state.is_best(*rank) else []
        logger.info(
            f"step {self.state.step:,}: dev loss {validation.loss:.3f}, BLEU {validation.bleu:.2f}, "
            f"chrF++ {validation.chrf:.2f}{''.join(found)}  ({seconds:.0f} s)"
        )
        first = self.state.lowest_loss is None  # the others need not repeat it
        if first and self.train.watch is Watch.bleu and not validation.bleu_tells:
            logger.info("BLEU cannot tell yet, because no four words in a row are right: chrF++ decides which is best")
        self.outputs.on_validation(validation, self.state)
        return Judgement(rank=rank, tells=validation.bleu_tells, loss=validation.loss, seconds=seconds)

    def _sync_metrics(self) -> None:
        """Flush the metrics to the disk, before a save: a resumed run does not write earlier lines again."""
        if self.outputs.metrics is not None:
            self.outputs.metrics.sync()

    def _gather_weights(self) -> None:
        """Copy the weights of a sharded model, or their EMA, into the whole model."""
        if self.updater.sharded:
            shards = self.updater.ema.means if self.updater.ema else dict(self.updater.model.named_parameters())
            weights = gathered(shards, keep=self.group.is_main)
            if self.group.is_main:
                set_weights(self.model, weights)
