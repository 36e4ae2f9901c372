"""A model folder to a `Translator`. What only training needs is not imported here: a line is translated the sooner."""

from collections.abc import Sequence
from pathlib import Path

from mt.checkpoint.model_folder import check_same_direction, read_model
from mt.compute.device import pick_device, pick_precision
from mt.config import DecodeConfig, Precision
from mt.decode.search.ensemble import Ensemble, Mean
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import ConfigError, require
from mt.nn.transformer import Transformer
from mt.text.sentences import Usual
from mt.text.tokenizer import Tokenizer


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


def load(path: str | Path | None = None, *, device: str = "auto", precision: str = "auto") -> Translator:
    """See `mt.load`."""
    known = [member.value for member in Precision]
    require(precision in known, "precision", f"be one of {', '.join(known)}", precision)
    place = pick_device(device)
    found = read_model(Path(path) if path is not None else None)
    told = found.description
    if precision == Precision.auto and told.precision is Precision.fp32:
        precision = Precision.fp32  # a run that asked for 32 bits was scored in them
    wanted = pick_precision(Precision(precision), place)
    return make_translator(
        found.model(place), found.tokenizer, told.decode, wanted,
        max_length=told.max_length, src=told.src, usual=told.usual,
    )  # fmt: skip


def load_ensemble(
    paths: Sequence[str | Path], *, mean: Mean = Mean.probabilities, device: str = "auto", precision: str = "auto"
) -> Translator:
    """Several models that translate as one; settings are those of the first.

    Raises: ConfigError: when their directions or their tokenizers differ, and what `load` raises.
    """
    for path in paths[1:]:
        check_same_direction(Path(paths[0]), Path(path), "--ensemble")
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
