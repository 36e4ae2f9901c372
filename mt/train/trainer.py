"""The training loop: update, look, save, go on. Everything it knows is in its state, and the state is on disk."""

import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from mt.batching import Batch, BatchStream
from mt.checkpoint import Checkpoint, Checkpoints, load_into, random_state, set_random_state
from mt.config import BatchConfig, ScheduleConfig, TrainConfig
from mt.errors import CheckpointError, MtError, StoppedError
from mt.log import Metrics, Progress, Status, logger
from mt.optim import load_optimizer_tensors, optimizer_tensors
from mt.schedules import rate
from mt.train.state import TrainState
from mt.train.update import Update, Updater
from mt.train.validate import Validation, Validator, running_mean

MAX_SKIPPED_IN_A_ROW = 20


@dataclass
class Window:
    """Throughput and loss over the last updates, for the progress line."""

    updates: deque[tuple[Update, float]]

    def add(self, update: Update, seconds: float) -> None:
        self.updates.append((update, seconds))

    def rates(self) -> tuple[float, float, float]:
        """Mean loss per target token, source and target tokens per second."""
        good = [u for u, _ in self.updates if not u.skipped]
        seconds = sum(s for _, s in self.updates) or 1e-9
        src_tokens, tgt_tokens = sum(u.src_tokens for u in good), sum(u.tgt_tokens for u in good) or 1
        loss = sum(u.nll * u.tgt_tokens for u in good) / tgt_tokens
        return loss, src_tokens / seconds, tgt_tokens / seconds


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
    ) -> None:
        """Args: files: what makes a checkpoint usable by itself (tokenizer, config), by name."""
        self.updater = updater
        self.stream = stream
        self.validator = validator
        self.checkpoints = checkpoints
        self.files = files
        self.train = train
        self.batch = batch
        self.schedule = schedule
        self.peak_rate = updater.optimizer.param_groups[0]["lr"]
        self.state = TrainState()
        self.window = Window(deque(maxlen=50))
        self.signal: int | None = None
        self.unsaved = False  # the last save failed, and a warning said so
        self.on_validation: Callable[[Validation, TrainState], None] = lambda validation, state: None

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
            return f"no better {self.train.watch.value} in {patience} validations"
        return next((f"the limit of {limit} was reached" for limit, share in self.shares().items() if share >= 1), None)

    def status(self) -> Status:
        loss, src_rate, tgt_rate = self.window.rates()
        done, state = self.done(), self.state
        rows = [u.tgt_tokens for u, _ in self.window.updates]
        budget = self.batch.tokens * self.batch.accumulate
        best = None
        if state.best_score is not None:
            best = f"{self.train.watch.value} {abs(state.best_score):.2f} @ {state.best_step:,}"
        return Status(
            step=state.step,
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

    def fit(self, metrics: Metrics, progress: Progress) -> None:
        """Train until a limit is reached.

        Raises: StoppedError: on SIGTERM or SIGINT, after saving; MtError: when too many updates in a row fail.
        """
        handlers = {s: signal.signal(s, self._on_signal) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            while self.state.finished is None:
                self._one_step(metrics, progress)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _one_step(self, metrics: Metrics, progress: Progress) -> None:
        started = time.perf_counter()
        lr = self.learning_rate()
        batches: list[Batch] = [next(self.stream) for _ in range(self.batch.accumulate)]
        self.state.step += 1
        update = self.updater(batches, lr)
        self._count(update)
        seconds = time.perf_counter() - started
        self.state.seconds += seconds
        self.window.add(update, seconds)
        status = self.status()
        progress.update(status)
        if self.state.step % self.train.log_every == 0:
            metrics.write(
                "train", self.state.step, epoch=status.epoch, loss=update.loss, nll=update.nll, lr=lr,
                grad_norm=update.grad_norm, src_tokens_per_s=status.src_tokens_per_s,
                tgt_tokens_per_s=status.tgt_tokens_per_s,
                packing=update.tgt_tokens / (self.batch.tokens * self.batch.accumulate),
            )  # fmt: skip
        ended = self.why_finished()
        if ended or self.state.step % self.train.validate_every == 0:
            self._validate(metrics, ended)
        if self.signal is not None:
            self.save(score=None)
            name = signal.Signals(self.signal).name
            raise StoppedError(f"stopped by {name} at step {self.state.step:,}, saved; the same command goes on.")

    def _count(self, update: Update) -> None:
        state = self.state
        state.src_tokens += update.src_tokens
        state.tgt_tokens += update.tgt_tokens
        state.skipped += update.skipped
        state.skipped_in_a_row = state.skipped_in_a_row + 1 if update.skipped else 0
        if update.skipped:
            logger.warning(f"step {state.step:,}: the gradient is not finite; this update is skipped.")
        if state.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise MtError(
                f"{MAX_SKIPPED_IN_A_ROW} updates in a row had gradients that are not finite (the last at step "
                f"{state.step:,}); begin a new run (run.name=...) with a lower `optim.lr`, or `train.precision=fp32`."
            )

    def _validate(self, metrics: Metrics, ended: str | None) -> None:
        started = time.perf_counter()
        with running_mean(self.updater.model, self.updater.ema):
            validation = self.validator(self.updater.model)
        seconds = time.perf_counter() - started
        self.state.seconds += seconds
        score = validation.score(self.train.watch)
        new_best = self.state.record(score)
        metrics.write(
            "dev", self.state.step, loss=validation.loss, bleu=validation.bleu, chrf=validation.chrf, seconds=seconds
        )
        logger.info(
            f"step {self.state.step:,}: dev loss {validation.loss:.3f}, BLEU {validation.bleu:.2f}, "
            f"chrF++ {validation.chrf:.2f}{', the best so far' if new_best else ''}  ({seconds:.0f} s)"
        )
        self.on_validation(validation, self.state)
        self.state.finished = ended or self.why_finished()
        self._keep(score)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        logger.info(f"{signal.Signals(number).name}: saving after this update; once more ends at once.")

    # ---- on disk --------------------------------------------------------------------------------------------

    def _keep(self, score: float) -> None:
        """Save and make room. A disk that is full costs a checkpoint and a warning, not the run, until it ends."""
        try:
            self.save(score=score)
        except CheckpointError as error:
            if self.state.finished:
                raise
            if not self.unsaved:
                logger.warning(f"{error} Training goes on, and the next validation tries again.")
            self.unsaved = True
            return
        self.unsaved = False
        try:
            self.checkpoints.prune()
        except CheckpointError as error:
            logger.warning(f"{error} Old checkpoints stay.")

    def save(self, *, score: float | None) -> None:
        """A checkpoint of everything that the next update depends on."""
        model, ema = self.updater.model, self.updater.ema
        self.checkpoints.save(
            self.state.step,
            model={name: p.detach() for name, p in model.named_parameters()},
            optimizer=optimizer_tensors(model, self.updater.optimizer),
            ema=ema.means if ema is not None else None,
            state={
                "train": self.state.to_dict(),
                "stream": self.stream.state_dict(),
                "updater": self.updater.state_dict(),
                "random": random_state(),
            },
            files=self.files,
            score=score,
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on as if the run had never stopped; one that had ended may have been given higher limits since."""
        model, state = self.updater.model, checkpoint.state()
        load_into(model, checkpoint.model(), where=str(checkpoint.path))
        load_optimizer_tensors(model, self.updater.optimizer, checkpoint.optimizer())
        if self.updater.ema is not None:
            means = checkpoint.ema() or {}
            self.updater.ema.means = {name: means[name].to(p.device) for name, p in model.named_parameters()}
        self.updater.load_state_dict(state["updater"])
        self.stream.load_state_dict(state["stream"])
        self.state = TrainState.from_dict(state["train"])
        self.state.finished = self.why_finished()
        set_random_state(state["random"])
