"""Export to CTranslate2, a C++ engine (https://opennmt.net/CTranslate2), with the same weights and results.

Every value of `ModelConfig` has a counterpart there. Not documented, and found by comparing log-probabilities:

- `optimize("int8")` scales arrays in place, so each array is a copy of ours;
- the built-in sinusoids count positions from 1, so a model with a table exports its own;
- the epsilon of the norms must be set in the config, since its default differs from ours;
- word links come from the first heads of one layer, so those that align best are moved to the front.
"""

# pyright: reportMissingImports=false
# The library is an optional extra.

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from mt.alignment.heads import AlignmentHeads
from mt.config import Activation, DecodeConfig, ModelConfig, NormKind, NormPlacement, Positions
from mt.errors import ConfigError, require_package
from mt.files import whole_folder
from mt.interchange import EXACT, refuse
from mt.nn.attention import FeedForward, MultiHeadAttention
from mt.nn.encoders import TextEncoder, what_it_reads
from mt.nn.positions import sinusoidal_table
from mt.nn.transformer import Embedding, Transformer
from mt.text.tokenizer import TABLE, Tokenizer

if TYPE_CHECKING:
    from ctranslate2.specs import TransformerSpec

CT2_LONGEST = 256  # the default of the engine for the longest translation, in pieces
QUANTIZATIONS = (EXACT, "float16", "bfloat16", "int16", "int8", "int8_float32", "int8_float16", "int8_bfloat16")
# The numbers of `ctranslate2.specs.common_spec.Activation`; gelu is the exact one.
ACTIVATIONS = {
    Activation.relu: 0, Activation.gelu: 3, Activation.silu: 2, Activation.swiglu: 2, Activation.geglu: 3,
}  # fmt: skip


def reasons_against(model: Transformer, quantization: str) -> list[str]:
    """Why the model cannot be written with this quantization; empty: it can."""
    found = []
    if quantization not in QUANTIZATIONS:
        found.append(f"`quantization` must be one of {', '.join(QUANTIZATIONS)}, but is {quantization}")
    if not isinstance(model.encoder, TextEncoder):
        found.append(f"the model reads {what_it_reads(model)}, not one text")
    return found


