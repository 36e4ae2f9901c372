"""What is translated at once: where a text is cut, and whether the translation of a part is too short to be all of it.

A model loses content of what is longer than its training lines. A text is therefore cut at the ends of sentences, a
sentence that is still too long at the ends of clauses, and a clause between words, into parts of lengths that the
model has seen often. A part whose translation is far too short for it is cut again. Not so where targets are usually
summaries: a text has one, and its parts have others.
"""

import logging
from collections.abc import Collection, Sequence, Sized

from mt.config import Split
from mt.text.lines import spread
from mt.text.sentences import CLAUSE_END, SPACE, Layout, Usual, divided, halves, sentences, whole
from mt.text.tokenizer import Tokenizer
from mt.text.words import has_letters, is_one_word, is_word

logger = logging.getLogger("mt")
# Shares of the usual length, which is that of the longest training lines: of more tokens lines are too rare in
# training. A text with few marks is probably several sentences run together, of which a model translates the first.
# Measured by `scripts/long_lines.py`.
PART, RUN_ON = 0.5, 0.2
TOO_SHORT = 0.55  # of the usual number of target tokens for each source token: less than 1.5 % of references
USUAL_RATIO = 0.9  # of German-English and English-German text, for models that do not know theirs
SHORT_RUN_ON = 0.75  # the same for text without marks
SUMMARY = 0.3  # target tokens for each source token: of translations they are usually 0.7 to 1.5, of synopses 0.1
LEAST = 8  # source tokens: fewer are not cut, and right translations of fewer are often that short
LEAST_WORDS = 3  # of a part that is cut off because sentences are run together
MOST_BORDERS = 24  # places that are tried for it


class Cutter:
    """Cuts texts for one model."""

    def __init__(self, tokenizer: Tokenizer, *, max_length: int, src: str, usual: Usual | None) -> None:
        """Args: as `Translator`."""
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.src = src
        self.usual = usual
        self._usual = usual or Usual(max_length)
        self.summarises = (self._usual.ratio or USUAL_RATIO) < SUMMARY

    def lay_out(self, texts: Sequence[str], split: Split, first: int) -> list[Layout]:
        """Every text as parts that the model can read. `first`: the number of texts before these, for warnings."""
        if split is Split.auto and self.summarises:
            split = Split.never
        layouts = []
        ids_of_all = self.tokenizer.encode_source(texts)
        for number, (text, ids) in enumerate(zip(texts, ids_of_all, strict=True), first + 1):
            layout = whole(text) if split is Split.never else sentences(text, self.src)
            if split is Split.auto and not self._unusual(len(layout.parts), len(ids)):
                layout = whole(text)
            most = self.max_length
            if self.usual is not None and split is not Split.never:
                most = min(most, max(LEAST, self.usual.pieces))
            tags = self.tokenizer.tags_of(text)
            layouts.append(
                with_tags(self._cut_to_size(layout, most, number, tags) if len(ids) > most else layout, tags)
            )
        return layouts

    def _unusual(self, num_sentences: int, num_tokens: int) -> bool:
        """Whether a text is longer than, or has more sentences than, the lines that the model was trained on."""
        if self.usual is None:
            return num_tokens > self.max_length
        return num_sentences > self.usual.sentences or num_tokens > self.usual.pieces

    def _cut_to_size(self, layout: Layout, most: int, number: int, tags: str) -> Layout:
        """With sentences of more than `most` tokens cut. Args: tags: that each part is read with."""
        cut: dict[int, Layout] = {}
        taken = self._length(tags) - 1
        for place, sentence in enumerate(layout.parts):
            if (length := self._length(sentence) + taken) <= most:
                continue
            room = max(2, (most if most >= self.max_length else self._room(sentence, length)) - taken)

            def fits(part: str, room: int = room) -> bool:
                """A word longer than the room, as an address or one of another script, is cut where it must be only."""
                return self._length(part) <= (max(room, most - taken) if is_one_word(part) else room)

            cut[place] = divided(sentence, fits)
            if length > self.max_length and has_letters(sentence):  # signs alone are copied
                logger.warning(
                    f"input {number:,}: a sentence of {length:,} tokens is translated in {len(cut[place].parts):,} "
                    f"parts, because the model reads at most {self.max_length:,}: {sentence[:40]!r}. Shorter "
                    "sentences are translated better."
                )
        return layout.refined(cut)

    def _room(self, sentence: str, length: int) -> int:
        """The most tokens of a part of a sentence that is longer than usual."""
        assert self.usual is not None
        between_marks = length / (1 + len(CLAUSE_END.findall(sentence)))
        share = PART if between_marks <= PART * self.usual.pieces else RUN_ON
        return max(LEAST, int(share * self.usual.pieces))

    def _length(self, text: str) -> int:
        return len(self.tokenizer.encode_source([text])[0])

    def finer(self, layout: Layout, places: Collection[int]) -> Layout:
        """With these parts cut in two, where a cut does not divide a word."""
        finer = layout.refined({place: halves(layout.parts[place]) for place in places})
        return with_tags(finer, self.tokenizer.tags_of(layout.text))

    def read(self, layout: Layout) -> list[str]:
        """The parts as the model reads them: each with the tags at the beginning of the text."""
        if not self.tokenizer.tags or len(layout.parts) < 2:
            return layout.parts
        text, tags = layout.text, self.tokenizer.tags_of
        return [tags(text, span[0]) + part for part, span in zip(layout.parts, layout.spans(), strict=True)]

    def too_short(self, text: str, source: Sized, target: Sequence[str]) -> bool:
        """Whether a translation has far too few tokens to be all of its source, whose ids end with eos. The length of
        a summary does not tell."""
        if self.summarises:
            return False
        usual = self._usual
        run_on = is_word(text[-1]) and not CLAUSE_END.search(text) and len(source) > RUN_ON * usual.pieces
        least = (SHORT_RUN_ON if run_on else TOO_SHORT) * (usual.ratio or USUAL_RATIO)
        return len(source) > LEAST and len(target) + 1 < least * len(source)

    def may_run_on(self, text: str, source: Sized) -> bool:
        """Whether a text may be several sentences run together: it has no marks, but training lines have."""
        marked = self.usual is not None and self.usual.marked
        return marked and len(source) > LEAST and is_word(text[-1]) and not CLAUSE_END.search(text)

    def compared(self, source: Sized, target: Sequence[str]) -> tuple[float, float]:
        """The length of a source, as a share of the usual length, and the share of the usual number of target tokens
        that its translation lacks."""
        expected = (self._usual.ratio or USUAL_RATIO) * len(source)
        return len(source) / self._usual.pieces, max(0.0, 1 - (len(target) + 1) / expected)

    def borders(self, text: str) -> list[int]:
        """Places between words where one sentence may end and the next begin; of many, an even sample."""
        spaces = [match.start() for match in SPACE.finditer(text)][LEAST_WORDS - 1 : 1 - LEAST_WORDS]
        return [spaces[place] for place in spread(len(spaces), MOST_BORDERS)]


def with_tags(layout: Layout, tags: str) -> Layout:
    """A layout whose first part is not of tags alone, which would be translated as if they were words."""
    parts, gaps = layout.parts, layout.gaps
    while tags and len(parts) > 1 and len(parts[0]) <= len(tags.rstrip()):
        parts, gaps = [parts[0] + gaps[1] + parts[1], *parts[2:]], [gaps[0], *gaps[2:]]
    return Layout(parts, gaps)


def in_sentence(part: str) -> bool:
    """Whether a sentence goes on after a part: it ends in a word or a comma."""
    return is_word(part[-1]) or part[-1] == ","
