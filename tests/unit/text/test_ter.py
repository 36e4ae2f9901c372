"""TER is sacreBLEU's where the work allows it; else the plain edit distance, which is announced."""

import random

import pytest
from sacrebleu.metrics.ter import TER

from mt.text import ter as module
from mt.text.metrics import ter
from mt.text.ter import edit_distance


def texts(seed: int, lines: int = 30, words: int = 12) -> tuple[list[str], list[str]]:
    """References, and hypotheses with changed and moved words."""
    rng = random.Random(seed)
    references = [[rng.choice("abcdefgh") for _ in range(rng.randrange(words))] for _ in range(lines)]
    hypotheses = []
    for line in references:
        changed = [word if rng.random() < 0.8 else rng.choice("abxy") for word in line]
        cut = rng.randrange(len(line) + 1)
        hypotheses.append(" ".join(changed[cut:] + changed[:cut]))
    return hypotheses, [" ".join(line) for line in references]


@pytest.mark.parametrize("seed", range(4))
def test_within_the_bounds_it_is_that_of_sacrebleu(seed):
    hypotheses, references = texts(seed)
    found = ter(hypotheses, references)
    assert found.value == TER().corpus_score(hypotheses, [references]).score and found.note == ""


def test_long_lines_are_scored_without_shifts_and_counted(monkeypatch):
    moved, reference = ["d e f a b c"], ["a b c d e f"]
    assert ter(moved, reference).value == pytest.approx(100 / 6)  # one shift
    monkeypatch.setattr(module, "LONGEST", 5)
    found = ter(moved * 2, reference * 2)
    assert found.value == pytest.approx(100)  # three words are inserted and three deleted
    assert "2 lines were scored without shifts" in found.note and found.note in str(found)


def test_after_much_work_no_more_shifts_are_searched(monkeypatch):
    monkeypatch.setattr(module, "WORK", 1)
    found = ter(["d e f a b c"] * 2, ["a b c d e f"] * 2)
    assert found.value == pytest.approx(100 * (1 + 6) / 12) and "1 line was scored without shifts" in found.note


def test_a_line_of_thousands_of_words_is_scored():
    rng = random.Random(1)
    hypothesis, reference = (" ".join(rng.choice("abcdefgh") for _ in range(3000)) for _ in range(2))
    assert 50 < ter([hypothesis], [reference]).value < 100


@pytest.mark.parametrize(
    ("words", "reference", "edits"),
    [
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "", 3),
        ("abc", "abc", 0),
        ("flaw", "lawn", 2),
        ("aaaa", "b", 4),
    ],
)
def test_edit_distance_by_hand(words, reference, edits):
    assert edit_distance(list(words), list(reference)) == edits
