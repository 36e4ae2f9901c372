"""Text survives the way to ids and back, whatever it is; sampling repeats itself; a broken file says so."""

import io
import logging
import math
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import pairwise

import pytest
import sentencepiece as spm
from characters import ANY
from hypothesis import given, settings
from hypothesis import strategies as st

from mt.config import TokenizerConfig
from mt.errors import CheckpointError, ConfigError, DataError
from mt.text.tokenizer import Tokenizer
from mt.text.tokenizer_training import train_tokenizer

TAG = "<2de>"


def lines_of(syllables: str, seed: int, count: int = 300) -> list[str]:
    """Sentences of invented words, so that no text need be shipped."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(syllables.split(), k=rng.randint(1, 4))) for _ in range(200)]
    return [" ".join(rng.choices(words, k=rng.randint(2, 9))) + rng.choice(".?!") for _ in range(count)]


SOURCE, TARGET = lines_of("the re in is ta mo ly er ing or sh ea", 1), lines_of("das ein er be ge ü rung lich sch ö", 2)


def section(**changes) -> TokenizerConfig:
    return TokenizerConfig(**{"vocab_size": 340, "normalization": "identity", "tags": [TAG], **changes})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def tokenizer(cache, kind):
    return train_tokenizer(SOURCE, TARGET, section(kind=kind), cache)


@pytest.fixture(scope="module")
def two(cache):
    """One model per side."""
    return train_tokenizer(SOURCE, TARGET, section(joint=False, vocab_size=310), cache)


@pytest.fixture(scope="module")
def both_kinds(cache):
    return [train_tokenizer(SOURCE, TARGET, section(kind=kind, sampling=0.3), cache) for kind in ("unigram", "bpe")]


def test_special_ids_and_sizes(tokenizer, two):
    for made in (tokenizer, two):
        assert (made.unk, made.bos, made.eos, made.pad) == (0, 1, 2, 3)
    assert tokenizer.joint and tokenizer.src_size == tokenizer.tgt_size == 340
    assert not two.joint and two.src_size == two.tgt_size == 310


def test_only_the_source_ends_with_eos(tokenizer):
    assert tokenizer.encode_source(["", "the house"])[0] == [tokenizer.eos]
    (source,), (target,) = tokenizer.encode_source(["the house"]), tokenizer.encode_target(["the house"])
    assert source == [*target, tokenizer.eos]
    assert tokenizer.encode_target([""]) == [[]]
    assert tokenizer.encode_source([]) == []


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=40))
def test_decoding_undoes_encoding(both_kinds, text):
    """With "identity", text changes in one way: U+0020 is trimmed at both ends, and a run of it becomes one.

    "▁" is left out: SentencePiece marks spaces with it, so it comes back as a space.
    """
    plain = " ".join(word for word in text.split(" ") if word)
    for made in both_kinds:
        assert made.decode_source(made.encode_source([text])[0]) == plain
        assert made.decode_target(made.encode_target([text])[0]) == plain
        assert made.decode_source(made.sample_source([text], seed=3)[0]) == plain


def test_few_texts_have_the_ids_that_they_have_among_many(tokenizer):
    texts = ["", " ", f"{TAG} der", "\ud800", "😀 the", *SOURCE]
    assert tokenizer.encode_source(texts) == [tokenizer.encode_source([text])[0] for text in texts]
    assert tokenizer.encode_target(texts) == [tokenizer.encode_target([text])[0] for text in texts]


def test_nmt_nfkc_normalises(cache):
    made = train_tokenizer(SOURCE, TARGET, section(normalization="nmt_nfkc"), cache)
    assert made.decode_source(made.encode_source([" ﬁne\t  ＡＢＣ\u2028e\u0301 "])[0]) == "fine ABC é"


def test_decoding_passes_over_marks_and_shows_unknown(cache, tokenizer):
    (ids,) = tokenizer.encode_target(["das Haus"])
    assert tokenizer.decode_target([tokenizer.bos, *ids, tokenizer.eos, tokenizer.pad, tokenizer.pad]) == "das Haus"
    bare = train_tokenizer(SOURCE, TARGET, section(byte_fallback=False, vocab_size=90), cache)
    (ids,) = bare.encode_target(["das 家"])
    assert bare.unk in ids and bare.decode_target(ids) == "das  ⁇ "
    offsets = bare.offsets_written(bare.pieces_target(ids))
    assert [piece[0] for piece in offsets] == ids and offsets[-1][1:] == (4, 7)


@given(st.text(ANY, max_size=30), st.integers(0, 40))
def test_offsets_of_what_was_written_are_those_of_its_text(tokenizer, text, cut):
    ids = tokenizer.encode_target([text])[0][cut:]
    said, offsets = tokenizer.decode_target(ids), tokenizer.offsets_written(tokenizer.pieces_target(ids))
    assert [piece[0] for piece in offsets] == ids
    assert "".join(said[begin:end] for _, begin, end in offsets) == said


def test_lone_surrogates_become_question_marks(tokenizer):
    assert tokenizer.decode_source(tokenizer.encode_source(["the \ud800 house"])[0]) == "the ? house"
    assert tokenizer.offsets_source("\ud800")[-1][1:] == (0, 1)


def test_a_tag_is_one_piece_everywhere(tokenizer, cache, kind):
    strong = train_tokenizer(SOURCE, TARGET, section(kind=kind, sampling=1.0), cache)
    for made in (tokenizer, strong):
        for text in (f"{TAG} the house", f"the{TAG}house"):
            (ids,) = made.sample_source([text], seed=1)
            assert made.pieces_source(ids).count(TAG) == 1
            assert ids.count(4) == 1  # the first id after <unk>, <s>, </s>, <pad>


def test_literal_marks_in_text_are_only_text(tokenizer):
    (ids,) = tokenizer.encode_target(["</s> <pad>"])
    assert not {tokenizer.eos, tokenizer.pad} & set(ids)
    assert tokenizer.decode_target(ids) == "</s> <pad>"


def test_offsets_cover_the_text_as_given(cache):
    made = train_tokenizer(SOURCE, TARGET, section(normalization="nmt_nfkc"), cache)
    text = "the  ﬁne house 👍🏽 家"
    for offsets in (made.offsets_source(text), made.offsets_target(text)):
        assert [piece for piece, _, _ in offsets] == made.encode_target([text])[0]
        assert offsets[0][1] == 0 and offsets[-1][2] == len(text)
        assert all(end == begin for (_, _, end), (_, begin, _) in pairwise(offsets))


def test_sampling_is_a_pure_function_of_texts_and_seed(cache, kind):
    made = train_tokenizer(SOURCE, TARGET, section(kind=kind, sampling=0.2), cache)
    first = made.sample_source(SOURCE, seed=2**32 - 1)
    other = made.sample_source(SOURCE, seed=7)
    assert first != other and first != made.encode_source(SOURCE)
    assert made.sample_source(SOURCE, seed=2**32 - 1) == first
    assert made.sample_target(SOURCE, seed=7) == [ids[:-1] for ids in other]
    assert [made.decode_source(ids) for ids in first] == SOURCE
    again = Tokenizer.from_files(made.files(), sampling=0.2)
    assert again.sample_source(SOURCE, seed=7) == other


def test_sampling_is_the_same_in_another_process(cache, kind, tmp_path):
    """SentencePiece's own sampling fails this: it salts its seed in every process."""
    made = train_tokenizer(SOURCE, TARGET, section(kind=kind, sampling=0.2), cache)
    made.save(tmp_path)
    code = (
        "import sys; from pathlib import Path; from mt.text.tokenizer import Tokenizer; "
        "print(Tokenizer.load(Path(sys.argv[1]), sampling=0.2).sample_source(sys.argv[2:], seed=5))"
    )
    command = [sys.executable, "-c", code, str(tmp_path), *SOURCE[:20]]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
    assert printed.strip() == str(made.sample_source(SOURCE[:20], seed=5))


