"""Word links between a source and its translation, from a teacher-forced pass over the translation.

Search keeps no attention. A finished translation is passed through the model once more (`mt.nn.forced`), and links are
taken from the `AlignmentHeads`; this takes a quarter of the time of a search with 5 beams. Each segment, translated on
its own, has its own attention map; word numbers are those of the whole text.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from mt.alignment.aligner import load_heads
from mt.alignment.choose_heads import guess_heads
from mt.alignment.heads import AlignmentHeads, hard_links, soft_links, word_maps
from mt.alignment.observe import Observation, Side
from mt.alignment.shares import word_weights
from mt.decode.translation import Segment, Translation, check_found
from mt.decode.translator import Translator
from mt.nn.forced import Forced, force
from mt.text.words import Links, Offset, Span, spaced_words

GUESS_FROM = 100  # segments: more hardly change the guessed heads, and the maps of all are in memory
SoftLinks = list[tuple[int, int, float]]  # source word, target word, weight
Tokens = tuple[list[Offset], list[Offset]]  # of source and target, with their spans in the whole texts


@dataclass(frozen=True)
class LinkedSegment:
    """A segment of a translation with its attention. Spans of tokens are those in the whole texts."""

    source: list[Offset]
    target: list[Offset]
    weights: Float[Tensor, "P S1"]  # of each target token over the source tokens and eos
    log_probs: Float[Tensor, " P1"]  # of the target tokens and eos


@dataclass(frozen=True)
class LinkedTranslation:
    """A translation with the attention that its word links are taken from."""

    source: str
    translation: Translation
    segments: list[LinkedSegment]

    @property
    def text(self) -> str:
        return self.translation.text

    def grids(self, source_words: list[Span], target_words: list[Span]) -> Iterator[tuple[int, int, Tensor]]:
        """Of each segment the first source word, the first target word, and weights `[V, W1]` as of `head_mean`."""
        for segment in self.segments:
            first_source, sources = _within(source_words, segment.source)
            first_target, targets = _within(target_words, segment.target)
            weights = word_weights(segment.weights, segment.source, sources, segment.target, targets)
            yield first_source, first_target, weights

    def links(self) -> Links:
        """(source word, target word), words separated by white space: the most attended source word of each."""
        found: Links = set()
        for first_source, first_target, weights in self.grids(spaced_words(self.source), spaced_words(self.text)):
            found |= {(first_source + i, first_target + j) for i, j in hard_links(weights)}
        return found

    def soft(self, source_words: list[Span], target_words: list[Span]) -> SoftLinks:
        """All links of a weight that `soft_links` keeps."""
        return [
            (first_source + i, first_target + j, weight)
            for first_source, first_target, weights in self.grids(source_words, target_words)
            for i, j, weight in soft_links(weights)
        ]


class Linker:
    """Links translations to their sources with the translator's model and its alignment heads."""

    def __init__(self, translator: Translator, heads: AlignmentHeads | None = None) -> None:
        """Args: heads: None: guessed from the first translations. Raises: ConfigError: for a model without text."""
        translator.require_text("an alignment of words")
        self.translator = translator
        self.heads = heads

    @classmethod
    def of(cls, translator: Translator, folder: Path) -> "Linker":
        """With the heads that `mt align` has chosen for the model in `folder`, if it has. Raises: CheckpointError: when
        they do not fit the model; ConfigError: for a model without text."""
        return cls(translator, load_heads(folder, translator.stepper.model))

    def link(self, texts: Sequence[str], found: Sequence[Sequence[Translation]]) -> list[list[LinkedTranslation]]:
        """Args: found: the translations of each text, as `Translator.answer` returns them.

        Raises: ConfigError: for what is no list of texts, or not their translations.
        """
        check_found(found, texts, names=("found", "texts"))
        whole = [(text, translation) for text, some in zip(texts, found, strict=True) for translation in some]
        tokens = [self._tokens(*pair, segment) for pair in whole for segment in pair[1].segments]
        if self.heads is None:
            self.heads = self._guess(tokens)
        segments = self._linked_segments(tokens)
        linked = (
            LinkedTranslation(text, translation, [next(segments) for _ in translation.segments])
            for text, translation in whole
        )
        return [[next(linked) for _ in some] for some in found]

    def _tokens(self, text: str, translation: Translation, segment: Segment) -> Tokens:
        """The tokens of a segment, as the model read the source and wrote the target."""
        tokenizer, (begin, end) = self.translator.tokenizer, segment.source
        tags = tokenizer.tags_of(text, begin)
        source = tokenizer.offsets_source(tags + text[begin:end])[: self.translator.max_length - 1]
        # Tags that stand before the segment are read with it, but are no part of it.
        source = [(piece, max(0, a - len(tags)), max(0, b - len(tags))) for piece, a, b in source]
        target = tokenizer.offsets_written(translation.pieces[slice(*segment.pieces)])
        return _moved(source, begin), _moved(target, segment.target[0])

    def _linked_segments(self, tokens: Sequence[Tokens]) -> Iterator[LinkedSegment]:
        chosen, passes = self.heads, self._force(tokens)
        for (source, target), forced in zip(tokens, passes, strict=True):
            assert chosen is not None
            weights = forced.maps.cross[chosen.layer, list(chosen.heads)].mean(0)
            rows = weights[1 : len(target) + 1] if chosen.shifted else weights[: len(target)]
            yield LinkedSegment(source, target, rows, forced.log_probs)

    def _force(self, tokens: Sequence[Tokens]) -> Iterator[Forced]:
        t = self.translator.tokenizer
        sources, targets = [[*_ids(source), t.eos] for source, _ in tokens], [_ids(target) for _, target in tokens]
        return force(self.translator.stepper.model, sources, targets, bos=t.bos, eos=t.eos, uses=("cross",))

    def _guess(self, tokens: Sequence[Tokens]) -> AlignmentHeads | None:
        """`guess_heads` from some segments; None when there are no segments yet."""
        some = [pair for pair in tokens if pair[1]][:GUESS_FROM]
        if not some:
            return AlignmentHeads(0, (0,), False) if tokens else None
        maps = []
        for pair, forced in zip(some, self._force(some), strict=True):
            source, target = (Side("", [token[1:] for token in side], side) for side in pair)
            maps.append(word_maps(Observation(source, target, forced.maps, forced.log_probs)))
        return guess_heads(maps)


