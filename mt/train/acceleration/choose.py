"""Which runs compile their layers, and which record their updates as CUDA graphs."""

import torch

from mt.compute.cuda_graphs import SMALL
from mt.config import BatchConfig, Precision, TrainConfig, Use
from mt.data.batching import TokenizedCorpus, common_shape
from mt.log import logger
from mt.nn.transformer import Transformer, count_parameters
from mt.train.acceleration.compile import CompiledLayers
from mt.train.acceleration.cuda_graphs import Recorded
from mt.train.acceleration.sharding import is_sharded
from mt.train.gradients import CompiledGradients, EagerGradients, Gradients, RecordedGradients
from mt.train.objective import TranslationLoss

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

    In 32 bits, or with dropout on its weights, attention uses a padded grid, which a fixed width makes larger. In fp16
    the scale of the loss changes, so nothing can be recorded. Args: rows: of a batch, on one side.
    """
    if section.graphs is not Use.auto:
        return section.graphs is Use.always and precision is not Precision.fp16
    small = count_parameters(model) * rows < SMALL
    return device.type == "cuda" and precision is Precision.bf16 and small and not model.config.attention_dropout


def accelerate(eager: EagerGradients, section: TrainConfig, batch: BatchConfig, corpus: TokenizedCorpus) -> Gradients:
    """`eager`, compiled or recorded where that pays. A sharded model is left as it is."""
    objective = eager.objective
    model, precision, device = objective.model, objective.precision, eager.parameters[0].device
    if is_sharded(model):
        return eager
    recorded = None
    if recording_pays(section, model, device, rows=batch.budget, precision=precision):
        if isinstance(objective, TranslationLoss):
            shape, fitting = common_shape(corpus.source.lengths(), corpus.target.lengths() + 1, batch.budget)
            logger.info(
                f"updates are recorded: {fitting:.0%} of the batches fit {shape.num_target_rows:,} rows a side in "
                f"{shape.sentences:,} sentences"
            )
            recorded = Recorded(model, shape, precision=precision, smoothing=objective.smoothing)
        else:
            logger.info(
                "updates are not recorded (`train.graphs`): guided alignment has another target for every batch"
            )
    # A recorded update is launched as a whole, and gains little from fewer kernels.
    wanted = section.compile is Use.always or recorded is None
    per_epoch = corpus.num_target_rows / (batch.budget * batch.accumulate)
    gradients: Gradients = eager
    if wanted and compiling_pays(section, device, per_epoch=per_epoch):
        gradients = CompiledGradients(eager, CompiledLayers(model))
    return gradients if recorded is None else RecordedGradients(gradients, recorded)
