"""Subword regularisation: the same text in different pieces each time.

SentencePiece has its own sampling, but version 0.2.3 seeds it differently in every process, so a resumed run would
differ from an unbroken one. Here a segmentation is a pure function of the text and the random numbers given.
"""

import math
import random
import re
from bisect import bisect
from functools import lru_cache
from itertools import accumulate, chain, groupby, pairwise

import sentencepiece as spm

from mt.text.piece_table import TabledModel

_Arcs = tuple[list[float], list[tuple[int, int]]]  # pieces with the same end: cumulative shares; (begin, id)


def is_bpe(model: spm.SentencePieceProcessor | TabledModel) -> bool:
    """Whether the scores of the pieces are ranks of merges, and not log-probabilities."""
    return all(score == int(score) for score in map(model.get_score, range(len(model))))


class Sampler:
    """Samples a new segmentation, word by word, of ids from the model. `strength`: `Tokenizer.sampling`."""

    def __init__(self, model: spm.SentencePieceProcessor | TabledModel, strength: float):
        self._dropout, self._alpha = strength, 0.02 / strength
        self._unk = model.unk_id()
        self._pieces = [model.id_to_piece(i) for i in range(len(model))]
        scores = [model.get_score(i) for i in range(len(model))]
        bpe = is_bpe(model)
        # Special pieces, tags and bytes score 0 and are kept; the last 0 is the rank of BPE's first merge.
        unscored = [i for i, score in enumerate(scores) if score == 0]
        self._fixed = frozenset(unscored[:-1] if bpe else unscored)
        self._known = {piece: (i, scores[i]) for i, piece in enumerate(self._pieces) if i not in self._fixed}
        self._longest = max(map(len, self._known))
        self._lattice = lru_cache(maxsize=2**16)(self._build_lattice)
        self._draw = self._merge if bpe else self._walk

    def __call__(self, ids: list[int], rng: random.Random) -> list[int]:
        found: list[int] = []
        for fixed, run in groupby(ids, self._fixed.__contains__):
            if fixed:
                found += run
            else:
                text = "".join(self._pieces[i] for i in run)
                found += chain.from_iterable(self._draw(word, rng) for word in re.findall("▁[^▁]*|[^▁]+", text))
        return found

    def _merge(self, word: str, rng: random.Random) -> list[int]:
        """BPE, but each merge is skipped with a probability (BPE-dropout, Provilkov et al., algorithm 1)."""
        parts = list(word)
        while True:
            pairs = [(self._known.get(a + b), -i) for i, (a, b) in enumerate(pairwise(parts))]
            kept = [(pair[1], i) for pair, i in pairs if pair and rng.random() >= self._dropout]
            if not kept:
                return [self._known.get(part, (self._unk,))[0] for part in parts]
            i = -max(kept)[1]
            parts[i : i + 2] = [parts[i] + parts[i + 1]]

    def _walk(self, word: str, rng: random.Random) -> list[int]:
        """Sample pieces backwards from the word's end, each by the weight of all segmentations that end in it."""
        lattice, end, found = self._lattice(word), len(word), []
        while end:
            shares, arcs = lattice[end]
            begin, piece = arcs[bisect(shares, rng.random())]
            found.append(piece)
            end = begin
        return found[::-1]

    def _build_lattice(self, word: str) -> list[_Arcs]:
        """The pieces of a word, by the place where they end."""
        lattice: list[_Arcs] = [([], [])]
        totals = [0.0]  # log of the summed weights of all segmentations up to here
        for end in range(1, len(word) + 1):
            arcs, weights = [], []
            for begin in range(max(0, end - self._longest), end):
                piece = self._known.get(word[begin:end], (self._unk, -99.0) if end - begin == 1 else None)
                if piece:
                    arcs.append((begin, piece[0]))
                    weights.append(totals[begin] + self._alpha * piece[1])
            top = max(weights)
            shares = list(accumulate(math.exp(weight - top) for weight in weights))
            totals.append(top + math.log(shares[-1]))
            lattice.append(([share / shares[-1] for share in shares], arcs))
        return lattice
