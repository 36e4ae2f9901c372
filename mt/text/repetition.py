"""Loops: a text that says the same words again and again, as a model does that has lost its way."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import regex

from mt.text.words import has_letters, is_word, reading_words

STAMMER = regex.compile(r"([^\W\d_]{1,6}?)\1{3,}")  # within a word, four times or more
ROUNDS = 3  # so often a loop of one or two words comes
LONG_ROUNDS = 1.8  # so often one of more words comes, the last round cut short
UNSPACED = 8  # characters that a loop has at least in a script without spaces
VARIETY, WORDS = 0.6, 12  # the share of different runs of three words, in a text of so many words


@dataclass(frozen=True)
class Loop:
    """What comes again and again."""

    text: str
    words: int  # so many words are said again


def loop(text: str) -> Loop | None:
    """The longest loop of a text, of equals the first; None: there is none.

    Signs and case do not count. Words that come again after others count where a text of some length has few different
    runs of three words.
    """
    words = [text[a:b].casefold() for a, b in reading_words(text) if has_letters(text[a:b])]
    numbers = {word: number for number, word in enumerate(words)}
    kinds = np.array([numbers[word] for word in words])
    best: Loop | None = None
    for period in range(1, int(len(words) / LONG_ROUNDS) + 1):
        said_before = kinds[period:] == kinds[:-period]
        if np.count_nonzero(said_before) < max((LONG_ROUNDS - 1) * period - 1, best.words + 1 if best else 1):
            continue  # as nearly always
        places = np.append(np.flatnonzero(~said_before), len(words) - period) + period
        lengths = np.diff(places, prepend=period - 1) - 1  # of the words before each place that are said again
        for n in np.flatnonzero(lengths > (best.words if best else 0)):
            place, again = int(places[n]), int(lengths[n])
            unit = words[place - again - period : place - again]
            if again > (best.words if best else 0) and _is_loop(unit, again):
                best = Loop(" ".join(unit), again)
    if best is None and (found := STAMMER.search(text)):
        return Loop(found[1], len(found[0]) // len(found[1]) - 1)
    return best or _few_words(words)


def _is_loop(unit: list[str], again: int) -> bool:
    """Args: again: the words after the first round."""
    rounds = (again + len(unit)) / len(unit)
    if not is_word(unit[0][0]):
        return rounds >= (ROUNDS if len(unit) < UNSPACED else LONG_ROUNDS) and again + len(unit) >= UNSPACED
    return rounds >= (ROUNDS if len(unit) < 3 else LONG_ROUNDS)


def _few_words(words: list[str]) -> Loop | None:
    runs = Counter(tuple(words[place : place + 3]) for place in range(len(words) - 2))
    if len(words) < WORDS or len(runs) >= VARIETY * runs.total():
        return None
    most = max(runs, key=runs.__getitem__)  # the first of equals
    return Loop(" ".join(most), runs.total() - len(runs))


def loops(text: str, source: str) -> Loop | None:
    """The loop of a translation, unless its source repeats itself at least half as much."""
    found, given = loop(text), loop(source)
    return found if found and (given is None or 2 * given.words < found.words) else None
