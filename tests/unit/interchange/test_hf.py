"""A folder of ours, loaded by transformers, says what our model says."""

import json
import warnings
from dataclasses import asdict, replace

import pytest
import torch
from toy import number_pairs, number_tokenizer, tiny_config

from mt.config import Activation, DecodeConfig, NormPlacement, TokenizerConfig
from mt.decode.search.beam import beam_search
from mt.decode.search.settings import Search
from mt.decode.search.transformer_stepper import CachedStepper
from mt.errors import CheckpointError, ConfigError
from mt.interchange.hf import reasons_against, write_hf
from mt.nn.encoders import frame_model
from mt.nn.ragged import pack
from mt.text.tokenizer_training import train_tokenizer

MARIAN = {"norm": "post", "activation": "silu", "encoder_layers": 2}
LONGEST = 24
KEPT = {"section": DecodeConfig(beam=1), "max_length": LONGEST, "src": "en", "tgt": "de"}


def made(small_model, t, **options):
    model = small_model(src_size=t.src_size, tgt_size=t.tgt_size, **{**MARIAN, **options})
    with torch.no_grad():
        model.out_weight.mul_(3)  # opinions: no near ties
    return model


@pytest.fixture
def loaded(monkeypatch):
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def load(folder):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # transformers advises sacremoses
            model = transformers.MarianMTModel.from_pretrained(folder)
            return model.eval(), transformers.MarianTokenizer.from_pretrained(folder)

    return load


@torch.no_grad()
def check_agreement(model, t, theirs, their_tokenizer):
    texts = [pair.src for pair in number_pairs(200, seed=3)]
    sources = t.encode_source(texts)
    assert their_tokenizer(texts)["input_ids"] == sources
    targets = t.encode_target([pair.tgt for pair in number_pairs(200, seed=3)])
    for source, target in zip(sources[:20], targets[:20], strict=True):
        ids, layout = pack([[t.bos, *target]])
        ours = model.logits(model(model.encoder.pack([source]), ids, layout))
        found = theirs(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[t.bos, *target]])).logits[0]
        torch.testing.assert_close(found, ours, atol=1e-4, rtol=0)
    settings = {**asdict(DecodeConfig()), "max_ratio": 1e-9, "max_extra": LONGEST - 1}
    search = Search(bos=t.bos, eos=t.eos, pad=t.pad, **{**settings, "beam": 1})
    ours = [some[0].tokens for some in beam_search(CachedStepper(model), sources, search=search)]
    found = theirs.generate(**their_tokenizer(texts, return_tensors="pt", padding=True))
    marks = {t.bos, t.eos, t.pad}
    assert [[token for token in row if token not in marks] for row in found.tolist()] == ours
    translated = their_tokenizer.batch_decode(found, skip_special_tokens=True)
    known = [[token for token in tokens if token != t.unk] for tokens in ours]  # `unk` is a special token there
    assert translated == [t.decode_target(tokens).strip() for tokens in known]


@pytest.mark.parametrize("options", [{}, {"activation": "relu"}, {"activation": "gelu", "tying": "decoder"}])
def test_transformers_says_what_the_model_says(small_model, options, loaded, tmp_path):
    t = number_tokenizer()
    model = made(small_model, t, **options)
    write_hf(model, t, tmp_path / "out", **KEPT)
    names = {"config", "generation_config", "tokenizer_config", "vocab"}
    files = {f"{name}.json" for name in names} | {"model.safetensors", "source.spm", "target.spm"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    check_agreement(model, t, *loaded(tmp_path / "out"))


@pytest.fixture
def separate(tmp_path):
    """A tokenizer with a vocabulary for each language."""
    pairs = number_pairs(100)
    section = TokenizerConfig(vocab_size=40, joint=False, byte_fallback=False)
    return train_tokenizer([p.src for p in pairs], [p.tgt for p in pairs], section, tmp_path / "cache")


def test_each_language_may_have_its_tokenizer(small_model, separate, loaded, tmp_path):
    model = made(small_model, separate, tying="decoder")
    write_hf(model, separate, tmp_path / "out", **KEPT)
    check_agreement(model, separate, *loaded(tmp_path / "out"))


def test_all_reasons_are_named_at_once(small_model, tmp_path):
    t = number_tokenizer()
    wrong = {
        "norm": "pre", "norm_kind": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": False,
        "kv_heads": 1, "tying": "none",
    }  # fmt: skip
    model = small_model(src_size=t.src_size, tgt_size=t.tgt_size, **wrong)
    with pytest.raises(ConfigError) as refused:
        write_hf(model, t, tmp_path / "out", **KEPT)
    assert str(refused.value) == (
        "the model cannot be exported to MarianMT: `model.norm` must be post, but is pre; `model.norm_kind` must be "
        "layernorm, but is rmsnorm; `model.positions` must be sinusoidal, but is rotary; `model.activation` must be "
        "one of relu, gelu, silu, but is swiglu; `model.bias` must be true, but is False; `model.kv_heads` must be "
        "that of `model.heads`, or null, but is 1; `model.tying` must be all or decoder, but is none."
    )
    assert not (tmp_path / "out").exists()


def test_sources_and_vocabularies_that_do_not_fit_are_named(small_model, separate, tmp_path):
    t = number_tokenizer()
    frames = frame_model(
        tiny_config(norm=NormPlacement.post, activation=Activation.relu), frame_size=3, tgt_size=t.tgt_size
    )
    assert reasons_against(frames, t) == ["the model reads rows of numbers, not one text"]
    found = reasons_against(small_model(src_size=9, tgt_size=9, **{**MARIAN, "tying": "all"}), separate)
    assert found == ["`model.tying` must be decoder where each language has its tokenizer, but is all"]


def test_a_tokenizer_of_other_ids_is_found(small_model, separate, tmp_path):
    pytest.importorskip("transformers")
    from mt.interchange.hf_engine import HfEngine

    t = number_tokenizer()
    write_hf(made(small_model, t), t, tmp_path / "out", **KEPT)
    with pytest.raises(CheckpointError, match=r"does not split text as the model does: 'one two' has the ids \[\d"):
        HfEngine(tmp_path / "out", separate).check(["one two"])


def test_tags_that_marian_reads_otherwise_are_named(small_model, tmp_path):
    pairs = number_pairs(100)
    section = TokenizerConfig(vocab_size=60, byte_fallback=False, tags=[">>de<<", "<2de>"])
    t = train_tokenizer([p.src for p in pairs], [p.tgt for p in pairs], section, tmp_path / "cache")
    found = reasons_against(made(small_model, t), t)
    assert found == ["MarianTokenizer reads the tag `>>de<<` without the space before it, unlike this model"]


def test_the_folder_says_how_the_model_searches(small_model, tmp_path):
    t = number_tokenizer()
    kept = {**KEPT, "section": replace(DecodeConfig(), beam=3, length_penalty=0.5)}
    write_hf(made(small_model, t), t, tmp_path / "out", **kept)
    values = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (values["num_beams"], values["length_penalty"], values["max_length"]) == (3, 0.5, LONGEST)
    with pytest.raises(ConfigError, match=r"already exists\. hint: name a new folder"):
        write_hf(made(small_model, t), t, tmp_path / "out", **kept)
