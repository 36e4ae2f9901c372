"""Scores of many targets under many sources, as retrieval needs them: a decoder pass over all pairs.

A score is the log-probability of the target, or what the matching head says (`mt.nn.matching`).

Nothing that depends on one side alone is computed again for each pair. Of a source that is its memory, with the keys
and values of every layer; of a target it is the self-attention of the first layer, which has not seen a memory. All
targets of a batch attend to one memory, so their cross-attention is a product of matrices without padding.

Letters: `B` sources, `N` targets, `T` rows of all targets, `D` model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float, Int
from torch import Tensor

from mt.nn.cache import DecoderState
from mt.nn.forced import token_log_probs
from mt.nn.matching import match_logits
from mt.nn.ragged import Ragged, pack
from mt.nn.transformer import DecoderLayer, Transformer


@dataclass(frozen=True)
class TargetBatch:
    """Targets, ready for any source."""

    rows: Float[Tensor, "T D"]  # after self-attention in the first layer
    expected: Int[Tensor, " T"]
    layout: Ragged


def read_targets(
    model: Transformer, targets: Sequence[list[int]], *, bos: int, eos: int, closed: bool = False
) -> TargetBatch:
    """Args: targets: token ids without bos and eos; closed: with a row more for the matching head, the last one."""
    device, decoder = model.tgt_weight.device, model.decoder
    end = [eos] if closed else []
    inputs, layout = pack([[bos, *ids, *end] for ids in targets])
    expected, _ = pack([[*ids, eos, *end] for ids in targets])
    layout = layout.to(device)
    embedded = decoder.embedding(inputs.to(device), layout.positions)
    return TargetBatch(_attend_to_past(decoder.layers[0], embedded, layout), expected.to(device), layout)


def pair_log_probs(model: Transformer, state: DecoderState, targets: TargetBatch) -> Float[Tensor, "B N"]:
    """log p(target | source) of all pairs, in nats. Args: state: `model.start` of the memories."""
    hidden, layout = _decode_pairs(model, state, targets)
    log_probs = token_log_probs(model, hidden, targets.expected.repeat(state.num_sentences))
    sums = log_probs.new_zeros(layout.num_sentences).index_add_(0, layout.owners, log_probs)
    return sums.view(state.num_sentences, -1)


def pair_match_logits(
    model: Transformer, state: DecoderState, targets: TargetBatch, *, bos: int, eos: int
) -> Float[Tensor, "B N"]:
    """The log-odds that source and target belong together. Args: targets: closed ones."""
    hidden, layout = _decode_pairs(model, state, targets)
    return match_logits(model, hidden[layout.last_rows], bos=bos, eos=eos).view(state.num_sentences, -1)


def _decode_pairs(model: Transformer, state: DecoderState, targets: TargetBatch) -> tuple[Float[Tensor, "R D"], Ragged]:
    """Hidden rows of all targets for each source, and their layout."""
    count = state.num_sentences
    layout, x = targets.layout, targets.rows
    if count > 1:
        layout = Ragged(layout.lengths.repeat(count), num_rows=count * layout.num_rows, max_length=layout.max_length)
        x = x.repeat(count, 1)
    for index, layer in enumerate(model.decoder.layers):
        if index:
            x = _attend_to_past(layer, x, layout)
        attend = partial(layer.attend_to_memory, layer=index, state=state, positions=layout.positions)
        x = layer.residual(layer.cross_norm, x, attend)
        x = layer.residual(layer.feed_forward_norm, x, layer.feed_forward)
    return model.decoder.norm(x), layout


def _attend_to_past(layer: DecoderLayer, x: Float[Tensor, "T D"], layout: Ragged) -> Float[Tensor, "T D"]:
    return layer.residual(layer.self_norm, x, lambda rows: layer.self_attention(rows, layout, causal=True))