def test_strength_of_sampling(cache, tokenizer, kind):
    """None: the plain ids. Next to none: the same, from our own search. More: longer. All of BPE: characters."""

    def pieces(sampling: float) -> list[list[int]]:
        return train_tokenizer(SOURCE, TARGET, section(kind=kind, sampling=sampling), cache).sample_source(SOURCE, 1)

    plain = tokenizer.encode_source(SOURCE)
    assert pieces(0.0) == plain
    assert pieces(1e-9) == plain
    lengths = [sum(map(len, pieces(sampling))) for sampling in (1e-9, 0.1, 0.3, 1.0)]
    assert lengths == sorted(lengths) and len(set(lengths)) == 4
    if kind == "bpe":
        assert lengths[-1] == sum(len(line) + 2 for line in SOURCE)  # the leading "▁", and eos


def test_unigram_samples_follow_the_model(cache):
    """Segmentations come up in the ratio of P(segmentation)^alpha; alpha is 0.02 / 0.1 here."""
    made = train_tokenizer(SOURCE, TARGET, section(sampling=0.1), cache)
    (target,) = made.encode_target([TARGET[0].split(" ")[0]])
    word = made.decode_target(target)
    drawn = Counter(map(tuple, made.sample_target([word] * 20_000, seed=1)))
    model = spm.SentencePieceProcessor(model_proto=made.files()["tokenizer.model"])
    weight = {ids: math.exp(0.2 * sum(map(model.get_score, ids))) for ids in drawn}
    assert len(drawn) > 3
    for ids, count in drawn.most_common(4):
        assert count / 20_000 == pytest.approx(weight[ids] / sum(weight.values()), abs=0.02)


