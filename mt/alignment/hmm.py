"""Word links from the text alone: two hidden Markov models, one for each direction, that are taught to agree.

A model says that each word of one side is made by a word of the other or by none, p(made | making), and how far its
maker lies from the one before, p(jump) (Vogel et al. 1996). What a model believes of a text is counted, and is what it
says next (EM). Of the two directions the product is counted (Liang, Taskar & Klein 2006, "Alignment by agreement"): a
link that only one of them believes in teaches neither. The first counts may come from elsewhere: from the attention of
two translation models, which knows nothing of counts and much of context.

Letters: `B` pairs of one shape; `V` made words, `W` making ones, `W1` those and none.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from mt.log import logger

LEXICAL_ROUNDS = 5  # in which every jump is as likely (IBM model 1): who makes what is learnt before who follows whom
JUMPING_ROUNDS = 5
BY_NONE = 0.2  # share of the words that are made by none
FARTHEST = 100  # words; longer jumps are as likely as this one
LIKELY = 0.5  # weight that a link needs, for those who want no others
LEAST = 1e-12  # probability of what was never seen
LEAST_JUMP = 1e-6
PLACES = 1 << 20  # for links, in one block
PAIRS = 5_000  # read at a time, when links are asked for

Numbers = NDArray[np.int64]
Chances = NDArray[np.float64]
Shape = tuple[list[int], Numbers, Numbers]  # which pairs have it; their words by number, `[B, W]` and `[B, V]`


@dataclass(frozen=True)
class Block:
    """Pairs of one shape. `links` says where tables have two words; -1, their last entry: never seen together."""

    pairs: list[int]
    sources: Int[Numbers, "B W"]
    targets: Int[Numbers, "B V"]
    links: Int[NDArray[np.int32], "B V W"]


@dataclass
class Direction:
    """What one model has learnt. The last entry of the first two is for what was never seen."""

    words: Float[Chances, " K"]  # p(made | making), by number of the link
    alone: Float[Chances, " N"]  # p(made | none), by number of the made word
    jumps: Float[Chances, " J"] | None = None  # p(jump), from -FARTHEST on; None: each is as likely

    def believe(
        self, words: Float[Chances, "B V W"], alone: Float[Chances, "B V"]
    ) -> tuple[Float[Chances, "B V W1"], Float[Chances, " J"]]:
        """Who made each word (the last column: none), and how many jumps of each length are expected."""
        places = np.arange(words.shape[2])
        if self.jumps is None:
            weights = np.concatenate([(1 - BY_NONE) / len(places) * words, BY_NONE * alone[..., None]], axis=2)
            return weights / weights.sum(2, keepdims=True), np.zeros(2 * FARTHEST + 1)
        came_from = np.arange(-1, len(places))
        lengths = np.clip(places - came_from[:, None], -FARTHEST, FARTHEST) + FARTHEST
        steps = self.jumps[lengths] / self.jumps[lengths].sum(1, keepdims=True)
        made, moves = forward_backward(words, alone, steps)
        return made, np.bincount(lengths.ravel(), moves.ravel(), 2 * FARTHEST + 1).astype(np.float64)


def forward_backward(
    words: Float[Chances, "B V W"],
    alone: Float[Chances, "B V"],
    steps: Float[Chances, "W1 W"],
) -> tuple[Float[Chances, "B V W1"], Float[Chances, "W1 W"]]:
    """Posteriors of hidden Markov models in which a word that none made leaves the place where it was.

    Args: words: p(word | place); alone: p(word | none); steps: p(next place | place), the first row from the begin of
    the sentence. Returns: posteriors, of none in the last column; the steps expected in all pairs together.
    """
    pairs, length, places = words.shape
    at = np.broadcast_to(steps[0], (pairs, places))
    before, linked, idle = (np.empty((length, pairs, places)) for _ in range(3))
    sums = np.empty((length, pairs, 1))
    for j in range(length):
        before[j] = at
        linked[j] = (1 - BY_NONE) * (at @ steps[1:] if j else at) * words[:, j]
        idle[j] = BY_NONE * at * alone[:, j, None]
        at = linked[j] + idle[j]
        sums[j] = at.sum(1, keepdims=True)
        at = at / sums[j]
    posteriors, moves = np.empty((pairs, length, places + 1)), np.zeros(steps.shape)
    after = np.ones((pairs, places))
    for j in reversed(range(length)):
        after = after / sums[j]
        posteriors[:, j, :-1] = linked[j] * after
        posteriors[:, j, -1] = (idle[j] * after).sum(1)
        if j == 0:
            moves[0] = ((linked[0] + idle[0]) * after).sum(0)
            break
        arrived = (1 - BY_NONE) * words[:, j] * after
        moves[1:] += steps[1:] * (before[j].T @ arrived)
        after = arrived @ steps[1:].T + BY_NONE * alone[:, j, None] * after
    return posteriors, moves


class HmmAligner:
    """Learns from pairs of lines. Words are what stands between white space.

    A pair of 25 words a side takes 8 ms of one core.
    """

    def __init__(
        self, sources: Sequence[str], targets: Sequence[str], start: Iterable[Sequence[Tensor]] | None = None
    ) -> None:
        """Args: start: of each pair what is believed at first, as `weights` says it; None: nothing."""
        self.vocabularies = [_numbered(sources), _numbered(targets)]
        shapes = _by_shape(self._read(sources, targets))
        met = [np.unique(self._together(*sides)) for _, *sides in shapes]
        self.met = np.unique(np.concatenate([np.zeros(0, np.int64), *met]))  # two words that stand in one pair
        # from source to target, and back
        self.directions = [
            Direction(np.ones(len(self.met) + 1), np.ones(len(made) + 1)) for made in self.vocabularies[::-1]
        ]
        blocks = [self._block(*shape) for shape in shapes]
        if start is not None:
            self._learn(blocks, list(start))
        rounds = LEXICAL_ROUNDS + JUMPING_ROUNDS
        for number in range(rounds):
            if number == LEXICAL_ROUNDS:
                for direction in self.directions:
                    direction.jumps = np.ones(2 * FARTHEST + 1)
            linked = self._learn(blocks)
            logger.info(f"round {number + 1} of {rounds}: both directions agree on {linked:.0%} of the words")

    def weights(self, sources: Sequence[str], targets: Sequence[str]) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each pair `[target words, source words + 1]`, and of the way back `[source words, target words + 1]`.

        The text may be another than was learnt from; words that were not seen there are linked by where they stand.
        """
        for first in range(0, len(sources), PAIRS):
            some = self._read(sources[first : first + PAIRS], targets[first : first + PAIRS])
            found = [(torch.zeros(len(t), len(s) + 1), torch.zeros(len(s), len(t) + 1)) for s, t in some]
            for shape in _by_shape(some):
                for pair, *ways in zip(shape[0], *self._believe(self._block(*shape))[0], strict=True):
                    there, back = (torch.from_numpy(way).float() for way in ways)
                    found[pair] = there, back
            yield from found

    def _read(self, sources: Sequence[str], targets: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        ours, theirs = self.vocabularies
        return [
            ([ours.get(word, -1) for word in source.split()], [theirs.get(word, -1) for word in target.split()])
            for source, target in zip(sources, targets, strict=True)
        ]

    def _together(self, sources: Int[Numbers, "B W"], targets: Int[Numbers, "B V"]) -> Int[Numbers, "B V W"]:
        """A number for each two words; -1 where one is not known."""
        source, target = sources[:, None, :], targets[:, :, None]
        return np.where((source < 0) | (target < 0), -1, source * len(self.vocabularies[1]) + target)

    def _block(self, pairs: list[int], sources: Int[Numbers, "B W"], targets: Int[Numbers, "B V"]) -> Block:
        together = self._together(sources, targets)
        links = np.searchsorted(self.met, together)
        known = np.append(self.met, -2)[links] == together
        return Block(pairs, sources, targets, np.where(known, links, -1).astype(np.int32))

    def _believe(self, block: Block) -> tuple[list[Chances], list[Chances]]:
        """Posteriors and expected jumps of both directions."""
        there, back = self.directions
        both = (
            there.believe(there.words[block.links], there.alone[block.targets]),
            back.believe(back.words[block.links].transpose(0, 2, 1), back.alone[block.sources]),
        )
        return [made for made, _ in both], [jumps for _, jumps in both]

    def _learn(self, blocks: Sequence[Block], given: Sequence[Sequence[Tensor]] | None = None) -> float:
        """A round of EM, by the posteriors that are given or else by those of the models.

        Returns: the share of target words on whose maker both directions agree.
        """
        links = np.zeros(len(self.met))
        alone = [np.zeros(len(direction.alone) - 1) for direction in self.directions]
        jumps = [np.zeros(2 * FARTHEST + 1) for _ in self.directions]
        for block in blocks:
            (there, back), expected = self._believe(block) if given is None else _given(given, block)
            agreed = there[..., :-1] * back[..., :-1].transpose(0, 2, 1)
            links += np.bincount(block.links.ravel(), agreed.ravel(), len(links))
            for way, (words, makers) in enumerate(((block.targets, 2), (block.sources, 1))):
                alone[way] += np.bincount(words.ravel(), 1 - agreed.sum(makers).ravel(), len(alone[way]))
                jumps[way] += expected[way]
        for way, making in enumerate(np.divmod(self.met, len(self.vocabularies[1]))):
            direction = self.directions[way]
            direction.words = _never_nothing(links / np.maximum(np.bincount(making, links), LEAST)[making])
            direction.alone = _never_nothing(alone[way] / max(alone[way].sum(), LEAST))
            if direction.jumps is not None:
                direction.jumps = jumps[way] / max(jumps[way].sum(), LEAST) + LEAST_JUMP
        return float(links.sum() / max(links.sum() + alone[0].sum(), LEAST))


def _numbered(lines: Sequence[str]) -> dict[str, int]:
    return {word: number for number, word in enumerate(dict.fromkeys(word for line in lines for word in line.split()))}


def _by_shape(pairs: Sequence[tuple[list[int], list[int]]]) -> list[Shape]:
    """Pairs with words on both sides, those of one shape together."""
    shapes = defaultdict[tuple[int, int], list[int]](list)
    for number, (source, target) in enumerate(pairs):
        if source and target:
            shapes[len(source), len(target)].append(number)
    found = []
    for (width, height), numbers in sorted(shapes.items()):
        most = max(1, PLACES // (width * height))
        for first in range(0, len(numbers), most):
            some = numbers[first : first + most]
            sides = (np.array([pairs[number][side] for number in some], np.int64) for side in (0, 1))
            found.append((some, *sides))
    return found


def _given(weights: Sequence[Sequence[Tensor]], block: Block) -> tuple[list[Chances], list[Chances]]:
    """As `_believe`, of weights that know nothing of jumps."""
    made = [np.stack([weights[pair][way].double().numpy() for pair in block.pairs]) for way in (0, 1)]
    return made, [np.zeros(2 * FARTHEST + 1)] * 2


def _never_nothing(chances: Float[Chances, " K"]) -> Float[Chances, " K1"]:
    return np.append(np.maximum(chances, LEAST), LEAST)
