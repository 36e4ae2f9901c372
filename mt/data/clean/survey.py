"""A report of what looks wrong in a corpus. Nothing is changed or left out here.

Each finding has a count over a sample of the pairs, and examples with their file and line.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from mt.data.clean.rules import Duplicates, Rule, is_copy, is_empty
from mt.data.clean.suspicion import has_markup, large_numerals, looks_swapped, numbers_differ
from mt.data.corpus.pair import Pair
from mt.data.corpus.split import fold
from mt.errors import counted, readable
from mt.text.languages import alike, is_known, shares
from mt.text.lines import spread
from mt.text.scripts import script_of, usual_scripts
from mt.text.spelling import Spellings

LOOKED_AT = 20_000  # pairs, spread evenly
JUDGED = 2_000  # of these, for languages
EXAMPLES = 10
CUT = 60  # characters of a text in an example


@dataclass(frozen=True)
class Finding:
    """One kind of thing that looks wrong."""

    what: str
    count: int
    examples: Sequence[Pair] = ()
    details: Sequence[str] = ()  # one for each example, or none

    def __str__(self) -> str:
        lines = [f"{self.what}: {self.count:,}" if self.count else self.what]
        for pair, detail in zip_longest(self.examples, self.details, fillvalue=""):
            assert isinstance(pair, Pair)
            lines.append(f"  {pair.origin}{detail}\n    {_cut(pair.src)}\n    {_cut(pair.tgt)}")
        return "\n".join(lines)


def survey(train: Sequence[Pair], src: str, tgt: str, held: Sequence[Pair] = ()) -> list[Finding]:
    """What looks wrong in training pairs. Args: src, tgt: the languages that they are said to be in; held: of dev and
    test sets, whose letters should be spelt as in the training text."""
    pairs = [train[place] for place in spread(len(train), LOOKED_AT)]
    letters = _spellings([*pairs, *held], src, tgt)
    return [*_languages(pairs, src, tgt), *_scripts(pairs), *letters, *_of_single_pairs(pairs)]


def overlap(train: Iterable[Pair], held: Sequence[Pair], name: str) -> list[Finding]:
    """Pairs of a dev or test set that stand in the training text, but for case and punctuation."""
    keys = {(fold(pair.src), fold(pair.tgt)): pair for pair in held}
    sources = {src for src, _ in keys}
    seen = {(source, fold(pair.tgt)) for pair in train if (source := fold(pair.src)) in sources}
    return _finding(f"{name} pairs that are also in the training text", [keys[key] for key in keys if key in seen])


def report(findings: Sequence[Finding], looked_at: int) -> str:
    """All findings as text."""
    if not findings:
        return f"no problems found in {counted(looked_at, 'pair')}"
    return f"possible problems in {counted(looked_at, 'pair')}:\n\n" + "\n\n".join(map(str, findings))


def _finding(what: str, pairs: Sequence[Pair], detail: Callable[[Pair], str] | None = None) -> list[Finding]:
    shown = pairs[:EXAMPLES]
    return [Finding(what, len(pairs), shown, [detail(pair) for pair in shown] if detail else ())] if pairs else []


def _languages(pairs: Sequence[Pair], src: str, tgt: str) -> list[Finding]:
    """A side that is mostly in another language than it should be, and single pairs whose sides are swapped."""
    judged = [pairs[place] for place in spread(len(pairs), JUDGED)]
    found = []
    for side, language, texts in (
        ("source", src, [pair.src for pair in judged]), ("target", tgt, [pair.tgt for pair in judged])
    ):  # fmt: skip
        if not (is_known(language) and texts):
            continue
        by_share = shares(texts)
        likeliest, share = next(iter(by_share.items()))
        right = sum(part for code, part in by_share.items() if alike(code, language))
        if share > 0.5 and right < 0.3:
            swapped = tgt if side == "source" else src
            advice = ": are the sides swapped?" if alike(likeliest, swapped) else ""
            found.append(Finding(f"the {side} side looks like {likeliest} ({share:.0%}), not {language}{advice}", 0))
    if not (is_known(src) and is_known(tgt)) or alike(src, tgt):
        return found
    return found + _finding("pairs whose sides look swapped", [p for p in judged if looks_swapped(p, src, tgt)])


def _scripts(pairs: Sequence[Pair]) -> list[Finding]:
    """Lines mostly in a script that is rare on their side."""
    found = []
    sides: list[tuple[str, Callable[[Pair], str]]] = [("source", lambda p: p.src), ("target", lambda p: p.tgt)]
    for side, text_of in sides:
        scripts = [script_of(text_of(pair)) for pair in pairs]
        usual = usual_scripts(scripts)
        odd = [pair for pair, script in zip(pairs, scripts, strict=True) if script and script not in usual]
        found += _finding(f"{side} lines in another script than {' or '.join(sorted(usual))}", odd)
    return found


def _spellings(pairs: Sequence[Pair], src: str, tgt: str) -> list[Finding]:
    """Lines that spell a letter otherwise than most lines do."""
    signs = set[str]()
    sides = {"source": (src, [pair.src for pair in pairs]), "target": (tgt, [pair.tgt for pair in pairs])}
    collected = {side: Spellings(language, signs) for side, (language, _) in sides.items()}
    for side, (_, texts) in sides.items():
        for text in texts:
            collected[side].add(text, "")
    found = []
    for side, (_, texts) in sides.items():
        odd = collected[side].found()
        told = [
            (pair, next((one for one in odd if one.odd in text), None)) for pair, text in zip(pairs, texts, strict=True)
        ]
        some = [(pair, one) for pair, one in told if one is not None]
        if some:
            shown = [(pair, f" ({one})") for pair, one in some[:EXAMPLES]]
            what = f"{side} lines with a letter that most lines spell in another way"
            found.append(Finding(what, len(some), *zip(*shown, strict=True)))
    return found


def _of_single_pairs(pairs: Sequence[Pair]) -> list[Finding]:
    tests: dict[str, Rule] = {
        "pairs with an empty side": is_empty,
        "pairs whose sides are equal": lambda pair: bool(pair.src.strip()) and is_copy(pair),
        "pairs with markup": has_markup,
        "repeated pairs": Duplicates(),
    }
    numbers = _finding("pairs whose numbers do not match", [*filter(numbers_differ, pairs)], _mismatch)
    return numbers + [one for what, test in tests.items() for one in _finding(what, [*filter(test, pairs)])]


def _mismatch(pair: Pair) -> str:
    """The numbers that are on one side only."""
    src, tgt = large_numerals(pair.src), large_numerals(pair.tgt)
    alone = {"source": sorted((src - tgt).elements()), "target": sorted((tgt - src).elements())}
    listed = [f"{', '.join(found)} in the {side} only" for side, found in alone.items() if found]
    return f" ({'; '.join(listed)})"


def _cut(text: str) -> str:
    return readable(text if len(text) <= CUT else f"{text[:CUT]}…")
