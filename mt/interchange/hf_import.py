"""Import of a MarianMT folder, such as those of OPUS-MT: the same logits, the same pieces.

A folder holds `config.json`, `vocab.json`, two SentencePiece models, and weights in safetensors or in a file of torch,
which is read without running code. What our model cannot do exactly is refused, all reasons at once.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mt.checkpoint import describe_tensors, read_tensors
from mt.checkpoint.model_folder import MAX_CONFIG, MOST, Description
from mt.config import Activation, DecodeConfig, ModelConfig, NormPlacement, Precision, Tying
from mt.errors import CheckpointError, counted, shown
from mt.files import ZIP_DAMAGE, explained, named_as, read_json, read_limited
from mt.interchange import refuse
from mt.interchange.hf import ACTIVATIONS as WRITTEN
from mt.interchange.hf import BIAS, SAFE, SOURCE_SPM, TARGET_SPM, TARGET_TABLE, weights
from mt.nn.encoders import TextEncoder, text_model
from mt.nn.transformer import Transformer
from mt.text.piece_table import EOS, PAD, UNK
from mt.text.tokenizer import JOINT, MAX_MODEL, SOURCE, TABLE, TARGET, Tokenizer

PICKLED = "pytorch_model.bin"
ACTIVATIONS = {theirs: ours for ours, theirs in WRITTEN.items()} | {"swish": Activation.silu}
# The names of one matrix in files, which hold it under one or all of them.
SHARED = (
    "model.shared.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight",
)  # fmt: skip
NEAR = 1e-3  # of sines, stored in 16 bits
ROOM = 1 << 20  # bytes in a file of weights besides the numbers
# Values of `generation_config.json` that mt's search has, and those that change nothing.
SEARCH = {"num_beams": "beam", "length_penalty": "length_penalty", "no_repeat_ngram_size": "no_repeat_ngram"}
NEUTRAL = {
    "do_sample": False, "min_length": 0, "repetition_penalty": 1.0, "num_beam_groups": 1, "diversity_penalty": 0.0,
    "encoder_no_repeat_ngram_size": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """A model in memory, as a model folder describes it."""

    description: Description
    tokenizer: Tokenizer
    model: Transformer
    unkept: list[str]  # search settings of the folder that ours lacks


def read_hf(folder: Path, src: str | None = None, tgt: str | None = None) -> Imported:
    """Args: src, tgt: the languages; None: those of the folder.

    Raises: CheckpointError: for files that are missing, damaged or too large; ConfigError: with all reasons why the
    model cannot be imported.
    """
    _check_files(folder)
    config = read_json(folder / "config.json", most=MAX_CONFIG)
    told = _optional(folder, "tokenizer_config.json")
    generation = {**config, **_optional(folder, "generation_config.json")}
    files, tables = _tokenizer_files(folder, bool(told.get("separate_vocabs")))
    src, tgt = src or told.get("source_lang"), tgt or told.get("target_lang")
    reasons = [*_of_shape(config), *_of_search(generation), *_of_tokenizer(told)]
    if not isinstance(src, str) or not isinstance(tgt, str):
        reasons.append("its languages are not known: name them with --src and --tgt")
    if files is None:
        reasons.append("`separate_vocabs` is true, and its tables do not number the pieces as SentencePiece does")
    refuse(f"imported from {folder}", reasons)
    assert files is not None
    with named_as({JOINT: SOURCE_SPM, SOURCE: SOURCE_SPM, TARGET: TARGET_SPM}):
        tokenizer = Tokenizer.from_files(files, str(folder))
    refuse(f"imported from {folder}", _of_ids(config, generation, tokenizer, [len(table) for table in tables]))
    tensors = _read_weights(folder, config)
    description = _describe(config, generation, tokenizer, (str(src), str(tgt)), tensors)
    if type(longest := told.get("model_max_length")) is int and 1 < longest < description.max_length:
        description = replace(description, max_length=longest)
    model = text_model(description.model, src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size)
    _fill(model, tensors, folder)
    unkept = [name for name, value in NEUTRAL.items() if generation.get(name, value) not in (value, None)]
    return Imported(description, tokenizer, model.eval(), unkept)


# ---------------------------------------------------------------- reasons against


def _of_shape(config: Mapping[str, Any]) -> list[str]:
    """Why no model of ours has this shape, in words."""
    found = list[str]()

    def must(name: str, holds: bool, wanted: str) -> None:
        if not holds:
            found.append(f"`{name}` must be {wanted}, but is {shown(config.get(name))}")

    must("model_type", config.get("model_type") == "marian", "marian")
    sizes = {"d_model": "model.dim", "vocab_size": "src_size", "max_position_embeddings": "model.max_length"}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": f"model.{side}_layers", f"{side}_ffn_dim": "model.ffn_dim"}
        sizes |= {f"{side}_attention_heads": "model.dim"}
    for name, limit in sizes.items():
        value = config.get(name)
        must(name, type(value) is int and 0 < value <= MOST[limit], f"a whole number from 1 to {MOST[limit]:,}")
    if not found:
        heads = config["encoder_attention_heads"]
        for what in ("ffn_dim", "attention_heads"):
            must(f"decoder_{what}", config[f"decoder_{what}"] == config[f"encoder_{what}"], "that of the encoder")
        must("d_model", config["d_model"] % heads == 0 and config["d_model"] % 2 == 0, f"even, a multiple of {heads}")
    must("activation_function", config.get("activation_function") in [*ACTIVATIONS], f"one of {', '.join(ACTIVATIONS)}")
    must("scale_embedding", config.get("scale_embedding") is True, "true")
    for name, usual in (
        ("normalize_before", False), ("add_final_layer_norm", False), ("normalize_embedding", False),
        ("static_position_embeddings", True), ("tie_word_embeddings", True),
    ):  # fmt: skip
        must(name, config.get(name, usual) is usual, str(usual).lower())
    must("share_encoder_decoder_embeddings", isinstance(_shared(config), bool), "true or false")
    return found


def _of_search(generation: Mapping[str, Any]) -> list[str]:
    kinds = {"num_beams": int, "length_penalty": (int, float), "no_repeat_ngram_size": int}
    given = {name: generation.get(name) for name in SEARCH}
    wrong = [
        f"`{name}` must be a number, but is {shown(value)}"
        for name, value in given.items()
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds[name]))
    ]
    forced = generation.get("forced_bos_token_id")
    return wrong + ([] if forced is None else ["`forced_bos_token_id` must be null: mt forces no first piece"])


def _of_tokenizer(told: Mapping[str, Any]) -> list[str]:
    found = list[str]()
    for name, usual in (("eos_token", EOS), ("unk_token", UNK), ("pad_token", PAD)):
        value = told.get(name, usual)
        value = value.get("content") if isinstance(value, dict) else value
        if value != usual:
            found.append(f"`{name}` must be {usual}, but is {shown(value)}")
    if told.get("sp_model_kwargs"):
        found.append("`sp_model_kwargs` must be empty")
    return found


def _of_ids(
    config: Mapping[str, Any], generation: Mapping[str, Any], tokenizer: Tokenizer, sizes: list[int]
) -> list[str]:
    """Args: sizes: of the tables of source and target."""
    found = list[str]()
    for name, given, wanted in (
        ("eos_token_id", config.get("eos_token_id", 0), tokenizer.eos),
        ("pad_token_id", config.get("pad_token_id"), tokenizer.pad),
        ("decoder_start_token_id", generation.get("decoder_start_token_id"), tokenizer.bos),
        ("vocab_size", config["vocab_size"], sizes[0]),
        ("decoder_vocab_size", config.get("decoder_vocab_size") or config["vocab_size"], sizes[-1]),
    ):
        if given != wanted:
            found.append(f"`{name}` must be {wanted}, as the vocabulary has it, but is {shown(given)}")
    if _shared(config) and not tokenizer.joint:
        found.append("`share_encoder_decoder_embeddings` must be false where each language has its vocabulary")
    never = sorted({tokenizer.pad, tokenizer.bos})
    for name, kept in (("bad_words_ids", [[number] for number in never]), ("suppress_tokens", never)):
        given = generation.get(name) or []
        if not isinstance(given, list) or any(one not in kept for one in given):
            found.append(f"`{name}` may hold {kept} only, but is {shown(given)}")
    return found


def _shared(config: Mapping[str, Any]) -> Any:
    return config.get("share_encoder_decoder_embeddings", True)


# ---------------------------------------------------------------- files


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise CheckpointError(
            f"`{folder}` must be a folder of MarianMT, but is {'a file' if folder.exists() else 'not there'}."
        )
    needed = ["config.json", TABLE, SOURCE_SPM, TARGET_SPM]
    missing = [name for name in needed if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in (SAFE, PICKLED)):
        missing.append(f"{SAFE} or {PICKLED}")
    if missing:
        raise CheckpointError(f"`{folder}` must be a folder of MarianMT, but lacks {', '.join(missing)}.")


def _optional(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder / name, most=MAX_CONFIG) if (folder / name).exists() else {}


def _tokenizer_files(folder: Path, separate: bool) -> tuple[dict[str, bytes] | None, list[dict[str, Any]]]:
    """The files of our tokenizer, and the tables of the folder.

    Where the tables number the pieces as SentencePiece does (models of mt), they are not needed. None: there is no
    tokenizer of ours for such tables.
    """
    names = [TABLE, TARGET_TABLE] if separate else [TABLE]
    tables = [read_json(folder / name, most=MAX_MODEL) for name in names]
    source, target = (read_limited(folder / name, MAX_MODEL) for name in (SOURCE_SPM, TARGET_SPM))
    own = {JOINT: source} if source == target and not separate else {SOURCE: source, TARGET: target}
    if len(own) == len(tables):
        try:
            plain = Tokenizer.from_files(own, str(folder))
            sides = [(plain.pieces_source, plain.src_size), (plain.pieces_target, plain.tgt_size)]
            found = [{piece: number for number, piece in enumerate(side(range(size)))} for side, size in sides]
            if found[: len(tables)] == tables:
                return own, tables
        except CheckpointError:  # its models lack a special piece, or differ in their ids
            pass
    if separate:
        return None, tables
    return {SOURCE: source, TARGET: target, TABLE: read_limited(folder / TABLE, MAX_MODEL)}, tables


def _read_weights(folder: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of the folder by name. Their number and their size are checked before they are read."""
    rows = 2 * config["vocab_size"] + 2 * (config.get("decoder_vocab_size") or config["vocab_size"])
    rows += 2 * config["max_position_embeddings"]  # in old files, all copies of the shared matrix are stored
    layers = config["encoder_layers"] + config["decoder_layers"]
    width = config["d_model"] + 16
    most = 4 * (width * rows + layers * (8 * width * width + 2 * width * (config["encoder_ffn_dim"] + 16))) + ROOM
    path = folder / (SAFE if (folder / SAFE).is_file() else PICKLED)
    with explained(f"`{path}` cannot be read"):
        size = path.stat().st_size
        if path.name == PICKLED and zipfile.is_zipfile(path):
            try:
                with zipfile.ZipFile(path) as parts:
                    size = max(size, sum(part.file_size for part in parts.infolist()))
            except ZIP_DAMAGE as error:
                raise CheckpointError(f"`{path}` is damaged: {error}.") from None
    if size > most:
        raise CheckpointError(f"`{path}` holds {size:,} bytes, but a model of this shape has at most {most:,}.")
    if path.name == SAFE:
        describe_tensors(path)
        return read_tensors(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises errors of many kinds
        cause = str(error).strip().partition("\n")[0][:200].rstrip(".")
        raise CheckpointError(f"`{path}` cannot be read as tensors alone; nothing in it was run: {cause}.") from None
    if not isinstance(found, dict) or not all(isinstance(one, Tensor) for one in found.values()):
        raise CheckpointError(f"`{path}` must hold tensors by name, but holds something else.")
    return found


# ---------------------------------------------------------------- the model


def _describe(
    config: Mapping[str, Any], generation: Mapping[str, Any], tokenizer: Tokenizer, languages: tuple[str, str],
    tensors: Mapping[str, Tensor],
) -> Description:  # fmt: skip
    rates = [config.get(name) for name in ("dropout", "attention_dropout", "activation_dropout")]
    dropout, attention_dropout, activation_dropout = (
        float(rate) if isinstance(rate, (int, float)) and 0 <= rate < 1 else 0.0 for rate in rates
    )
    bias = tensors.get(BIAS)
    model = ModelConfig(
        dim=config["d_model"], heads=config["encoder_attention_heads"], ffn_dim=config["encoder_ffn_dim"],
        encoder_layers=config["encoder_layers"], decoder_layers=config["decoder_layers"], norm=NormPlacement.post,
        activation=ACTIVATIONS[config["activation_function"]], tying=Tying.all if _shared(config) else Tying.decoder,
        max_length=config["max_position_embeddings"], output_bias=bias is not None and bool(bias.any()),
        dropout=dropout, attention_dropout=attention_dropout, activation_dropout=activation_dropout,
    )  # fmt: skip
    given = {ours: generation.get(theirs) for theirs, ours in SEARCH.items()}
    search = {"beam": 1, **{name: value for name, value in given.items() if value is not None}}
    return Description(
        src=languages[0], tgt=languages[1], src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size,
        max_length=model.max_length, precision=Precision.fp32, model=model,
        decode=DecodeConfig(**search),
    )  # fmt: skip


def _fill(model: Transformer, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Copy the tensors of the folder into the model. Raises: CheckpointError: unless each fits, and none is left."""
    places, rest = weights(model), dict(tensors)
    assert isinstance(model.encoder, TextEncoder)
    table, faults = model.encoder.embedding.table, list[str]()
    for side in ("encoder", "decoder"):
        positions = rest.pop(f"model.{side}.embed_positions.weight", None)
        if positions is not None and not _equal(positions, table, NEAR):
            faults.append(f"the positions of the {side} are not Marian's sines")
    shared = model.config.tying is Tying.all
    groups = [SHARED] if shared else [SHARED[1:2], SHARED[2:]]
    for group in groups:
        copies = [rest.pop(name) for name in group if name in rest]
        if not all(_equal(one, copies[0], 0) for one in copies):
            faults.append(f"{' and '.join(group)} must be one matrix, but differ")
        rest |= {group[0]: copies[0]} if copies else {}
    if not model.config.output_bias:
        places.pop(BIAS)
        rest.pop(BIAS, None)
    for name, place in places.items():
        found = rest.pop(name, None)
        if found is None or found.shape != place.shape or not found.is_floating_point():
            is_there = "is missing" if found is None else f"is {found.dtype} {[*found.shape]}"
            faults.append(f"{name} must be numbers of the shape {[*place.shape]}, but {is_there}")
            continue
        with torch.no_grad():
            place.copy_(found)
    if rest:
        faults.append(f"{', '.join(sorted(rest)[:3])} is in no MarianMT model that mt knows")
    if faults:
        more = f", and {counted(len(faults) - 5, 'more fault')}" if len(faults) > 5 else ""
        raise CheckpointError(f"the weights of {folder} do not fit its config.json: {'; '.join(faults[:5])}{more}.")


def _equal(one: Tensor, other: Tensor | None, near: float) -> bool:
    if other is None or one.shape != other.shape:
        return False
    return torch.allclose(one.float(), other.float(), rtol=0, atol=near)
