"""What the name of a file says about its language."""

import pytest

from mt.data.corpus.names import language_of, without_language
from mt.data.corpus.readers import infer_languages
from mt.text.metrics import bleu_tokenizer_for


@pytest.mark.parametrize(
    ("name", "language", "tokenizer"),
    [
        ("train.en", "en", "13a"),
        ("train.cn", "cn", "zh"),
        ("train.jp", "jp", "char"),
        ("train.kr", "kr", "char"),
        ("flores.zho_Hans", "zho_Hans", "zh"),
        ("flores/zho_Hans.devtest", "zho_Hans", "zh"),
        ("jpn_Jpan.dev", "jpn_Jpan", "char"),
        ("newstest-ref.zho.txt", "zho", "zh"),
        ("newstest2019-ref.zh", "zh", "zh"),
        ("data/zh.txt", "zh", "zh"),
        ("train.tok.de.txt", "de", "13a"),
        ("train.zh-Hans-CN", "zh-Hans-CN", "zh"),
    ],
)
def test_a_name_gives_the_language_and_so_the_tokenizer(name, language, tokenizer):
    assert language_of(name) == language
    assert bleu_tokenizer_for(language) == tokenizer


@pytest.mark.parametrize(
    "name", ["notes.txt", "ref.txt", "out.txt", "some.de/ref", "train.dev", "hyp", "corpus.tok", "train", "a.english"]
)
def test_other_names_give_none(name):
    assert language_of(name) is None and without_language(name) == name


@pytest.mark.parametrize(
    ("files", "languages"),
    [
        (["eng_Latn.dev", "zho_Hans.dev"], ("eng_Latn", "zho_Hans")),
        (["newstest-src.eng.txt", "newstest-ref.zho.txt"], ("eng", "zho")),
        (["en.txt", "cn.txt"], ("en", "cn")),
        (["one.en.txt", "other.de.txt"], None),
        (["in.txt", "out.txt"], None),
    ],
)
def test_two_names_give_the_direction_where_they_belong_together(files, languages):
    assert infer_languages(files) == languages
