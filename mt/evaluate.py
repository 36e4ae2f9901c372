"""Translate a test set, score it, and write the report."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from unicodedata import is_normalized

from mt.errors import check_texts, counted, readable
from mt.files import write_text
from mt.text.lines import spread
from mt.text.metrics import USUAL, Score, choose_tokenizer, score_all
from mt.text.numerals import Survival, survival
from mt.text.scripts import script_of, usual_scripts

logger = logging.getLogger("mt")
JUDGED = 2_000  # lines, for their script


@dataclass(frozen=True)
class Report:
    """A translated and scored set of sentences."""

    name: str
    sources: list[str]
    references: list[str]
    hypotheses: list[str]
    scores: list[Score]
    seconds: float | None  # spent on translating; None if the hypotheses were given

    def table(self) -> str:
        """One line per score, with its signature."""
        return "\n".join(str(score) for score in self.scores)

    def numerals(self) -> Survival | None:
        """How many numerals of the sources the translations keep; None where no source shares one with its reference.

        A numeral that the reference does not have either is not counted: a language may write "3" as a word.
        """
        found = survival(self.sources, self.hypotheses, self.references)
        return found if found.total else None

    def samples(self, number: int) -> str:
        """Some sentences, evenly spread over the set, with source, translation and reference."""
        sides = {"source": self.sources, "translation": self.hypotheses, "reference": self.references}
        return "\n\n".join(  # cells of a table have tabs between them
            "\n".join(f"  {name:13}{readable(texts[i].expandtabs())}" for name, texts in sides.items())
            for i in spread(len(self.sources), number)
        )

    def to_dict(self) -> dict[str, object]:
        kept = self.numerals()
        return {
            "name": self.name,
            "sentences": len(self.references),
            "seconds": self.seconds,
            "scores": [asdict(score) for score in self.scores],
            "numerals": None if kept is None else {**asdict(kept), "share": kept.share},
        }

    def write(self, folder: Path) -> Path:
        """Write the scores to `<name>.json`, whose path is returned, and the translations to `<name>.hyp.txt`.

        Raises: CheckpointError: when a file cannot be written.
        """
        path = folder / f"{self.name}.json"
        write_text(folder / f"{self.name}.hyp.txt", "".join(f"{h}\n" for h in self.hypotheses))
        write_text(path, json.dumps(self.to_dict(), ensure_ascii=False, indent=2) + "\n")
        return path


def one_line(text: str) -> str:
    """A translation as one line: byte pieces can spell line ends."""
    return text.replace("\r", " ").replace("\n", " ")


def evaluate(
    name: str,
    translate: Callable[[Sequence[str]], list[str]],
    sources: Sequence[str],
    references: Sequence[str],
    *,
    tgt: str | None,
    bootstrap: int = 1000,
    metrics: Sequence[str] = USUAL,
) -> Report:
    """Args: name: of the set, for the report; tgt: the target language, which decides how BLEU splits words;
    metrics: as `score_all`."""
    check_texts(sources=sources, references=references)
    started = time.perf_counter()
    said = translate(sources)
    check_texts(translations=said)
    hypotheses = [one_line(text) for text in said]
    seconds = time.perf_counter() - started
    report = judge(name, sources, hypotheses, references, tgt=tgt, bootstrap=bootstrap, metrics=metrics)
    return replace(report, seconds=seconds)


def judge(
    name: str,
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    tgt: str | None,
    bootstrap: int = 1000,
    metrics: Sequence[str] = USUAL,
    more: Sequence[Sequence[str]] = (),
) -> Report:
    """Score given translations. Args: as `evaluate`; more: further sets of references."""
    for named in ({"sources": sources}, {"hypotheses": hypotheses}, {"references": references}):
        check_texts(**named)
    tokenize, warning = choose_tokenizer(tgt, references)
    if warning:
        logger.warning(warning)
    warn_of_forms({"translation": hypotheses, "reference": references})
    warn_of_scripts(hypotheses, references)
    scores = score_all(hypotheses, references, bootstrap, tokenize=tokenize, metrics=metrics, more=more)
    return Report(name, list(sources), list(references), list(hypotheses), scores, seconds=None)


def warn_of_forms(sides: dict[str, Sequence[str]]) -> None:
    """Warn where more than 1 % of the lines of one side are not in Unicode's form NFC, and all of the other are: scores
    compare code points, so "é" is not "é" of two. Args: sides: two, by what a line of them is."""
    odd = {what: sum(not is_normalized("NFC", line) for line in lines) for what, lines in sides.items()}
    for what, other in (tuple(sides), tuple(sides)[::-1]):
        if 100 * odd[what] > len(sides[what]) and not odd[other]:
            logger.warning(
                f"{odd[what]:,} of {counted(len(sides[what]), what)} are not in the Unicode form NFC, in which each "
                f"{other} is: the same letters count as different, and the scores are too low. Write both in one form."
            )


def warn_of_scripts(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """Warn where translations and references have no usual script in common, as where a file is in another language."""
    said, wanted = (
        usual_scripts(script_of(lines[place]) for place in spread(len(lines), JUDGED))
        for lines in (hypotheses, references)
    )
    if said and wanted and not said & wanted:
        logger.warning(
            f"the translations are in {_either(said)} script, but the references are in {_either(wanted)}: they have "
            "no words in common, and the scores mean nothing. Is each text in the right language?"
        )


def _either(scripts: set[str]) -> str:
    return " or ".join(sorted(scripts))
