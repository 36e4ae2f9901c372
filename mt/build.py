"""Settings to objects: the only room that reads the whole config. The engines run; this room wires them."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mt.batching import BatchStream, choose_workers
from mt.checkpoint import Checkpoints, load_into
from mt.config import BatchConfig, Config, DecodeConfig, Positions, Precision, Sharding, Tying
from mt.decode.ensemble import Ensemble, Mean
from mt.decode.segment import Usual
from mt.decode.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.device import pick_device, pick_precision, set_up_cpu
from mt.dist import Group, joined, place_in_group
from mt.errors import ConfigError, require
from mt.log import logger, setup
from mt.material import Material, prepare
from mt.metrics import bleu_tokenizer_for
from mt.models import Description, read_model
from mt.nn.encoders import text_model
from mt.nn.transformer import Transformer, count_parameters
from mt.optim import Ema, make_optimizer
from mt.preview import preview
from mt.run import Run
from mt.schedules import needs_end
from mt.tokenizer import Tokenizer
from mt.train.folder import RunFolder, folder_of_run
from mt.train.guiding import Guiding
from mt.train.memory import CPU_BUDGET, find_budget
from mt.train.sharding import shard
from mt.train.speed import speed_up
from mt.train.trainer import Trainer
from mt.train.update import Updater
from mt.train.validate import Validator
from mt.train.watching import AttentionWatch, legible


def read_material(config: Config) -> Material:
    """Read, clean and tokenise. Raises: DataError, ConfigError: when the text or the settings do not do."""
    longest = None if config.model.positions is Positions.rotary else config.model.max_length
    return prepare(
        data=config.data, clean=config.clean, tokenizer=config.tokenizer, batch=config.batch, longest=longest,
        links=config.alignment.links if config.alignment.weight else [],
    )  # fmt: skip


def check(config: Config, *, processes: int = 1) -> None:
    """What two sections must agree on, and the processes of the run with them. Raises: ConfigError."""
    if config.batch.accumulate % processes:
        enough = -(-config.batch.accumulate // processes) * processes
        raise ConfigError(
            f"`batch.accumulate` must be a multiple of the {processes} processes, which share the batches of an "
            f"update, but is {config.batch.accumulate}; set `batch.accumulate={enough}`."
        )
    if config.model.tying is Tying.all and not config.tokenizer.joint:
        raise ConfigError(
            "`model.tying` is all, which needs one vocabulary; set `tokenizer.joint=true`, or `model.tying=decoder`."
        )
    if config.model.positions is not Positions.rotary and config.batch.max_length > config.model.max_length:
        raise ConfigError(
            f"`batch.max_length` is {config.batch.max_length}, but `model.max_length` gives the model "
            f"{config.model.max_length} positions only; raise the one or lower the other."
        )
    for name, most in (("layer", "decoder_layers"), ("head", "heads")):
        asked, there = getattr(config.alignment, name) or 1, getattr(config.model, most)
        if config.alignment.links and asked > there:
            raise ConfigError(f"`alignment.{name}` is {asked}, but the model has {there} (`model.{most}`), from 1.")
    limits = (config.train.steps, config.train.epochs, config.train.minutes)
    if needs_end(config.schedule) and all(limit is None for limit in limits):
        raise ConfigError(
            f"`schedule.name` is {config.schedule.name.value}, which must know where the run ends; set `train.steps`, "
            "`train.epochs` or `train.minutes`."
        )


def own_device(name: str) -> torch.device:
    """The device of this process: of several on a machine each has a GPU of its own. Raises: ConfigError."""
    device, (_, world, local_rank, _) = pick_device(name), place_in_group()
    if world == 1 or device.type != "cuda":
        return device
    if device.index is not None:
        raise ConfigError(f"`train.device` is {name}, but each of {world} processes needs a GPU; use cuda.")
    return pick_device(f"cuda:{local_rank}")


def make_model(config: Config, tokenizer: Tokenizer, device: torch.device) -> Transformer:
    torch.manual_seed(config.train.seed)
    return text_model(config.model, src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size).to(device)


def make_translator(
    model: Transformer,
    tokenizer: Tokenizer,
    section: DecodeConfig,
    precision: Precision,
    *,
    max_length: int,
    src: str = "",
    usual: Usual | None = None,
    recording: bool | None = None,
) -> Translator:
    """Args: recording: as `CachedStepper`; the others: as `Translator`."""
    stepper = CachedStepper(model, precision, recording=recording)
    return Translator(stepper, tokenizer, section, max_length=max_length, src=src, usual=usual)


def make_guiding(config: Config, material: Material, model: Transformer) -> Guiding | None:
    """None: no head is taught links."""
    if material.links is None:
        return None
    section, layers = config.alignment, config.model.decoder_layers
    layer = section.layer if section.layer is not None else max(1, layers - 1)
    guiding = Guiding(
        model, material.train, material.links, layer=layer - 1, head=section.head - 1, weight=section.weight
    )
    logger.info(f"guided alignment: {len(material.links.links):,} links teach {guiding.reading.describe()}")
    return guiding


def make_watch(
    config: Config, material: Material, *, max_length: int, guiding: Guiding | None
) -> AttentionWatch | None:
    """None: nobody looks at attention at validations."""
    if not config.train.attention_pairs:
        return None
    pairs = legible(material.dev.pairs, config.train.attention_pairs)
    taught = guiding.reading if guiding is not None else None
    return AttentionWatch(material.tokenizer, pairs, max_length=max_length, taught=taught)


def make_updater(config: Config, model: Transformer, precision: Precision, group: Group | None = None) -> Updater:
    """Args: group: the processes of the run; None: this one alone."""
    return Updater(
        model,
        make_optimizer(model, config.optim),
        precision=precision,
        smoothing=config.loss.label_smoothing,
        clip_norm=config.optim.clip_norm,
        ema=Ema(model, config.train.ema) if config.train.ema else None,
        group=group,
    )


def make_trainer(
    config: Config, material: Material, folder: RunFolder, model: Transformer, group: Group | None = None
) -> Trainer:
    """Args: group: the processes of the run; None: this one alone."""
    group = group or Group()
    device = next(model.parameters()).device
    precision = pick_precision(config.train.precision, device)
    description = describe(config, material, precision)
    group.spread(model.parameters())
    trained = model
    if config.train.sharding is Sharding.full and group.world > 1:
        trained = deepcopy(model)  # the first process validates with a whole model, the others need none
        shard(trained, group)
        model = model if group.is_main else trained
    updater = make_updater(config, trained, precision, group)
    updater.guiding = make_guiding(config, material, trained)  # first: a batch that is tried out is taught, too
    sampling, batch = config.tokenizer.sampling > 0, fit_batch(config.batch, material, updater, folder)
    speed_up(updater, config.train, batch, material.train)
    stream = BatchStream(
        material.train,
        batch,
        seed=config.train.seed,
        sampling=sampling,
        workers=choose_workers(config.data.workers, device, sampling=sampling, processes=place_in_group()[3]),
        pin=device.type == "cuda",
    )
    # Validation asks "is it better than before"; greedy search answers as well as a beam, in a fifth of the time.
    greedy = replace(config.decode, beam=1)
    dev_longest = int(material.dev.source.lengths().max())
    longest = max(config.model.max_length, dev_longest)  # all of dev is within the model's positions
    translator = make_translator(
        model, material.tokenizer, greedy, precision, max_length=longest,
        recording=False,  # recorded steps keep memory, which the batches have been fitted without
    )  # fmt: skip
    return Trainer(
        updater=updater,
        stream=stream,
        validator=Validator(
            material.dev,
            translator.translate,
            precision=precision,
            tokens=batch.budget,
            pairs=config.train.validate_pairs,
            bleu_tokenizer=bleu_tokenizer_for(material.corpus.tgt),
            watch=make_watch(config, material, max_length=longest, guiding=updater.guiding),
        ),
        checkpoints=Checkpoints(folder.checkpoints, config.train.keep),
        files={**description.files(material.tokenizer), **(updater.guiding.files() if updater.guiding else {})},
        train=config.train,
        batch=batch,
        schedule=config.schedule,
        model=model,
    )


def fit_batch(section: BatchConfig, material: Material, updater: Updater, folder: RunFolder) -> BatchConfig:
    """The section with a number for `batch.tokens=auto`: the one that the run began with, or what fits everywhere."""
    if section.tokens != "auto":
        return section
    group, parameters = updater.group, list(updater.model.parameters())
    tokens = group.from_main(folder.batch_tokens)
    if tokens is None:
        own = find_budget(updater.try_out, material.train, section, parameters, sharded=updater.sharded)
        tokens = int(min(group.add_up(*(own if group.rank == rank else 0 for rank in range(group.world)))))
        logger.info(f"`batch.tokens` is auto: batches of at most {tokens:,} pieces a side")
    return replace(section, tokens=tokens)


def describe(config: Config, material: Material, precision: Precision) -> Description:
    return Description(
        src=material.corpus.src,
        tgt=material.corpus.tgt,
        src_size=material.tokenizer.src_size,
        tgt_size=material.tokenizer.tgt_size,
        max_length=config.batch.max_length,
        precision=precision,
        model=config.model,
        decode=config.decode,
        usual_length=material.usual.pieces,
        usual_sentences=material.usual.sentences,
    )


def train(config: Config, command: list[str]) -> float:
    """Train, or go on with a run, or say that it is finished; returns the best score on dev.

    Under torchrun this is one of several processes that do so together; the first one alone speaks and writes.
    Raises: MtError: for everything that a user can mend; StoppedError: when asked to stop, after saving.
    """
    check(config, processes=place_in_group()[1])
    device = own_device(config.train.device)
    folder = RunFolder(Path(config.run.root) / str(config.run.name))
    with (
        joined(folder.path.name, device=device, minutes=config.train.timeout_minutes) as group,
        folder_of_run(folder, config.to_dict(), Config().to_dict(), group),
    ):
        with group.main_first():  # the others read what it left in the caches
            material = read_material(config)
        # After the text: what reading it took can go back to the system.
        set_up_cpu(config.train.threads, processes=place_in_group()[3])
        trainer = make_trainer(config, material, folder, make_model(config, material.tokenizer, device), group)
        translator = make_translator(
            trainer.model, material.tokenizer, config.decode, trainer.updater.precision,
            max_length=config.batch.max_length, src=material.corpus.src, usual=material.usual,
        )  # fmt: skip
        facts = describe_run(config, material, trainer)
        return Run(trainer, translator, material, folder, facts).complete(command)


def describe_run(config: Config, material: Material, trainer: Trainer) -> dict[str, Any]:
    """The manifest's facts: what a run is made of."""
    return {
        "name": config.run.name,
        "src": material.corpus.src,
        "tgt": material.corpus.tgt,
        "data": {
            "name": material.corpus.name,
            "licence": material.corpus.licence,
            "train": len(material.train),
            "dev": len(material.corpus.dev),
            "test": len(material.corpus.test),
            "cleaning": material.refusals,
            "too_long": material.train.num_too_long,
            "src_tokens": material.train.num_source_rows,
            "tgt_tokens": material.train.num_target_rows,
            "fingerprint": material.train.fingerprint(),
            "links": material.links.fingerprint() if material.links is not None else None,
        },
        "tokenizer": {
            "kind": config.tokenizer.kind.value,
            "pieces": material.tokenizer.tgt_size,
            "sha256": material.tokenizer.fingerprint,
        },
        "parameters": count_parameters(trainer.model),
        "precision": trainer.updater.precision.value,
        "seed": config.train.seed,
        "batch_tokens": trainer.batch.budget,
        "determinism": "bitwise on one kind of CPU, with as many threads and processes, where steps or epochs limit "
        "the run; GPUs add in any order",
    }


