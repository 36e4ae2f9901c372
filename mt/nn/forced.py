"""Teacher-forced passes: the log-probability of every target token of given pairs and, on request, attention maps.

    force(...)                              pairs in batches: log-probabilities, and attention maps of the given uses
    force_batch(...)                        the same for pairs that make one batch
    with capture_attention(model) as maps   the attention maps of any pass

Attention layers do not return their weights. A listener (`MultiHeadAttention.listener`) gets queries and keys and
computes the weights again, sentence by sentence, so the pass itself does not change. Training and search have no
listener, except for guided alignment.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.nn.attention import MultiHeadAttention, attend_explicit
from mt.nn.ragged import Ragged, cut, pack
from mt.nn.source import Items
from mt.nn.transformer import DecoderLayer, EncoderLayer, Transformer

USES = ("cross", "encoder", "decoder")
NOTHING = torch.empty(0, 0, 0, 0)
MAX_ROWS = 2048  # of either side in one pass
CHUNK_ELEMENTS, CPU_CHUNK_ELEMENTS = 1 << 22, 1 << 20  # logits held at a time; the latter stay in a core's caches


@dataclass(frozen=True)
class Maps:
    """The attention weights of one sentence: layers, heads, query rows, key rows; every query row sums to one.

    The source has `s` tokens, with eos; the decoder's input has `t` tokens, with bos. Row 0 has bos as input and
    predicts the first token; row `k` has token `k` (from 1) as input and predicts the next one.
    """

    cross: Float[Tensor, "_L _H _t _s"] = NOTHING  # if not requested, as are the others
    encoder: Float[Tensor, "_M _H _s _s"] = NOTHING
    decoder: Float[Tensor, "_L _H _t _t"] = NOTHING


@dataclass
class CapturedAttention:
    """The weights captured so far: for each use and layer one `[H, t, s]` per sentence, in the order of passes."""

    layers: dict[str, list[list[Tensor]]] = field(default_factory=lambda: {use: [] for use in USES})

    def maps(self) -> list[Maps]:
        """The maps of each sentence. A use that was not requested or not run has no layers."""
        by_use = ([torch.stack(sentence) for sentence in zip(*layers, strict=True)] for layers in self.layers.values())
        return [Maps(*parts) for parts in zip_longest(*by_use, fillvalue=NOTHING)]


@contextmanager
def capture_attention(model: Transformer, uses: Sequence[str] = USES) -> Iterator[CapturedAttention]:
    """Capture the attention of `uses` in every `forward`, `encode` and `decode` of the model until the block ends.

    The maps are detached, in 32 bits, on the CPU. Earlier listeners are restored afterwards. Cached decoding steps
    (`Transformer.step`) are not captured: use a teacher-forced pass over the finished output instead.
    """
    captured = CapturedAttention()
    listening = [(use, module) for use in uses for module in attentions(model)[use]]
    before = [module.listener for _, module in listening]
    for use, module in listening:
        captured.layers[use].append([])
        module.listener = _keeper(captured.layers[use][-1])
    try:
        yield captured
    finally:
        for (_, module), listener in zip(listening, before, strict=True):
            module.listener = listener


def _keeper(kept: list[Tensor]) -> Callable[[Tensor, Tensor, Ragged, Ragged, bool], None]:
    def keep(q: Tensor, kv: Tensor, queries: Ragged, keys: Ragged, causal: bool) -> None:
        with torch.no_grad():
            _, maps = attend_explicit(q.float(), kv.float(), queries=queries, keys=keys, causal=causal)
        kept.extend(weights.cpu() for weights in maps)

    return keep


def attentions(model: Transformer) -> dict[str, list[MultiHeadAttention]]:
    """The attention modules by use, from the lowest layer up."""
    encoder = cast(list[EncoderLayer], getattr(model.encoder, "layers", []))  # several inputs have several encoders
    decoder = cast(list[DecoderLayer], model.decoder.layers)
    return {
        "cross": [layer.cross_attention for layer in decoder],
        "encoder": [layer.self_attention for layer in encoder],
        "decoder": [layer.self_attention for layer in decoder],
    }


@dataclass(frozen=True)
class Forced:
    """The maps of one pair, and the log-probability of each target token and of eos."""

    maps: Maps
    log_probs: Float[Tensor, " t"]


def force(
    model: Transformer,
    sources: Items,
    targets: Sequence[list[int]],
    *,
    bos: int,
    eos: int,
    uses: Sequence[str] = USES,
) -> Iterator[Forced]:
    """Run the model over pairs, in batches of neighbours; yields a result per pair, in order.

    Args: sources: token ids with eos, frames, or several of them; targets: token ids without bos and eos; uses: which
    attention maps to compute.
    """
    was_training = model.training
    model.eval()
    try:
        lengths = [len(ids) for ids in sources], [len(ids) + 1 for ids in targets]
        for batch in cut(range(len(sources)), MAX_ROWS, *lengths):
            pairs = [sources[i] for i in batch], [targets[i] for i in batch]
            yield from force_batch(model, *pairs, bos=bos, eos=eos, uses=uses)
    finally:
        model.train(was_training)


@torch.inference_mode()
def force_batch(
    model: Transformer,
    sources: Items,
    targets: Sequence[list[int]],
    *,
    bos: int,
    eos: int,
    uses: Sequence[str] = (),
) -> list[Forced]:
    """`force` for pairs that make one batch, in the current mode and precision of the model."""
    device = model.tgt_weight.device
    source = model.encoder.pack(sources).to(device)
    target, target_layout = pack([[bos, *ids] for ids in targets])
    expected, _ = pack([[*ids, eos] for ids in targets])
    with capture_attention(model, uses) as captured:
        hidden = model(source, target.to(device), target_layout.to(device))
    log_probs = token_log_probs(model, hidden, expected.to(device)).cpu()
    by_sentence = log_probs.split(target_layout.lengths.tolist())
    maps = captured.maps() or [Maps()] * len(sources)
    return [Forced(*parts) for parts in zip(maps, by_sentence, strict=True)]


def token_log_probs(
    model: Transformer, hidden: Float[Tensor, "T D"], targets: Int[Tensor, " T"]
) -> Float[Tensor, " T"]:
    """The log-probability of one token per row, computed in chunks of rows without a `[T, V]` matrix."""
    elements = CPU_CHUNK_ELEMENTS if hidden.device.type == "cpu" else CHUNK_ELEMENTS
    size = max(1, elements // model.out_weight.shape[0])
    parts = [
        model.logits(rows).log_softmax(-1, dtype=torch.float32).gather(1, tokens[:, None]).squeeze(1)
        for rows, tokens in zip(hidden.split(size), targets.split(size), strict=True)
    ]
    return torch.cat(parts)
