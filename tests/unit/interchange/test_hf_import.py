"""A MarianMT folder, such as OPUS-MT's, as a model of ours: transformers is the oracle."""

import json
import warnings
import zipfile
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from opus import LEFT_OUT, TAGS, piece_models, pieces_of, sentences, table, write_opus
from toy import number_pairs

from mt.checkpoint.model_folder import read_model
from mt.cli.export import export_ct2, export_hf
from mt.cli.import_model import run
from mt.cli.main import main
from mt.config import Activation, DecodeConfig, Split, TokenizerConfig
from mt.decode.load import load
from mt.errors import CheckpointError, ConfigError
from mt.interchange import hf_import
from mt.interchange.hf import write_hf
from mt.interchange.hf_import import read_hf
from mt.nn.ragged import pack
from mt.text.tokenizer_training import train_tokenizer

pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="needs transformers")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Writes a folder of OPUS-MT's kind; returns it with model and tokenizer of transformers."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import transformers  # takes seconds, in each worker that collects this file

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
def check_logits(ours, tokenizer, theirs):
    for source, target in zip(tokenizer.encode_source(texts(10)), tokenizer.encode_target(targets()), strict=True):
        ids, layout = pack([[tokenizer.bos, *target]])
        found = ours.logits(ours(ours.encoder.pack([source]), ids, layout))
        wanted = theirs(input_ids=torch.tensor([source]), decoder_input_ids=ids[None]).logits[0]
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


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


def test_the_commands_to_type_next_work_for_any_name(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("mt.cli.import_model.import_hf", lambda args: None)
    assert run(["hf", "folder", str(tmp_path / "en de")]) == 0
    said = capsys.readouterr().out
    assert f"mt translate '{tmp_path}/en de'." in said and said.endswith(f"mt train 'init={tmp_path}/en de'\n")


def test_languages_are_codes(tmp_path):
    for key, given, nearest in (("--src", "english", "en"), ("--tgt", "German", "de")):
        with pytest.raises(ConfigError, match=f"{key} must be a language code .* is '{given}'.* is `{nearest}`"):
            run(["hf", "folder", str(tmp_path / "out"), key, given])


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
    sources = [text for text in texts() if any(sign.isalnum() for sign in text)]  # mt copies lines of signs alone
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
    check_logits(read_hf(tmp_path / "back").model, read_hf(theirs.folder).tokenizer, theirs.model)
    pytest.importorskip("ctranslate2")
    code = export_ct2(tmp_path / "out", tmp_path / "ct2", sample=[str(sample)])
    assert "suppress_sequences=[['<pad>']]" in code and "source.encode(lines" in code


def change(folder, name="config.json", **values):
    path = folder / name
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **values}))


def test_all_reasons_are_named_at_once(made):
    folder = made().folder
    change(
        folder, model_type="bart", d_model=33, decoder_ffn_dim=50, activation_function="tanh", scale_embedding=False,
        normalize_before=True, add_final_layer_norm=True, normalize_embedding=True,
        static_position_embeddings=False, tie_word_embeddings=False, share_encoder_decoder_embeddings="yes",
    )  # fmt: skip
    change(folder, "generation_config.json", num_beams="many", forced_bos_token_id=3)
    change(folder, "tokenizer_config.json", source_lang=None, eos_token="<eos>", sp_model_kwargs={"alpha": 1})
    with pytest.raises(ConfigError) as refused:
        read_hf(folder)
    assert str(refused.value) == (
        f"the model cannot be imported from {folder}: `model_type` must be marian, but is 'bart'; "
        "`activation_function` must be one of relu, gelu, silu, swish, but is 'tanh'; "
        "`scale_embedding` must be true, but is false; "
        "`normalize_before` must be false, but is true; `add_final_layer_norm` must be false, but is true; "
        "`normalize_embedding` must be false, but is true; `static_position_embeddings` must be true, but is false; "
        "`tie_word_embeddings` must be true, but is false; `share_encoder_decoder_embeddings` must be true or false, "
        "but is 'yes'; `num_beams` must be a number, but is 'many'; `forced_bos_token_id` must be null: mt forces no "
        "first piece; `eos_token` must be </s>, but is '<eos>'; `sp_model_kwargs` must be empty; its languages are not "
        "known: name them with --src and --tgt."
    )


def test_ids_that_contradict_the_vocabulary_are_refused(made):
    folder = made().folder
    change(folder, eos_token_id=5, pad_token_id=4, vocab_size=7, decoder_vocab_size=8)
    change(folder, "generation_config.json", decoder_start_token_id=3, bad_words_ids=[[9]], suppress_tokens=9)
    last = len(table()) - 1
    with pytest.raises(ConfigError) as refused:
        read_hf(folder)
    assert str(refused.value) == (
        f"the model cannot be imported from {folder}: `eos_token_id` must be 0, as the vocabulary has it, but is 5; "
        f"`pad_token_id` must be {last}, as the vocabulary has it, but is 4; `decoder_start_token_id` must be {last}, "
        f"as the vocabulary has it, but is 3; `vocab_size` must be {last + 1}, as the vocabulary has it, but is 7; "
        f"`decoder_vocab_size` must be {last + 1}, as the vocabulary has it, but is 8; `bad_words_ids` may "
        f"hold [[{last}]] only, but is [[9]]; `suppress_tokens` may hold [{last}] only, but is 9."
    )


