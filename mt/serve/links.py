"""Which source word each word of a translation came from, how sure the model was, and other words for a chosen one."""

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from mt.decode.request import Options
from mt.decode.translation import Translation
from mt.decode.translator import Part, Translator
from mt.postprocess.word_alignments import LinkedTranslation, Linker
from mt.serve.texts import Found, layout_of
from mt.text.words import NO_WORD, Span, is_word, owners, reading_words

Token = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """A text in words."""

    text: str

    @cached_property
    def words(self) -> list[Span]:
        return reading_words(self.text)

    def tokens(self) -> list[Token]:
        """Words with what follows each. `before` of the first and all `text` and `after` together are the text."""
        ends = [*(begin for begin, _ in self.words), len(self.text)][1:]
        return [
            {"text": self.text[begin:end], "after": self.text[end:following]}
            for (begin, end), following in zip(self.words, ends, strict=True)
        ]

    @property
    def before(self) -> str:
        return self.text[: self.words[0][0]] if self.words else self.text

    def numbers(self, begin: int, end: int) -> list[int]:
        """The first word that begins in a span, and the first one after it."""
        inside = [n for n, (first, _) in enumerate(self.words) if begin <= first < end]
        return [inside[0], inside[-1] + 1] if inside else [0, 0]

    def part(self, begin: int, end: int) -> tuple[list[Span], int]:
        """The words of a part of the text, by their place in the part, and the number of the first one."""
        first, last = self.numbers(begin, end)
        return [(a - begin, b - begin) for a, b in self.words[first:last]], first


def align(
    translator: Translator, options: Options, text: str, linker: Linker, *, attention: bool, prefix: str = ""
) -> Generator[list[Part], Found, dict[str, Any]]:
    """Work for the engine: a text's translation with its links.

    Args: attention: with the whole weights, too; prefix: the beginning of the translation.
    Returns: as docs/serving.md describes the answer of `/align`.
    """
    layout = layout_of(text)
    lines = layout.lines
    prefix = prefix.removeprefix(layout.gaps[0])  # with the sign of a list, where it has one
    beginnings = [prefix if n == 0 else "" for n in range(len(lines))] if prefix else None
    options = replace(options, prefixes=beginnings, stand_ins=[()] * len(lines))
    found = yield from translator.answering(lines, options)
    linked = linker.link(lines, [some[:1] for some in found])
    best = [some[0] for some in linked]
    said = replace(layout, lines=[one.text for one in best])
    told = _Told(translator, Side(text), Side(layout.joined(said.lines)))
    for one, start, place in zip(best, layout.starts(), said.starts(), strict=True):
        told.add(one, start, place, attention)
    answer = told.answer()
    if options.nbest > 1:
        ranked = [[some[min(n, len(some) - 1)] for some in found] for n in range(max(map(len, found), default=0))]
        answer["alternatives"] = [
            {"text": layout.joined([one.text for one in row]), "score": round(_mean([one.score for one in row]), 4)}
            for row in ranked[1:]
        ]
        answer["score"] = round(_mean([some[0].score for some in found]), 4) if found else 0.0
    return answer


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


