"""Word links from text alone: two hidden Markov models, one for each direction, trained to agree.

A model gives the probability that a word of one side generates a word of the other side, p(emitted | state), where the
states are the words of the first side and a null word, and the probability of a jump from one state to the next,
p(jump) (Vogel et al. 1996). Training is EM. The posteriors of the two directions are multiplied before they are counted
(Liang, Taskar & Klein 2006, "Alignment by agreement"), so a link that only one direction finds likely trains neither.
The first posteriors may come from elsewhere, such as the attention of two translation models, which knows nothing of
counts and much of context.

Letters: `B` pairs of one shape; `V` emitted words, `W` states, `W1` states and null.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int32, Int64
from torch import Tensor

from mt.errors import check_texts, counted

logger = logging.getLogger("mt")
LEXICAL_ROUNDS = 5  # with uniform jumps (IBM model 1): translations are learnt before word order
JUMP_ROUNDS = 5
NULL_SHARE = 0.2  # of the words that null emits
MAX_JUMP = 100  # words; longer jumps have its probability
LIKELY = 0.5  # the weight of a link that is more likely than all others together
LEAST = 1e-12  # probability of an unseen event
LEAST_JUMP = 1e-6
BLOCK_LINKS = 1 << 20  # possible links in one block; a pair with more gets none, because its time grows with the cube
PAIRS = 5_000  # in memory at a time, when links are made

Shape = tuple[list[int], np.ndarray, np.ndarray]  # pairs of one shape, and their words as ids, `[B, W]` and `[B, V]`


@dataclass(frozen=True)
class Block:
    """Pairs of one shape. `links` holds the index of each word pair in the tables; -1, their last entry: unseen."""

    pairs: list[int]
    sources: Int64[np.ndarray, "B W"]
    targets: Int64[np.ndarray, "B V"]
    links: Int32[np.ndarray, "B V W"]


@dataclass
class Direction:
    """The parameters of one model. The last entry of the first two is for unseen words."""

    words: Float64[np.ndarray, " K"]  # p(emitted | state), by index of the link
    null: Float64[np.ndarray, " N"]  # p(emitted | null), by id of the emitted word
    jumps: Float64[np.ndarray, " J"] | None = None  # p(jump), from -MAX_JUMP on; None: uniform

    def posteriors(
        self, words: Float64[np.ndarray, "B V W"], null: Float64[np.ndarray, "B V"]
    ) -> tuple[Float64[np.ndarray, "B V W1"], Float64[np.ndarray, " J"]]:
        """The state of each emitted word (the last column: null), and the expected number of jumps of each length."""
        states = np.arange(words.shape[2])
        if self.jumps is None:
            weights = np.concatenate([(1 - NULL_SHARE) / len(states) * words, NULL_SHARE * null[..., None]], axis=2)
            return weights / weights.sum(2, keepdims=True), np.zeros(2 * MAX_JUMP + 1)
        previous = np.arange(-1, len(states))
        lengths = np.clip(states - previous[:, None], -MAX_JUMP, MAX_JUMP) + MAX_JUMP
        transitions = self.jumps[lengths] / self.jumps[lengths].sum(1, keepdims=True)
        found, expected = forward_backward(words, null, transitions)
        return found, np.bincount(lengths.ravel(), expected.ravel(), 2 * MAX_JUMP + 1).astype(np.float64)


def forward_backward(
    words: Float64[np.ndarray, "B V W"], null: Float64[np.ndarray, "B V"], transitions: Float64[np.ndarray, "W1 W"]
) -> tuple[Float64[np.ndarray, "B V W1"], Float64[np.ndarray, "W1 W"]]:
    """Posteriors of hidden Markov models that stay in their state when null emits a word.

    Args: words: p(word | state); null: p(word | null); transitions: p(next state | state), the first row from the start
    of the sentence. Returns: posteriors, with null in the last column; expected transitions of all pairs together.
    """
    pairs, length, states = words.shape
    at = np.broadcast_to(transitions[0], (pairs, states))
    before, linked, idle = (np.empty((length, pairs, states)) for _ in range(3))
    sums = np.empty((length, pairs, 1))
    for j in range(length):
        before[j] = at
        linked[j] = (1 - NULL_SHARE) * (at @ transitions[1:] if j else at) * words[:, j]
        idle[j] = NULL_SHARE * at * null[:, j, None]
        at = linked[j] + idle[j]
        sums[j] = at.sum(1, keepdims=True)
        at = at / sums[j]
    posteriors, expected = np.empty((pairs, length, states + 1)), np.zeros(transitions.shape)
    after = np.ones((pairs, states))
    for j in reversed(range(length)):
        after = after / sums[j]
        posteriors[:, j, :-1] = linked[j] * after
        posteriors[:, j, -1] = (idle[j] * after).sum(1)
        if j == 0:
            expected[0] = ((linked[0] + idle[0]) * after).sum(0)
            break
        arrived = (1 - NULL_SHARE) * words[:, j] * after
        expected[1:] += transitions[1:] * (before[j].T @ arrived)
        after = arrived @ transitions[1:].T + NULL_SHARE * null[:, j, None] * after
    return posteriors, expected


class HmmAligner:
    """Two HMMs, trained on pairs of lines in the constructor. Words are separated by white space.

    A pair of 25 words a side takes 8 ms of one core.
    """

    def __init__(
        self, sources: Sequence[str], targets: Sequence[str], start: Iterable[Sequence[Tensor]] | None = None
    ) -> None:
        """Args: start: the first posteriors of each pair, in the form of `weights`; None: uniform."""
        check_texts(sources=sources, targets=targets)
        self.vocabularies = [_word_ids(sources), _word_ids(targets)]
        ids = self._ids(sources, targets)
        _say_too_long(ids)
        shapes = _by_shape(ids)
        seen = [np.unique(self._pair_ids(*sides)) for _, *sides in shapes]
        self.seen = np.unique(np.concatenate([np.zeros(0, np.int64), *seen]))  # word pairs of a sentence pair
        # from source to target, and back
        self.directions = [
            Direction(np.ones(len(self.seen) + 1), np.ones(len(emitted) + 1)) for emitted in self.vocabularies[::-1]
        ]
        blocks = [self._block(*shape) for shape in shapes]
        if start is not None:
            self._em_round(blocks, list(start))
        rounds = LEXICAL_ROUNDS + JUMP_ROUNDS
        for number in range(rounds):
            if number == LEXICAL_ROUNDS:
                for direction in self.directions:
                    direction.jumps = np.ones(2 * MAX_JUMP + 1)
            linked = self._em_round(blocks)
            logger.info(f"round {number + 1} of {rounds}: both directions agree on {linked:.0%} of the words")

    def weights(self, sources: Sequence[str], targets: Sequence[str]) -> Iterator[tuple[Tensor, Tensor]]:
        """Posteriors of each pair, `[target words, source words + 1]` and reversed, `[source words, target words + 1]`.

        The text may differ from the training text; unseen words are linked by their positions.
        """
        check_texts(sources=sources, targets=targets)
        for first in range(0, len(sources), PAIRS):
            some = self._ids(sources[first : first + PAIRS], targets[first : first + PAIRS])
            found = [(_none(len(t), len(s)), _none(len(s), len(t))) for s, t in some]
            for shape in _by_shape(some):
                for pair, *ways in zip(shape[0], *self._posteriors(self._block(*shape))[0], strict=True):
                    there, back = (torch.from_numpy(way).float() for way in ways)
                    found[pair] = there, back
            yield from found

    def _ids(self, sources: Sequence[str], targets: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        ours, theirs = self.vocabularies
        return [
            ([ours.get(word, -1) for word in source.split()], [theirs.get(word, -1) for word in target.split()])
            for source, target in zip(sources, targets, strict=True)
        ]

    def _pair_ids(
        self, sources: Int64[np.ndarray, "B W"], targets: Int64[np.ndarray, "B V"]
    ) -> Int64[np.ndarray, "B V W"]:
        """An id for each pair of words; -1 where one is unknown."""
        source, target = sources[:, None, :], targets[:, :, None]
        return np.where((source < 0) | (target < 0), -1, source * len(self.vocabularies[1]) + target)

    def _block(self, pairs: list[int], sources: Int64[np.ndarray, "B W"], targets: Int64[np.ndarray, "B V"]) -> Block:
        together = self._pair_ids(sources, targets)
        links = np.searchsorted(self.seen, together)
        known = np.append(self.seen, -2)[links] == together
        return Block(pairs, sources, targets, np.where(known, links, -1).astype(np.int32))

    def _posteriors(self, block: Block) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Posteriors and expected jumps of both directions."""
        there, back = self.directions
        both = (
            there.posteriors(there.words[block.links], there.null[block.targets]),
            back.posteriors(back.words[block.links].transpose(0, 2, 1), back.null[block.sources]),
        )
        return [found for found, _ in both], [jumps for _, jumps in both]

    def _em_round(self, blocks: Sequence[Block], given: Sequence[Sequence[Tensor]] | None = None) -> float:
        """One round of EM. Args: given: posteriors; None: those of the models.

        Returns: the share of target words for which both directions agree on a source word.
        """
        links = np.zeros(len(self.seen))
        null = [np.zeros(len(direction.null) - 1) for direction in self.directions]
        jumps = [np.zeros(2 * MAX_JUMP + 1) for _ in self.directions]
        for block in blocks:
            (there, back), expected = self._posteriors(block) if given is None else _given(given, block)
            agreed = there[..., :-1] * back[..., :-1].transpose(0, 2, 1)
            links += np.bincount(block.links.ravel(), agreed.ravel(), len(links))
            for way, (words, states) in enumerate(((block.targets, 2), (block.sources, 1))):
                null[way] += np.bincount(words.ravel(), 1 - agreed.sum(states).ravel(), len(null[way]))
                jumps[way] += expected[way]
        for way, state in enumerate(np.divmod(self.seen, len(self.vocabularies[1]))):
            direction = self.directions[way]
            direction.words = _smoothed(links / np.maximum(np.bincount(state, links), LEAST)[state])
            direction.null = _smoothed(null[way] / max(null[way].sum(), LEAST))
            if direction.jumps is not None:
                direction.jumps = jumps[way] / max(jumps[way].sum(), LEAST) + LEAST_JUMP
        return float(links.sum() / max(links.sum() + null[0].sum(), LEAST))


