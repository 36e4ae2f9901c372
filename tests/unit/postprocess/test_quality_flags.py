"""Signs of a bad translation that the texts alone show, and how they are told."""

from functools import partial

import pytest
import torch

from mt.decode.translation import Translation
from mt.postprocess.quality_flags import Flag, Measures, lost_numbers, relative_length, warning
from mt.postprocess.word_alignments import LinkedSegment, LinkedTranslation
from mt.text.repetition import Loop


@pytest.mark.parametrize(
    ("source", "text", "missing"),
    [
        ("It costs 12345 dollars.", "Cuesta 1966000000 dólares.", ("12345",)),
        ("In 1984 he left.", "Se fue.", ("1984",)),
        ("Part X200 of 3", "Teil 3", ("x200",)),
        ("12 and 12", "12", ()),  # a number below 100 may be a word
        ("1,000,000 people, 20 dogs", "eine Million Leute, zwanzig Hunde", ()),
        ("20 dogs", "30 perros", ("20",)),  # but here is another number in its place
        ("at 3 pm", "um 15 Uhr", ()),
        ("at 2:30", "um 2.30 Uhr", ()),
        ("21st August", "am 21. August", ()),
        ("1,234.5 km", "1.234,5 km", ()),
        ("no number", "123", ()),
        ("9" * 5000, "7", ("9" * 5000,)),  # of so many digits Python makes no number
    ],
)
def test_numbers_that_are_lost(source, text, missing):
    assert lost_numbers(source, text) == missing


def linked(source, target):
    """With so many pieces."""
    pieces = [[(0, n, n + 1) for n in range(count)] for count in (source, target)]
    return LinkedTranslation(
        "",
        Translation("", 0.0, 0.0, [], [], True),
        [LinkedSegment(pieces[0], pieces[1], torch.zeros(0, 0), torch.zeros(0))],
    )


def test_lengths_are_compared_with_the_usual_ratio():
    assert relative_length(linked(19, 39), 1.0) == 2.0
    assert relative_length(linked(19, 39), 2.0) == 1.0
    assert relative_length(linked(19, 17), None) == pytest.approx(1.0)  # as of German and English
    assert relative_length(linked(7, 39), 1.0) is None  # too few to say


fine = partial(Measures, 5.0, 1.0)


@pytest.mark.parametrize(
    ("measures", "flags", "said"),
    [
        (fine(), [], ""),
        (fine(length=1.0), [], ""),
        (fine(loop=Loop("to be", 4)), [Flag.repetition], "words are repeated (repetition): 'to be'"),
        (
            fine(lost=("12", "x2")), [Flag.lost_number],
            "numbers are missing or changed (lost-number): 12, x2",
        ),
        (
            fine(length=0.49), [Flag.length],
            "the translation is very short for its source (length): 0.49 times the usual length",
        ),
        (
            fine(length=2.11), [Flag.length],
            "the translation is very long for its source (length): 2.11 times the usual length",
        ),
    ],
)  # fmt: skip
def test_what_is_flagged_is_told(measures, flags, said):
    assert measures.flags == flags and warning(measures) == said
