"""Settings to objects: the only room that reads the whole config. The engines run; this room wires them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mt.batching import BatchStream
from mt.checkpoint import Checkpoint, Checkpoints, RunLock, average, clean_up, load_into, read_manifest, write_folder
from mt.config import Config, DecodeConfig, Positions, Precision, Tying, require
from mt.decode.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.device import pick_device, pick_precision, set_up_cpu
from mt.errors import CheckpointError, ConfigError
from mt.evaluate import Report, evaluate
from mt.log import Metrics, Progress, logger, setup
from mt.material import Material, prepare
from mt.metrics import bleu_tokenizer_for
from mt.models import Description, read_model
from mt.nn.transformer import Transformer, count_parameters
from mt.optim import Ema, make_optimizer
from mt.preview import preview
from mt.schedules import needs_end
from mt.tokenizer import Tokenizer
from mt.train.card import model_card
from mt.train.folder import RunFolder
from mt.train.state import TrainState
from mt.train.trainer import Trainer
from mt.train.update import Updater
from mt.train.validate import Validation, Validator

SAMPLES = 5
SHELL_SIGNS = frozenset("'\"$`\\!")


def read_material(config: Config) -> Material:
    """Read, clean and tokenise. Raises: DataError, ConfigError: when the text or the settings do not do."""
    longest = None if config.model.positions is Positions.rotary else config.model.max_length
    return prepare(
        data=config.data, clean=config.clean, tokenizer=config.tokenizer, batch=config.batch, longest=longest
    )


def check(config: Config) -> None:
    """What two sections must agree on. Raises: ConfigError."""
    if config.model.tying is Tying.all and not config.tokenizer.joint:
        raise ConfigError(
            "`model.tying` is all, which needs one vocabulary; set `tokenizer.joint=true`, or `model.tying=decoder`."
        )
    if config.model.positions is not Positions.rotary and config.batch.max_length > config.model.max_length:
        raise ConfigError(
            f"`batch.max_length` is {config.batch.max_length}, but `model.max_length` gives the model "
            f"{config.model.max_length} positions only; raise the one or lower the other."
        )
    limits = (config.train.steps, config.train.epochs, config.train.minutes)
    if needs_end(config.schedule) and all(limit is None for limit in limits):
        raise ConfigError(
            f"`schedule.name` is {config.schedule.name.value}, which must know where the run ends; set `train.steps`, "
            "`train.epochs` or `train.minutes`."
        )


def make_model(config: Config, tokenizer: Tokenizer, device: torch.device) -> Transformer:
    torch.manual_seed(config.train.seed)
    return Transformer(config.model, src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size).to(device)


def make_translator(
    model: Transformer, tokenizer: Tokenizer, section: DecodeConfig, precision: Precision, *, max_length: int
) -> Translator:
    return Translator(CachedStepper(model, precision), tokenizer, section, max_length=max_length)


def make_trainer(config: Config, material: Material, folder: RunFolder, model: Transformer) -> Trainer:
    device = next(model.parameters()).device
    precision = pick_precision(config.train.precision, device)
    description = describe(config, material, precision)
    optimizer = make_optimizer(model, config.optim)
    updater = Updater(
        model,
        optimizer,
        precision=precision,
        smoothing=config.loss.label_smoothing,
        clip_norm=config.optim.clip_norm,
        ema=Ema(model, config.train.ema) if config.train.ema else None,
    )
    sampling = config.tokenizer.sampling > 0
    stream = BatchStream(material.train, config.batch, seed=config.train.seed, sampling=sampling)
    # Validation asks "is it better than before"; greedy search answers as well as a beam, in a fifth of the time.
    greedy = replace(config.decode, beam=1)
    longest = max(config.model.max_length, *map(len, material.dev.source))  # all of dev is within the model's positions
    translator = make_translator(model, material.tokenizer, greedy, precision, max_length=longest)
    return Trainer(
        updater=updater,
        stream=stream,
        validator=Validator(
            material.dev,
            translator.translate,
            precision=precision,
            tokens=config.batch.tokens,
            pairs=config.train.validate_pairs,
            bleu_tokenizer=bleu_tokenizer_for(material.corpus.tgt),
        ),
        checkpoints=Checkpoints(folder.checkpoints, config.train.keep),
        files=description.files(material.tokenizer),
        train=config.train,
        batch=config.batch,
        schedule=config.schedule,
    )


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
    )


def train(config: Config, command: list[str]) -> float:
    """Train, or go on with a run, or say that it is finished; returns the best score on dev.

    Raises: MtError: for everything that a user can mend; StoppedError: when asked to stop, after saving.
    """
    check(config)
    folder = RunFolder(Path(config.run.root) / str(config.run.name))
    with RunLock(folder.path):
        setup(file=folder.log)
        folder.begin(config.to_dict())
        device = pick_device(config.train.device)
        checkpoints = Checkpoints(folder.checkpoints, config.train.keep)
        checkpoints.clean_up()
        clean_up(folder.path)
        material = read_material(config)
        set_up_cpu(config.train.threads)  # after the text: what reading it took can go back to the system
        model = make_model(config, material.tokenizer, device)
        trainer = make_trainer(config, material, folder, model)
        facts = describe_run(config, material, model, trainer)
        announce(facts, trainer, device)
        last = checkpoints.latest()
        if last is None and any(folder.checkpoints.glob("step-*")):
            raise CheckpointError(
                f"no checkpoint in {folder.checkpoints} can be read; mend that, or move them away to begin anew."
            )
        if last is not None:
            folder.check_text(facts)
            trainer.resume(last)
            if trainer.state.finished and folder.handed_on(trainer.state.step):
                print(folder.farewell(trainer.state))
                return trainer.state.best_score or 0.0
            logger.info(f"going on from step {last.step:,} ({last.path})")
        folder.write_manifest(facts, command)
        run(trainer, folder)
        state = trainer.state
        facts |= {"steps": state.step, "tgt_tokens": state.tgt_tokens, "minutes": state.seconds / 60}
        finish(config, material, trainer, folder, facts)
        return trainer.state.best_score or 0.0


def run(trainer: Trainer, folder: RunFolder) -> None:
    with Metrics(folder.path, step=trainer.state.step) as metrics, Progress() as progress:

        def on_validation(validation: Validation, state: TrainState) -> None:
            folder.write_samples(validation, state)
            rows = list(zip(validation.sources, validation.references, validation.hypotheses, strict=True))[:SAMPLES]
            metrics.text("samples", state.step, "\n\n".join(f"{s}\n\n- {r}\n- **{h}**" for s, r, h in rows))

        trainer.on_validation = on_validation
        trainer.fit(metrics, progress)


def finish(config: Config, material: Material, trainer: Trainer, folder: RunFolder, facts: dict[str, Any]) -> None:
    """Choose the weights, write the model folder, score the test set, say what to type next."""
    model, precision = trainer.updater.model, trainer.updater.precision
    choose_weights(config, trainer)
    description = describe(config, material, precision)
    translator = make_translator(model, material.tokenizer, config.decode, precision, max_length=description.max_length)
    report = None
    if material.corpus.test:
        logger.info(f"translating the test set ({len(material.corpus.test):,} sentences, beam {config.decode.beam})")
        sources, references = [p.src for p in material.corpus.test], [p.tgt for p in material.corpus.test]
        report = evaluate("test", translator.translate, sources, references, tgt=material.corpus.tgt)
        report.write(folder.evaluation)
    card = model_card(facts, report.scores if report else [], f"the test set of {material.corpus.name}")
    weights = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}
    files = {**description.files(material.tokenizer), "model.safetensors": weights, "README.md": card.encode()}
    write_folder(folder.model, files, meta={"step": trainer.state.step}, replace=True)
    conclude(material, trainer.state, folder, report)


def choose_weights(config: Config, trainer: Trainer) -> None:
    """Load the best checkpoint, or the mean of the best ones where that is better on dev."""
    model, checkpoints = trainer.updater.model, trainer.checkpoints
    best = checkpoints.best()
    assert best is not None, "a run that ends has validated, and saved, at its last step"
    load_weights(model, best)
    scored = [path for path in checkpoints.ranked() if read_manifest(path).meta.get("score") is not None]
    ranked = scored[: config.train.average]
    if len(ranked) > 1:
        load_into(model, average(ranked), where="the mean of the best checkpoints")
        score = trainer.validator(model).score(config.train.watch)
        better = best.score is None or score >= best.score
        if not better:
            load_weights(model, best)
        logger.info(
            f"the mean of the {len(ranked)} best checkpoints has dev {config.train.watch.value} {abs(score):.2f}, "
            f"the best alone {abs(best.score or 0):.2f}: taking the {'mean' if better else 'best'}"
        )


def load_weights(model: Transformer, checkpoint: Checkpoint) -> None:
    load_into(model, checkpoint.ema() or checkpoint.model(), where=str(checkpoint.path))


def describe_run(config: Config, material: Material, model: Transformer, trainer: Trainer) -> dict[str, Any]:
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
        },
        "tokenizer": {
            "kind": config.tokenizer.kind.value,
            "pieces": material.tokenizer.tgt_size,
            "sha256": material.tokenizer.fingerprint,
        },
        "parameters": count_parameters(model),
        "precision": trainer.updater.precision.value,
        "seed": config.train.seed,
        "determinism": "bitwise on one CPU and thread count where steps or epochs limit the run; GPUs add in any order",
    }


def announce(facts: dict[str, Any], trainer: Trainer, device: torch.device) -> None:
    data, pieces = facts["data"], facts["tokenizer"]["pieces"]
    logger.info(
        f"{facts['src']} to {facts['tgt']}: {data['train']:,} pairs, {data['tgt_tokens']:,} target tokens an epoch, "
        f"{pieces:,} pieces; {facts['parameters']:,} parameters on {device} in {facts['precision']}, "
        f"{torch.get_num_threads()} threads"
    )


def conclude(material: Material, state: TrainState, folder: RunFolder, report: Report | None) -> None:
    """The result, on stdout."""
    print(f"\nTrained {state.step:,} updates in {state.seconds / 60:.1f} minutes ({state.finished}).")
    if report is not None:
        print(f"\nTest set of {material.corpus.name}, {len(report.references):,} sentences:\n{report.table()}")
        print(f"\n{report.samples(SAMPLES)}")
    sources = [pair.src for pair in material.corpus.dev]
    short = [text for text in sources if 5 <= len(text.split()) <= 12 and text.isprintable()] or ["Some text."]
    chosen = min(short, key=lambda text: not SHELL_SIGNS.isdisjoint(text))  # the first plain one, if there is one
    print(f"\nThe model is in {folder.model}. Next:\n\n{folder.commands(chosen)}")


def dry_run(config: Config) -> None:
    """Show on stdout what training would do; writes nothing but the tokenizer's cache."""
    check(config)
    setup()
    device = pick_device(config.train.device)
    set_up_cpu(config.train.threads)
    material = read_material(config)
    model = make_model(config, material.tokenizer, device)
    print(preview(material.train, material.refusals, model, config.batch, config.train))


def load(path: str | Path | None = None, *, device: str = "auto", precision: str = "auto") -> Translator:
    """See `mt.load`."""
    known = [member.value for member in Precision]
    require(precision in known, "precision", f"be one of {', '.join(known)}", precision)
    place = pick_device(device)
    found = read_model(Path(path) if path is not None else None)
    told = found.description
    model = Transformer(told.model, src_size=told.src_size, tgt_size=told.tgt_size)
    load_into(model, found.weights(), where=str(found.path))
    if precision == Precision.auto and told.precision is Precision.fp32:
        precision = Precision.fp32  # a run that asked for 32 bits was scored in them
    wanted = pick_precision(Precision(precision), place)
    return make_translator(model.to(place).eval(), found.tokenizer, told.decode, wanted, max_length=told.max_length)
