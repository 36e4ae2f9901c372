"""A run from its parts: resume, train, choose the weights, write the model folder, score the test set."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mt.alignment.aligner import FILE as CHOICE
from mt.checkpoint import Checkpoint, average, load_into, require_space, write_folder
from mt.checkpoint.model_folder import CARD, WEIGHTS
from mt.data.prepare import PreparedData
from mt.decode.translator import Translator
from mt.errors import CheckpointError, counted
from mt.evaluate import Report, evaluate
from mt.log import FILE_ONLY, Metrics
from mt.nn.transformer import Transformer
from mt.progress import Progress, Waiting
from mt.train.ancestry import lineage
from mt.train.bad_batches import dump_batch
from mt.train.before import Before
from mt.train.model_card import model_card, vocabulary
from mt.train.run_folder import RunFolder
from mt.train.state import TrainState, decisive
from mt.train.step import Update
from mt.train.trainer import Outputs, Trainer
from mt.train.validate import Validation

logger = logging.getLogger("mt")
SAMPLES = 5
RISEN = 0.05  # a rise of the loss on dev that is more than chance, as a share of the lowest one and in nats
SPECIAL_TO_SHELL = frozenset("'\"$`\\!")


@dataclass(frozen=True)
class Run:
    """The parts of a run. Every process of a group has one; the main process alone logs and writes."""

    trainer: Trainer
    translator: Translator  # of the trainer's model, for the test set
    prepared: PreparedData
    folder: RunFolder
    facts: dict[str, Any]  # for the manifest and the model card
    before: Before | None = None  # the model that the run went on from

    def complete(self, command: list[str]) -> float:
        """Train to the end, from the last checkpoint if there is one; returns the best score on dev."""
        trainer, group = self.trainer, self.trainer.group
        announce(self.facts, trainer)
        last = self.last_checkpoint()
        if last is not None:
            trainer.resume(last)
            if group.from_main(self.report_finished):
                return trainer.state.best_score or 0.0
            self.folder.settle()
            logger.info(f"going on from step {last.step:,} ({last.path})")
        if group.is_main:
            require_space(self.folder.checkpoints, checkpoint_bytes(trainer))
            self.folder.write_manifest(self.facts, command)
            dev_loss = self.train()
            told = [learnt_by_heart(trainer.state.lowest_loss, dev_loss, trainer.stream.epoch)]
            if trainer.out_of_time:
                told += [trainer.neighbours.report(), text_left(trainer.stream.epoch, trainer.state.seconds / 60)]
            for said in filter(None, told):
                logger.info(said)
        else:
            trainer.fit(validate_first=self.before is not None)
        group.from_main(self.finish)
        return trainer.state.best_score or 0.0

    def last_checkpoint(self) -> Checkpoint | None:
        """The checkpoint to resume from, which the main process chooses; None: a new run.

        Raises: CheckpointError: when no checkpoint can be read; DataError: when the training text has changed.
        """
        folder = self.folder

        def choose() -> tuple[str, int, float | None] | None:
            last = self.trainer.checkpoints.latest()
            if last is not None:
                folder.check_text(self.facts)
                self.trainer.saver.complete_save(last.path)
                return str(last.path), last.step, last.score
            if folder.has_checkpoints:
                raise CheckpointError(
                    f"no checkpoint in `{folder.checkpoints}` can be read.",
                    hint=f"repair them, or move `{folder.path}` away to start again.",
                )
            return None

        chosen = self.trainer.group.from_main(choose)
        return Checkpoint(Path(chosen[0]), chosen[1], chosen[2]) if chosen is not None else None

    def report_finished(self) -> bool:
        """Whether the run is finished and its model written; prints it, and leaves its settings as they were."""
        state = self.trainer.state
        finished = state.finished is not None and self.folder.has_model(state.step)
        if finished:
            self.folder.keep_settings()
            print(self.folder.report_finished(state))
        return finished

    def train(self) -> float | None:
        """Train on the main process: with metrics, samples and a progress line.

        Returns: the loss on dev of the last validation; None: there was none.
        """
        trainer, folder, losses = self.trainer, self.folder, list[float]()
        with Metrics(folder.path, step=trainer.state.step) as metrics, Progress() as progress:

            def on_validation(validation: Validation, state: TrainState) -> None:
                losses.append(validation.loss)
                folder.write_samples(validation, state)
                rows = list(zip(validation.sources, validation.references, validation.hypotheses, strict=True))
                text = "\n\n".join(f"{s}\n\n- {r}\n- **{h}**" for s, r, h in rows[:SAMPLES])
                metrics.text("samples", state.step, text)
                if validation.attention is not None and trainer.validator.attention is not None:
                    pictures = partial(trainer.validator.attention.pictures, validation.attention)
                    metrics.images("attention", state.step, pictures)

            def on_bad_update(step: int, reason: str, update: Update, indices: Sequence[int]) -> None:
                pairs = trainer.stream.corpus.pairs
                dump_batch(folder.bad_batches, step, reason, update, [pairs[i] for i in indices])

            outputs = Outputs(metrics, progress, on_validation, on_bad_update)
            trainer.fit(outputs, validate_first=self.before is not None)
        return losses[-1] if losses else None

    def finish(self) -> None:
        """Choose the weights, score the test set, write the model folder, print the result."""
        trainer, corpus, translator = self.trainer, self.prepared.corpus, self.translator
        choose_weights(trainer)
        report = None
        if corpus.test:
            sentences = counted(len(corpus.test), "sentence")
            logger.info(f"translating the test set ({sentences}, beam {translator.section.beam})")
            sources, references = [p.src for p in corpus.test], [p.tgt for p in corpus.test]
            with Waiting("translating the test set", plain=True) as wait:
                names = [pair.origin for pair in corpus.test]
                translate = partial(translator.translate, names=names, on_progress=wait.show)
                report = evaluate("test", translate, sources, references, tgt=corpus.tgt)
            report.write(self.folder.evaluation)
            for line in map(str, report.scores):
                logger.info(line, extra=FILE_ONLY)
        state = trainer.state
        facts = {"steps": state.step, "tgt_tokens": state.tgt_tokens, "minutes": state.seconds / 60}
        card = model_card({**self.facts, **facts}, report.scores if report else [], f"the test set of {corpus.name}")
        weights = {name: p.detach().cpu().contiguous() for name, p in trainer.model.named_parameters()}
        files = {**trainer.checkpoints.files, WEIGHTS: weights, CARD: card.encode(errors="backslashreplace")}
        meta = {"step": state.step, **lineage(self.facts)}
        write_folder(self.folder.model, files, meta=meta, free={CARD, CHOICE}, replace=True)
        compared = None
        if self.before is not None:
            compared = self.before.compare(translator, self.prepared, report, self.folder.evaluation)
        conclude(self.prepared, state, self.folder, report, compared)


def checkpoint_bytes(trainer: Trainer) -> int:
    """The approximate size of a checkpoint: weights, two moments, and an EMA if there is one."""
    weights = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
    return weights * (3 if trainer.updater.ema is None else 4)


def announce(facts: dict[str, Any], trainer: Trainer) -> None:
    """Log what will be trained, in one line."""
    data, device = facts["data"], trainer.updater.device
    processes = trainer.group.world
    where = f"{processes} processes ({device.type})" if processes > 1 else f"{device}"
    logger.info(
        f"{facts['src']} to {facts['tgt']}: {data['train']:,} pairs, {data['tgt_tokens']:,} target tokens an epoch, "
        f"{vocabulary(facts['tokenizer'])}; {facts['parameters']:,} parameters on {where} in {facts['precision']}, "
        f"{counted(torch.get_num_threads(), 'thread')}"
    )


def choose_weights(trainer: Trainer) -> None:
    """Load the best checkpoint, or the mean of the best ones if that is better on dev."""
    model, checkpoints, train = trainer.model, trainer.checkpoints, trainer.train
    best = checkpoints.best()
    assert best is not None, "the last step of a run is validated and saved"
    load_weights(model, best)
    ranked = checkpoints.ranked()[: train.average]
    if len(ranked) > 1:
        load_into(model, average(ranked), where="the mean of the best checkpoints")
        rank = trainer.validator(model).rank(train.watch)
        better = best.score is None or rank >= best.rank
        if not better:
            load_weights(model, best)
        name, value = decisive(train.watch, *rank)
        own, alone = decisive(train.watch, *(best.rank or (0.0,)))
        logger.info(
            f"the mean of the {len(ranked)} best checkpoints has dev {name} {value:.2f}, the best alone "
            f"{f'{own} ' if own != name else ''}{alone:.2f}: taking the {'mean' if better else 'best'}"
        )


def load_weights(model: Transformer, checkpoint: Checkpoint) -> None:
    load_into(model, checkpoint.ema() or checkpoint.model(), where=str(checkpoint.path))


def text_left(epoch: float, minutes: float) -> str | None:
    """What a run that ended by the clock has not read of its training text; None: it has read all of it."""
    if not 0 < epoch < 1:
        return None
    return (
        "This run has not read all of its training text; to read it once, this machine needs about "
        f"`train.minutes={math.ceil(minutes / epoch)}`. The same command with that limit goes on from here."
    )


def learnt_by_heart(least: float | None, last: float | None, epochs: float) -> str | None:
    """What a run is told whose loss on dev has risen, while it still learnt its training text; None: it has not.

    Args: least, last: the lowest loss on dev and that of the last validation; None: not known.
    """
    if least is None or last is None or not last - least > RISEN * max(least, 1.0):
        return None
    return (
        f"The loss on dev rose from {least:.2f} to {last:.2f}: the model learns its text by heart, which it has read "
        f"{epochs:.0f} times. More text may help, a larger `model.dropout`, or each pair read twice "
        "(`loss.consistency=2`), in a run with another `run.name`."
    )


def conclude(
    prepared: PreparedData, state: TrainState, folder: RunFolder, report: Report | None, compared: str | None = None
) -> None:
    """Print the result, and what to type next. Args: compared: with the model that the run went on from."""
    print(f"\nTrained {counted(state.step, 'update')} in {state.seconds / 60:.1f} minutes ({state.finished}).")
    if report is not None:
        print(f"\nTest set of {prepared.corpus.name}, {counted(len(report.references), 'sentence')}:\n{report.table()}")
        print(f"\n{report.samples(SAMPLES)}")
    if compared is not None:
        print(f"\n{compared}")
    chosen = None
    if not prepared.inputs:
        sources = [pair.src for pair in prepared.corpus.dev]
        short = [text for text in sources if 5 <= len(text.split()) <= 12 and text.isprintable()] or ["Some text."]
        chosen = min(short, key=lambda text: not SPECIAL_TO_SHELL.isdisjoint(text))  # the first one without, if any
    print(f"\nThe model is in {folder.model}. Next:\n\n{folder.commands(chosen, tested=report is not None)}")
