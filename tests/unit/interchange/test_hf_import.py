"""A MarianMT folder, such as OPUS-MT's, as a model of ours: transformers is the oracle."""

import json
import warnings
from types import SimpleNamespace

import pytest
import torch
from opus import LEFT_OUT, TAGS, piece_models, pieces_of, sentences, table, write_opus

from mt.checkpoint.model_folder import read_model
from mt.cli.export import export_ct2, export_hf
from mt.cli.import_model import run
from mt.config import DecodeConfig, Split
from mt.decode.load import load
from mt.errors import CheckpointError, ConfigError
from mt.interchange.hf_import import read_hf
from mt.nn.ragged import pack

transformers = pytest.importorskip("transformers")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Writes a folder of OPUS-MT's kind; returns it with model and tokenizer of transformers."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def make(**settings):
        folder = tmp_path / "opus"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # transformers advises sacremoses, and another place for search settings
            model = write_opus(folder, **settings)
            return SimpleNamespace(
                folder=folder, model=model, tokenizer=transformers.MarianTokenizer.from_pretrained(folder)
            )

    return make


def texts(count=200):
    odd = ["", "ä", "ba中文de.", ">>deu<< tabala.", ">>deu<<ta", ">>xyz<< ta", "ta >>deu<< ta", "<< ba", ">>", "</ s>"]
    return odd + [src for src, _ in sentences(count, seed=7)]


def targets(count=20):
    return [tgt for _, tgt in sentences(count, seed=8)]


@torch.no_grad()
def check_logits(ours, tokenizer, theirs, near=1e-4):
    for source, target in zip(tokenizer.encode_source(texts(10)), tokenizer.encode_target(targets()), strict=True):
        ids, layout = pack([[tokenizer.bos, *target]])
        found = ours.logits(ours(ours.encoder.pack([source]), ids, layout))
        wanted = theirs(input_ids=torch.tensor([source]), decoder_input_ids=ids[None]).logits[0]
        torch.testing.assert_close(found, wanted, atol=near, rtol=0)


def searched(theirs, tokenizer, sources):
    """The pieces of greedy translations, at most 30 of each."""
    rows = tokenizer(sources, return_tensors="pt", padding=True)
    with torch.no_grad():
        found = theirs.generate(**rows, num_beams=1, max_length=31, forced_eos_token_id=None)
    marks = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    return [tokenizer.convert_ids_to_tokens([one for one in row if one not in marks]) for row in found.tolist()]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_pieces_are_numbered_as_in_transformers(kind, made):
    theirs = made(kind=kind)
    t = read_hf(theirs.folder).tokenizer
    sources = texts()
    assert t.encode_source(sources) == theirs.tokenizer(sources)["input_ids"]
    assert t.encode_target(targets()) == [ids[:-1] for ids in theirs.tokenizer(text_target=targets())["input_ids"]]
    left_out = pieces_of(piece_models(kind)[0])[LEFT_OUT]  # its model has them, but not the table
    assert any(ids.count(t.unk) for ids in t.encode_source(sources[10:])), left_out
    assert len(t.pieces_target(range(t.tgt_size))) == t.tgt_size == t.src_size == len(table(kind))
    assert (t.eos, t.unk, t.bos, t.pad, t.joint, t.kind) == (0, 1, t.tgt_size - 1, t.tgt_size - 1, True, kind)
    assert t.tags == set(TAGS)


def test_pieces_of_the_other_side_are_decoded(made):
    t = read_hf(made().folder).tokenizer
    source, target = ({*pieces_of(data)} for data in piece_models())
    alien = next(piece for piece in sorted(source - target) if piece.startswith("▁") and piece in table())
    assert t.decode_target([table()["▁"], table()[alien], t.unk, t.eos]) == f"{alien[1:]} ⁇ "


def test_offsets_are_of_the_text(made):
    t = read_hf(made().folder).tokenizer
    text = ">>deu<<taba ma"
    found = t.offsets_source(text)
    assert [number for number, *_ in found] == t.encode_source([text])[0][:-1]
    assert found[0] == (t.encode_source([">>deu<<"])[0][0], 0, 7)
    assert "".join(text[begin:end] for _, begin, end in found) == text
    ids = t.encode_target([targets(1)[0]])[0]
    written = t.decode_target(ids)
    offsets = t.offsets_written(t.pieces_target(ids))
    assert [number for number, *_ in offsets] == ids
    assert "".join(written[begin:end] for _, begin, end in offsets) == written
    assert [number for number, *_ in t.offsets_target(written)] == ids


