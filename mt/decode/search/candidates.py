"""The best continuations by log-probability: the part of search that reads the whole vocabulary."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 64  # measured on CPU at V = 8000 and 32000: 16 takes over twice as long, 32 a fifth longer


@dataclass(slots=True)
class Candidates:
    """The best C continuations of each sentence, best first. Minus infinity marks an empty place."""

    total: Float[Tensor, "B C"]  # log-probability of the whole hypothesis
    beam: Int[Tensor, "B C"]  # which of the sentence's beams it continues
    token: Int[Tensor, "B C"]
    token_log_prob: Float[Tensor, "B C"]  # log-probability of the token alone

    def pick(self, places: Int[Tensor, "B C2"]) -> "Candidates":
        """The candidates at these places."""
        columns = (self.total, self.beam, self.token, self.token_log_prob)
        return Candidates(*(column.gather(1, places) for column in columns))


def expand(log_prob: Float[Tensor, "B W"], log_probs: Float[Tensor, "R V"], size: int) -> Candidates:
    """The best `size` of all continuations of a sentence's beams.

    Equal totals: the lower beam first, then the lower id.

    Only the best blocks of tokens are searched: a block whose highest total is below those of `size` other blocks of
    the sentence has none of the best. Adding a number to a row does not change its order, so totals are computed for
    the maxima of the blocks and for the best blocks, and never for all of [B, W * V].
    """
    num_sentences, num_beams = log_prob.shape
    vocab_size = log_probs.shape[1]
    num_blocks = vocab_size // BLOCK if num_beams * (vocab_size // BLOCK) > size else 0
    device = log_probs.device
    found, before = [], []  # places within the sentence, and the log-probabilities of the hypotheses they continue
    if num_blocks:
        peaks = log_probs[:, : num_blocks * BLOCK].unflatten(1, (num_blocks, BLOCK)).amax(dim=2)
        peaks = (peaks.view(*log_prob.shape, -1) + log_prob[:, :, None]).flatten(1)
        best = in_order(peaks, torch.arange(peaks.shape[1], device=device).expand(peaks.shape), size)[1]
        beam = best // num_blocks
        starts = beam * vocab_size + best % num_blocks * BLOCK  # within the sentence
        found.append((starts[:, :, None] + torch.arange(BLOCK, device=device)).flatten(1))
        before.append(log_prob.gather(1, beam).repeat_interleave(BLOCK, dim=1))
    if num_blocks * BLOCK < vocab_size:  # the incomplete last block of each row
        rest = torch.arange(num_blocks * BLOCK, vocab_size, device=device)
        rows = torch.arange(num_beams, device=device)[:, None] * vocab_size + rest
        found.append(rows.flatten().expand(num_sentences, -1))
        before.append(log_prob.repeat_interleave(len(rest), dim=1))
    places = torch.cat(found, dim=1)
    totals = log_probs.view(num_sentences, -1).gather(1, places) + torch.cat(before, dim=1)
    total, place = in_order(totals, places, min(size, places.shape[1]))
    chosen = Candidates(
        total=total,
        beam=place // vocab_size,
        token=place % vocab_size,
        token_log_prob=log_probs.view(num_sentences, -1).gather(1, place),
    )
    return fill(chosen, size - place.shape[1])


def fill(found: Candidates, missing: int) -> Candidates:
    """Add `missing` empty places, at a first step over a vocabulary smaller than the beam."""
    if missing <= 0:
        return found
    return Candidates(
        total=F.pad(found.total, (0, missing), value=-torch.inf),
        beam=F.pad(found.beam, (0, missing)),
        token=F.pad(found.token, (0, missing)),
        token_log_prob=F.pad(found.token_log_prob, (0, missing), value=-torch.inf),
    )


def best_tokens(log_probs: Float[Tensor, "R V"], size: int) -> tuple[Float[Tensor, "R C"], Int[Tensor, "R C"]]:
    """The `size` highest of each row and their ids, best first, equal ones by lower id."""
    best = expand(log_probs.new_zeros(len(log_probs), 1), log_probs, size)
    return best.token_log_prob, best.token


def best_token(log_probs: Float[Tensor, "R V"]) -> tuple[Float[Tensor, " R"], Int[Tensor, " R"]]:
    """The highest of each row and its id, the lowest of equals.

    On the CPU an argmax takes ten times as long as a maximum: it is taken over the maxima of blocks, and over one block
    of each row.
    """
    vocab_size = log_probs.shape[1]
    num_blocks = vocab_size // BLOCK
    if num_blocks < 2 or log_probs.device.type != "cpu":
        return log_probs.max(dim=1)
    blocks = log_probs[:, : num_blocks * BLOCK].unflatten(1, (num_blocks, BLOCK))
    block = blocks.amax(dim=2).argmax(dim=1)
    log_prob, token = blocks[torch.arange(len(block)), block].max(dim=1)
    token = block * BLOCK + token
    if vocab_size % BLOCK:
        last, place = log_probs[:, num_blocks * BLOCK :].max(dim=1)
        token = torch.where(last > log_prob, num_blocks * BLOCK + place, token)
        log_prob = torch.maximum(log_prob, last)
    return log_prob, token


def in_order(
    values: Float[Tensor, "R N"], ids: Int[Tensor, "R N"], size: int
) -> tuple[Float[Tensor, "R C"], Int[Tensor, "R C"]]:
    """The `size` highest values and their ids, equal values by lower id.

    `torch.topk` does not define the order of equals (four of a row of zeros: 1 3 0 2 on CPU, another order for another
    width), and search must not depend on the number of rows. Values and ids therefore make distinct keys.
    """
    places = sort_keys(values, ids).topk(size, dim=1).indices
    return values.gather(1, places), ids.gather(1, places)


def sort_keys(values: Float[Tensor, "R N"], ids: Int[Tensor, "R N"]) -> Int[Tensor, "R N"]:
    """Integers in the order of (value, then lower id): the bits of the float above, the id below.

    The bits of a float32, as an integer, rise with a positive float and fall with a negative one; inverting all bits
    of the negative ones but the sign makes them rise everywhere.
    """
    bits = values.contiguous().view(torch.int32)
    rising = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (rising.long() << 32) - ids