def test_saved_files_load_again(tokenizer, two, tmp_path):
    assert tokenizer.save(tmp_path / "one") == ["tokenizer.model"] == [f.name for f in (tmp_path / "one").iterdir()]
    assert two.save(tmp_path / "two") == ["source.model", "target.model"]
    for made, folder in ((tokenizer, "one"), (two, "two")):
        again = Tokenizer.load(tmp_path / folder)
        assert again.fingerprint == made.fingerprint and again.files() == made.files()
        assert again.encode_target(TARGET) == made.encode_target(TARGET)
    assert tokenizer.fingerprint != two.fingerprint


@pytest.mark.parametrize("rule", ["identity", "nfc"])
def test_training_twice_gives_the_same_model(tmp_path, kind, rule):
    settings = section(kind=kind, normalization=rule)
    made = [train_tokenizer(SOURCE, TARGET, settings, tmp_path / name) for name in "ab"]
    assert made[0].fingerprint == made[1].fingerprint
    assert tempfile.gettempdir().encode() not in made[0].files()["tokenizer.model"]


def test_the_cache_is_used_and_mended(tmp_path, caplog):
    made = train_tokenizer(SOURCE, TARGET, section(), tmp_path)
    (file,) = tmp_path.glob("*/tokenizer.model")
    written = file.stat().st_mtime_ns
    train_tokenizer(SOURCE, TARGET, section(sampling=0.5), tmp_path)  # sampling does not shape the model
    assert file.stat().st_mtime_ns == written and len(list(tmp_path.iterdir())) == 1
    train_tokenizer(SOURCE, [*TARGET[1:], "neu"], section(), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    file.write_bytes(b"")
    assert train_tokenizer(SOURCE, TARGET, section(), tmp_path).fingerprint == made.fingerprint
    assert "the cached tokenizer cannot be used and is trained again" in caplog.text


def test_few_lines_are_enough_and_many_are_thinned(tmp_path, caplog, kind):
    with caplog.at_level(logging.WARNING, logger="mt"):
        made = train_tokenizer(["a house"], ["ein Haus"], section(kind=kind, vocab_size=8000), tmp_path)
    assert made.src_size < 8000
    assert f"the text yields only {made.src_size} pieces, not `tokenizer.vocab_size` (8000)." in caplog.text
    every_third = train_tokenizer(SOURCE, TARGET, section(kind=kind, max_sentences=200), tmp_path)
    same = train_tokenizer(SOURCE[::3], TARGET[::3], section(kind=kind), tmp_path)
    assert every_third.fingerprint == same.fingerprint


def test_settings_that_cannot_be_used(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"`tokenizer.vocab_size` must be at least \d+ \(256 bytes and 4 marks among them\) to hold the char",
    ):
        train_tokenizer(SOURCE, TARGET, section(vocab_size=100), tmp_path)
    with pytest.raises(
        ConfigError, match=r"`tokenizer.vocab_size` must be at least \d+ to hold the characters of the "
    ):
        train_tokenizer(SOURCE, TARGET, section(vocab_size=10, byte_fallback=False), tmp_path)


def test_a_cache_that_cannot_be_written_is_passed_over_with_a_warning(tmp_path, caplog):
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING, logger="mt"):
        made = train_tokenizer(SOURCE, TARGET, section(), tmp_path / "file")
    assert made.src_size and re.search(r"cannot be cached in `.*/file/\w+`: Not a directory\.", caplog.text)