def test_sampled_pieces_spell_the_same_text(made):
    plain = read_hf(made().folder).tokenizer
    sampling = type(plain).from_files(plain.files(), sampling=0.2)
    lines = targets()
    found = sampling.sample_target(lines, seed=1)
    assert found != plain.encode_target(lines) and found == sampling.sample_target(lines, seed=1)
    assert [plain.decode_target(ids) for ids in found] == lines


@pytest.mark.parametrize("settings", [{}, {"pickled": True, "activation_function": "relu"}])
def test_the_command_makes_a_model_that_says_what_transformers_says(settings, made, tmp_path, capsys, caplog):
    theirs, out = made(**settings), tmp_path / "out"
    with caplog.at_level("INFO", "mt"):
        assert run(["hf", str(theirs.folder), str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"The model is in {out}. To translate with it: mt translate {out}.")
    assert "verified on 40 sentences of random pieces: 40 of 40 greedy translations equal" in caplog.text
    stored = read_model(out)
    model = stored.model(torch.device("cpu"))
    check_logits(model, stored.tokenizer, theirs.model)
    assert (stored.description.src, stored.description.tgt, stored.description.max_length) == ("en", "de", 64)
    assert stored.description.decode == DecodeConfig(beam=3)
    sources = [text for text in texts() if text]
    options = {"beam": 1, "split": Split.never, "max_length": 30, "max_ratio": 100.0}
    found = [some[0] for some in load(out).search(sources, **options)]
    pieces = searched(theirs.model, theirs.tokenizer, sources)
    assert [one.pieces for one in found] == pieces
    written = [theirs.tokenizer.convert_tokens_to_string(some) for some in pieces]
    assert [one.text.replace(" ⁇ ", "<unk> ").strip() for one in found] == written


def test_an_imported_model_is_exported_to_both_engines(made, tmp_path):
    theirs = made()
    run(["hf", str(theirs.folder), str(tmp_path / "out"), "--no-verify"])
    sample = tmp_path / "sample.en"
    sample.write_text("".join(f"{text}\n" for text in texts(60)))
    export_hf(tmp_path / "out", tmp_path / "back", sample=[str(sample)])
    for name in ("vocab.json", "source.spm", "target.spm"):
        loaded = json.loads if name.endswith("json") else bytes
        assert loaded((tmp_path / "back" / name).read_bytes()) == loaded((theirs.folder / name).read_bytes())
    check_logits(read_hf(tmp_path / "back").model, read_hf(theirs.folder).tokenizer, theirs.model, near=0.0 or 1e-4)
    pytest.importorskip("ctranslate2")
    code = export_ct2(tmp_path / "out", tmp_path / "ct2", sample=[str(sample)])
    assert "suppress_sequences=[['<pad>']]" in code and "source.encode(lines" in code


def change(folder, name="config.json", **values):
    path = folder / name
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **values}))


def test_all_reasons_are_named_at_once(made):
    folder = made().folder
    change(
        folder, model_type="bart", d_model=33, decoder_ffn_dim=50, decoder_attention_heads=2, activation_function="tanh",
        scale_embedding=False, normalize_before=True, add_final_layer_norm=True, normalize_embedding=True,
        static_position_embeddings=False, tie_word_embeddings=False, share_encoder_decoder_embeddings="yes",
    )  # fmt: skip
    change(folder, "generation_config.json", num_beams="many", forced_bos_token_id=3)
    change(folder, "tokenizer_config.json", source_lang=None, eos_token="<eos>", sp_model_kwargs={"alpha": 1})
    with pytest.raises(ConfigError) as refused:
        read_hf(folder)
    assert str(refused.value) == (
        f"the model cannot be imported from {folder}: `model_type` must be marian, but is 'bart'; `activation_function` "
        "must be one of relu, gelu, swish, silu, but is 'tanh'; `scale_embedding` must be true, but is False; "
        "`normalize_before` must be false, but is True; `add_final_layer_norm` must be false, but is True; "
        "`normalize_embedding` must be false, but is True; `static_position_embeddings` must be true, but is False; "
        "`tie_word_embeddings` must be true, but is False; `share_encoder_decoder_embeddings` must be true or false, "
        "but is 'yes'; `num_beams` must be a number, but is 'many'; `forced_bos_token_id` must be null: mt forces no "
        "first piece; `eos_token` must be </s>, but is '<eos>'; `sp_model_kwargs` must be empty; its languages are not "
        "known: name them with --src and --tgt."
    )
