"""Every pair that is read is kept, or counted for one rule."""

from hypothesis import given
from hypothesis import strategies as st

from mt.config import CleanConfig
from mt.data.clean.rules import Pipeline, describe
from mt.data.corpus.pair import Origin, Pair

TEXT = st.text("ab .", max_size=8)


def pairs_of(rows):
    return [Pair(src, tgt, Origin("a.tsv", n)) for n, (src, tgt) in enumerate(rows, 1)]


def test_a_removed_pair_counts_for_the_first_rule_that_is_true_of_it():
    section = CleanConfig(max_chars=20, max_ratio=1.5, drop_copies=True, drop_duplicates=True)
    rows = [
        ("a good one", "eine gute"),
        ("", "x" * 99),
        ("x" * 21, "x"),
        ("x" * 20, "x"),
        ("Taxi!", "Taxi"),
        ("a good one", "eine gute"),
        ("Taxi!", "Taxi"),
        ("a good one", "eine Gute"),
    ]
    pipeline = Pipeline(section)
    assert [pair.origin.line for pair in pipeline(pairs_of(rows))] == [1, 8]
    assert pipeline.report() == {
        "read": 8,
        "kept": 2,
        "empty": 1,
        "too_long": 1,
        "ratio": 1,
        "copy": 2,
        "duplicate": 1,
    }
    assert describe(pipeline.report()) == (
        "1 empty, 1 too long, 1 too different in length, 2 with equal sides, 1 duplicate"
    )


def test_copies_and_duplicates_stay_by_default():
    pipeline = Pipeline(CleanConfig())
    assert len(list(pipeline(pairs_of([("Taxi", "Taxi")] * 3)))) == 3
    assert pipeline.report() == {"read": 3, "kept": 3, "empty": 0, "too_long": 0, "ratio": 0}
    assert describe(pipeline.report()) == "none"


def test_pairs_flow_one_by_one():
    def endless():
        while True:
            yield from pairs_of([("", ""), ("one", "eins")])

    pipeline = Pipeline(CleanConfig())
    stream = pipeline(endless())
    assert [next(stream).src for _ in range(2)] == ["one", "one"]
    assert pipeline.report()["read"] == 4


@given(rows=st.lists(st.tuples(TEXT, TEXT)), copies=st.booleans(), duplicates=st.booleans())
def test_kept_and_removed_sum_to_read(rows, copies, duplicates):
    section = CleanConfig(max_chars=6, max_ratio=1.3, drop_copies=copies, drop_duplicates=duplicates)
    pipeline = Pipeline(section)
    kept = list(pipeline(pairs_of(rows)))
    report = pipeline.report()
    assert report.pop("read") == len(rows) == sum(report.values())
    assert report["kept"] == len(kept)
    assert [pair.origin.line for pair in kept] == sorted(pair.origin.line for pair in kept)
