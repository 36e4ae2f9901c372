"""Dev and test sets that share no sentence with the training set.

Corpora of short sentences hold one sentence many times, with different translations: "Go." is *Ve.*, *Vaya.* and
*Váyase.*, and each of those translates other English sentences in turn. A random split puts half of such a family
into the training set, and the test then measures memory. Here pairs that share a sentence on any side are one family.
At most one pair of a family is held out, and then no other pair of it is trained on.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import regex

from mt.data.corpus.pair import Pair
from mt.errors import DataError, counted

VERSION = 1  # raise it when the pairs of a recipe would be split differently: stored splits are then replaced
MAX_FAMILY = 8  # families with more pairs are never held out: too much training text would be lost

NOT_LETTER_OR_DIGIT = regex.compile(r"[^\p{L}\p{M}\p{N}]+")


@dataclass(frozen=True, slots=True)
class Split:
    """Three sets that share no folded sentence. `dropped`: the number of relatives of held-out pairs, in no set."""

    train: list[Pair]
    dev: list[Pair]
    test: list[Pair]
    dropped: int


def fold(text: str) -> str:
    """Letters, marks on them and digits alone, without case and compatibility forms: sentences with equal results are
    the same sentence. Text without any letter or digit stays as it is, so that "!" and "?" differ.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return NOT_LETTER_OR_DIGIT.sub("", plain) or text


def families(keys: Sequence[tuple[str, str]]) -> list[int]:
    """For each pair of folded sentences, the number of its family (union-find; sides share one key space)."""
    parent = list(range(len(keys)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    first: dict[str, int] = {}
    for index, sides in enumerate(keys):
        for key in sides:
            parent[root(index)] = root(first.setdefault(key, index))
    return [root(index) for index in range(len(keys))]


def shuffled(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs sorted by the SHA-1 of their folded sentences: a random order that depends on the texts only."""

    def place(pair: Pair) -> tuple[bytes, str, str]:
        folded = f"{fold(pair.src)}\t{fold(pair.tgt)}".encode("utf-8", "surrogatepass")
        return hashlib.sha1(folded, usedforsecurity=False).digest(), pair.src, pair.tgt

    return sorted(pairs, key=place)


def split_pairs(pairs: Sequence[Pair], *, dev: int, test: int) -> Split:
    """Hold out `test` and `dev` pairs, no two of one family, and keep their relatives out of training.

    Pairs are drawn in the order of `shuffled`. One is held out if its family is small and has no pair held out yet. As
    in a random draw, large families tend to come first, so lengths stay close to those of the training set. Dev and
    test keep the order of the draw, so that their first sentences are a fair sample, too. The test set is drawn first
    and does not depend on the size of the dev set. The training set keeps the order of `pairs`.

    Raises `DataError` when so many unrelated pairs cannot be held out.
    """
    family = families([(fold(pair.src), fold(pair.tgt)) for pair in pairs])
    size = Counter(family)
    family_of = dict(zip(pairs, family, strict=True))
    held: dict[int, Pair] = {}  # family -> its one pair that is held out, in the order of the draw
    for pair in shuffled(pairs):
        if len(held) == dev + test:
            break
        if size[family_of[pair]] <= MAX_FAMILY:
            held.setdefault(family_of[pair], pair)
    train = [pair for pair, number in zip(pairs, family, strict=True) if number not in held]
    if len(held) < dev + test or not train:
        raise DataError(
            f"{dev + test:,} of {counted(len(pairs), 'pair')} cannot be held out for dev and test: only {len(held):,} "
            "share no sentence with the others, and some must stay for training.",
            hint="name files with `data.dev` and `data.test`.",
        )
    drawn = list(held.values())
    return Split(train=train, dev=drawn[test:], test=drawn[:test], dropped=len(pairs) - len(train) - len(drawn))
