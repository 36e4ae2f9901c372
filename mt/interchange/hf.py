"""Export to Hugging Face's MarianMT: a folder for `MarianMTModel` and `MarianTokenizer` of transformers.

MarianMT is a Transformer with post-norm, LayerNorm, biases and sinusoidal positions that start at 0, in the layout of
`mt.nn.positions`. Its tokenizer has a table of pieces and ids beside the SentencePiece models. No code is written, and
the package `transformers` is not needed.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mt.config import Activation, DecodeConfig, NormKind, NormPlacement, Positions, Tying
from mt.errors import ConfigError
from mt.files import whole_folder, write_file
from mt.interchange import refuse
from mt.nn.encoders import TextEncoder, what_it_reads
from mt.nn.transformer import Transformer
from mt.text.tokenizer import JOINT, SOURCE, TABLE, TARGET, Tokenizer

# Names of files, besides `TABLE`, and of a tensor.
SOURCE_SPM, TARGET_SPM, TARGET_TABLE, SAFE = "source.spm", "target.spm", "target_vocab.json", "model.safetensors"
BIAS = "final_logits_bias"
ACTIVATIONS = {Activation.relu: "relu", Activation.gelu: "gelu", Activation.silu: "silu"}


def reasons_against(model: Transformer, tokenizer: Tokenizer) -> list[str]:
    """Why MarianMT cannot hold the model; empty: it can."""
    config, found = model.config, list[str]()

    def must(setting: str, holds: bool, wanted: str) -> None:
        if not holds:
            found.append(f"`model.{setting}` must be {wanted}, but is {getattr(config, setting)}")

    if not isinstance(model.encoder, TextEncoder):
        found.append(f"the model reads {what_it_reads(model)}, not one text")
    must("norm", config.norm is NormPlacement.post, "post")
    must("norm_kind", config.norm_kind is NormKind.layernorm, "layernorm")
    must("positions", config.positions is Positions.sinusoidal, "sinusoidal")
    must("activation", config.activation in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}")
    must("bias", config.bias, "true")
    must("kv_heads", config.kv_heads in (None, config.heads), "that of `model.heads`, or null")
    must("tying", config.tying is not Tying.none, "all or decoder")
    must("tying", config.tying is not Tying.all or tokenizer.joint, "decoder where each language has its tokenizer")
    for tag in sorted(tokenizer.tags):
        if tag.startswith(">>") and TABLE not in tokenizer.files():
            found.append(f"MarianTokenizer reads the tag `{tag}` without the space before it, unlike this model")
    return found


def write_hf(
    model: Transformer,
    tokenizer: Tokenizer,
    out: Path,
    *,
    section: DecodeConfig,
    max_length: int,
    src: str,
    tgt: str,
    check: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Write the model as the new folder `out`.

    Args: section: its search settings, of which beam and length penalty are kept; max_length: as `Translator`; check:
    called with the finished folder before it appears; if it raises, nothing is written.
    Raises: ConfigError: with all `reasons_against` it, or when the folder exists.
    """
    if out.exists():
        raise ConfigError(f"`{out}` already exists.", hint="name a new folder.")
    refuse("exported to MarianMT", reasons_against(model, tokenizer))
    files = tokenizer.files()
    tables = {TABLE: tokenizer.pieces_source(range(tokenizer.src_size))}
    if not tokenizer.joint:
        tables[TARGET_TABLE] = tokenizer.pieces_target(range(tokenizer.tgt_size))
    configs = {
        "config.json": model_config(model, tokenizer),
        "generation_config.json": generation_config(tokenizer, section, max_length),
        "tokenizer_config.json": tokenizer_config(tokenizer, max_length, src, tgt),
        **{name: {piece: number for number, piece in enumerate(pieces)} for name, pieces in tables.items()},
    }
    with whole_folder(out) as folder:
        for name, values in configs.items():
            write_file(folder / name, (json.dumps(values, ensure_ascii=False, indent=2) + "\n").encode())
        write_file(folder / SOURCE_SPM, files[JOINT if JOINT in files else SOURCE])
        write_file(folder / TARGET_SPM, files[JOINT if JOINT in files else TARGET])
        tensors = {name: tensor.detach().cpu().float().contiguous().clone() for name, tensor in weights(model).items()}
        write_file(folder / SAFE, safetensors.torch.save(tensors, metadata={"format": "pt"}))
        check(folder)


