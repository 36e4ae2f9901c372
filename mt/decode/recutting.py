"""Parts that are cut again, because their first translation shows that it is not one of all their text.

Two sentences without a mark between them are short enough for the model, but it translates one of them, or makes one
sentence of both. Where one ends and the next begins, the translations of both sides, each by itself, are likelier than
that of the whole. Neither attention weights nor what a translation loses without some words of its source show that
place (docs/LOG.md).
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from mt.config import Split
from mt.decode.constraints.glossary import Constraints
from mt.decode.cutting import Cutter
from mt.decode.parts import Found, Part, report_short, report_unfinished
from mt.decode.request import Options
from mt.decode.translation import Translation
from mt.text.sentences import Layout, cut_at

# Nats by which a token must be likelier in two parts than in the whole: MARGIN for a short text, nothing for one as
# long as the longest training lines, and less by LEFT_OUT times the share of the usual tokens that the whole lacks.
# Measured by `scripts/run_on_lines.py`.
MARGIN, LEFT_OUT = 0.3, 1.0

Work = Generator[list[Part], Found, None]


@dataclass
class Recutter:
    """The parts of some texts with their translations, while they are cut and translated again.

    Its generators yield parts, and are sent what `Translator.find` returns for them.
    """

    cutter: Cutter
    options: Options
    parts_of: Callable[[list[Layout]], list[Part]]
    layouts: list[Layout]
    parts: list[Part]
    found: Found

    def run(self) -> Work:
        """Cut between sentences that are run together, if each is to be translated by itself; then cut what is
        translated far too short, and warn of what stays short."""
        if self.options.section.split is Split.always:
            yield from self._cut_run_ons()
        yield from self._cut_short()

    def _cut_run_ons(self) -> Work:
        """Cut parts without marks where that makes their translations likelier, until no cut does."""
        tested: set[tuple[int, str]] = set()
        while True:
            suspects = [
                (part, best)
                for part, (best, *_) in zip(self.parts, self.found, strict=True)
                if (part.owner, part.text) not in tested and self._may_run_on(part, best)
            ]
            tested |= {(part.owner, part.text) for part, _ in suspects}
            borders = [self.cutter.borders(part.text) for part, _ in suspects]
            drafts = [
                draft
                for (part, _), places in zip(suspects, borders, strict=True)
                for draft in self._drafts(part, places)
            ]
            if not drafts:
                return
            drafted = yield drafts
            sides = ((first, second) for (first, *_), (second, *_) in zip(drafted[::2], drafted[1::2], strict=True))
            cuts: dict[int, dict[int, Layout]] = {}
            for (part, best), places in zip(suspects, borders, strict=True):
                least = mean_log_prob(best) + self.margin(part, best)
                if (place := likeliest_cut(places, sides, least)) is not None:
                    cuts.setdefault(part.owner, {})[part.number] = cut_at(part.text, place)
            yield from self._cut([layout.refined(cuts.get(owner, {})) for owner, layout in enumerate(self.layouts)])

    def _may_run_on(self, part: Part, best: Translation) -> bool:
        translated = best.finished and not part.copied and not part.prefix
        return translated and self.cutter.may_run_on(part.text, part.source)

    def margin(self, part: Part, best: Translation) -> float:
        """By how much two parts must be likelier than the whole."""
        length, lacking = self.cutter.compared(part.source, best.pieces)
        return MARGIN * (1 - length) - LEFT_OUT * lacking

    def _drafts(self, part: Part, places: list[int]) -> Iterator[Part]:
        """Both sides of each place, one after the other. As any part, each is read with the tags before it."""
        whole, tokenizer = self.layouts[part.owner].text, self.cutter.tokenizer
        texts = [side.strip() for place in places for side in (part.text[:place], part.text[place:])]
        tags = [tokenizer.tags_of(whole, part.span[0] + begin) for place in places for begin in (0, place)]
        sources = tokenizer.encode_source([before + text for before, text in zip(tags, texts, strict=True)])
        for text, source in zip(texts, sources, strict=True):
            yield Part(part.number, part.owner, part.span, text, source, [], Constraints(), copied=False, draft=True)

    def _cut_short(self) -> Work:
        """Cut parts whose translations are far too short for them, until none can be cut further."""
        while True:
            short = [
                (part, best)
                for part, (best, *_) in zip(self.parts, self.found, strict=True)
                if not part.copied and best.finished and self.cutter.too_short(part.text, part.source, best.pieces)
            ]
            places: dict[int, list[int]] = {}
            for part, _ in short if self.options.section.split is not Split.never else ():
                places.setdefault(part.owner, []).append(part.number)
            finer = [self.cutter.finer(layout, places.get(owner, ())) for owner, layout in enumerate(self.layouts)]
            if finer == self.layouts:
                report_short(short, self.options.first_text)
                report_unfinished(self.parts, self.found, self.options.first_text)
                return
            yield from self._cut(finer)

    def _cut(self, finer: list[Layout]) -> Work:
        """Take these layouts. Translations of parts that stay as they are are used again."""
        known = {(part.owner, part.span): some for part, some in zip(self.parts, self.found, strict=True)}
        self.layouts, self.parts = finer, self.parts_of(finer)
        new = [part for part in self.parts if (part.owner, part.span) not in known]
        searched = yield new
        known |= zip(((part.owner, part.span) for part in new), searched, strict=True)
        self.found = [known[part.owner, part.span] for part in self.parts]


def likeliest_cut(places: list[int], sides: Iterator[tuple[Translation, Translation]], least: float) -> int | None:
    """The place whose two sides have the likeliest translations; None: nowhere are they likelier than `least`.

    Args: sides: translations of both sides, of which those of `places` are taken; least: as `mean_log_prob`.
    """
    drafts = {place: next(sides) for place in places}
    likely = {
        place: mean_log_prob(*both)
        for place, both in drafts.items()
        if all(draft.finished and draft.pieces for draft in both)
    }
    best = max(likely, key=likely.__getitem__, default=None)
    return best if best is not None and likely[best] > least else None


def mean_log_prob(*translations: Translation) -> float:
    """For each token, end marks counted."""
    tokens = sum(len(translation.pieces) + 1 for translation in translations)
    return sum(translation.log_prob for translation in translations) / tokens
