"""From settings to objects: the only module below the command line that sees the whole config."""

import logging
import random
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch

from mt.checkpoint import Checkpoints
from mt.checkpoint.model_folder import Description
from mt.compute.device import pick_device, pick_precision, set_up_cpu
from mt.compute.distributed import Group, joined, place_in_group
from mt.config import BatchConfig, Config, Positions, Precision, Sharding, SourceKind, Tying
from mt.config.decode import check_lengths
from mt.config.from_json import typed
from mt.config.inputs import parse_inputs
from mt.data.batching import Batch, BatchStream, Variation, choose_workers
from mt.data.clean.survey import LOOKED_AT, overlap, report, survey
from mt.data.prepare import PreparedData, prepare, some_of
from mt.decode.request import OnProgress
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import ConfigError
from mt.log import setup
from mt.nn.encoders import check_input_settings
from mt.nn.transformer import Transformer
from mt.text.augmentation import Augmentation
from mt.text.lines import spread
from mt.text.metrics import choose_tokenizer
from mt.train.acceleration.choose import accelerate
from mt.train.acceleration.memory import CPU_BUDGET, find_budget
from mt.train.acceleration.sharding import is_sharded, shard
from mt.train.ancestry import plain_ancestry
from mt.train.attention_logging import AttentionLogger, InputAttentionLogger, TextAttentionLogger, legible
from mt.train.before import Before
from mt.train.facts import run_facts
from mt.train.gradients import EagerGradients
from mt.train.guided_alignment import GuidedAlignment
from mt.train.objectives import check_objective, make_objective
from mt.train.optim import Ema, make_optimizer
from mt.train.origin import Origin, announce, read_origin
from mt.train.preview import preview
from mt.train.run import Run
from mt.train.run_folder import RunFolder, folder_of_run
from mt.train.schedules import needs_end
from mt.train.step import Updater
from mt.train.trainer import Trainer
from mt.train.validate import Validator, with_numbers

logger = logging.getLogger("mt")


def prepare_data(config: Config, origin: Origin | None = None) -> PreparedData:
    """Read, clean and tokenise. Raises: DataError, ConfigError: for text or settings that cannot be used."""
    longest = None if config.model.positions is Positions.rotary else config.model.max_length
    prepared = prepare(
        data=config.data, clean=config.clean, tokenizer=config.tokenizer, batch=config.batch, longest=longest,
        links=config.alignment.links if config.alignment.weight else [],
        given=origin.tokenizer if origin is not None else None,
        fitted=origin.inputs(config.data) if origin is not None else (),
    )  # fmt: skip
    return replace(prepared, known=origin.description.usual) if origin is not None else prepared


