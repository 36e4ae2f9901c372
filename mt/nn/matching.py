"""The matching head: does a target belong to a source? Trained with the other sources of the batch, for retrieval.

A translation ends where the decoder predicts `eos`. One row more, with `eos` as its input, has seen the whole target
and, by cross-attention, the source; it predicts `eos` again if they belong together, and `bos` if they do not. So the
output layer is the head, as in monoT5 (Nogueira et al. 2020, arXiv 2003.06713), and the model has no more parameters.
Mismatched pairs are made of each batch, as in ALBEF (Li et al. 2021, arXiv 2107.07651).

Letters: `B` sentences, `T` target rows, `D` model.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.nn.ragged import Ragged
from mt.nn.transformer import Transformer


def closed(target: Int[Tensor, " T"], layout: Ragged, eos: int) -> tuple[Int[Tensor, " _T1"], Ragged]:
    """The decoder's input with `eos` after each sentence, and its layout. Row `i` is now row `i + layout.owners[i]`."""
    host = None if layout.host is None else layout.host + 1
    count = layout.num_sentences
    longer = Ragged(layout.lengths + 1, num_rows=layout.num_rows + count, max_length=layout.max_length + 1, host=host)
    return target.new_full((longer.num_rows,), eos).scatter(0, moved_by_closing(layout), target), longer


def moved_by_closing(layout: Ragged) -> Int[Tensor, " T"]:
    """Where the rows of `layout` are after `closed`."""
    return layout.owners + torch.arange(layout.num_rows, device=layout.owners.device)


def reordered(target: Int[Tensor, " T"], layout: Ragged, order: Int[Tensor, " B"]) -> tuple[Int[Tensor, " T"], Ragged]:
    """The sentences in another order. Args: order: the old place of each, on the CPU."""
    places = order.to(target.device)
    host = None if layout.host is None else layout.host[order]
    other = Ragged(layout.lengths[places], num_rows=layout.num_rows, max_length=layout.max_length, host=host)
    rows = layout.offsets.long()[places][other.owners] + other.positions
    return target[rows], other


def match_logits(model: Transformer, hidden: Float[Tensor, "B D"], *, bos: int, eos: int) -> Float[Tensor, " B"]:
    """The log-odds that each pair belongs together: the logit of `eos` without that of `bos`.

    In 32 bits, and without the output layer itself, which is another module in a prepacked model (`mt.nn.prepacked`).
    Args: hidden: the last row of each closed target."""
    weight, bias = model.out_weight, model.decoder.output.bias
    odds = (hidden.float() * (weight[eos].float() - weight[bos].float())).sum(-1)
    return odds if bias is None else odds + (bias[eos] - bias[bos]).float()
