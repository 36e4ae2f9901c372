"""Error rates, ROUGE and exact match: worked by hand, and against the libraries that others use."""

import random

import pytest

from mt.errors import ConfigError, DataError
from mt.text.metrics import METRICS, compare, score_all
from mt.text.rates import common_subsequence

WORDS = ["the", "The", "cat", "cat's", "sat", "on", "42", "mat.", "snake_case", "x-y", "..."]


def value(metric: str, hypotheses: list[str], references: list[str], more=()) -> float:
    """The score; of ROUGE the last, ROUGE-L."""
    return score_all(hypotheses, references, metrics=[metric], more=more)[-1].value


def texts(seed: int, lines: int = 30) -> tuple[list[str], list[str]]:
    """References without an empty line, and hypotheses that are near them or empty."""
    rng = random.Random(seed)
    references = [[rng.choice(WORDS) for _ in range(rng.randrange(1, 9))] for _ in range(lines)]
    hypotheses = [[word if rng.random() < 0.7 else rng.choice([*WORDS, ""]) for word in line] for line in references]
    hypotheses[0] = []
    return [" ".join(line) for line in hypotheses], [" ".join(line) for line in references]


@pytest.mark.parametrize(
    ("hypothesis", "reference", "wer", "cer"),
    [
        (
            "the cat sat on mat",
            "the cat sat on the mat",
            1 / 6,
            4 / 22,
        ),  # a word, its letters and a space
        ("the cat", "The cat", 1 / 2, 1 / 7),  # case counts
        ("  the   cat\t", "the cat", 0, 0),  # white space does not
        ("", "two words", 1, 1),
        ("a b c d", "a", 3, 6),  # more than 100 %
        ("schön", "schon", 1, 1 / 5),
    ],
)
def test_error_rates_by_hand(hypothesis, reference, wer, cer):
    assert value("wer", [hypothesis], [reference]) == pytest.approx(100 * wer)
    assert value("cer", [hypothesis], [reference]) == pytest.approx(100 * cer)


def test_an_error_rate_is_of_all_words_not_the_mean_of_lines():
    assert value("wer", ["x", "a b c"], ["y", "a b c"]) == pytest.approx(25)


def test_words_for_an_empty_reference_are_errors_and_nothing_for_nothing_is_right():
    assert value("wer", ["a", "b c"], ["", "b c"]) == pytest.approx(50)
    assert value("wer", [""], [""]) == 0
    assert value("wer", ["a"], [""]) == 100


def test_rouge_by_hand():
    # 5 of 5 words and 5 of 6; 3 of 4 pairs and 3 of 5; "the cat sat on mat" is a subsequence.
    scores = score_all(["The cat sat on mat."], ["the cat sat on the mat"], metrics=["rouge"])
    assert {score.name: score.value for score in scores} == {
        "ROUGE-1": pytest.approx(1000 / 11), "ROUGE-2": pytest.approx(600 / 9), "ROUGE-L": pytest.approx(1000 / 11),
    }  # fmt: skip
    turned = score_all(["c b a"], ["a b c"], metrics=["rouge"])
    assert [score.value for score in turned] == [pytest.approx(100), 0, pytest.approx(100 / 3)]


def test_rouge_is_a_mean_of_lines_and_knows_all_scripts():
    assert value("rouge", ["a", "x y z w v"], ["a", "b"]) == pytest.approx(50)
    assert value("rouge", ["Äpfel, ähnlich"], ["äpfel und öl"]) == pytest.approx(40)  # 1 of 2 and 1 of 3
    assert value("rouge", ["今天好"], ["今天很好"]) == pytest.approx(100 * 6 / 7)  # characters: 3 of 3 and 3 of 4
    assert value("rouge", ["..."], ["!"]) == 0


def test_exact_match_ignores_white_space_only():
    assert value("exact", ["a  b ", "A b", "c"], ["a b", "a b", "c"]) == pytest.approx(200 / 3)


@pytest.mark.parametrize("metric", ["wer", "cer"])
@pytest.mark.parametrize("seed", range(4))
def test_error_rates_are_those_of_jiwer(metric, seed):
    jiwer = pytest.importorskip("jiwer")
    hypotheses, references = texts(seed)
    hypotheses = [" ".join(line.split()) for line in hypotheses]
    assert value(metric, hypotheses, references) == pytest.approx(100 * getattr(jiwer, metric)(references, hypotheses))


@pytest.mark.parametrize("seed", range(4))
def test_rouge_is_that_of_rouge_score_on_english(seed):
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rouge1", "rouge2", "rougeL"])
    hypotheses, references = texts(seed)
    lines = [scorer.score(wanted, line) for wanted, line in zip(references, hypotheses, strict=True)]
    for score, kind in zip(score_all(hypotheses, references, metrics=["rouge"]), lines[0], strict=True):
        assert score.value == pytest.approx(100 * sum(line[kind].fmeasure for line in lines) / len(lines)), kind


