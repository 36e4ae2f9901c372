"""Scores agree with sums done by hand; settings and texts that cannot be scored say why."""

import math
import random

import pytest

from mt.errors import ConfigError, DataError
from mt.text.metrics import (
    Comparison,
    Score,
    bleu,
    bleu_tokenizer_for,
    blind_spot,
    choose_tokenizer,
    chrf,
    compare,
    score_all,
    ter,
)

SCORERS = {"bleu": bleu, "chrf": chrf, "ter": ter}
REFERENCES = ["the cat sat on the mat", "a dog ran over the hill", "we never saw the old stone bridge"]


def damaged(share: float, seed: int, lines: list[str]) -> list[str]:
    rng = random.Random(seed)
    return [" ".join("x" if rng.random() < share else word for word in line.split()) for line in lines]


def test_bleu_by_hand():
    # Hypothesis "the cat sat on mat" (5 words) against "the cat sat on the mat" (6 words).
    # 1-grams: all 5 of 5. 2-grams: "the cat", "cat sat", "sat on" of 4. 3-grams: 2 of 3. 4-grams: 1 of 2.
    # Brevity penalty: exp(1 - 6/5).
    expected = 100 * math.exp(1 - 6 / 5) * (5 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4)
    assert bleu(["the cat sat on mat"], REFERENCES[:1]).value == pytest.approx(expected)
    assert expected == pytest.approx(57.893, abs=1e-3)


def test_chrf_by_hand():
    # "ab" against "ac": 1-grams of characters 1 of 2 both ways, 2-grams 0 of 1, 1-grams of words 0 of 1;
    # longer ones do not occur. Mean precision and recall 1/6, so F2 is 1/6 too.
    assert chrf(["ab"], ["ac"]).value == pytest.approx(100 / 6)


def test_ter_by_hand():
    assert ter(["one two three five"], ["one two three four"]).value == pytest.approx(25)  # 1 edit, 4 words


@pytest.mark.parametrize(("name", "best"), [("bleu", 100), ("chrf", 100), ("ter", 0)])
def test_the_reference_itself_scores_best(name, best):
    score = SCORERS[name](REFERENCES, REFERENCES, 0)
    assert score.value == pytest.approx(best) and score.confidence is None


def test_score_reads_well():
    score = Score("BLEU", 37.94, "nrefs:1|tok:13a", 1.23)
    assert str(score) == "BLEU = 37.9 ± 1.2 (nrefs:1|tok:13a)"
    assert str(Score("TER", 37.94, "nrefs:1")) == "TER = 37.9 (nrefs:1)"
    comparison = Comparison("BLEU", 30.0, 31.5, 0.0123, "nrefs:1")
    assert str(comparison) == "BLEU = 30.0 -> 31.5 (+1.5, p = 0.012) (nrefs:1)"


def test_signatures_tell_how_a_score_was_made():
    assert bleu(REFERENCES, REFERENCES).signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert "tok:char" in bleu(REFERENCES, REFERENCES, tokenize="char").signature
    assert "nw:2" in chrf(REFERENCES, REFERENCES).signature
    assert "bs:100|seed:12345" in bleu(REFERENCES, REFERENCES, 100).signature


def test_settings_of_bleu_count():
    assert bleu(["THE CAT SAT ON"], ["the cat sat on"]).value == 0
    assert (
        bleu(["我们看见了桥"], ["我们看见了河"], tokenize="zh").value > bleu(["我们看见了桥"], ["我们看见了河"]).value
    )


@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
def test_bootstrap_is_repeatable(scorer):
    references = REFERENCES * 10
    hypotheses = damaged(0.3, 1, references)
    first, again = (scorer(hypotheses, references, 100) for _ in range(2))
    assert first == again
    assert isinstance(first.confidence, float) and 0 < first.confidence < 20
    assert first.value == scorer(hypotheses, references, 0).value