def contribution(linker: Linker, linked: Sequence[LinkedTranslation]) -> list[float | None]:
    """The source contribution of each translation, in nats: the mean of log p(token) less that without a source.

    As the `dropped` of `mt.interpret.contribution`, over tokens. None for an empty translation.
    """
    segments, t = [segment for one in linked for segment in one.segments], linker.translator.tokenizer
    sources, targets = [[t.eos] for _ in segments], [_ids(segment.target) for segment in segments]
    alone = force(linker.translator.stepper.model, sources, targets, bos=t.bos, eos=t.eos, uses=())
    lost = ((segment.log_probs - without.log_probs)[:-1] for segment, without in zip(segments, alone, strict=True))
    found = []
    for one in linked:
        values = torch.cat([torch.empty(0), *(next(lost) for _ in one.segments)])
        found.append(float(values.mean()) if len(values) else None)
    return found


def _ids(tokens: Sequence[Offset]) -> list[int]:
    return [token[0] for token in tokens]


def _moved(tokens: Sequence[Offset], by: int) -> list[Offset]:
    return [(token, begin + by, end + by) for token, begin, end in tokens]


def _within(words: list[Span], tokens: Sequence[Offset]) -> tuple[int, list[Span]]:
    """The words that overlap the span of the tokens, and the number of the first one."""
    if not tokens:
        return 0, []
    begin, end = min(token[1] for token in tokens), max(token[2] for token in tokens)
    first = bisect_right(words, begin, key=lambda word: word[1])
    inside = words[first : bisect_left(words, end, key=lambda word: word[0])]
    return (first, inside) if inside else (0, [])