@pytest.mark.parametrize("lines", [[], [""], [" "]])
def test_text_without_words(tmp_path, lines):
    with pytest.raises(DataError, match=r"the target text is empty, so no tokenizer can be trained on it\."):
        train_tokenizer(SOURCE, lines, section(joint=False, vocab_size=310), tmp_path)


def test_other_faults_of_the_trainer_keep_their_traceback(tmp_path, monkeypatch):
    def fail(**_):
        raise RuntimeError("out of paper")

    monkeypatch.setattr("sentencepiece.SentencePieceTrainer.train", fail)
    with pytest.raises(RuntimeError, match="out of paper"):
        train_tokenizer(SOURCE, TARGET, section(), tmp_path)


@pytest.mark.parametrize("data", [b"", b"<html>no model here</html>"])
def test_a_damaged_file_says_so(tmp_path, data):
    (tmp_path / "tokenizer.model").write_bytes(data)
    told = rf"tokenizer.model in {tmp_path} is damaged: .* {len(data)} bytes\.\s+hint: take"
    with pytest.raises(CheckpointError, match=told):
        Tokenizer.load(tmp_path)


def test_a_truncated_file_says_so(tokenizer):
    with pytest.raises(CheckpointError, match=r"tokenizer\.model in memory is damaged"):
        Tokenizer.from_files({"tokenizer.model": tokenizer.files()["tokenizer.model"][:-7]})


def test_a_missing_file_says_so(two, tmp_path):
    with pytest.raises(
        CheckpointError, match=rf"{tmp_path} must contain tokenizer.model, or .* but contains none of them\."
    ):
        Tokenizer.load(tmp_path)
    two.save(tmp_path)
    (tmp_path / "target.model").unlink()
    with pytest.raises(CheckpointError, match=r"or source.model and target.model, but contains only source.model\."):
        Tokenizer.load(tmp_path)


def test_models_must_agree_on_special_ids(tokenizer):
    other = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(SOURCE), model_writer=other, vocab_size=60, hard_vocab_limit=False, minloglevel=2
    )
    with pytest.raises(CheckpointError, match=r"tokenizer.model in memory must define .* are \(0, 1, 2, -1\) \(-1"):
        Tokenizer(other.getvalue())
    with pytest.raises(CheckpointError, match=r"source.model and target.model in memory must define .* the same ids"):
        Tokenizer(tokenizer.files()["tokenizer.model"], other.getvalue())


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "tokenizer.model").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(
        CheckpointError, match=r"tokenizer.model` must have at most 67,108,864 bytes, but has 68,157,440\."
    ):
        Tokenizer.load(tmp_path)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8), st.integers(0, 10**6))
def test_a_file_that_is_damaged_anyhow_is_refused_or_works(tokenizer, changes, cut):
    raw = bytearray(tokenizer.files()["tokenizer.model"])
    for place, value in changes:
        raw[place % len(raw)] = value
    try:
        found = Tokenizer(bytes(raw[: len(raw) - (cut % 20 == 0) * (cut % len(raw))]))
    except CheckpointError as error:
        assert "\n" not in str(error)
        return
    assert isinstance(found.decode_target(found.encode_target(["the house"])[0]), str)
