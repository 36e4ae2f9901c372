"""Which runs compile their layers, and which run their batches as CUDA graphs."""

import logging

import torch

from mt.compute.cuda_graphs import SMALL
from mt.config import BatchConfig, Precision, TrainConfig, Use
from mt.data.batching import TokenizedCorpus, common_shape
from mt.nn.transformer import Transformer, count_parameters
from mt.train.acceleration.compile import CompiledLayers
from mt.train.acceleration.cuda_graphs import GraphedBatches
from mt.train.acceleration.sharding import is_sharded
from mt.train.gradients import CompiledGradients, EagerGradients, Gradients, GraphedGradients
from mt.train.objective import TranslationLoss

logger = logging.getLogger("mt")
# Estimates, not measured: compiling forward and backward of two stacks takes most of a minute and may save a tenth of
# a step.
MIN_UPDATES, MIN_MINUTES = 5000, 10.0


def compiling_pays(section: TrainConfig, device: torch.device, *, per_epoch: float) -> bool:
    """As `train.compile` says; auto: on CUDA, when no limit ends the run soon.

    Args: per_epoch: updates in an epoch.
    """
    if section.compile is not Use.auto:
        return section.compile is Use.always
    epochs = None if section.most_epochs is None else section.most_epochs * per_epoch
    updates = min(n for n in (section.steps, epochs, MIN_UPDATES) if n is not None)
    minutes = MIN_MINUTES if section.minutes is None else section.minutes
    return device.type == "cuda" and updates >= MIN_UPDATES and minutes >= MIN_MINUTES


def graphs_pay(
    section: TrainConfig, model: Transformer, device: torch.device, *, rows: int, precision: Precision
) -> bool:
    """As `train.graphs` says; auto: on CUDA in bf16, for a small model without attention dropout.

    In 32 bits, or with dropout on its weights, attention uses a padded grid, which a fixed width makes larger. In fp16
    the scale of the loss changes, which a graph cannot follow. Args: rows: of a batch, on one side.
    """
    if section.graphs is not Use.auto:
        return section.graphs is Use.always and precision is not Precision.fp16
    small = count_parameters(model) * rows < SMALL
    return device.type == "cuda" and precision is Precision.bf16 and small and not model.config.attention_dropout


def accelerate(eager: EagerGradients, section: TrainConfig, batch: BatchConfig, corpus: TokenizedCorpus) -> Gradients:
    """`eager`, or a faster way to the same gradients where that pays. Sharded models have none."""
    objective = eager.objective
    model, precision, device = objective.model, objective.precision, eager.parameters[0].device
    if is_sharded(model):
        if Use.always in (section.graphs, section.compile):
            logger.info("no CUDA graphs and no compiled layers (`train.graphs`, `train.compile`): the model is sharded")
        return eager
    graphed = None
    if section.graphs is Use.always and precision is Precision.fp16:
        logger.info("no CUDA graphs (`train.graphs`): they cannot follow the scale of the loss in fp16")
    if graphs_pay(section, model, device, rows=batch.budget, precision=precision):
        if corpus.reader is not None:
            logger.info("no CUDA graphs (`train.graphs`): they need sources of text")
        elif isinstance(objective, TranslationLoss):
            shape, fitting = common_shape(corpus.source.lengths(), corpus.target.lengths() + 1, batch.budget)
            logger.info(
                f"batches run as a CUDA graph: {fitting:.0%} of them fit {shape.num_target_rows:,} rows a side in "
                f"{shape.sentences:,} sentences"
            )
            graphed = GraphedBatches(model, shape, precision=precision, smoothing=objective.smoothing)
        else:
            logger.info("no CUDA graphs (`train.graphs`): they compute the translation loss alone")
    gradients: Gradients = eager
    # A graph is launched as a whole, and gains little from fewer kernels.
    wanted = section.compile is Use.always or graphed is None
    per_epoch = corpus.num_target_rows / (batch.budget * batch.accumulate)
    if wanted and compiling_pays(section, device, per_epoch=per_epoch):
        gradients = CompiledGradients(eager, CompiledLayers(model))
    return gradients if graphed is None else GraphedGradients(gradients, graphed)
