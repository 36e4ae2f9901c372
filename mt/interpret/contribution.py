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

from mt.interpret.observe import Observation
from mt.interpret.record import force
from mt.nn.transformer import Transformer
from mt.tokenizer import Tokenizer
from mt.words import owners

SEED = 1


@dataclass(frozen=True)
class Contribution:
    """Of each target word: its log-probability, and how much of it is lost; all in nats. The end mark is left out."""

    log_probs: list[float]
    shuffled: list[float]
    dropped: list[float]


def contributions(model: Transformer, tokenizer: Tokenizer, seen: Sequence[Observation]) -> list[Contribution]:
    """What each target word of each pair owes to the source."""
    disturbed = {
        "shuffled": [shuffle(o, random.Random(SEED)) for o in seen],
        "dropped": [[] for _ in seen],
    }
    targets = [o.target.ids for o in seen]
    without = {
        name: list(
            force(
                model,
                [[*ids, tokenizer.eos] for ids in sources],
                targets,
                bos=tokenizer.bos,
                eos=tokenizer.eos,
                uses=(),
            )
        )
        for name, sources in disturbed.items()
    }
    found = []
    for n, o in enumerate(seen):
        to_words = o.target_shares()
        mine = o.log_probs[:-1] @ to_words
        lost = {name: (mine - done[n].log_probs[:-1] @ to_words).tolist() for name, done in without.items()}
        found.append(Contribution(mine.tolist(), lost["shuffled"], lost["dropped"]))
    return found


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