def model_config(model: Transformer, tokenizer: Tokenizer) -> dict[str, Any]:
    config = model.config
    both = {
        "layers": (config.encoder_layers, config.decoder_layers),
        "ffn_dim": (config.ffn_dim, config.ffn_dim),
        "attention_heads": (config.heads, config.heads),
        "layerdrop": (0.0, 0.0),
    }
    sides = {f"{side}_{name}": pair[n] for name, pair in both.items() for n, side in enumerate(("encoder", "decoder"))}
    return {
        "architectures": ["MarianMTModel"], "model_type": "marian", "dtype": "float32", "is_encoder_decoder": True,
        "vocab_size": tokenizer.src_size, "decoder_vocab_size": tokenizer.tgt_size, "d_model": config.dim, **sides,
        "max_position_embeddings": config.max_length, "activation_function": ACTIVATIONS[config.activation],
        "dropout": config.dropout, "attention_dropout": config.attention_dropout,
        "activation_dropout": config.activation_dropout, "scale_embedding": True, "tie_word_embeddings": True,
        "share_encoder_decoder_embeddings": config.tying is Tying.all, "bos_token_id": tokenizer.bos,
        "eos_token_id": tokenizer.eos, "pad_token_id": tokenizer.pad, "decoder_start_token_id": tokenizer.bos,
        "forced_eos_token_id": None,
    }  # fmt: skip


def generation_config(tokenizer: Tokenizer, section: DecodeConfig, max_length: int) -> dict[str, Any]:
    """The search of the model: our pieces that are never written, its beam and its length penalty."""
    return {
        "bos_token_id": tokenizer.bos, "eos_token_id": tokenizer.eos, "pad_token_id": tokenizer.pad,
        "decoder_start_token_id": tokenizer.bos, "suppress_tokens": sorted({tokenizer.bos, tokenizer.pad}),
        "num_beams": section.beam, "length_penalty": section.length_penalty, "max_length": max_length,
    }  # fmt: skip


def tokenizer_config(tokenizer: Tokenizer, max_length: int, src: str, tgt: str) -> dict[str, Any]:
    unk, eos, pad = tokenizer.pieces_target([tokenizer.unk, tokenizer.eos, tokenizer.pad])
    return {
        "tokenizer_class": "MarianTokenizer", "source_lang": src, "target_lang": tgt, "unk_token": unk,
        "eos_token": eos, "pad_token": pad, "model_max_length": max_length, "separate_vocabs": not tokenizer.joint,
        "clean_up_tokenization_spaces": False,
    }  # fmt: skip


def weights(model: Transformer) -> dict[str, Tensor]:
    """The parameters by their names in MarianMT."""
    assert isinstance(model.encoder, TextEncoder)
    bias = model.decoder.output.bias
    found = {BIAS: torch.zeros(1, len(model.tgt_weight)) if bias is None else bias[None]}
    if model.config.tying is Tying.all:
        found["model.shared.weight"] = model.tgt_weight
    else:
        found["model.encoder.embed_tokens.weight"] = model.encoder.embedding.weight
        found["model.decoder.embed_tokens.weight"] = model.tgt_weight
    for side, layers in (("encoder", model.encoder.layers), ("decoder", model.decoder.layers)):
        for number, layer in enumerate(layers):
            prefix = f"model.{side}.layers.{number}"
            found |= _attention(f"{prefix}.self_attn", layer.self_attention)
            found |= _weight_and_bias(f"{prefix}.self_attn_layer_norm", layer.self_norm)
            if side == "decoder":
                found |= _attention(f"{prefix}.encoder_attn", layer.cross_attention)
                found |= _weight_and_bias(f"{prefix}.encoder_attn_layer_norm", layer.cross_norm)
            found |= _weight_and_bias(f"{prefix}.fc1", layer.feed_forward.inner)
            found |= _weight_and_bias(f"{prefix}.fc2", layer.feed_forward.outer)
            found |= _weight_and_bias(f"{prefix}.final_layer_norm", layer.feed_forward_norm)
    return found


def _weight_and_bias(name: str, module: Any) -> dict[str, Tensor]:
    return {f"{name}.weight": module.weight, f"{name}.bias": module.bias}


def _attention(name: str, module: Any) -> dict[str, Tensor]:
    """Our keys and values are one matrix."""
    found = {}
    for kind in ("weight", "bias"):
        key, value = getattr(module.key_value, kind).chunk(2)
        query, out = getattr(module.query, kind), getattr(module.out, kind)
        for part, tensor in {"q_proj": query, "k_proj": key, "v_proj": value, "out_proj": out}.items():
            found[f"{name}.{part}.{kind}"] = tensor
    return found