def write_ct2(
    model: Transformer,
    tokenizer: Tokenizer,
    out: Path,
    *,
    quantization: str = EXACT,
    heads: AlignmentHeads | None = None,
    positions: int = 0,
    check: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Write the model and the tokenizer's files to the new folder `out`.

    Args: heads: for word links; they become the first of their layer (`first_heads`); positions: a table of
    sines has at least as many, for callers without a limit; check: called with the finished
    folder before it appears; if it raises, nothing is written.

    The engine reads and writes pieces, not text; it adds eos to the source itself. Its defaults differ from ours: pass
    `min_decoding_length=0`, `suppress_sequences` for `<s>` and `<pad>`, and, if the model has a table of positions, no
    `max_decoding_length` beyond it.

    Raises: ConfigError: with all `reasons_against` the export, for an existing folder, or without the package
    `ctranslate2`.
    """
    if out.exists():
        raise ConfigError(f"`{out}` already exists.", hint="name a new folder.")
    refuse("exported to CTranslate2", reasons_against(model, quantization))
    spec = to_spec(model, tokenizer, heads, positions)
    spec.validate()
    spec.optimize(quantization=None if quantization == EXACT else quantization)
    with whole_folder(out) as folder:
        spec.save(str(folder))
        tokenizer.save(folder)
        check(folder)


def python_example(tokenizer: Tokenizer, section: DecodeConfig, folder: Path, *, max_length: int) -> str:
    """Python code that translates a line with an exported model, through `ctranslate2` and `sentencepiece` only.

    Args: section: the search settings of the model; of these the engine gets beam and length penalty; max_length: the
        longest translation, in pieces.
    """
    names = sorted(name for name in tokenizer.files() if name != TABLE)  # one joint model, or source and target
    specials = [[piece] for piece in dict.fromkeys(tokenizer.pieces_target([tokenizer.bos, tokenizer.pad]))]
    source, target = ("pieces", "pieces") if len(names) == 1 else ("source", "target")
    opened = "".join(
        f"{name} = sentencepiece.SentencePieceProcessor(model_file={str(folder / file)!r})\n"
        for name, file in zip(dict.fromkeys([source, target]), names, strict=True)
    )
    return f"""\
import ctranslate2
import sentencepiece

engine = ctranslate2.Translator({str(folder)!r})
{opened}lines = ["Good morning."]
found = engine.translate_batch(
    {source}.encode(lines, out_type=str),
    beam_size={section.beam},
    length_penalty={section.length_penalty:g},
    min_decoding_length=0,
    max_decoding_length={min(CT2_LONGEST, max_length)},
    suppress_sequences={specials!r},
)
print(*{target}.decode([result.hypotheses[0] for result in found]), sep="\\n")
"""


def to_spec(
    model: Transformer, tokenizer: Tokenizer, heads: AlignmentHeads | None = None, positions: int = 0
) -> "TransformerSpec":
    """The specification of the model for CTranslate2. Raises: ConfigError: without the package `ctranslate2`."""
    require_package("ctranslate2", "export to CTranslate2")
    from ctranslate2.specs import TransformerSpec

    assert isinstance(model.encoder, TextEncoder), "`reasons_against` has refused other models"
    order = None if heads is None else first_heads(model, heads)
    aligned = None if heads is None or order is None else heads
    spec = TransformerSpec(*empty_halves(model.config, aligned))
    embeddings = ((spec.encoder, spec.encoder.embeddings[0]), (spec.decoder, spec.decoder.embeddings))
    for (half, rows), embedding in zip(embeddings, (model.encoder.embedding, model.decoder.embedding), strict=True):
        fill_embedding(half, rows, embedding, positions)
    spec.decoder.projection.weight = copy(model.out_weight)
    if model.decoder.output.bias is not None:
        spec.decoder.projection.bias = copy(model.decoder.output.bias)
    for half, norm in ((spec.encoder, model.encoder.norm), (spec.decoder, model.decoder.norm)):
        if model.config.norm is NormPlacement.pre:
            fill_norm(half.layer_norm, norm)
    for there, ours in ((spec.encoder, model.encoder.layers), (spec.decoder, model.decoder.layers)):
        for to, layer in zip(there.layer, ours, strict=True):
            fill_layer(to, layer)
    if aligned is not None and order is not None:
        layer = model.decoder.layers[aligned.layer]
        fill_attention(spec.decoder.layer[aligned.layer].attention, layer.cross_attention, layer.cross_norm, order)
    spec.register_source_vocabulary(tokenizer.pieces_source(range(tokenizer.src_size)))
    spec.register_target_vocabulary(tokenizer.pieces_target(range(tokenizer.tgt_size)))
    unk, bos, eos = tokenizer.pieces_target([tokenizer.unk, tokenizer.bos, tokenizer.eos])
    config: Any = spec.config
    config.unk_token, config.bos_token, config.eos_token, config.decoder_start_token = unk, bos, eos, bos
    config.add_source_eos = True
    config.layer_norm_epsilon = epsilon(model)
    return spec


def first_heads(model: Transformer, heads: AlignmentHeads) -> list[int] | None:
    """An order of the heads of that layer in which the given ones come first; None: there is none, because a group
    of heads that shares keys cannot be divided."""
    attention = model.decoder.layers[heads.layer].cross_attention
    size = attention.heads // attention.kv_heads
    groups = [list(range(first, first + size)) for first in range(0, attention.heads, size)]
    wanted = set(heads.heads)
    groups.sort(key=lambda group: -len(wanted.intersection(group)))
    order = [head for group in groups for head in sorted(group, key=lambda head: head not in wanted)]
    return order if wanted == set(order[: len(wanted)]) else None


def empty_halves(config: ModelConfig, heads: AlignmentHeads | None = None) -> tuple[Any, Any]:
    """Specifications of an encoder and a decoder of this shape, without weights."""
    from ctranslate2.specs.transformer_spec import TransformerDecoderSpec, TransformerEncoderSpec

    shape: dict[str, Any] = {
        "num_heads": config.heads,
        "pre_norm": config.norm is NormPlacement.pre,
        "activation": ACTIVATIONS[config.activation],
        "ffn_glu": config.activation in (Activation.swiglu, Activation.geglu),
        "rms_norm": config.norm_kind is NormKind.rmsnorm,
        "num_heads_kv": config.kv_heads if config.kv_heads != config.heads else None,
    }
    if config.positions is Positions.rotary:
        shape |= {"rotary_dim": 0, "rotary_interleave": False}  # 0: the whole head
    encoder = TransformerEncoderSpec(config.encoder_layers, **shape)
    if heads is not None:
        shape |= {"alignment_layer": heads.layer, "alignment_heads": len(heads.heads)}
    return encoder, TransformerDecoderSpec(config.decoder_layers, **shape)


def fill_embedding(half: Any, rows: Any, embedding: Embedding, positions: int) -> None:
    rows.weight = copy(embedding.weight)
    half.scale_embeddings = embedding.scale
    table = embedding.table if embedding.learned is None else embedding.learned
    if embedding.learned is None and table is not None and len(table) < positions:
        table = sinusoidal_table(positions, table.shape[1])
    if table is not None:
        half.position_encodings.encodings = copy(table)


def fill_layer(to: Any, layer: Any) -> None:
    fill_attention(to.self_attention, layer.self_attention, layer.self_norm)
    if hasattr(layer, "cross_attention"):
        fill_attention(to.attention, layer.cross_attention, layer.cross_norm)
    fill_feed_forward(to.ffn, layer.feed_forward)
    fill_norm(to.ffn.layer_norm, layer.feed_forward_norm)


def fill_attention(to: Any, attention: MultiHeadAttention, norm: nn.Module, order: list[int] | None = None) -> None:
    """Self-attention has one matrix for queries, keys and values, cross-attention two. Args: order: of the heads."""
    query, key_value, out = (as_linear(one) for one in (attention.query, attention.key_value, attention.out))
    if order is not None:
        H, G, K = attention.heads, attention.kv_heads, attention.size
        groups = list(dict.fromkeys(head // (H // G) for head in order))
        for linear, shape, chosen in ((query, (1, H, K), order), (key_value, (2, G, K), groups)):
            linear.weight = linear.weight.reshape(*shape, -1)[:, chosen].reshape(linear.weight.shape)
            if attention.query.bias is not None:
                linear.bias = linear.bias.reshape(shape)[:, chosen].reshape(linear.bias.shape)
        out.weight = out.weight.reshape(-1, H, K)[:, order].reshape(out.weight.shape)
    if len(to.linear) == 2:
        fuse(to.linear[0], [query, key_value])
    else:
        for slot, linear in zip(to.linear, [query, key_value], strict=False):
            fuse(slot, [linear])
    fuse(to.linear[-1], [out])
    fill_norm(to.layer_norm, norm)


def fill_feed_forward(to: Any, ours: FeedForward) -> None:
    fuse(to.linear_0, [as_linear(ours.inner if ours.gate is None else ours.gate)])
    if ours.gate is not None:
        fuse(to.linear_0_noact, [as_linear(ours.inner)])
    fuse(to.linear_1, [as_linear(ours.outer)])


def fuse(to: Any, linears: list[Any]) -> None:
    """One matrix of several. `ctranslate2.converters` has this too, and imports what all other toolkits need."""
    to.weight = np.concatenate([one.weight for one in linears])
    if linears[0].has_bias():
        to.bias = np.concatenate([one.bias for one in linears])


def fill_norm(to: Any, norm: Any) -> None:
    to.gamma = copy(norm.weight)
    if hasattr(to, "beta"):
        to.beta = copy(norm.weight * 0 if norm.bias is None else norm.bias)


def as_linear(linear: nn.Linear) -> Any:
    from ctranslate2.specs.common_spec import LinearSpec

    spec = LinearSpec()
    spec.weight = copy(linear.weight)
    if linear.bias is not None:
        spec.bias = copy(linear.bias)
    return spec


def epsilon(model: Transformer) -> float:
    """The epsilon of all norms of the model."""
    (found,) = {module.eps for module in model.modules() if isinstance(module, nn.LayerNorm | nn.RMSNorm)}
    return float(found or 0.0)


def copy(weight: Tensor) -> Any:
    return weight.detach().cpu().float().clone().numpy()