@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
@pytest.mark.parametrize(("hypothesis", "reference"), [("", "a b"), ("a", ""), ("", "")])
def test_empty_lines_are_scored(scorer, hypothesis, reference):
    assert 0 <= scorer([hypothesis] * 2, [reference] * 2, 40).value <= 100


def test_score_all_gives_each():
    scores = score_all(damaged(0.2, 1, REFERENCES), REFERENCES, 50, tokenize="intl")
    assert [score.name for score in scores] == ["BLEU", "chrF++", "TER"]
    assert "tok:intl" in scores[0].signature and all(score.confidence is not None for score in scores)


def test_compare_finds_the_better_system():
    references = REFERENCES * 20
    worse, better = damaged(0.4, 1, references), damaged(0.1, 2, references)
    found = compare(worse, better, references, resamples=200)
    assert [row.name for row in found] == ["BLEU", "chrF++", "TER"]
    assert all(row.p_value < 0.05 and "bs:200|seed:12345" in row.signature for row in found)
    assert found[0].baseline < found[0].other and found[2].baseline > found[2].other
    assert found[0].baseline == bleu(worse, references).value
    assert found == compare(worse, better, references, resamples=200)


def test_a_system_does_not_differ_from_itself():
    found = compare(damaged(0.3, 1, REFERENCES), damaged(0.3, 1, REFERENCES), REFERENCES, resamples=50)
    assert [row.p_value for row in found] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("language", "tokenizer"),
    [("de", "13a"), ("zh-TW", "zh"), ("ZHO_Hans", "zh"), ("ja", "char"), ("kor_Hang", "char"), ("th", "char")],
)
def test_tokenizer_for_a_language(language, tokenizer):
    assert bleu_tokenizer_for(language) == tokenizer


@pytest.mark.parametrize("scorer", [*SCORERS.values(), score_all], ids=[*SCORERS, "all"])
def test_texts_that_do_not_pair_up(scorer):
    with pytest.raises(DataError, match="one reference per line, but there are 2 hypotheses and 3 references"):
        scorer(REFERENCES[:2], REFERENCES)
    with pytest.raises(DataError, match="there are no lines to score: the hypotheses and the references are empty"):
        scorer([], [])


def test_systems_that_do_not_pair_up():
    with pytest.raises(DataError, match="but there are 1 baseline hypotheses and 3 references"):
        compare(REFERENCES[:1], REFERENCES, REFERENCES)
    with pytest.raises(DataError, match="but there are 2 other hypotheses and 3 references"):
        compare(REFERENCES, REFERENCES[:2], REFERENCES)


def test_settings_that_cannot_be_used():
    with pytest.raises(ConfigError, match=r"`tokenize` must be one of 13a, .*, but is moses\."):
        bleu(REFERENCES, REFERENCES, tokenize="moses")
    with pytest.raises(ConfigError, match=r"`bootstrap` must be at least 40, or 0, but is 1\."):
        bleu(REFERENCES, REFERENCES, 1)
    with pytest.raises(ConfigError, match=r"`resamples` must be at least 40, but is 0\."):
        compare(REFERENCES, REFERENCES, REFERENCES, resamples=0)


def test_a_tokenizer_that_is_not_installed(monkeypatch):
    def fail(name):
        raise RuntimeError("\nJapanese needs\n\n    more")

    monkeypatch.setattr("sacrebleu.metrics.bleu._get_tokenizer", fail)
    with pytest.raises(ConfigError, match="`tokenize` must be a tokenizer that works here, but ja-mecab does not: Jap"):
        bleu(REFERENCES, REFERENCES, tokenize="ja-mecab")


def test_resamples_of_nothing_but_empty_lines_are_scored():
    """sacreBLEU 2.6 adds numpy's floats and Python's there, and fails."""
    lines = ["", "", "the cat sat on the mat"]
    assert [score.confidence for score in score_all(lines, lines, bootstrap=200)] == pytest.approx([50.0, 50.0, 0.0])