def _word_ids(lines: Sequence[str]) -> dict[str, int]:
    return {word: number for number, word in enumerate(dict.fromkeys(word for line in lines for word in line.split()))}


def _by_shape(pairs: Sequence[tuple[list[int], list[int]]]) -> list[Shape]:
    """Pairs with words on both sides, and with no more possible links than a block, by shape."""
    shapes = defaultdict[tuple[int, int], list[int]](list)
    for number, (source, target) in enumerate(pairs):
        if source and target and not _too_long(source, target):
            shapes[len(source), len(target)].append(number)
    found = []
    for (width, height), numbers in sorted(shapes.items()):
        size = max(1, BLOCK_LINKS // (width * height))
        for first in range(0, len(numbers), size):
            some = numbers[first : first + size]
            sides = (np.array([pairs[number][side] for number in some], np.int64) for side in (0, 1))
            found.append((some, *sides))
    return found


def _too_long(source: Sequence[int], target: Sequence[int]) -> bool:
    return len(source) * len(target) > BLOCK_LINKS


def _say_too_long(pairs: Sequence[tuple[list[int], list[int]]]) -> None:
    if lines := [number for number, pair in enumerate(pairs, 1) if _too_long(*pair)]:
        source, target = map(len, pairs[lines[0] - 1])
        logger.warning(
            f"{counted(len(lines), 'pair')} without links, because lines of so many words take too long: the first is "
            f"line {lines[0]:,}, with {source:,} and {target:,} words."
        )


def _none(rows: int, states: int) -> Float[Tensor, "rows W1"]:
    """Posteriors of words without links: all null."""
    return torch.cat([torch.zeros(rows, states), torch.ones(rows, 1)], dim=1)


def _given(weights: Sequence[Sequence[Tensor]], block: Block) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The given posteriors in the form of `HmmAligner._posteriors`, without jumps."""
    found = [np.stack([weights[pair][way].double().numpy() for pair in block.pairs]) for way in (0, 1)]
    return found, [np.zeros(2 * MAX_JUMP + 1)] * 2


def _smoothed(probs: Float64[np.ndarray, " K"]) -> Float64[np.ndarray, " K1"]:
    """At least `LEAST` everywhere, with an entry for unseen words."""
    return np.append(np.maximum(probs, LEAST), LEAST)