class _Told:
    """Collects what is told of the lines of a text."""

    def __init__(self, translator: Translator, source: Side, target: Side) -> None:
        self.translator = translator
        self.source, self.target = source, target
        self.links: list[list[float]] = []
        self.segments: list[dict[str, Any]] = []
        self.log_probs = [0.0] * len(target.words)

    def add(self, one: LinkedTranslation, start: int, place: int, attention: bool) -> None:
        """Args: start, place: where the line begins in the source, and its translation in the target."""
        source_words, first_i = self.source.part(start, start + len(one.source))
        target_words, first_j = self.target.part(place, place + len(one.text))
        self.links += [[first_i + i, first_j + j, round(w, 4)] for i, j, w in one.soft(source_words, target_words)]
        grids = list(one.grids(source_words, target_words)) if attention else []
        for number, segment in enumerate(one.translation.segments):
            self._add_probabilities(one.translation, segment.pieces, place + segment.target[0])
            told = {
                "source": self.source.numbers(start + segment.source[0], start + segment.source[1]),
                "target": self.target.numbers(place + segment.target[0], place + segment.target[1]),
                "text": one.source[slice(*segment.source)],
                "translation": one.text[slice(*segment.target)],
            }
            if attention:
                _, _, weights = grids[number]
                told["attention"] = [[round(value, 4) for value in row] for row in weights.tolist()]
            self.segments.append(told)

    def _add_probabilities(self, translation: Translation, span: Span, place: int) -> None:
        pieces = translation.pieces[slice(*span)]
        offsets = [(n, a + place, b + place) for n, a, b in self.translator.tokenizer.offsets_written(pieces)]
        logs = translation.piece_log_probs[slice(*span)]
        for word, log_prob in zip(owners(offsets, self.target.words), logs, strict=True):
            if word != NO_WORD:
                self.log_probs[word] += log_prob

    def answer(self) -> dict[str, Any]:
        tokens = self.target.tokens()
        for token, log_prob in zip(tokens, self.log_probs, strict=True):
            token["probability"] = round(math.exp(min(0.0, log_prob)), 4)
        return {
            "translatedText": self.target.text,
            "source": {"before": self.source.before, "tokens": self.source.tokens()},
            "target": {"before": self.target.before, "tokens": tokens},
            "links": sorted(self.links),
            "segments": self.segments,
        }


def other_words(
    translator: Translator, options: Options, text: str, prefix: str, count: int
) -> Generator[list[Part], Found, list[dict[str, Any]]]:
    """Work for the engine: translations of one segment that begin with a prefix and go on with different words.

    The model's likeliest next pieces are each forced, and the search goes on from there.

    Returns: word, its probability and the whole translation, the likeliest word first.
    """
    asked = replace(options, prefixes=[prefix] if prefix else None, stand_ins=None)
    with closing(translator.answering([text], asked)) as work:
        parts = next(work, [])
    if len(parts) != 1:
        return []  # no segment
    part = parts[0]
    nexts = _next_pieces(translator, part, 4 * count)
    if prefix and is_word(prefix[-1]):  # what goes on within the word would change it
        pieces = translator.tokenizer.pieces_target([token for token, _ in nexts])
        nexts = [one for one, piece in zip(nexts, pieces, strict=True) if not is_word(piece[0])]
    nexts = nexts[: 2 * count]
    found = yield [replace(part, prefix=[*part.prefix, token]) for token, _ in nexts]
    told: dict[str, dict[str, Any]] = {}
    for (_, log_prob), some in zip(nexts, found, strict=True):
        best = some[0]
        word = next_word(best.text, prefix)
        if word and word not in told:
            told[word] = {
                "word": word, "probability": round(math.exp(log_prob), 4), "translatedText": best.text,
                "score": round(best.score, 4),
            }  # fmt: skip
    return list(told.values())[:count]


def _next_pieces(translator: Translator, part: Part, count: int) -> list[tuple[int, float]]:
    """The likeliest pieces after the prefix of a part, with their log-probabilities; not the end."""
    tokenizer, searched = translator.tokenizer, translator.searched
    with torch.inference_mode(), searched.prepared():
        searched.start([part.source])
        device = translator.stepper.device
        log_probs = torch.empty(0)
        for token in [tokenizer.bos, *part.prefix]:
            log_probs = searched.step(torch.tensor([token], device=device)).clone()
    row = log_probs[0]
    row[[tokenizer.eos, tokenizer.unk, tokenizer.pad, tokenizer.bos]] = -torch.inf
    values, tokens = row.topk(min(count, len(row)))
    pairs = zip(tokens.tolist(), values.tolist(), strict=True)
    return [(int(token), value) for token, value in pairs if value > -torch.inf]


def next_word(text: str, prefix: str) -> str:
    """The first word of a translation after its prefix; "" when the translation does not begin with it."""
    start = len(prefix.rstrip())
    if text[:start] != prefix.rstrip():
        return ""
    return next((text[begin:end] for begin, end in reading_words(text) if begin >= start), "")
