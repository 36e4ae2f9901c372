"""A pair of texts, seen through a model: its words, its pieces, and what each piece asked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from mt.alignment.shares import shares, source_shares
from mt.log import logger
from mt.nn.forced import USES, Maps, force
from mt.nn.transformer import Transformer
from mt.text.tokenizer import Tokenizer
from mt.text.words import Offset, Span, reading_words, spaced_words

BLOCK = 5_000  # pairs held at a time: each is some kilobytes of words and pieces
FEWEST_SHOWN = 3  # warnings of one kind


@dataclass(frozen=True)
class Side:
    """One text: its words and its pieces, by where they stand in it."""

    text: str
    words: list[Span]
    pieces: list[Offset]

    @property
    def ids(self) -> list[int]:
        return [piece[0] for piece in self.pieces]

    @property
    def word_texts(self) -> list[str]:
        return [self.text[begin:end] for begin, end in self.words]


@dataclass(frozen=True)
class Observation:
    """One pair, and what the model did when it was made to write the target."""

    source: Side
    target: Side
    maps: Maps
    log_probs: Float[Tensor, " t"]  # of each target piece, and of the end mark

    def source_shares(self) -> Float[Tensor, "s W1"]:
        """Source pieces and the end mark to words; the last column is what belongs to no word."""
        return source_shares(self.source.pieces, self.source.words)

    def target_shares(self) -> Float[Tensor, "P V"]:
        """Target pieces, without marks, to words."""
        return shares(self.target.pieces, self.target.words)


def observe(
    model: Transformer,
    tokenizer: Tokenizer,
    sources: Sequence[str],
    targets: Sequence[str] | Callable[[Sequence[str]], Sequence[str]],
    *,
    max_length: int,
    uses: Sequence[str] = USES,
    by_spaces: bool = False,
) -> Iterator[Observation]:
    """Send pairs through the model and hand out an `Observation` of each, in order.

    Args: targets: translations, or how to make them, such as `translator.translate`, to look at the model's own output;
    max_length: the longest sentence, in pieces, that the model takes: longer ones are cut, and a warning says so;
    by_spaces: words are what stands between white space, as in tokenised text; else as a reader sees them.
    """
    if callable(targets):
        targets = targets(sources)
    assert len(sources) == len(targets), "every source has one target"
    for first in range(0, len(sources), BLOCK):
        block = sources[first : first + BLOCK], targets[first : first + BLOCK]
        yield from _observe(
            model, tokenizer, *block, max_length=max_length, uses=uses, by_spaces=by_spaces, first=first
        )


def _observe(
    model: Transformer,
    tokenizer: Tokenizer,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    max_length: int,
    uses: Sequence[str],
    by_spaces: bool,
    first: int,
) -> Iterator[Observation]:
    """Args: first: how many pairs came before."""
    split = spaced_words if by_spaces else reading_words
    source_sides = [Side(text, split(text), tokenizer.offsets_source(text)) for text in sources]
    target_sides = [Side(text, split(text), tokenizer.offsets_target(text)) for text in targets]
    source_sides = _cut(source_sides, max_length - 1, "source", first)
    target_sides = _cut(target_sides, max_length - 1, "target", first)
    done = force(
        model,
        [[*side.ids, tokenizer.eos] for side in source_sides],
        [side.ids for side in target_sides],
        bos=tokenizer.bos,
        eos=tokenizer.eos,
        uses=uses,
    )
    for source, target, forced in zip(source_sides, target_sides, done, strict=True):
        yield Observation(source, target, forced.maps, forced.log_probs)


def _cut(sides: list[Side], most: int, name: str, first: int) -> list[Side]:
    """Words past the cut stay, and are seen by no piece: numbers of words are those of the text."""
    long = [line for line, side in enumerate(sides, first + 1) if len(side.pieces) > most]
    if long:
        lines = ", ".join(f"{line:,}" for line in long[:FEWEST_SHOWN]) + (", ..." if len(long) > FEWEST_SHOWN else "")
        logger.warning(
            f"{len(long):,} {name} lines have more than the {most:,} pieces that the model takes ({lines}); what is "
            "beyond is not looked at."
        )
    return [Side(side.text, side.words, side.pieces[:most]) for side in sides]
