"""Which words of a source each word of its translation came from: translations are sent through the model once more.

Search keeps no attention. A finished translation is forced through the model, piece by piece as it was written, and the
layer and heads of a `Reading` are heard (`mt.nn.forced`): one pass, a quarter of the work of a search with 5
beams. Every stretch of text that was translated at once has its own map; words are counted over the whole text.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from mt.alignment.choose_heads import choose_by_shape
from mt.alignment.heads import Reading, hard_links, soft_links, word_maps
from mt.alignment.observe import Observation, Side
from mt.alignment.shares import shares, source_shares
from mt.decode.translation import Stretch, Translation
from mt.decode.translator import Translator
from mt.interpret.contribution import rescore
from mt.nn.forced import Forced, force
from mt.text.words import Links, Offset, Span, spaced_words

GUESS_FROM = 100  # translations: the guess of heads no longer changes much with more, and all their maps are kept
Words = Callable[[str], list[Span]]
SoftLinks = list[tuple[int, int, float]]  # source word, target word, weight


@dataclass(frozen=True)
class Part:
    """What was translated at once. Pieces are told by where they stand in the whole texts."""

    source: list[Offset]
    target: list[Offset]
    weights: Float[Tensor, "P S1"]  # of each target piece over the source pieces and their end mark
    log_probs: Float[Tensor, " P1"]  # of the target pieces and the end mark


@dataclass(frozen=True)
class Linked:
    """A translation that knows where its words came from."""

    source: str
    translation: Translation
    parts: list[Part]

    @property
    def text(self) -> str:
        return self.translation.text

    def grids(self, source_words: list[Span], target_words: list[Span]) -> Iterator[tuple[int, int, Tensor]]:
        """For each part the first source word and the first target word, and `[V, W1]` as `mt.alignment.heads.read`."""
        for part in self.parts:
            first, sources = _within(source_words, part.source)
            place, targets = _within(target_words, part.target)
            to_target = shares(part.target, targets)
            to_target = to_target / to_target.sum(0, keepdim=True).clamp(min=1e-9)
            yield first, place, to_target.t() @ part.weights @ source_shares(part.source, sources)

    def links(self, words: Words = spaced_words) -> Links:
        """(source word, target word): each target word with the source word that it looked at most."""
        found: Links = set()
        for first, place, weights in self.grids(words(self.source), words(self.text)):
            found |= {(first + i, place + j) for i, j in hard_links(weights)}
        return found

    def soft(self, source_words: list[Span], target_words: list[Span], least: float = 0.01) -> SoftLinks:
        """All weights of at least `least`."""
        return [
            (first + i, place + j, weight)
            for first, place, weights in self.grids(source_words, target_words)
            for i, j, weight in soft_links(weights, least)
        ]


class Linker:
    """A translator's model, and which of its heads are asked."""

    def __init__(self, translator: Translator, reading: Reading | None = None) -> None:
        """Args: reading: None: guessed from the first translations."""
        self.translator = translator
        self.reading = reading

    def link(self, texts: Sequence[str], found: Sequence[Sequence[Translation]]) -> list[list[Linked]]:
        """Texts and their translations, best first, as `Translator.answer` gives them."""
        whole = [(text, translation) for text, some in zip(texts, found, strict=True) for translation in some]
        if self.reading is None:
            self.reading = self._guess(whole)
        sides = [self._sides(*pair, stretch) for pair in whole for stretch in pair[1].stretches]
        forced = self._force(sides)
        linked = (
            Linked(text, translation, [next(forced) for _ in translation.stretches]) for text, translation in whole
        )
        return [[next(linked) for _ in some] for some in found]

    def _sides(self, text: str, translation: Translation, stretch: Stretch) -> tuple[list[Offset], list[Offset]]:
        """The pieces of a stretch, as the model read them and as it wrote them, where they stand in the whole."""
        tokenizer, (begin, end) = self.translator.tokenizer, stretch.source
        source = tokenizer.offsets_source(text[begin:end])[: self.translator.max_length - 1]
        target = tokenizer.offsets_written(translation.pieces[slice(*stretch.pieces)])
        return _moved(source, begin), _moved(target, stretch.target[0])

    def _force(self, sides: Sequence[tuple[list[Offset], list[Offset]]]) -> Iterator[Part]:
        reading, done = self.reading, self._heard(sides)
        assert reading is not None
        for (source, target), forced in zip(sides, done, strict=True):
            heads = forced.maps.cross[reading.layer, list(reading.heads)].mean(0)
            rows = heads[1 : len(target) + 1] if reading.shifted else heads[: len(target)]
            yield Part(source, target, rows, forced.log_probs)

    def _heard(self, sides: Sequence[tuple[list[Offset], list[Offset]]]) -> Iterator[Forced]:
        t = self.translator.tokenizer
        sources, targets = [[*_ids(source), t.eos] for source, _ in sides], [_ids(target) for _, target in sides]
        return force(self.translator.stepper.model, sources, targets, bos=t.bos, eos=t.eos, uses=("cross",))

    def _guess(self, whole: Sequence[tuple[str, Translation]]) -> Reading | None:
        """A reading by the shape of the maps of some translations; None where there is none yet."""
        sides = [
            self._sides(text, translation, stretch) for text, translation in whole for stretch in translation.stretches
        ]
        some = list(islice((pair for pair in sides if pair[1]), GUESS_FROM))
        if not some:
            return Reading(0, (0,), False) if sides else None
        done = self._heard(some)
        seen = []
        for (source, target), forced in zip(some, done, strict=True):
            ours, theirs = (Side("", [piece[1:] for piece in pieces], pieces) for pieces in (source, target))
            seen.append(word_maps(Observation(ours, theirs, forced.maps, forced.log_probs)))
        return choose_by_shape(seen)


def contribution(linker: Linker, linked: Sequence[Linked]) -> list[float | None]:
    """Of each translation, what a piece owes to the source: the mean of log p(piece) less that without any source.

    In nats; as the `dropped` of `mt.interpret.contribution`, over pieces. None for a translation that says nothing.
    """
    parts = [part for one in linked for part in one.parts]
    model, targets = linker.translator.stepper.model, [_ids(part.target) for part in parts]
    alone = rescore(model, linker.translator.tokenizer, [[] for _ in parts], targets)
    lost = (part.log_probs[:-1] - without for part, without in zip(parts, alone, strict=True))
    found = []
    for one in linked:
        values = torch.cat([torch.empty(0), *(next(lost) for _ in one.parts)])
        found.append(float(values.mean()) if len(values) else None)
    return found


def _ids(pieces: Sequence[Offset]) -> list[int]:
    return [piece[0] for piece in pieces]


def _moved(pieces: Sequence[Offset], by: int) -> list[Offset]:
    return [(piece, begin + by, end + by) for piece, begin, end in pieces]


def _within(words: list[Span], pieces: Sequence[Offset]) -> tuple[int, list[Span]]:
    """The words on which pieces lie, and the number of the first one."""
    if not pieces:
        return 0, []
    begin, end = min(piece[1] for piece in pieces), max(piece[2] for piece in pieces)
    inside = [n for n, (first, last) in enumerate(words) if first < end and last > begin]
    return (inside[0], words[inside[0] : inside[-1] + 1]) if inside else (0, [])
