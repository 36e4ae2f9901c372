"""SentencePiece models with the ids of a table."""

import json

import pytest
from opus import piece_models, pieces_of, sentences, table

from mt.errors import CheckpointError
from mt.text.piece_table import TabledModel, read_table
from mt.text.tokenizer import TABLE, Tokenizer


def make(numbers=None, kind="unigram", **options):
    return Tokenizer(*piece_models(kind), json.dumps(numbers or table(kind)).encode(), **options)


def test_a_table_is_in_the_order_of_its_ids():
    assert read_table(b'{"<pad>": 3, "</s>": 0, "a": 2, "<unk>": 1}') == ["</s>", "<unk>", "a", "<pad>"]


@pytest.mark.parametrize(
    "data, told",
    [
        (b"[]", "an object of 1 to 1,000,000 pieces is expected"),
        (b'{"a": 0, "a": 1}', "a piece is there twice"),
        (b'{"a": 0, "b": 2}', "the ids of its 2 pieces must be 0 to 1, each once"),
        (b'{"a": true, "b": 0}', "the ids of its 2 pieces must be 0 to 1, each once"),
        (b'{"a": 0}', "it lacks </s> and <unk> and <pad>"),
        (b'{"</s>": 0, "<unk>": 1, "<pad>": 2, "a\\u0000": 3}', "a piece is empty or has a zero byte"),
        (b"{", "Expecting property name"),
        (b'{"\xff": 0}', "can't decode byte"),
        (b"[" * 100_000, "is no table of pieces"),
    ],
)
def test_other_tables_are_refused(data, told):
    with pytest.raises(CheckpointError, match=rf"vocab\.json in memory is no table of pieces: .*{told}|{told}"):
        Tokenizer(*piece_models(), data)


def test_half_of_a_surrogate_pair_is_refused():
    with pytest.raises(CheckpointError, match=r"is no table of pieces: .*surrogates not allowed|is damaged"):
        make({**table(), "\ud800": len(table())})


def test_a_damaged_model_is_refused():
    source, target = piece_models()
    with pytest.raises(CheckpointError, match=r"target\.model in memory is damaged"):
        Tokenizer(source, target[:100], json.dumps(table()).encode())


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_pieces_are_those_of_the_model_and_ids_those_of_the_table(kind):
    numbers, (source, target) = table(kind), piece_models(kind)
    t = make(kind=kind)
    for data, encode, side in ((source, t.encode_source, 0), (target, t.encode_target, 1)):
        model = TabledModel(data, read_table(json.dumps(numbers).encode()))
        for pair in sentences(30, seed=5):
            pieces = model._model.encode(pair[side], out_type=str)  # BPE merges as before the pieces of the other side
            end = [t.eos] if side == 0 else []
            assert encode([pair[side]])[0] == [numbers.get(piece, t.unk) for piece in pieces] + end


def test_few_texts_have_the_ids_that_they_have_among_many():
    t = make()
    texts = ["", *table(), *(source for source, _ in sentences(60, seed=6))]
    assert t.encode_source(texts) == [t.encode_source([text])[0] for text in texts]


def test_nothing_is_encoded_to_nothing():
    t = make()
    assert (t.encode_source([]), t.encode_source([""]), t.encode_target([""])) == ([], [[t.eos]], [[]])
    assert t.decode_target([]) == "" and t.offsets_source("") == []


def test_files_come_back(tmp_path):
    t = make()
    assert [*t.files()] == t.save(tmp_path) == ["source.model", "target.model", TABLE]
    again = Tokenizer.load(tmp_path)
    assert again.files() == t.files() and again.fingerprint == t.fingerprint
    (tmp_path / TABLE).unlink()
    with pytest.raises(CheckpointError, match="must define <unk>, <s>, </s> and <pad>"):  # they have no pad
        Tokenizer.load(tmp_path)


def test_pieces_of_the_other_side_have_no_score():
    source, target = piece_models()
    model = TabledModel(source, read_table(json.dumps(table()).encode()))
    alien = next(piece for piece in pieces_of(target) if piece not in pieces_of(source))
    known = next(piece for piece in pieces_of(source) if piece in table() and len(piece) > 1)
    assert model.get_score(model.piece_to_id(alien)) == 0 > model.get_score(model.piece_to_id(known))


def test_a_model_of_another_program_reads_all_signs():
    assert make().readable("ba \U0001f600") == "ba \U0001f600"
