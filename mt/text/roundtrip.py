"""What a tokenizer does not give back: text that no model can write with it, however well it translates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mt.text.lines import spread
from mt.text.metrics import bleu, bleu_tokenizer_for, chrf

LOOKED_AT = 2_000  # lines, spread evenly
EXAMPLES = 3
AROUND = 12  # characters beside the first difference


@dataclass(frozen=True)
class RoundTrip:
    """How many lines change when they are encoded and decoded, and the scores of a model that is otherwise perfect."""

    lines: int
    changed: int
    examples: Sequence[str]
    bleu: float = 100.0
    chrf: float = 100.0

    def __str__(self) -> str:
        share = f"{self.changed / max(1, self.lines):.1%} of the target lines change when encoded and decoded"
        best = f"a perfect model could reach BLEU {self.bleu:.1f} and chrF++ {self.chrf:.1f}"
        return f"{share}; {best}. For example {'; '.join(self.examples)}"


def round_trip(lines: Sequence[str], there_and_back: Callable[[str], str], language: str) -> RoundTrip:
    """Args: there_and_back: encodes and decodes a line; language: decides how BLEU splits words.

    White space alone is no difference.
    """
    some = [lines[place] for place in spread(len(lines), LOOKED_AT)]
    back = [there_and_back(line) for line in some]
    pairs = [(line, made) for line, made in zip(some, back, strict=True) if line.split() != made.split()]
    examples = [difference(" ".join(line.split()), " ".join(made.split())) for line, made in pairs[:EXAMPLES]]
    if not pairs:
        return RoundTrip(len(some), 0, [])
    scores = bleu(back, some, tokenize=bleu_tokenizer_for(language)).value, chrf(back, some).value
    return RoundTrip(len(some), len(pairs), examples, *scores)


def difference(line: str, made: str) -> str:
    """The first place where two texts differ, with what stands around it; invisible characters are escaped."""
    place = next((n for n, (a, b) in enumerate(zip(line, made, strict=False)) if a != b), min(len(line), len(made)))
    begin = max(0, place - AROUND)
    parts = ["".join(map(_visible, text[begin : place + AROUND])) for text in (line, made)]
    return " becomes ".join(f"`{part}`" for part in parts)


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
