"""No sentence in two sets, and the same sets every time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt.data.corpus.pair import Origin, Pair
from mt.data.corpus.split import MAX_FAMILY, families, fold, shuffled, split_pairs
from mt.errors import DataError

SENTENCE = st.text("aAbBÄä1! ", max_size=3)


def pairs_of(rows):
    return [Pair(src, tgt, Origin("a.tsv", n)) for n, (src, tgt) in enumerate(rows, 1)]


def distinct(count):
    return pairs_of([(f"source {n}", f"target {n}") for n in range(count)])


def sentences(pairs):
    return {fold(text) for pair in pairs for text in (pair.src, pair.tgt)}


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Don't go!", "dontgo"),
        ("  DON’T   go … ", "dontgo"),
        ("Straße № 5", "strasseno5"),
        ("ﬁne", "fine"),
        ("snake_case", "snakecase"),
        ("はい。", "はい"),
        ("की!", "की"),  # a vowel sign is a mark, and without it this would be the fold of "कि"
        ("?!", "?!"),
        ("", ""),
    ],
)
def test_fold(text, folded):
    assert fold(text) == folded


def test_families_join_over_either_side():
    keys = [("go", "ve"), ("go", "vete"), ("leave", "vete"), ("stay", "queda"), ("queda", "x")]
    first, second, third, fourth, fifth = families(keys)
    assert first == second == third
    assert fourth == fifth != first


@given(rows=st.lists(st.tuples(SENTENCE, SENTENCE), max_size=40), dev=st.integers(0, 4), test=st.integers(0, 4))
def test_no_sentence_stands_in_two_sets(rows, dev, test):
    pairs = pairs_of(rows)
    try:
        split = split_pairs(pairs, dev=dev, test=test)
    except DataError:
        return
    assert (len(split.dev), len(split.test)) == (dev, test)
    train, held = sentences(split.train), split.dev + split.test
    assert not train & sentences(held)
    assert sum(len(sentences([pair])) for pair in held) == len(sentences(held))
    assert len(split.train) + dev + test + split.dropped == len(pairs)
    assert set(split.train + held) <= set(pairs)


@given(order=st.permutations(range(30)))
def test_the_choice_does_not_depend_on_the_order_of_the_file(order):
    rows = [(f"Source {n // 2}", f"target {n}") for n in range(30)]
    here = split_pairs(pairs_of(rows), dev=3, test=3)
    there = split_pairs(pairs_of([rows[n] for n in order]), dev=3, test=3)
    assert [(pair.src, pair.tgt) for pair in here.dev] == [(pair.src, pair.tgt) for pair in there.dev]
    assert [(pair.src, pair.tgt) for pair in here.test] == [(pair.src, pair.tgt) for pair in there.test]


def test_the_choice_stays_what_it_was():
    split = split_pairs(distinct(50), dev=2, test=3)
    assert [pair.origin.line for pair in split.test] == [32, 9, 22]
    assert [pair.origin.line for pair in split.dev] == [19, 46]


def test_the_test_set_does_not_depend_on_the_dev_set():
    assert split_pairs(distinct(50), dev=0, test=5).test == split_pairs(distinct(50), dev=9, test=5).test


def test_one_pair_of_a_family_is_held_out_and_the_others_are_dropped():
    family = pairs_of([("Go.", "Ve."), ("Go!", "Vete."), ("GO", "Vaya."), ("Other.", "Otra.")])
    split = split_pairs(family, dev=0, test=1)
    if split.test[0].src == "Other.":
        assert (split.train, split.dropped) == (family[:3], 0)
    else:
        assert (split.train, split.dropped) == (family[3:], 2)


def test_large_families_are_never_held_out():
    large = pairs_of([("Go.", f"Ve {n}.") for n in range(MAX_FAMILY + 1)])
    small = pairs_of([("Stay.", f"Queda {n}.") for n in range(MAX_FAMILY)])
    split = split_pairs(large + small, dev=0, test=1)
    assert split.train == large
    assert split.dropped == MAX_FAMILY - 1


def test_training_pairs_keep_their_order():
    split = split_pairs(distinct(50), dev=5, test=5)
    assert [pair.origin.line for pair in split.train] == sorted(pair.origin.line for pair in split.train)


def test_shuffled_is_an_order_of_the_texts_alone():
    pairs = distinct(50)
    assert shuffled(pairs) == shuffled(pairs[::-1]) != pairs
    assert sorted(shuffled(pairs), key=pairs.index) == pairs


def test_too_few_pairs():
    message = r"^4 of 3 pairs cannot be held out for dev and test: only 3 share no sentence with the others"
    with pytest.raises(DataError, match=message):
        split_pairs(distinct(3), dev=2, test=2)


def test_nothing_left_to_train_on():
    with pytest.raises(
        DataError, match=r"and some must stay for training\. hint: name files with `data\.dev` and `data\.test`"
    ):
        split_pairs(distinct(3), dev=1, test=2)