def check(config: Config, *, processes: int = 1) -> None:
    """Check settings of different sections against each other. Args: processes: of the run. Raises: ConfigError."""
    if config.batch.accumulate % processes:
        suggested = -(-config.batch.accumulate // processes) * processes
        raise ConfigError(
            f"`batch.accumulate` must be a multiple of the {processes} processes, which share the batches of an "
            f"update, but is {config.batch.accumulate}.",
            hint=f"set `batch.accumulate={suggested}`.",
        )
    check_objective(config)
    if config.model.tying is Tying.all and not config.tokenizer.joint:
        raise ConfigError(
            "`model.tying` is all, which needs a joint vocabulary.",
            hint="set `tokenizer.joint=true` or `model.tying=decoder`.",
        )
    if config.model.positions is not Positions.rotary and config.batch.max_length > config.model.max_length:
        raise ConfigError(
            f"`batch.max_length` must be at most `model.max_length`, which is {config.model.max_length}, but is "
            f"{config.batch.max_length}.",
            hint="raise `model.max_length`, or lower `batch.max_length`.",
        )
    check_lengths(config.decode)
    limits = (config.train.steps, config.train.epochs, config.train.minutes)
    if needs_end(config.schedule) and all(limit is None for limit in limits):
        raise ConfigError(
            f"`schedule.name` is {config.schedule.name.value}, which must know where the run ends.",
            hint="set `train.steps`, `train.epochs` or `train.minutes`.",
        )


def own_device(name: str) -> torch.device:
    """The device of this process; each process of a group has its own GPU. Raises: ConfigError."""
    device, place = pick_device(name), place_in_group()
    if place.world == 1 or device.type != "cuda":
        return device
    if device.index is not None:
        raise ConfigError(
            f"`train.device` is {name}, but each of {place.world} processes needs a GPU of its own.",
            hint="set `train.device=cuda`.",
        )
    return pick_device(f"cuda:{place.local_rank}")


def make_model(
    config: Config, prepared: PreparedData, device: torch.device, *, origin: Origin | None = None
) -> Transformer:
    """A model with initial weights. Args: origin: whose weights it has; None: random ones."""
    torch.manual_seed(config.train.seed)
    random.seed(config.train.seed)  # not used by mt, but its state is in every checkpoint
    model = describe(config, prepared, config.train.precision).new_model().to(device)
    if origin is not None:
        origin.load(model)
    return model


def make_stream(config: Config, prepared: PreparedData, batch: BatchConfig, device: torch.device) -> BatchStream:
    corpus, sampling, share = prepared.corpus, config.tokenizer.sampling > 0, config.data.augment
    workers = choose_workers(config.data.workers, device, sampling=sampling, processes=place_in_group().local_world)
    augmentation = Augmentation(share, corpus.src, corpus.tgt) if share and prepared.reader is None else None
    if augmentation is not None:
        logger.info(
            f"up to {share:.0%} of the pairs in capitals, in small letters or without their last mark (`data.augment`)"
        )
    variation = Variation(
        sampling=sampling, augmentation=augmentation, source_dropout=config.model.source_dropout,
        spec_augment=config.model.spec_augment,
    )  # fmt: skip
    return BatchStream(
        prepared.train, batch, seed=config.train.seed, variation=variation, workers=workers, pin=device.type == "cuda"
    )


def make_attention_logger(
    config: Config, prepared: PreparedData, *, max_length: int, guided: GuidedAlignment | None
) -> AttentionLogger | None:
    """None if no attention is to be logged. Args: guided: whose head is drawn, too."""
    number, pairs = config.train.attention_pairs, prepared.dev.pairs
    if not number:
        return None
    if prepared.reader is not None:
        shown = [pairs[place] for place in spread(len(pairs), number)]
        return InputAttentionLogger(prepared.tokenizer, prepared.reader, shown, max_length=max_length)
    pairs = legible(pairs, number, config.data.subset)
    heads = guided.heads if guided is not None else None
    return TextAttentionLogger(prepared.tokenizer, pairs, max_length=max_length, guided=heads)


def make_validator(
    config: Config,
    prepared: PreparedData,
    model: Transformer,
    group: Group,
    *,
    precision: Precision,
    tokens: int,
    guided: GuidedAlignment | None,
) -> Validator:
    """Args: model: whole, where the updater's is sharded; tokens: budget of a batch; guided: whose head is logged."""
    # To compare checkpoints, greedy search is as good as a beam, in a fifth of the time.
    greedy = replace(config.decode, beam=1, groups=1)
    tokenize, warning = choose_tokenizer(prepared.corpus.tgt, [pair.tgt for pair in prepared.dev.pairs])
    if warning and group.is_main:
        logger.warning(warning)
    longest = max(config.model.max_length, int(prepared.dev.source.lengths().max()))
    tokenizer, reader = prepared.tokenizer, prepared.reader
    translator = Translator(CachedStepper(model, precision), tokenizer, greedy, max_length=longest, reader=reader)

    def translate(texts: Sequence[str], *, on_progress: OnProgress) -> list[str]:
        # An untrained model leaves most of its text out: to cut that again would take long and say nothing.
        options = replace(translator.options(on_progress=on_progress), details=False, recut=False)
        return [best[0].text for best in translator.answer(texts, options)]

    validator = Validator(
        prepared.dev, translate, precision=precision, tokens=tokens, bleu_tokenizer=tokenize,
        shown=some_of(prepared.dev.pairs, config.train.validate_pairs, config.data.subset), watch=config.train.watch,
        attention=make_attention_logger(config, prepared, max_length=longest, guided=guided),
    )  # fmt: skip
    if group.is_main:
        validator.tell(config.train.watch)
        validator.tell_limits(config.decode)
    return validator


def make_trainer(
    config: Config, prepared: PreparedData, folder: RunFolder, model: Transformer, group: Group | None = None
) -> Trainer:
    """Args: model: with initial weights; group: the processes of the run; None: this one alone."""
    group = group or Group()
    device = next(model.parameters()).device
    precision = pick_precision(config.train.precision, device)
    description = describe(config, prepared, precision)
    group.broadcast(model.parameters())
    trained = model
    if config.train.sharding is Sharding.full and group.world > 1:
        trained = deepcopy(model)  # the main process validates with the whole model
        shard(trained, group)
        model = model if group.is_main else trained
    objective = make_objective(config, prepared, trained, precision)
    guided = objective if isinstance(objective, GuidedAlignment) else None
    eager = EagerGradients(objective)
    ema = Ema(trained, config.train.ema) if config.train.ema else None  # before memory is measured
    batch = fit_batch(config.batch, prepared, eager, folder, group)
    train = with_numbers(config.train, batch, prepared.train)
    updater = Updater(
        accelerate(eager, train, batch, prepared.train), make_optimizer(trained, config.optim, precision),
        clip_norm=config.optim.clip_norm, ema=ema, group=group,
    )  # fmt: skip
    stream = make_stream(config, prepared, batch, device)
    validator = make_validator(config, prepared, model, group, precision=precision, tokens=batch.budget, guided=guided)
    files = {**description.files(prepared.tokenizer), **(guided.files() if guided else {})}
    return Trainer(
        updater=updater, stream=stream, validator=validator, batch=batch, schedule=config.schedule, model=model,
        checkpoints=Checkpoints(folder.checkpoints, config.train.keep, files),
        train=replace(train, watch=validator.watched(train.watch)),
    )  # fmt: skip


def fit_batch(
    section: BatchConfig, prepared: PreparedData, gradients: EagerGradients, folder: RunFolder, group: Group
) -> BatchConfig:
    """The section with a number for `batch.tokens=auto`: that of a resumed run, or what fits in all processes."""
    if section.tokens != "auto":
        return section
    objective = gradients.objective

    def attempt(batch: Batch) -> None:
        gradients(batch, objective.prepare_largest(batch), 1)

    tokens = group.from_main(folder.batch_tokens)
    if tokens is None:
        sharded = is_sharded(objective.model)
        own = find_budget(attempt, prepared.train, section, gradients.parameters, sharded=sharded)
        tokens = int(min(group.all_reduce(*(own if group.rank == rank else 0 for rank in range(group.world)))))
        logger.info(f"`batch.tokens` is auto: batches of at most {tokens:,} tokens a side")
    return replace(section, tokens=tokens)


def describe(config: Config, prepared: PreparedData, precision: Precision) -> Description:
    """What the model folder will say of the model."""
    found = Description(
        src=prepared.corpus.src, tgt=prepared.corpus.tgt,
        src_size=prepared.tokenizer.src_size, tgt_size=prepared.tokenizer.tgt_size,
        max_length=config.batch.max_length, precision=precision, model=config.model, decode=config.decode,
    )  # fmt: skip
    if (usual := prepared.usual) is not None:
        found = replace(
            found, usual_length=usual.pieces, usual_sentences=usual.sentences, usual_ratio=usual.ratio,
            usual_marked=usual.marked,
        )  # fmt: skip
    if prepared.inputs:
        target = config.data.target or config.data.tgt
        found = replace(found, source=SourceKind.inputs, inputs=prepared.inputs, target=target)
    return found


def train(config: Config, command: Sequence[str] = ()) -> float:
    """Start or resume a run, as one of the processes that torchrun started. Returns the best score on dev.

    Args: command: what began it, for the record.
    Raises: MtError: for everything that a user can repair; StoppedError: on a signal, after saving.
    """
    config = typed(config)
    check(config, processes=place_in_group().world)
    device = own_device(config.train.device)
    if config.run.name is None:  # the command makes one of the data and the model
        raise ConfigError("`run.name` must name the folder of the run, but is null.")
    folder = RunFolder(Path(config.run.root) / config.run.name)
    config = folder.as_begun(config)
    origin = read_origin(config, folder)
    config = origin.fitted(config) if origin is not None else config
    folder.check_start(config)
    check_input_settings(config.model, parse_inputs(config.data.inputs))
    with (
        joined(folder.path.name, device=device, minutes=config.train.timeout_minutes) as group,
        folder_of_run(folder, config.to_dict(), folder.as_begun(Config()).to_dict(), group),
    ):
        with group.main_first():  # the others read its caches
            if origin is not None:
                announce(origin, config)
            prepared = prepare_data(config, origin)
        # Only now: it stops glibc from returning freed memory, and reading the text freed much.
        set_up_cpu(config.train.threads, processes=place_in_group().local_world)
        fresh = origin if not folder.has_checkpoints else None  # a checkpoint has the weights of a run that has begun
        model = make_model(config, prepared, device, origin=fresh)
        trainer = make_trainer(config, prepared, folder, model, group)
        translator = Translator(
            CachedStepper(trainer.model, trainer.updater.precision), prepared.tokenizer, config.decode,
            max_length=config.batch.max_length, src=prepared.corpus.src, usual=prepared.usual,
            reader=prepared.reader,
        )  # fmt: skip
        facts = run_facts(
            prepared, trainer, name=config.run.name, tokenizer=config.tokenizer.kind.value, seed=config.train.seed
        )
        if origin is not None:
            facts["ancestry"] = plain_ancestry(origin.ancestry)
        before = Before(origin, config.decode, trainer.updater.precision) if origin is not None else None
        return Run(trainer, translator, prepared, folder, facts, before).complete(list(command))


def dry_run(config: Config) -> None:
    """Print what training would do. Writes only the cache of the tokenizer."""
    check(config)
    setup()
    device = pick_device(config.train.device)
    origin = read_origin(config)
    if origin is not None:
        config = origin.fitted(config)
        announce(origin, config)
    RunFolder(Path(config.run.root) / str(config.run.name)).check_start(config)
    check_input_settings(config.model, parse_inputs(config.data.inputs))
    set_up_cpu(config.train.threads)
    prepared = prepare_data(config, origin)
    model = make_model(config, prepared, device)
    batch = config.batch if config.batch.tokens != "auto" else replace(config.batch, tokens=CPU_BUDGET)
    if origin is not None:
        print(f"init             {origin.path}: {origin.ancestry[0]}")
    section = with_numbers(config.train, batch, prepared.train)
    precision = pick_precision(section.precision, device)
    validator = make_validator(config, prepared, model, Group(), precision=precision, tokens=batch.budget, guided=None)
    planned = validator.plan(section)
    print(preview(prepared.train, prepared.refusals, model, batch, section, config.optim, planned))
    corpus, train = prepared.corpus, prepared.train.pairs
    found = [] if config.data.inputs else survey(train, corpus.src, corpus.tgt, [*corpus.dev, *corpus.test])
    found += [one for name in ("dev", "test") for one in overlap(train, getattr(corpus, name), name)]
    print(report(found, min(len(train), LOOKED_AT)))
