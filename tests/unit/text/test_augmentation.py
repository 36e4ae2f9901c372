import random

import pytest

from mt.text.augmentation import WRITINGS, Augmentation, capitals, small_letters, without_final_mark

CAPITALS, SMALL, SMALL_UNMARKED, UNMARKED = WRITINGS


@pytest.mark.parametrize(
    ("writing", "pair", "expected"),
    [
        (CAPITALS, ("What time is it?", "¿Qué hora es?"), ("WHAT TIME IS IT?", "¿QUÉ HORA ES?")),
        (SMALL, ("Dogs bark, Tom.", "Hunde bellen, Tom."), ("dogs bark, tom.", "Hunde bellen, Tom.")),
        (SMALL_UNMARKED, ("What time is it?", "¿Qué hora es?"), ("what time is it", "Qué hora es")),
        (UNMARKED, ("Come in, Tom!", "¡Entra, Tom!"), ("Come in, Tom", "Entra, Tom")),
        (UNMARKED, ("नमस्ते।", "Hello..."), ("नमस्ते", "Hello")),
        # A script without capitals is not made a reason to shout.
        (CAPITALS, ("你好。", "Hello."), ("你好。", "Hello.")),
        (CAPITALS, ("Hello.", "你好。"), ("HELLO.", "你好。")),
        # Only one side has a mark, or a mark whose partner would be left over, or nothing but marks.
        (UNMARKED, ("Stop!", "Halt"), ("Stop!", "Halt")),
        (UNMARKED, ("Tom, are you in?", "Tom, ¿estás?"), ("Tom, are you in?", "Tom, ¿estás?")),
        (UNMARKED, ("...", "..."), ("...", "...")),
        (SMALL_UNMARKED, ("He said 'No.'", "Er sagte 'Nein.'"), ("he said 'no.'", "Er sagte 'Nein.'")),
    ],
)
def test_a_pair_in_another_writing(writing, pair, expected):
    assert Augmentation(1.0, "en", "xx").written(*pair, writing) == expected


@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize("source", ["Click <b>here</b>.", "Dear {name}.", "See https://a.org/B.", "%d Files."])
def test_tags_placeholders_and_addresses_are_not_changed(writing, source):
    assert Augmentation(1.0, "en", "de").written(source, "Klick.", writing) == (source, "Klick.")
    assert Augmentation(1.0, "de", "en").written("Klick.", source, writing) == ("Klick.", source)


def test_letters_change_by_the_rule_of_the_language():
    assert (capitals("iıß", "de"), capitals("iıß", "tr")) == ("IISS", "İISS")
    assert (small_letters("Iİ", "en"), small_letters("Iİ", "az")) == ("ii\u0307", "ıi")
    assert without_final_mark("Yes!?") == "Yes" and without_final_mark("Yes") == "Yes"


def test_each_way_comes_as_often():
    rng, augment = random.Random(1), Augmentation(1.0, "en", "es")
    made = [augment("Hello!", "¡Hola!", rng) for _ in range(4000)]
    assert set(made) == {
        ("HELLO!", "¡HOLA!"), ("hello!", "¡Hola!"), ("hello", "Hola"), ("Hello", "Hola")
    }  # fmt: skip
    assert all(900 < made.count(pair) < 1100 for pair in set(made))