def test_sizes_out_of_bounds_are_refused(made):
    folder = made().folder
    for values, told in (
        ({"d_model": 1 << 20}, r"`d_model` must be a whole number from 1 to 16,384, but is 1048576"),
        ({"d_model": 33}, r"`d_model` must be even, a multiple of 4, but is 33"),
        (
            {"d_model": 32, "encoder_layers": True},
            r"`encoder_layers` must be a whole number from 1 to 128, but is true",
        ),
        ({"encoder_layers": 2, "decoder_ffn_dim": 50}, r"`decoder_ffn_dim` must be that of the encoder, but is 50"),
        ({"activation_function": ["relu"]}, r'`activation_function` must be one of .*, but is \["relu"\]'),
    ):
        change(folder, **values)
        with pytest.raises(ConfigError, match=told):
            read_hf(folder)


def test_separate_vocabularies_of_other_numbers_are_refused(made):
    folder = made().folder
    change(folder, "tokenizer_config.json", separate_vocabs=True)
    with pytest.raises(CheckpointError, match=r"target_vocab\.json` cannot be read"):
        read_hf(folder)
    (folder / "target_vocab.json").write_bytes((folder / "vocab.json").read_bytes())
    with pytest.raises(ConfigError, match="`separate_vocabs` is true, and its tables do not number the pieces as Sent"):
        read_hf(folder)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"opus` must be a folder of MarianMT, but is not there\."):
        read_hf(tmp_path / "opus")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.json` must be a folder of MarianMT, but is a file\."):
        read_hf(tmp_path / "config.json")
    with pytest.raises(CheckpointError) as refused:
        read_hf(tmp_path)
    assert str(refused.value) == (
        f"`{tmp_path}` must be a folder of MarianMT, but lacks vocab.json, source.spm, target.spm, model.safetensors "
        "or pytorch_model.bin."
    )


@pytest.mark.parametrize(
    "numbers, told",
    [
        ({"</s>": 0, "<unk>": 1, "a": 1, "<pad>": 2}, "the ids of its 4 pieces must be 0 to 3, each once"),
        ({"</s>": 0, "a": 1}, "it lacks <unk> and <pad>"),
        ({"</s>": 0, "<unk>": 1, "": 2, "<pad>": 3}, "a piece is empty or has a zero byte"),
        ({}, "an object of 1 to 1,000,000 pieces is expected"),
    ],
)
def test_a_table_that_numbers_no_vocabulary_is_refused(numbers, told, made):
    folder = made().folder
    (folder / "vocab.json").write_text(json.dumps(numbers))
    with pytest.raises(CheckpointError, match=rf"vocab\.json in .* is no table of pieces: {told}\."):
        read_hf(folder)


def test_weights_that_do_not_fit_are_refused(made, tmp_path):
    folder = made(pickled=True).folder
    path = folder / "pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    wrong = {
        **state, "model.encoder.embed_positions.weight": torch.zeros(64, 32),
        "lm_head.weight": state["lm_head.weight"] + 1,
        "model.encoder.layers.0.fc1.bias": torch.zeros(49), "more": torch.zeros(1),
        "model.encoder.layers.0.fc2.bias": torch.zeros(32, dtype=torch.int32),
    }  # fmt: skip
    del wrong["model.decoder.layers.1.fc1.weight"]
    torch.save(wrong, path)
    with pytest.raises(CheckpointError) as refused:
        read_hf(folder)
    assert str(refused.value) == (
        f"the weights of {folder} do not fit its config.json: the positions of the encoder are not Marian's sines; "
        "model.shared.weight and model.encoder.embed_tokens.weight and model.decoder.embed_tokens.weight and "
        "lm_head.weight must be one matrix, but differ; model.encoder.layers.0.fc1.bias must be numbers of the shape "
        "[48], but is torch.float32 [49]; model.encoder.layers.0.fc2.bias must be numbers of the shape [32], but is "
        "torch.int32 [32]; model.decoder.layers.1.fc1.weight must be numbers of the shape [48, 32], but is missing, "
        "and 1 more fault."
    )
    torch.save({**state, "more": torch.zeros(1), "less": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"config\.json: less, more is in no MarianMT model that mt knows\.$"):
        read_hf(folder)
    torch.save([1], path)
    with pytest.raises(CheckpointError, match="must hold tensors by name, but holds something else"):
        read_hf(folder)


class Evil:
    def __reduce__(self):
        return print, ("code was run",)


def test_no_code_is_run(made, capsys):
    folder = made(pickled=True).folder
    torch.save({"weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"cannot be read as tensors alone; nothing in it was run: .*"):
        read_hf(folder)
    assert not capsys.readouterr().out


def test_a_file_that_is_too_large_is_not_read(made):
    folder = made(pickled=True).folder
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("archive/data.pkl", bytes(10 << 20))
    assert (folder / "pytorch_model.bin").stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin` holds 10,485,760 bytes, but a model of this shape"):
        read_hf(folder)