def dry_run(config: Config) -> None:
    """Show on stdout what training would do; writes nothing but the tokenizer's cache."""
    check(config)
    setup()
    device = pick_device(config.train.device)
    set_up_cpu(config.train.threads)
    material = read_material(config)
    model = make_model(config, material.tokenizer, device)
    batch = config.batch if config.batch.tokens != "auto" else replace(config.batch, tokens=CPU_BUDGET)
    print(preview(material.train, material.refusals, model, batch, config.train))


def load(path: str | Path | None = None, *, device: str = "auto", precision: str = "auto") -> Translator:
    """See `mt.load`."""
    known = [member.value for member in Precision]
    require(precision in known, "precision", f"be one of {', '.join(known)}", precision)
    place = pick_device(device)
    found = read_model(Path(path) if path is not None else None)
    told = found.description
    model = told.new_model()
    load_into(model, found.weights(), where=str(found.path))
    if precision == Precision.auto and told.precision is Precision.fp32:
        precision = Precision.fp32  # a run that asked for 32 bits was scored in them
    wanted = pick_precision(Precision(precision), place)
    model = model.to(place).eval()
    return make_translator(
        model, found.tokenizer, told.decode, wanted, max_length=told.max_length, src=told.src, usual=told.usual
    )


def load_ensemble(
    paths: Sequence[str | Path], *, mean: Mean = Mean.probabilities, device: str = "auto", precision: str = "auto"
) -> Translator:
    """Several models that translate as one; settings are those of the first.

    Raises: ConfigError: when their tokenizers differ, and what `load` raises.
    """
    members = [load(path, device=device, precision=precision) for path in paths]
    first = members[0]
    for path, other in zip(paths, members, strict=True):
        if other.tokenizer.fingerprint != first.tokenizer.fingerprint:
            raise ConfigError(
                f"{paths[0]} and {path} cannot translate together: their tokenizers differ. Train the models of an "
                "ensemble on the same text with the same `tokenizer` settings, and other values of `train.seed`."
            )
    together, longest = Ensemble([m.stepper for m in members], mean=mean), min(m.max_length for m in members)
    pieces, section = first.tokenizer, first.section
    return Translator(
        first.stepper, pieces, section, max_length=longest, src=first.src, usual=first.usual, ensemble=together
    )