def test_the_longest_common_subsequence_is_that_of_the_table():
    rng = random.Random(3)
    for _ in range(50):
        first, second = ([rng.choice("abcd") for _ in range(rng.randrange(70))] for _ in range(2))
        table = [[0] * (len(second) + 1)]
        for word in first:
            row = [0]
            for j, other in enumerate(second):
                row.append(table[-1][j] + 1 if word == other else max(row[j], table[-1][j + 1]))
            table.append(row)
        length = common_subsequence(first, second)
        assert length == table[-1][-1]


# ---------------------------------------------------------------- several references


@pytest.mark.parametrize(
    ("metric", "alone", "together"),
    [("ter", 100, 0), ("wer", 100, 0), ("cer", 100, 0), ("rouge", 0, 100), ("exact", 0, 100), ("bleu", 0, 100)],
)
def test_of_several_references_one_that_is_right_suffices(metric, alone, together):
    hypotheses, references, more = ["one two three four"], ["abc"], [["one two three four"]]
    assert value(metric, ["uuu"], references) == pytest.approx(alone)
    score = score_all(hypotheses, references, metrics=[metric], more=more)[-1]
    assert score.value == pytest.approx(together) and score.signature.startswith("nrefs:2|")


def test_several_references_are_those_of_sacrebleu():
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    (hypotheses, references), (second, third) = texts(5), texts(6)
    third[3] = "the cat sat"
    found = score_all(hypotheses, references, more=[[line or "x" for line in second], third])
    sets = [references, [line or "x" for line in second], third]
    wanted = [m.corpus_score(hypotheses, sets).score for m in (BLEU(), CHRF(word_order=2), TER())]
    assert [score.value for score in found] == pytest.approx(wanted)


def test_an_empty_line_of_a_further_file_is_no_reference():
    hypotheses, references = ["a b c d", "e f g h"], ["a b c x", "e f g x"]
    for metric in METRICS:
        both = [score_all(hypotheses, references, metrics=[metric], more=more)[-1] for more in ([], [["", " "]])]
        assert both[0] == both[1], metric
    assert "nrefs:var" in score_all(hypotheses, references, more=[["a b c d", ""]])[0].signature


def test_the_closest_reference_is_the_one_with_the_lowest_rate():
    # 2 edits of 8 words are nearer than 1 edit of 2.
    assert value("wer", ["a b c d e f x y"], ["a b"], [["a b c d e f g h"]]) == pytest.approx(25)
    assert value("wer", ["a x"], ["a b"], [["a b c d e f g h"]]) == pytest.approx(50)


# ---------------------------------------------------------------- intervals, signatures, refusals


@pytest.mark.parametrize("metric", METRICS)
def test_every_score_has_an_interval_that_is_reproduced_and_a_comparison(metric):
    hypotheses, references = texts(1)
    first, second = (score_all(hypotheses, references, 60, metrics=[metric]) for _ in range(2))
    assert first == second and all(score.confidence is not None and score.confidence > 0 for score in first)
    assert all("bs:60|seed:12345|" in score.signature for score in first)
    found = compare(hypotheses, references, references, 60, metrics=[metric])
    assert [row.name for row in found] == [score.name for score in first]
    for row, score in zip(found, first, strict=True):
        assert row.baseline == pytest.approx(score.value) and row.p_value < 0.05
        errors = metric in ("ter", "wer", "cer")
        assert row.other == 0 if errors else row.other > row.baseline


def test_a_signature_says_what_was_counted():
    import mt

    shown = [score.signature for score in score_all(["a"], ["a"], metrics=["wer", "cer", "rouge", "exact"])]
    version = f"version:mt-{mt.__version__}"
    assert shown == [
        f"nrefs:1|case:mixed|tok:none|{version}",
        f"nrefs:1|case:mixed|tok:char|{version}",
        *[f"nrefs:1|case:lc|tok:letters|stem:no|{version}"] * 3,
        f"nrefs:1|case:mixed|{version}",
    ]


def test_an_unknown_name_and_sets_of_unequal_length_are_refused():
    with pytest.raises(ConfigError, match=r"`metrics` must be some of bleu, chrf, ter, wer, cer, rouge, exact, but is"):
        score_all(["a"], ["a"], metrics=["meteor"])
    with pytest.raises(DataError, match="there are 1 hypotheses and 2 references"):
        score_all(["a"], ["a"], more=[["a", "b"]])
    with pytest.raises(DataError, match="there are 1 baseline hypotheses and 2 references"):
        compare(["a"], ["a"], ["a"], 40, more=[["a", "b"]])


@pytest.mark.parametrize(("reference", "noted"), [("彼女は本を読んだ。", True), ("She read a book.", False)])
def test_a_rate_of_words_says_where_there_are_no_words(reference, noted):
    wer, cer = score_all(["x"] * 3, [reference] * 3, metrics=["wer", "cer"])
    said = "the references have no spaces between words, so a sentence is one word; CER counts characters"
    assert (wer.note, cer.note) == (said if noted else "", "")
