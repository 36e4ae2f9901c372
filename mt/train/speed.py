"""Which runs compile their layers, and which record their updates."""

import torch

from mt.batching import TokenizedCorpus, common_shape
from mt.config import BatchConfig, Precision, TrainConfig, Use
from mt.log import logger
from mt.nn.transformer import Transformer, count_parameters
from mt.recording import SMALL
from mt.train.compiled import CompiledLayers
from mt.train.graphs import Recorded
from mt.train.update import Updater

# Guesses, not measured. Compiling two stacks, forward and backward, takes the better part of a minute and may save a
# tenth of a step.
LEAST_UPDATES, LEAST_MINUTES = 5000, 10.0


def compiling_pays(section: TrainConfig, device: torch.device, *, per_epoch: float) -> bool:
    """As `train.compile` says; auto: on CUDA, when no limit ends the run soon.

    Args: per_epoch: updates in an epoch.
    """
    if section.compile is not Use.auto:
        return section.compile is Use.always
    epochs = None if section.epochs is None else section.epochs * per_epoch
    updates = min(n for n in (section.steps, epochs, LEAST_UPDATES) if n is not None)
    minutes = LEAST_MINUTES if section.minutes is None else section.minutes
    return device.type == "cuda" and updates >= LEAST_UPDATES and minutes >= LEAST_MINUTES


def recording_pays(
    section: TrainConfig, model: Transformer, device: torch.device, *, rows: int, precision: Precision
) -> bool:
    """As `train.graphs` says; auto: on CUDA in bf16, when the model is small and attention packed.

    In 32 bits, or with dropout on its weights, attention is laid out on a grid, which a fixed width makes larger. In
    fp16 the scale of the loss moves, and nothing is recorded. Args: rows: of a batch, on one side.
    """
    if section.graphs is not Use.auto:
        return section.graphs is Use.always and precision is not Precision.fp16
    small = count_parameters(model) * rows < SMALL
    return device.type == "cuda" and precision is Precision.bf16 and small and not model.config.attention_dropout


def speed_up(updater: Updater, section: TrainConfig, batch: BatchConfig, corpus: TokenizedCorpus) -> None:
    """Have the updater compile or record what pays. A model whose weights lie in pieces is left as it is."""
    if updater.sharded:
        return
    model, precision = updater.model, updater.precision
    recording = recording_pays(section, model, updater.device, rows=batch.budget, precision=precision)
    if recording and updater.guiding is not None:
        logger.info("updates are not recorded (`train.graphs`): guided alignment has other lessons for every batch")
    elif recording:
        shape, share = common_shape(corpus.source.lengths(), corpus.target.lengths() + 1, batch.budget)
        logger.info(
            f"updates are recorded: {share:.0%} of the batches fit {shape.num_target_rows:,} rows a side in "
            f"{shape.sentences:,} sentences"
        )
        updater.recorded = Recorded(model, shape, precision=precision, smoothing=updater.smoothing)
    # What is launched as a whole gains little from fewer kernels.
    wanted = section.compile is Use.always or updater.recorded is None
    per_epoch = corpus.num_target_rows / (batch.budget * batch.accumulate)
    if wanted and compiling_pays(section, updater.device, per_epoch=per_epoch):
        updater.compiled = CompiledLayers(model)
