"""The test set of numbers: every numeral of a source is in its reference, and the same seed gives the same files."""

import itertools
import subprocess
import sys
from pathlib import Path

import number_sentences
import pytest

from mt.text.numerals import numerals, survival

SCRIPT = Path(number_sentences.__file__)


@pytest.mark.parametrize(("src", "tgt"), list(itertools.permutations(["en", "de", "es"], 2)))
def test_a_reference_has_the_numerals_of_its_source(src, tgt):
    found = number_sentences.pairs(src, tgt, 2 * len(number_sentences.TEMPLATES), seed=3)
    for source, target in found:
        assert numerals(source) and numerals(source) == numerals(target), (source, target)
    sources, targets = zip(*found, strict=True)
    assert survival(sources, targets, targets).share == 1
    assert len(set(sources)) == len(sources)


def test_values_have_the_form_of_their_language():
    number = number_sentences.Number(1234, "50", number_sentences.MONEY)
    assert [number.spelled(language) for language in ("en", "de", "es")] == ["€1,234.50", "1.234,50 €", "1.234,50 €"]
    day = number_sentences.date(2024, 3, 5)
    spelled = [number_sentences.Day(day, number_sentences.LONG_DATE).spelled(la) for la in ("en", "de", "es")]
    assert spelled == ["5 March 2024", "5. März 2024", "5 de marzo de 2024"]
    assert number_sentences.Day(day, number_sentences.SHORT_DATE).spelled("de") == "05.03.2024"


def test_the_same_command_writes_the_same_two_files(tmp_path):
    def written(out: str, seed: str) -> list[bytes]:
        command = [sys.executable, str(SCRIPT), "en", "es", str(tmp_path / out), "--sentences", "40", "--seed", seed]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [str(tmp_path / f"{out}.en"), str(tmp_path / f"{out}.es")]
        return [Path(path).read_bytes() for path in done.stdout.split()]

    first, again, other = written("a", "1"), written("b", "1"), written("c", "2")
    assert first == again != other
    assert [text.count(b"\n") for text in first] == [40, 40]


def test_one_language_is_not_two(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "en", "en", str(tmp_path / "x")], capture_output=True, text=True
    )
    assert done.returncode == 2 and "source and target language must differ" in done.stderr