def test_an_archive_of_weights_whose_directory_is_damaged(made):
    """Its size is not known, so it is not given to torch."""
    folder = made(pickled=True).folder
    weights = folder / "pytorch_model.bin"
    content = weights.read_bytes()
    weights.write_bytes(content.replace(b"PK\1\2", b"QK\1\2"))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin` is damaged: Bad magic number for central dir"):
        read_hf(folder)


@pytest.mark.parametrize("name", ["source.spm", "target.spm"])
def test_a_damaged_model_of_pieces_has_the_name_of_its_file(made, name):
    folder = made().folder
    (folder / name).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=rf"^{name} in .*/opus is damaged: SentencePiece cannot read its 7 bytes"):
        read_hf(folder)


def test_a_tokenizer_that_is_too_large_is_not_read(made, monkeypatch):
    folder = made().folder
    monkeypatch.setattr(hf_import, "MAX_MODEL", (folder / "vocab.json").stat().st_size)
    with (folder / "source.spm").open("ab") as file:
        file.write(bytes(hf_import.MAX_MODEL))
    with pytest.raises(CheckpointError, match=r"source\.spm` must have at most [\d,]+ bytes, but has more\."):
        read_hf(folder)


def test_languages_can_be_given_and_search_settings_that_are_left_out_are_named(made, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("mt.cli.import_model.find_spec", lambda name: None)
    folder = made().folder
    (folder / "tokenizer_config.json").unlink()
    change(folder, "generation_config.json", repetition_penalty=1.3, no_repeat_ngram_size=3, length_penalty=0.5)
    assert run(["hf", str(folder), str(tmp_path / "out"), "--src", "en", "--tgt", "gos"]) == 0
    assert "search settings that mt does not have are left out: repetition_penalty" in caplog.text
    assert "the import was not verified, because the package `transformers` is not installed." in caplog.text
    told = read_model(tmp_path / "out").description
    assert (told.src, told.tgt) == ("en", "gos")
    assert told.decode == DecodeConfig(beam=3, no_repeat_ngram=3, length_penalty=0.5)
    with pytest.raises(ConfigError, match=r"already exists.* hint: name a new folder"):
        run(["hf", str(folder), str(tmp_path / "out")])


@pytest.mark.parametrize("joint", [True, False])
def test_a_folder_of_ours_comes_back_bit_by_bit(joint, small_model, tmp_path):
    pairs = number_pairs(200)
    section = TokenizerConfig(vocab_size=60 if joint else 40, joint=joint, byte_fallback=False)
    t = train_tokenizer([p.src for p in pairs], [p.tgt for p in pairs], section, tmp_path / "cache")
    shape = {"norm": "post", "activation": "gelu", "tying": "all" if joint else "decoder"}
    ours = small_model(src_size=t.src_size, tgt_size=t.tgt_size, **shape)
    write_hf(ours, t, tmp_path / "hf", section=DecodeConfig(beam=4), max_length=20, src="en", tgt="de")
    found = read_hf(tmp_path / "hf")
    if not joint:
        change(tmp_path / "hf", share_encoder_decoder_embeddings=True)
        with pytest.raises(ConfigError, match="embeddings` must be false where each language has its vocabulary"):
            read_hf(tmp_path / "hf")
    assert found.tokenizer.files() == t.files()
    assert (found.description.model.activation, found.description.max_length) == (Activation.gelu, 20)
    for (name, one), (other, two) in zip(ours.named_parameters(), found.model.named_parameters(), strict=True):
        assert name == other and torch.equal(one, two)


def test_an_imported_model_goes_on_training(made, tmp_path, monkeypatch):
    folder = made().folder
    run(["hf", str(folder), str(tmp_path / "begun"), "--no-verify"])
    monkeypatch.chdir(tmp_path)
    for name, seed in (("train", 3), ("dev", 4)):
        for side, suffix in enumerate(("en", "de")):
            lines = "".join(f"{pair[side]}\n" for pair in sentences(60, seed))
            (tmp_path / f"{name}.{suffix}").write_text(lines)
    settings = ["data.train=[train.en,train.de]", "data.dev=[dev.en,dev.de]", "train.steps=4", "run.name=more"]
    assert main(["train", "init=begun", "batch.max_length=40", "batch.tokens=400", *settings]) == 0
    told = read_model(tmp_path / "runs/more")
    assert told.tokenizer.files() == read_hf(folder).tokenizer.files()
    assert not torch.equal(told.tensors["out_bias"], read_model(tmp_path / "begun").tensors["out_bias"])
