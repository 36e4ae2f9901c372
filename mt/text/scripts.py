"""The script of a line, such as Latin or Devanagari, and the usual ones of a text."""

from collections import Counter
from collections.abc import Iterable

import regex

LETTER = regex.compile(r"\p{L}")
SCRIPTS = (
    "Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Han", "Hiragana", "Katakana", "Hangul", "Devanagari", "Bengali",
    "Tamil", "Telugu", "Thai", "Georgian", "Armenian", "Ethiopic", "Khmer", "Lao", "Myanmar",
)  # fmt: skip
SCRIPT = {name: regex.compile(rf"\p{{Script={name}}}") for name in SCRIPTS}
JAPANESE = {"Han", "Hiragana", "Katakana"}
RARE = 0.05  # a script with a smaller share of the lines of a text is foreign to it
JUDGED = 200  # characters of a line


def script_of(line: str) -> str | None:
    """The script of most letters; None without letters, or for a script that is not in the list."""
    letters = "".join(LETTER.findall(line[:JUDGED]))
    counts = {name: len(pattern.findall(letters)) for name, pattern in SCRIPT.items()} if letters else {}
    best = max(counts, key=lambda name: counts[name], default=None)
    return best if best and counts[best] > 0 else None


def usual_scripts(scripts: Iterable[str | None]) -> set[str]:
    """Those that are not rare among the scripts of lines; all that Japanese mixes, if it is one of these."""
    counts = Counter(script for script in scripts if script)
    usual = {script for script, count in counts.items() if count >= RARE * counts.total()}
    return usual | JAPANESE if usual & JAPANESE else usual
