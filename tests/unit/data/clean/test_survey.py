"""A planted mess is found, each kind with its count and examples, and clean text has no finding."""

import pytest

from mt.data.clean.survey import EXAMPLES, Finding, overlap, report, survey
from mt.data.corpus.pair import Origin, Pair

SENTENCES = [
    ("The weather was bad, so we stayed at home.", "Das Wetter war schlecht, deshalb blieben wir zu Hause."),
    ("She has been waiting for the bus since this morning.", "Sie wartet seit heute Morgen auf den Bus."),
    ("My brother would like to become a famous doctor.", "Mein Bruder möchte ein berühmter Arzt werden."),
    ("Nobody knew where the children had been playing.", "Niemand wusste, wo die Kinder gespielt hatten."),
]


def pairs(texts, file="a"):
    return [Pair(src, tgt, Origin(file, number)) for number, (src, tgt) in enumerate(texts, 1)]


def clean(count=400):
    """Pairs that differ from each other by a word."""
    found = []
    for n in range(count):
        src, tgt = SENTENCES[n % 4]
        name = f"{chr(97 + n % 26)}{chr(97 + n // 26)}la"
        found.append((f"{src[:-1]} near {name}.", f"{tgt[:-1]} bei {name}."))
    return found


def found(texts, src="en", tgt="de"):
    return {finding.what: finding for finding in survey(pairs(texts), src, tgt)}


def test_clean_text_has_no_finding():
    assert found(clean()) == {}
    assert found(clean(), "src", "tgt") == {}
    assert report([], 400) == "no problems found in 400 pairs"
    assert report([], 1) == "no problems found in 1 pair"
    assert survey([], "en", "de") == []


def test_examples_are_safe_to_print():
    [pair] = pairs([("A \x1b[2J cat", "Katze\u009b1m")])
    assert str(Finding("odd", 1, [pair])) == "odd: 1\n  a:1\n    A \\x1b[2J cat\n    Katze\\x9b1m"


def test_swapped_sides_are_said():
    turned = found([(tgt, src) for src, tgt in clean()])
    assert "the source side looks like de (100%), not en: are the sides swapped?" in turned
    assert "the target side looks like en (100%), not de: are the sides swapped?" in turned
    other = found(clean(), "fr", "de")
    assert list(other) == ["the source side looks like en (100%), not fr"]


def test_letters_that_are_spelt_in_two_ways_are_shown():
    """Also where the training text has one spelling and a held-out set the other."""
    texts = [("Die Tür.", "این کتاب است"), ("Grün.", "یک سیب"), ("Schön.", "این كتاب است"), ("Mu\u0308de.", "یک سیب")]
    source, target = survey(pairs(texts), "de", "fa")
    assert source.what == "source lines with a letter that most lines spell in another way" and source.count == 1
    assert "a:4 (u\u0308 (U+0075 U+0308), elsewhere ü (U+00FC))" in str(source)
    assert target.what.startswith("target lines with a letter") and "a:3 (ك (U+0643), elsewhere ک (U+06A9))" in str(
        target
    )
    train, held = pairs(texts[:2]), pairs(texts[2:], "held")
    assert survey(train, "de", "fa") == []
    assert [finding.examples[0].origin.file for finding in survey(train, "de", "fa", held)] == ["held", "held"]


PLANTED = {
    "pairs whose sides look swapped": SENTENCES[0][::-1],
    "target lines in another script than Latin": ("One of them is here.", "Один из них здесь."),
    "pairs with an empty side": ("A lonely line.", ""),
    "pairs whose sides are equal": ("Where is the beef?", "where is the beef"),
    "pairs with markup": ("A <b>bold</b> word.", "Ein fettes Wort."),
    "pairs whose numbers do not match": ("It cost 1,250 euros in 1998.", "Es kostete 1.250 Euro im Jahr 1989."),
}


@pytest.mark.parametrize("what", PLANTED)
def test_each_kind_is_found_with_its_place(what):
    texts = clean()
    texts[7] = PLANTED[what]
    finding = found(texts)[what]
    assert (finding.count, [str(pair.origin) for pair in finding.examples]) == (1, ["a:8"])


def test_numbers_that_stand_on_one_side_are_named_and_copies_are_counted():
    texts = [*clean(), PLANTED["pairs whose numbers do not match"], *clean(30)]
    said = report(list(found(texts).values()), len(texts))
    assert "a:401 (1998 in the source only; 1989 in the target only)" in said
    again = found(texts)["repeated pairs"]
    assert again.count == 30 and len(again.examples) == EXAMPLES
    assert str(Finding("x", 1, pairs([("a" * 70, "b")]))) == f"x: 1\n  a:1\n    {'a' * 60}…\n    b"


def test_numbers_within_codes_and_ordinals_are_compared_as_numbers():
    alike = [("On the 27th of May.", "Am 27. Mai."), ("Directive 94/55/EC", "Richtlinie 94/55/EG"), ("0095-taxi", "95")]
    texts = [*clean(), *alike, ("a 100m run", "ein 800-m-Lauf")]
    finding = found(texts)["pairs whose numbers do not match"]
    assert [pair.src for pair in finding.examples] == ["a 100m run"]


def test_overlap_but_for_case_and_marks():
    train, held = pairs(clean(20)), pairs([("The Weather was bad so we stayed at home near aala", "Das Wetter war "
        "schlecht, deshalb blieben wir zu Hause bei aala!"), ("new", "neu")], "dev")  # fmt: skip
    [finding] = overlap(train, held, "dev")
    assert (finding.what, finding.count) == ("dev pairs that are also in the training text", 1)
    assert overlap(train, held[1:], "dev") == []
