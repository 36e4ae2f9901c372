"""Source contribution: the log-probability that target words lose when the source is disturbed.

A translation model can continue a sentence without its source, as a language model does; then the target words stay as
likely when the source is gone. The loss is measured in nats, with the words of the source in another order
(`shuffled`) and without any (`dropped`). It tells hallucinations from translations better than attention weights,
which show where a model attends, but not whether it uses what is there.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from jaxtyping import Float
from torch import Tensor

from mt.alignment.observe import Observation
from mt.alignment.shares import shares
from mt.nn.forced import force
from mt.nn.transformer import Transformer
from mt.text.tokenizer import Tokenizer
from mt.text.words import owners

SEED = 1


@dataclass(frozen=True)
class Contribution:
    """The log-probability of each target word and its losses, in nats; without eos."""

    log_probs: list[float]
    shuffled: list[float]
    dropped: list[float]


def contributions(model: Transformer, tokenizer: Tokenizer, seen: Sequence[Observation]) -> list[Contribution]:
    """The source contribution of each target word of each pair."""
    targets = [o.target.ids for o in seen]
    shuffled = rescore(model, tokenizer, [shuffle(o, random.Random(SEED)) for o in seen], targets)
    dropped = rescore(model, tokenizer, [[] for _ in seen], targets)
    found = []
    for o, *disturbed in zip(seen, shuffled, dropped, strict=True):
        to_words = shares(o.target.tokens, o.target.words)
        own, mixed, gone = (log_probs @ to_words for log_probs in (o.log_probs[:-1], *disturbed))
        found.append(Contribution(own.tolist(), (own - mixed).tolist(), (own - gone).tolist()))
    return found


def rescore(
    model: Transformer, tokenizer: Tokenizer, sources: Sequence[list[int]], targets: Sequence[list[int]]
) -> list[Float[Tensor, " _p"]]:
    """The log-probability of each target token, without eos, as a translation of another source.

    Args: sources: ids without eos, none for an empty source; targets: ids without bos and eos.
    """
    bos, eos = tokenizer.bos, tokenizer.eos
    done = force(model, [[*ids, eos] for ids in sources], targets, bos=bos, eos=eos, uses=())
    return [forced.log_probs[:-1] for forced in done]


def shuffle(seen: Observation, draw: random.Random) -> list[int]:
    """The source ids with the words in another order; all other orders are equally likely. One word is not moved."""
    owned = owners(seen.source.tokens, seen.source.words)
    tokens = zip(owned, seen.source.ids, strict=True)
    words = [[token for _, token in group] for _, group in groupby(tokens, key=lambda pair: pair[0])]
    before = list(words)
    while words == before and any(word != words[0] for word in words):
        draw.shuffle(words)
    return [token for word in words for token in word]
