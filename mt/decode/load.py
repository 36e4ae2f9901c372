"""Load a `Translator` from a model folder, without importing what only training needs: `mt translate` starts faster."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path

import torch

from mt.checkpoint.model_folder import StoredModel, read_model
from mt.checkpoint.two_models import check_direction
from mt.compute.device import pick_device, pick_precision
from mt.config import DecodeConfig, Precision
from mt.decode.search.ensemble import Ensemble, Mean
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import ConfigError, require, short
from mt.inputs.reader import InputReader


def load(
    path: str | Path | None = None, *, device: str = "auto", precision: str = "auto", cuda_graphs: bool = False
) -> Translator:
    """See `mt.load`."""
    known = [member.value for member in Precision]
    require(precision in known, "precision", f"be one of {', '.join(known)}", precision)
    on = pick_device(device)
    found = read_model(Path(path) if path is not None else None)
    told = found.description
    if precision == Precision.auto and told.precision is Precision.fp32:
        precision = Precision.fp32  # a run set to 32 bits was scored in them
    on_device = pick_precision(Precision(precision), on)
    return translator_of(found, on, told.decode, on_device, cuda_graphs=None if cuda_graphs else False)


def translator_of(
    found: StoredModel, device: torch.device, section: DecodeConfig, precision: Precision, *,
    cuda_graphs: bool | None = False,
) -> Translator:  # fmt: skip
    """A translator of a model that was read, with the settings of search that are given."""
    told, tokenizer = found.description, found.tokenizer
    return Translator(
        CachedStepper(found.model(device), precision, cuda_graphs=cuda_graphs), tokenizer, section,
        max_length=told.max_length, src=told.src, usual=told.usual,
        reader=InputReader(told.inputs, tokenizer.encode_source) if told.inputs else None,
    )  # fmt: skip


def with_tag(translator: Translator, tag: str) -> Translator:
    """The same model, which reads each text as if it began with this tag, such as "<2de>", unless it begins with one.

    Raises: ConfigError: for a tag that the model was not trained with, and for a model that does not read text.
    """
    translator.require_text("a tag")
    tagged = copy(translator)
    tagged.cutter = copy(translator.cutter)
    tagged.tokenizer = tagged.cutter.tokenizer = translator.tokenizer.with_tag(tag)
    return tagged


def load_ensemble(
    paths: Sequence[str | Path], *, mean: Mean = Mean.probabilities, device: str = "auto", precision: str = "auto"
) -> Translator:
    """An ensemble with the settings of its first model.

    Raises: ConfigError: when their directions or their tokenizers differ, and what `load` raises.
    """
    if isinstance(paths, str | Path) or not paths:
        raise ConfigError(
            f"`paths` must be a list of models, but is {short(paths)}.", hint='write `["runs/one", "runs/two"]`.'
        )
    for path in paths[1:]:
        check_direction(Path(paths[0]), Path(path), "--ensemble")
    members = [load(path, device=device, precision=precision) for path in paths]
    first = members[0]
    for path, other in zip(paths, members, strict=True):
        if other.tokenizer.fingerprint != first.tokenizer.fingerprint:
            raise ConfigError(
                f"{paths[0]} and {path} cannot translate together: their tokenizers differ.",
                hint="train the models of an ensemble on the same text with the same `tokenizer` settings, and other "
                "values of `train.seed`.",
            )
        if (other.reader and other.reader.inputs) != (first.reader and first.reader.inputs):
            raise ConfigError(
                f"{paths[0]} and {path} cannot translate together: their inputs differ.",
                hint="train the models of an ensemble with the same `data.inputs` on the same data.",
            )
    return Translator(
        first.stepper, first.tokenizer, first.section, max_length=min(m.max_length for m in members),
        src=first.src, usual=first.usual, reader=first.reader,
        searcher=Ensemble([m.stepper for m in members], mean=mean),
    )  # fmt: skip
