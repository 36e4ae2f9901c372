"""Does the model listen to its source? What its words cost when the source is disturbed.

A translation model can go on by itself, as a language model does; then its words stay as likely when the source is
gone. What a target word owes to the source is what it loses, in nats, when the words of the source come in another
order (`shuffled`) or not at all (`dropped`). Such differences tell hallucination from translation better than attention
weights do, which say where a model looked, not whether it made use of it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from jaxtyping import Float
from torch import Tensor

from mt.alignment.observe import Observation
from mt.nn.forced import force
from mt.nn.transformer import Transformer
from mt.text.tokenizer import Tokenizer
from mt.text.words import owners

SEED = 1


@dataclass(frozen=True)
class Contribution:
    """Of each target word: its log-probability, and how much of it is lost; all in nats. The end mark is left out."""

    log_probs: list[float]
    shuffled: list[float]
    dropped: list[float]


def contributions(model: Transformer, tokenizer: Tokenizer, seen: Sequence[Observation]) -> list[Contribution]:
    """What each target word of each pair owes to the source."""
    targets = [o.target.ids for o in seen]
    shuffled = rescore(model, tokenizer, [shuffle(o, random.Random(SEED)) for o in seen], targets)
    dropped = rescore(model, tokenizer, [[] for _ in seen], targets)
    found = []
    for o, *disturbed in zip(seen, shuffled, dropped, strict=True):
        to_words = o.target_shares()
        mine, mixed, gone = (log_probs @ to_words for log_probs in (o.log_probs[:-1], *disturbed))
        found.append(Contribution(mine.tolist(), (mine - mixed).tolist(), (mine - gone).tolist()))
    return found


def rescore(
    model: Transformer, tokenizer: Tokenizer, sources: Sequence[list[int]], targets: Sequence[list[int]]
) -> list[Float[Tensor, " _p"]]:
    """The log-probability of each target piece, the end mark left out, as a translation of another source.

    Args: sources: pieces without their end mark, none where the source is gone; targets: pieces without marks.
    """
    bos, eos = tokenizer.bos, tokenizer.eos
    done = force(model, [[*ids, eos] for ids in sources], targets, bos=bos, eos=eos, uses=())
    return [forced.log_probs[:-1] for forced in done]


def shuffle(seen: Observation, draw: random.Random) -> list[int]:
    """The source's pieces with its words in another order; every order is as likely. One word stays as it is."""
    owned = owners(seen.source.pieces, seen.source.words)
    pieces = zip(owned, seen.source.ids, strict=True)
    words = [[piece for _, piece in group] for _, group in groupby(pieces, key=lambda pair: pair[0])]
    if len(words) > 1:
        before = list(words)
        while words == before and any(word != words[0] for word in words):
            draw.shuffle(words)
    return [piece for word in words for piece in word]
