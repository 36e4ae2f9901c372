"""The training loop: update, look, save, go on. Everything it knows is in its state, and the state is on disk.

Of several processes each runs this loop; they come to every update, validation and save together. The first one's
clock counts, and it alone looks and writes.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import FrameType

from mt.batching import Batch, BatchStream, mix
from mt.checkpoint import Checkpoint, Checkpoints
from mt.config import BatchConfig, ScheduleConfig, TrainConfig
from mt.errors import MtError, StoppedError, counted
from mt.log import Metrics, Progress, Status, logger
from mt.nn.transformer import Transformer
from mt.schedules import rate
from mt.train.saving import Saver
from mt.train.sharding import gathered
from mt.train.signals import heard
from mt.train.spikes import find_spike, go_back
from mt.train.state import TrainState
from mt.train.update import Unread, Update, Updater
from mt.train.validate import Validation, Validator, running_mean, set_weights
from mt.train.window import Window

MAX_SKIPPED_IN_A_ROW = 20
OnBadUpdate = Callable[[int, str, Update, Sequence[int]], None]  # step, what is wrong, the update, its pairs


@dataclass(frozen=True)
class Begun:
    """An update that is not read yet, and what is told of it."""

    unread: Unread
    step: int
    epoch: float
    lr: float
    indices: tuple[int, ...]  # of its pairs, on all processes


class Trainer:
    """One run. `fit` trains until a limit is reached; `resume` goes on from a checkpoint."""

    def __init__(
        self,
        *,
        updater: Updater,
        stream: BatchStream,
        validator: Validator,
        checkpoints: Checkpoints,
        files: dict[str, bytes],
        train: TrainConfig,
        batch: BatchConfig,
        schedule: ScheduleConfig,
        model: Transformer | None = None,
    ) -> None:
        """Args: files: what makes a checkpoint usable by itself (tokenizer, config), by name; model: a whole one to
        validate with and to hand on, where the updater's is sharded; None: the updater's."""
        self.updater = updater
        self.group = updater.group
        self.model = model or updater.model
        self.stream = stream
        self.validator = validator
        self.checkpoints = checkpoints
        self.saver = Saver(checkpoints, updater, stream, files=files, minutes=train.save_minutes)
        self.train = train
        self.batch = batch
        self.schedule = schedule
        self.peak_rate = updater.optimizer.param_groups[0]["lr"]
        self.state = TrainState()
        self.window = Window(deque(maxlen=50))
        self.begun: deque[Begun] = deque()
        # The host is an update ahead of an accelerator, which so never waits for it.
        self.ahead = 0 if updater.device.type == "cpu" else 1
        self.signal: int | None = None
        self.answered = False  # a message said that the signal was heard
        self.told_to_stop = False  # one of several processes got a signal, and all know
        self.save_asked = self.told_to_save = False  # by SIGUSR1
        self.spiked = False
        self.on_validation: Callable[[Validation, TrainState], None] = lambda validation, state: None
        self.on_bad_update: OnBadUpdate = lambda step, reason, update, indices: None

    # ---- where the run stands -------------------------------------------------------------------------------

    def shares(self) -> dict[str, float]:
        """The share of each limit that is behind us, by the limit in words."""
        limits = {
            "steps": (self.state.step, self.train.steps),
            "epochs": (self.stream.epoch, self.train.epochs),
            "minutes": (self.state.seconds / 60, self.train.minutes),
        }
        return {f"{limit:,.10g} {name}": now / limit for name, (now, limit) in limits.items() if limit is not None}

    def done(self) -> float:
        """The share of the run behind us: of the first limit to be reached."""
        return max(self.shares().values(), default=0.0)

    def why_finished(self) -> str | None:
        patience = self.train.patience
        if patience is not None and self.state.stale >= patience:
            return f"no better {self.train.watch.value} in {counted(patience, 'validation')}"
        return next((f"the limit of {limit} was reached" for limit, share in self.shares().items() if share >= 1), None)

    def status(self) -> Status:
        loss, src_rate, tgt_rate = self.window.rates()
        done, state = self.done(), self.state
        rows = [u.tgt_tokens for u, _ in self.window.updates]
        budget = self.batch.budget * self.batch.accumulate
        best = None
        if state.best_score is not None:
            best = f"{self.train.watch.value} {abs(state.best_score):.2f} @ {state.best_step:,}"
        return Status(
            step=state.step,
            processes=self.group.world,
            total_steps=self.train.steps,
            epoch=self.stream.epoch,
            loss=loss,
            lr=self.learning_rate(),
            src_tokens_per_s=src_rate,
            tgt_tokens_per_s=tgt_rate,
            packing=sum(rows) / (budget * len(rows)) if rows else 0.0,
            best=best,
            patience_left=self.train.patience - state.stale if self.train.patience is not None else None,
            eta_s=state.seconds * (1 - done) / done if 0 < done <= 1 and self.window.updates else None,
            skipped=state.skipped,
        )

    def learning_rate(self) -> float:
        """Of the next update."""
        return self.peak_rate * rate(self.schedule, self.state.step + 1, self.done())

    # ---- the loop -------------------------------------------------------------------------------------------

    def fit(self, metrics: Metrics | None, progress: Progress | None) -> None:
        """Train until a limit is reached. Only the first of several processes has something to write to.

        Raises: StoppedError: on SIGTERM or SIGINT, after saving; MtError: when too many updates in a row fail.
        """
        with heard(stop=self._on_signal, save=lambda *_: setattr(self, "save_asked", True)), closing(self.stream):
            while self.state.finished is None:
                self._one_step(metrics, progress)

    def _one_step(self, metrics: Metrics | None, progress: Progress | None) -> None:
        started = time.perf_counter()
        lr = self.learning_rate()
        self.state.step += 1
        batches, seeds, indices = self._deal()
        unread = self.updater(batches, lr, seeds=seeds)
        self.begun.append(Begun(unread, self.state.step, self.stream.epoch, lr, indices))
        read = self._read(ahead=self.ahead)
        seconds = time.perf_counter() - started
        self.state.seconds += seconds
        self._agree()
        self._answer()
        self._tell(read, seconds, metrics, progress)
        ended = self.why_finished()
        due = bool(ended) or self.state.step % self.train.validate_every == 0
        save = self.told_to_save or self.saver.due(self.state)
        if due or self.stopping or save or self.spiked:
            self._tell(self._read(ahead=0), 0.0, metrics, progress)
        if self.spiked:
            self.spiked = False
            go_back(self.updater, self.checkpoints, self.state)
        if due:
            self._validate(metrics, ended)
            if progress is not None:  # the best may be another now
                progress.update(self.status())
        elif save and not self.stopping:
            self._keep(metrics)
        if self.stopping:
            self._answer()
            if metrics is not None:
                metrics.sync()
            self.saver.save(self.state)
            name = signal.Signals(self.signal).name if self.signal is not None else "a signal to another process"
            raise StoppedError(f"stopped by {name} at step {self.state.step:,}, saved; the same command goes on.")

    def _deal(self) -> tuple[list[Batch], list[int], tuple[int, ...]]:
        """This process's batches of the next update, with their seeds, and the indices of all processes' pairs."""
        mine, indices = [], list[int]()
        for place in range(self.batch.accumulate):
            indices += self.stream.indices()
            if self.group.owns(place):
                mine.append((next(self.stream), mix(self.train.seed, self.state.step, place)))
            else:
                self.stream.skip(1)  # every process is at the same place in the data
        batches, seeds = zip(*mine, strict=True)
        return list(batches), list(seeds), tuple(indices)

    def _agree(self) -> None:
        """The first process's clock, and everyone's signals, are known to all."""
        self.told_to_save, self.save_asked = self.save_asked, False
        if self.group.world > 1:
            seconds, signals, saves = self.group.add_up(
                self.state.seconds if self.group.is_main else 0.0, self.signal is not None, self.told_to_save
            )
            self.state.seconds, self.told_to_stop, self.told_to_save = seconds, signals > 0, saves > 0

    @property
    def stopping(self) -> bool:
        """Whether this update is the last of this attempt: alone at once, in a group when all know."""
        return self.told_to_stop if self.group.world > 1 else self.signal is not None

    def _read(self, *, ahead: int) -> list[tuple[Begun, Update]]:
        """The updates that are done, all but the last `ahead`."""
        due = [self.begun.popleft() for _ in range(len(self.begun) - ahead)]
        return [(begun, begun.unread.read()) for begun in due]

    def _tell(
        self,
        read: list[tuple[Begun, Update]],
        seconds: float,
        metrics: Metrics | None,
        progress: Progress | None,
    ) -> None:
        """Count the updates and show them. Args: seconds: that the last update took."""
        for begun, update in read:
            self._judge(begun, update)
            self._count(update, begun.step)
            self.window.add(update, seconds)
            status = self.status()
            if progress is not None:
                progress.update(status)
            if metrics is not None and begun.step % self.train.log_every == 0:
                metrics.write(
                    "train", begun.step, epoch=begun.epoch, loss=update.loss, nll=update.nll, lr=begun.lr,
                    grad_norm=update.grad_norm, src_tokens_per_s=status.src_tokens_per_s,
                    tgt_tokens_per_s=status.tgt_tokens_per_s,
                    packing=update.tgt_tokens / (self.batch.budget * self.batch.accumulate), **update.more(),
                )  # fmt: skip

    def _judge(self, begun: Begun, update: Update) -> None:
        """Name the lines of an update whose numbers are not to be trusted."""
        reason = "the gradient is not finite"
        if not update.skipped:
            reason = find_spike(self.state, update.loss, self.train.spike_sigmas)
            self.spiked |= reason is not None
        if reason is not None:
            self.on_bad_update(begun.step, reason, update, begun.indices)

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
                f"{step:,}); begin a new run (run.name=...) with a lower `optim.lr`, or `train.precision=fp32`."
            )

    def _validate(self, metrics: Metrics | None, ended: str | None) -> None:
        self._put_together()
        score, seconds = self.group.from_main(lambda: self._look(metrics))
        self.state.seconds += seconds
        self.state.record(score)
        self.state.finished = ended or self.why_finished()
        self._keep(metrics, score=score)

    def _keep(self, metrics: Metrics | None, *, score: float | None = None) -> None:
        if metrics is not None:
            metrics.sync()
        self.saver.keep(self.state, score=score)

    def _look(self, metrics: Metrics | None) -> tuple[float, float]:
        """Validate and tell of it; returns the score and the seconds that it took."""
        started = time.perf_counter()
        with running_mean(self.model, None if self.updater.sharded else self.updater.ema):
            validation = self.validator(self.model)
        seconds = time.perf_counter() - started
        score = validation.score(self.train.watch)
        if metrics is not None:
            metrics.write(
                "dev", self.state.step, loss=validation.loss, bleu=validation.bleu, chrf=validation.chrf,
                seconds=seconds, **validation.more(),
            )  # fmt: skip
        logger.info(
            f"step {self.state.step:,}: dev loss {validation.loss:.3f}, BLEU {validation.bleu:.2f}, "
            f"chrF++ {validation.chrf:.2f}{', the best so far' if self.state.is_best(score) else ''}  ({seconds:.0f} s)"
        )
        self.on_validation(validation, self.state)
        return score, seconds

    def _put_together(self) -> None:
        """Bring the whole model of a sharded run up to date: the running mean, where one is kept."""
        if self.updater.sharded:
            pieces = self.updater.ema.means if self.updater.ema else dict(self.updater.model.named_parameters())
            weights = gathered(pieces, keep=self.group.is_main)
            if self.group.is_main:
                set_weights(self.model, weights)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Of several processes one may get a signal twice, from the cluster and from torchrun, which can also end it.
        if self.signal is not None and self.group.world == 1:
            raise KeyboardInterrupt
        self.signal = number

    def _answer(self) -> None:
        """Say that a signal was heard: not in its handler, which may come while another message is being written."""
        if self.signal is not None and not self.answered:
            self.answered = True
            logger.info(f"{signal.Signals(self.signal).name}: saving after this update; once more ends at once.")

    # ---- on disk --------------------------------------------------------------------------------------------

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on as if the run had never stopped; one that had ended may have been given higher limits since."""
        self.state = self.saver.load(checkpoint)
        self.state.finished = self.why_finished()
