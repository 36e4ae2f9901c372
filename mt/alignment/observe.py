"""Teacher-forced passes over pairs of texts: their words, tokens, attention and log-probabilities."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from mt.errors import check_texts, counted
from mt.nn.encoders import require_text
from mt.nn.forced import USES, Maps, force
from mt.nn.transformer import Transformer
from mt.text.tokenizer import Tokenizer
from mt.text.words import Offset, Span, reading_words, spaced_words

logger = logging.getLogger("mt")
BLOCK = 5_000  # pairs in memory at a time: each takes some kilobytes
LINES_NAMED = 3  # in a warning


@dataclass(frozen=True)
class Side:
    """One text with the spans of its words and of its tokens."""

    text: str
    words: list[Span]
    tokens: list[Offset]

    @property
    def ids(self) -> list[int]:
        return [token[0] for token in self.tokens]

    @property
    def word_texts(self) -> list[str]:
        return [self.text[begin:end] for begin, end in self.words]


@dataclass(frozen=True)
class Observation:
    """One pair and the teacher-forced pass over it."""

    source: Side
    target: Side
    maps: Maps
    log_probs: Float[Tensor, " t"]  # of each target token and of eos


def observe(
    model: Transformer,
    tokenizer: Tokenizer,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    max_length: int,
    uses: Sequence[str] = USES,
    by_spaces: bool = False,
) -> Iterator[Observation]:
    """An `Observation` of each pair, in order.

    Args: max_length: the longest sentence, in tokens, that the model takes; longer ones are cut, with a warning; uses:
    the kinds of attention whose maps are returned; by_spaces: words are separated by white space, as in tokenised text,
    instead of `mt.text.words.reading_words`.
    """
    check_texts(sources=sources, targets=targets)
    require_text(model, "attention between words")
    split = spaced_words if by_spaces else reading_words
    for first in range(0, len(sources), BLOCK):
        source_sides = [Side(text, split(text), tokenizer.offsets_source(text)) for text in sources[first:][:BLOCK]]
        target_sides = [Side(text, split(text), tokenizer.offsets_target(text)) for text in targets[first:][:BLOCK]]
        source_sides = _cut(source_sides, max_length - 1, "source", first)
        target_sides = _cut(target_sides, max_length - 1, "target", first)
        passes = force(
            model,
            [[*side.ids, tokenizer.eos] for side in source_sides],
            [side.ids for side in target_sides],
            bos=tokenizer.bos,
            eos=tokenizer.eos,
            uses=uses,
        )
        for source, target, forced in zip(source_sides, target_sides, passes, strict=True):
            yield Observation(source, target, forced.maps, forced.log_probs)


def _cut(sides: list[Side], limit: int, name: str, first: int) -> list[Side]:
    """Keep at most `limit` tokens of each side, and all its words: word numbers stay those of the text."""
    long = [line for line, side in enumerate(sides, first + 1) if len(side.tokens) > limit]
    if long:
        lines = ", ".join(f"{line:,}" for line in long[:LINES_NAMED]) + (", ..." if len(long) > LINES_NAMED else "")
        logger.warning(
            f"{counted(len(long), f'{name} line')} with more than the {limit:,} tokens that the model takes ({lines}): "
            "the rest of each is ignored."
        )
    return [Side(side.text, side.words, side.tokens[:limit]) for side in sides]