# ---------------------------------------------------------------- scores that can tell

BRIDGES = ["我们昨天看见了那座大桥。", "他们明天要去北京看朋友。", "这本书是我在图书馆借来的。"]
SEEN = ["我们今天看见了那座大桥。", *BRIDGES[1:]]
THAI = ["ฉันไปตลาดเมื่อวานนี้กับแม่", "เขาไม่ชอบกินข้าวตอนเช้า"]


@pytest.mark.parametrize(
    ("language", "tokenizer"),
    [
        ("cn", "zh"), ("jp", "char"), ("kr", "char"), ("chi", "zh"), ("zh-Hans-CN", "zh"), ("jpn_Jpan", "char"),
        ("bod", "char"), ("tib", "char"), ("cmn", "zh"), ("yue_Hant", "zh"), ("ger", "13a"),
    ],
)  # fmt: skip
def test_codes_of_countries_and_long_codes_get_the_tokenizer_of_their_language(language, tokenizer):
    assert bleu_tokenizer_for(language) == tokenizer


def test_references_without_spaces_choose_their_tokenizer_or_are_warned_about():
    assert choose_tokenizer("zh", BRIDGES) == ("zh", "") and choose_tokenizer("de", REFERENCES) == ("13a", "")
    for unknown in (None, "", "tgt"):
        tokenize, warning = choose_tokenizer(unknown, BRIDGES)
        assert tokenize == "zh" and "the target language is not known" in warning and "tok:zh" in warning
    assert [choose_tokenizer(None, lines)[0] for lines in (THAI, ["これは私の本です。"] * 2)] == ["char", "char"]
    tokenize, warning = choose_tokenizer("de", BRIDGES)
    assert tokenize == "13a" and "BLEU splits de at spaces (tok:13a)" in warning and "such as zh." in warning
    assert choose_tokenizer(None, [" ".join(line) for line in BRIDGES]) == ("13a", "")


def test_bleu_of_nearly_right_chinese_is_high_only_with_its_tokenizer():
    assert bleu(SEEN, BRIDGES).value == 0.0
    # Of 37 characters in three lines, the third is wrong: so are one 1-gram, two 2-grams, three 3- and three 4-grams.
    expected = 100 * (36 / 37 * 32 / 34 * 28 / 31 * 25 / 28) ** (1 / 4)
    assert bleu(SEEN, BRIDGES, tokenize="zh").value == pytest.approx(expected)


def test_bleu_says_where_it_cannot_tell():
    for lines in (["Haus"] * 3, ["ein Haus am"]):
        assert "no four words in a row are right, so BLEU cannot tell; chrF++ can" in str(bleu(lines, lines))
    assert bleu(REFERENCES, REFERENCES).note == "" and chrf(["a"], ["a"]).note == ""


def test_dev_sets_that_bleu_cannot_judge():
    assert blind_spot(["Haus", "Hund", "der alte Mann"], "13a") == "most references have fewer than four words"
    assert blind_spot(BRIDGES, "13a") == "the references are written without spaces"
    assert blind_spot(BRIDGES, "zh") == "" == blind_spot(REFERENCES, "13a") == blind_spot(["", "a b c d"], "13a")


def test_ter_of_text_without_spaces_is_on_characters():
    score = ter(SEEN, BRIDGES)
    assert score.value == pytest.approx(100 / 37)  # one of 12 + 12 + 13 characters
    assert "tok:char" in score.signature and "on characters" in score.note
    assert 0 < ter([THAI[0], THAI[1][:-1]], THAI).value < 10
    found = compare(SEEN, BRIDGES, BRIDGES, resamples=40, tokenize="zh")[2]
    assert (found.baseline, found.other) == (pytest.approx(100 / 37), 0) and "tok:char" in found.signature
    assert "tok:tercom" in ter(REFERENCES, REFERENCES).signature and ter(REFERENCES, REFERENCES).note == ""
