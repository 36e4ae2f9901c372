"""The model that a run goes on from (`init=MODEL`): what stays of it, the settings that fit, and the ancestry."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mt.checkpoint import Checkpoints, load_into
from mt.checkpoint.model_folder import Description, StoredModel, find_run, read_model
from mt.checkpoint.two_models import check_languages
from mt.config import BatchConfig, Config, DataConfig, Input, ModelConfig, Positions, SourceKind, TokenizerConfig
from mt.config.from_json import from_plain
from mt.config.inputs import parse_inputs
from mt.data.corpus.catalog import CATALOG
from mt.data.corpus.own import UNKNOWN
from mt.data.corpus.readers import check_order, infer_languages
from mt.errors import CheckpointError, ConfigError, counted, spelt
from mt.files import read_json
from mt.nn.transformer import Transformer
from mt.text.languages import plain_code
from mt.text.tokenizer import Tokenizer
from mt.train.ancestry import Ancestor, ancestors, ancestry_of, weights_hash
from mt.train.run_folder import RunFolder
from mt.train.saved_config import read_config
from mt.train.validate import AUTO_EPOCHS, AUTO_UPDATES

logger = logging.getLogger("mt")
RATE_BY_WIDTH = 0.06  # the learning rate times `model.dim`: about a tenth of the rates in configs/model/
WARMUP, PATIENCE = 20, 3
# Settings of `model` on which no shape depends.
FREE = {"dropout", "attention_dropout", "activation_dropout", "word_dropout", "matching"}


@dataclass(frozen=True)
class Origin:
    """The model that a run goes on from. Its weights are read when they are needed."""

    path: str  # as the user gave it
    description: Description
    tokenizer: Tokenizer
    ancestry: list[Ancestor]  # it, then what it went on from
    section: TokenizerConfig | None = None  # the settings of the tokenizer; None: those of a run that has begun

    def read(self) -> StoredModel:
        """The model with its weights. Raises: CheckpointError: when it is gone, or not the one of this run any more."""
        stored = read_model(Path(self.path))
        if weights_hash(stored) != self.ancestry[0].weights:
            raise CheckpointError(f"{self.path} has other weights now than when this run went on from it.")
        return stored

    def load(self, model: Transformer) -> None:
        """Copy the weights into a model of the same shape."""
        stored = self.read()
        load_into(model, stored.tensors, where=str(stored.path))

    def fitted(self, config: Config) -> Config:
        """The settings with the languages of the model, where none are set.

        Raises: ConfigError: for a shape, a tokenizer or a corpus that is not the model's; DataError: for files of the
        opposite direction.
        """
        check_shape(self.path, config.model, self.description.model)
        check_inputs(self.path, parse_inputs(config.data.inputs), self.description.inputs)
        if self.section is not None:
            check_tokenizer(self.path, config.tokenizer, self.section)
        return replace(config, data=self._fitted_data(config.data))

    def inputs(self, data: DataConfig) -> list[Input]:
        """The inputs of the model, with the names that their columns have here; empty: it reads text."""
        pairs = zip(self.description.inputs, parse_inputs(data.inputs), strict=True)
        return [replace(own, column=given.column) for own, given in pairs]

    def _fitted_data(self, data: DataConfig) -> DataConfig:
        own = self.description.src, self.description.tgt
        if data.inputs:
            tgt = data.tgt or own[1]
            check_languages(f"`init={self.path}`", own, wanted=(own[0], tgt))
            return replace(data, tgt=tgt)
        if not data.train:
            entry = CATALOG.get(str(data.corpus))
            if entry and [plain_code(entry.src), plain_code(entry.tgt)] != [plain_code(code) for code in own]:
                raise ConfigError(
                    f"`init={self.path}` translates from {own[0]} to {own[1]}, but the corpus {data.corpus} is "
                    f"{entry.src} to {entry.tgt}.",
                    hint="name your own text with `data.train`.",
                )
            return data
        for files in (data.train, data.dev, data.test):
            check_order(files, *own, f"`init={self.path}` translates")
        inferred = infer_languages(data.train) or (None, None)
        src, tgt = (
            given or named or known for given, named, known in zip((data.src, data.tgt), inferred, own, strict=True)
        )
        check_languages(f"`init={self.path}`", own, wanted=(src, tgt))
        return data if own == UNKNOWN else replace(data, src=data.src or own[0], tgt=data.tgt or own[1])


def read_origin(config: Config, folder: RunFolder | None = None) -> Origin | None:
    """The model that a run goes on from; None: from none.

    A run that has begun, in `folder`, needs it no more: what it keeps is in its own checkpoints and manifest.
    Raises: CheckpointError: when the model cannot be read; ConfigError: when training cannot go on from it.
    """
    if config.init.path is None:
        return None
    path = config.init.path
    last = Checkpoints(folder.checkpoints, keep=1).latest() if folder is not None else None
    if folder is not None and last is not None:
        manifest = read_json(folder.manifest)
        if "ancestry" not in manifest:
            raise ConfigError(
                f"the run `{folder.path}` was started without `init`, and cannot begin anew from {path}.",
                hint="begin another run with `run.name=...`.",
            )
        known = ancestors(manifest["ancestry"])
        if not known:
            raise CheckpointError(f"`{folder.manifest}` must have the `ancestry` of the model, but does not.")
        own = read_model(last.path)
        return Origin(path, own.description, _sampling(own.tokenizer, config), known)
    stored = read_model(Path(path))
    if stored.description.source is SourceKind.frames:
        raise ConfigError(
            f"`init={path}` is a model of frames that a program gave it, but training goes on from models of text and "
            "of tables only."
        )
    tokenizer, section = _sampling(stored.tokenizer, config), tokenizer_settings(stored)
    return Origin(path, stored.description, tokenizer, ancestry_of(stored), section)


def _sampling(tokenizer: Tokenizer, config: Config) -> Tokenizer:
    return Tokenizer.from_files(tokenizer.files(), sampling=config.tokenizer.sampling)


def check_shape(path: str, given: ModelConfig, own: ModelConfig) -> None:
    """Raises: ConfigError: for the first setting that would give the model another shape."""
    free = FREE | (set() if own.positions is Positions.learned else {"max_length"})  # else a table that is computed
    for name in (f.name for f in fields(own) if f.name not in free):
        if getattr(given, name) != getattr(own, name):
            raise ConfigError(
                f"`model.{name}` is {spelt(getattr(given, name))}, but `init={path}` keeps the shape of its model, in "
                f"which it is {spelt(getattr(own, name))}.",
                hint=f"leave out `model.{name}`, or leave out `init`.",
            )


def check_inputs(path: str, given: Sequence[Input], own: Sequence[Input]) -> None:
    """Raises: ConfigError: for inputs of other kinds than the model's, or in another order; columns may have other
    names."""
    forms = [[(one.kind, one.side, one.patch) for one in inputs] for inputs in (given, own)]
    if forms[0] != forms[1]:
        asked, kept = (", ".join(one.setting for one in inputs) or "text alone" for inputs in (given, own))
        raise ConfigError(
            f"`data.inputs` says {asked}, but the model of `init={path}` reads {kept}.",
            hint="name a column for each input of the model, in its order." if own else "leave out `data.inputs`.",
        )


def check_tokenizer(path: str, given: TokenizerConfig, own: TokenizerConfig) -> None:
    """Raises: ConfigError: for the first setting that would give another tokenizer."""
    for name in (f.name for f in fields(own) if f.name != "sampling"):
        if getattr(given, name) != getattr(own, name):
            raise ConfigError(
                f"`tokenizer.{name}` is {spelt(getattr(given, name))}, but `init={path}` keeps the tokenizer of its "
                f"model ({spelt(getattr(own, name))}).",
                hint=f"leave out `tokenizer.{name}`, or leave out `init`.",
            )


# ---- the settings to begin with


def starting_settings(path: str) -> dict[str, dict[str, Any]]:
    """The settings that `init=MODEL` gives, before the user's own: what the model has, and a short, cautious training.

    With a rate of a tenth and few epochs, weights stay near those that the model has. The dev loss decides, because
    BLEU on a few held-out pairs is chance, and it is computed before the first update, too.
    Raises: CheckpointError: as `read_model`.
    """
    stored = read_model(Path(path))
    told = stored.description
    columns = {"inputs": [one.setting for one in told.inputs], "target": told.target, "tgt": told.tgt}
    values = Config(model=told.model, tokenizer=tokenizer_settings(stored), decode=told.decode).to_dict()
    return {
        "init": {"path": path},
        **{name: values[name] for name in ("model", "tokenizer", "decode")},
        **({"data": columns} if told.inputs else {}),
        "batch": {"max_length": told.max_length, "tokens": max(BatchConfig().budget, told.max_length)},
        "optim": {"name": "adamw", "lr": float(f"{RATE_BY_WIDTH / told.model.dim:.1g}")},
        "schedule": {"warmup_steps": WARMUP},
        "train": {"epochs": "auto", "validate_every": "auto", "patience": PATIENCE, "watch": "loss"},
    }


def tokenizer_settings(stored: StoredModel) -> TokenizerConfig:
    """The settings of a model's tokenizer: those of its run, if it is in one, with what the files say.

    Raises: ConfigError: when the run's settings are damaged.
    """
    run, tokenizer = find_run(stored.path), stored.tokenizer
    section = TokenizerConfig(tags=sorted(tokenizer.tags))
    if run is not None:
        saved = read_config(run / "config.yaml").get("tokenizer")
        section = from_plain(TokenizerConfig, saved, f"{run}/config.yaml: `tokenizer`")
    return replace(section, kind=tokenizer.kind, vocab_size=tokenizer.tgt_size, joint=tokenizer.joint)


def announce(origin: Origin, config: Config) -> None:
    """Log where the weights come from, and the settings that training begins with."""
    first = origin.ancestry[0]
    logger.info(f"going on from {origin.path}: {first}; its tokenizer, shape and search settings stay")
    auto = f"{AUTO_EPOCHS} epochs (or {AUTO_UPDATES} updates, if that is more)"
    limits = ", ".join(
        auto if value == "auto" else counted(value, name)
        for name in ("step", "epoch", "minute")
        if (value := getattr(config.train, f"{name}s")) is not None
    )
    patience = config.train.patience
    logger.info(
        f"learning rate {config.optim.lr:g} after {config.schedule.warmup_steps} updates of warm-up; at most {limits}"
        + (f", or {counted(patience, 'validation')} without a better {config.train.watch.value}" if patience else "")
    )
