"""Hear what attention does: `with record(model) as heard: ...` keeps the weights of every pass within.

An attention layer never makes its weights visible. Whoever listens (`MultiHeadAttention.listener`) is told queries and
keys and makes the weights beside it, sentence by sentence; the pass itself stays the same to the last bit. Training and
search have no listener, and nothing is computed for one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from mt.nn.attention import MultiHeadAttention, attend_explicit
from mt.nn.encoders import TextEncoder
from mt.nn.ragged import Ragged, pack
from mt.nn.transformer import DecoderLayer, EncoderLayer, Transformer

USES = ("cross", "encoder", "decoder")
ROWS = 2048  # of either side in one pass


@dataclass(frozen=True)
class Maps:
    """The weights of one sentence: layers, heads, rows that ask, rows that answer; every row sums to one.

    The source has `s` pieces, the end mark included; `t` counts the decoder's inputs: the begin mark and the pieces of
    the target. Row 0 has the begin mark as input and predicts the first piece, row `k` has piece `k` (from 1) as input
    and predicts the one after it.
    """

    cross: Float[Tensor, "L H t s"]
    encoder: Float[Tensor, "M H s s"]
    decoder: Float[Tensor, "L H t t"]


@dataclass
class Heard:
    """What a recording has so far: of each use and layer one `[H, t, s]` for each sentence, in the order of passes."""

    layers: dict[str, list[list[Tensor]]] = field(default_factory=lambda: {use: [] for use in USES})

    def maps(self) -> list[Maps]:
        """Sentence by sentence. A use that was not asked for, or not run, has no layers."""
        by_use = {
            use: [torch.stack(sentence) for sentence in zip(*layers, strict=True)] if layers else []
            for use, layers in self.layers.items()
        }
        count = max(map(len, by_use.values()))
        nothing = [torch.empty(0, 0, 0, 0)] * count
        return [Maps(*parts) for parts in zip(*(by_use[use] or nothing for use in USES), strict=True)]


@contextmanager
def record(model: Transformer, uses: Sequence[str] = USES) -> Iterator[Heard]:
    """Listen to the attention of `uses` in every `forward`, `encode` and `decode` of the model until the block ends.

    The maps are detached, in 32 bits, on the CPU. Who listened before listens again afterwards. Cached decoding steps
    (`Transformer.step`) are not heard: force the finished output through the model instead.
    """
    heard = Heard()
    listening = [(use, module) for use in uses for module in attentions(model)[use]]
    before = [module.listener for _, module in listening]
    for use, module in listening:
        heard.layers[use].append([])
        module.listener = _keeper(heard.layers[use][-1])
    try:
        yield heard
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
    encoder = cast(list[EncoderLayer], cast(TextEncoder, model.encoder).layers)
    decoder = cast(list[DecoderLayer], model.decoder.layers)
    return {
        "cross": [layer.cross_attention for layer in decoder],
        "encoder": [layer.self_attention for layer in encoder],
        "decoder": [layer.self_attention for layer in decoder],
    }


@dataclass(frozen=True)
class Forced:
    """One pair gone through the model: its maps, and the log-probability of each target piece and of the end mark."""

    maps: Maps
    log_probs: Float[Tensor, " t"]


def force(
    model: Transformer,
    sources: Sequence[list[int]],
    targets: Sequence[list[int]],
    *,
    bos: int,
    eos: int,
    uses: Sequence[str] = USES,
) -> Iterator[Forced]:
    """Send pairs through the model, target given, and hand out what each did, in order.

    Args: sources: pieces with their end mark; targets: pieces without marks; uses: which attention to record.
    """
    was_training = model.training
    model.eval()
    try:
        for batch in _batches(sources, targets):
            yield from _force(model, [sources[i] for i in batch], [targets[i] for i in batch], bos, eos, uses)
    finally:
        model.train(was_training)


@torch.inference_mode()
def _force(
    model: Transformer, sources: list[list[int]], targets: list[list[int]], bos: int, eos: int, uses: Sequence[str]
) -> list[Forced]:
    device = model.tgt_weight.device
    source = model.encoder.pack(sources).to(device)
    target, target_layout = pack([[bos, *pieces] for pieces in targets])
    expected, _ = pack([[*pieces, eos] for pieces in targets])
    with record(model, uses) as heard:
        hidden = model(source, target.to(device), target_layout.to(device))
    log_probs = model.logits(hidden).float().log_softmax(-1).gather(1, expected.to(device)[:, None]).squeeze(1).cpu()
    by_sentence = log_probs.split(target_layout.lengths.tolist())
    maps = heard.maps() or [Maps(*[torch.empty(0, 0, 0, 0)] * 3)] * len(sources)
    return [Forced(*parts) for parts in zip(maps, by_sentence, strict=True)]


def _batches(sources: Sequence[list[int]], targets: Sequence[list[int]]) -> Iterator[list[int]]:
    """Neighbouring pairs, as many as fit."""
    batch: list[int] = []
    rows = [0, 0]
    for i, pair in enumerate(zip(sources, targets, strict=True)):
        sizes = [len(pair[0]), len(pair[1]) + 1]
        if batch and any(total + size > ROWS for total, size in zip(rows, sizes, strict=True)):
            yield batch
            batch, rows = [], [0, 0]
        batch.append(i)
        rows = [total + size for total, size in zip(rows, sizes, strict=True)]
    if batch:
        yield batch
