"""The same sentence pair in another writing: in capitals, in small letters, without its final mark.

Text that people type is often written so, and well-edited training text never is; a model that saw only such text reads
"HELLO" or "what time is it" as words that it does not know. OpusTrainer changes training pairs for the same reason
(Bogoychev et al. 2023, arXiv 2311.14838).
"""

import random
from dataclasses import dataclass

import regex

from mt.text.tags import MARKS

WRITINGS = ("capitals", "small", "small_unmarked", "unmarked")  # unmarked: without the marks at the end
DOTTED = frozenset({"az", "tr"})  # the capital of i is İ, the small letter of I is ı
FINAL = regex.compile(r"(?<=[\p{L}\p{M}\p{N}])\s*[\p{STerm}…]+$")  # marks that end a sentence, after a word
OPENING = regex.compile("^[¿¡]+")


def capitals(text: str, language: str) -> str:
    return (text.replace("i", "İ") if language in DOTTED else text).upper()


def small_letters(text: str, language: str) -> str:
    return (text.replace("İ", "i").replace("I", "ı") if language in DOTTED else text).lower()


def without_final_mark(text: str) -> str:
    """The text without the marks that end it, and without ¿ and ¡ at its beginning; the same text if it has none.

    A ¿ or ¡ further on would stay without its partner, so such a text stays as it is.
    """
    shorter = OPENING.sub("", FINAL.sub("", text))
    return text if "¿" in shorter or "¡" in shorter or not FINAL.search(text) else shorter


@dataclass(frozen=True)
class Augmentation:
    """Another writing for a share of pairs. Args: share: of the pairs; src, tgt: the languages."""

    share: float
    src: str
    tgt: str

    def __call__(self, source: str, target: str, rng: random.Random) -> tuple[str, str]:
        """The pair in a writing that the random numbers choose."""
        return self.written(source, target, rng.choice(WRITINGS))

    def written(self, source: str, target: str, writing: str) -> tuple[str, str]:
        """The pair in one of `WRITINGS`; the same pair where that changes nothing.

        Capitals, and a missing final mark, go from the source to the target. A source in small letters keeps a target
        with capitals, since where they belong is a matter of the target's language: "dogs" is "Hunde". Pairs with tags,
        placeholders or addresses stay as they are.
        """
        if MARKS.search(source) or MARKS.search(target):
            return source, target
        if writing == "capitals":
            changed = capitals(source, self.src)
            return (changed, capitals(target, self.tgt)) if changed != source else (source, target)
        if writing != "small":
            bare = without_final_mark(source), without_final_mark(target)
            if bare[0] != source and bare[1] != target:
                source, target = bare
        return (source if writing == "unmarked" else small_letters(source, self.src)), target
