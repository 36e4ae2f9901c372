"""Utilities are sacreBLEU's numbers, for all pairs at once."""

import pytest
import sacrebleu
from characters import ANY
from hypothesis import given
from hypothesis import strategies as st

from mt.decode.rerank.utility import bleu, chrf, chrf_with_words, ngram_counts, shared
from mt.errors import ConfigError

TEXTS = [
    "", " ", "a", "Ein Mann läuft.", "Ein Mann läuft .", "ein Mann", "(hi) Ein \"Mann\"!", "!!", ".",
    "Ein Mann Mann Mann läuft läuft über die Straße, 3.5 km weit.", "Ein Mann läuft.", "日本語の文です。",
    "\u0645\u0631\u062d\u0628\u0627 \U0001f600 e\u0301 é", "tab\there\u00a0and\u2003there", "&quot; &amp; a-b 1,000",
]  # fmt: skip
words = st.lists(st.sampled_from(["a", "b", "ab", "ba", "(b)", "c.", ".", "é", "😀"]), max_size=9).map(" ".join)
anything = st.text(ANY, max_size=12)


def assert_all_pairs(utility, slow, texts):
    found = utility(texts)
    assert found.shape == (len(texts), len(texts))
    for i, translation in enumerate(texts):
        for j, reference in enumerate(texts):
            assert found[i, j].item() == pytest.approx(slow(translation, [reference]).score, abs=1e-9), (
                translation,
                reference,
            )


PAIRS = [
    (chrf, sacrebleu.CHRF().sentence_score),
    (chrf_with_words, sacrebleu.CHRF(word_order=2).sentence_score),
    (bleu, sacrebleu.sentence_bleu),
]


@pytest.mark.parametrize(("utility", "slow"), PAIRS)
def test_every_pair_has_sacrebleu_s_value(utility, slow):
    assert_all_pairs(utility, slow, TEXTS)


@pytest.mark.parametrize(("utility", "slow"), PAIRS)
@given(texts=st.lists(words | anything, min_size=1, max_size=5))
def test_every_pair_of_any_texts_has_sacrebleu_s_value(utility, slow, texts):
    assert_all_pairs(utility, slow, texts)


def test_bleu_splits_words_as_it_is_told():
    slow = sacrebleu.BLEU(tokenize="char", effective_order=True).sentence_score
    assert_all_pairs(lambda texts: bleu(texts, tokenize="char"), slow, TEXTS)
    with pytest.raises(ConfigError, match=r"^`tokenize` must be one of .*13a.*, but is words\.$"):
        bleu(["a"], tokenize="words")


def test_ngrams_are_counted_text_by_text():
    one, two, three = ngram_counts([[5, 7, 5, 7], [], [7, 5]], 3)
    assert one.tolist() == [[2, 2], [0, 0], [1, 1]]  # 5, 7
    assert two.tolist() == [[2, 1], [0, 0], [0, 1]]  # 5 7, 7 5: none from one text into the next
    assert three.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert shared(one).tolist() == [[4, 0, 2], [0, 0, 0], [2, 0, 2]]
    assert shared(two).tolist() == [[3, 0, 1], [0, 0, 0], [1, 0, 1]]


def test_nothing_at_all_has_no_ngrams():
    assert [counts.shape for counts in ngram_counts([[], []], 2)] == [(2, 0), (2, 0)]
    assert chrf(["", ""]).tolist() == bleu(["", ""]).tolist() == [[0.0, 0.0], [0.0, 0.0]]
