"""Model folders that translate together."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy import number_pairs, number_tokenizer, tiny_config, tiny_model

import mt
import mt.decode.load as loading
from mt.checkpoint import write_folder
from mt.checkpoint.model_folder import Description
from mt.config import DecodeConfig, Precision, TokenizerConfig
from mt.decode.load import load_ensemble
from mt.decode.search.ensemble import Mean
from mt.errors import ConfigError
from mt.text.tokenizer_training import train_tokenizer

TEXTS = ["one two three", "", "ten", "four five six seven eight"]


def write(folder, seed=0, tokenizer=None, max_length=64, src="en", tgt="de"):
    tokenizer = tokenizer or number_tokenizer()
    size = tokenizer.tgt_size
    told = Description(
        src=src, tgt=tgt, src_size=size, tgt_size=size, max_length=max_length, precision=Precision.fp32,
        model=tiny_config(), decode=DecodeConfig(beam=3),
    )  # fmt: skip
    weights = {name: p.detach() for name, p in tiny_model(seed).named_parameters()}
    write_folder(folder, {**told.files(tokenizer), "model.safetensors": weights})
    return folder


@pytest.mark.parametrize("mean", Mean)
def test_a_folder_with_itself_is_the_model(tmp_path, mean):
    one = write(tmp_path / "one")
    together = load_ensemble([one, one, one], mean=mean, device="cpu")
    assert together.translate(TEXTS) == mt.load(one, device="cpu").translate(TEXTS)


def test_settings_are_those_of_the_first_and_the_shortest_length_counts(tmp_path):
    paths = [write(tmp_path / "one"), write(tmp_path / "two", seed=1, max_length=16)]
    together = load_ensemble(paths, device="cpu")
    assert (together.max_length, together.section) == (16, DecodeConfig(beam=3))
    separate = [mt.load(path, device="cpu").translate(TEXTS) for path in paths]
    assert together.translate(TEXTS) not in separate


def test_other_pieces_are_refused(tmp_path):
    pairs = number_pairs(50, seed=9)
    section = TokenizerConfig(vocab_size=number_tokenizer().tgt_size, byte_fallback=False)
    other = train_tokenizer([p.tgt for p in pairs], [p.src + " x" for p in pairs], section, tmp_path / "cache")
    paths = [write(tmp_path / "one"), write(tmp_path / "two"), write(tmp_path / "other", tokenizer=other)]
    message = rf"^{paths[0]} and {paths[2]} cannot translate together: their tokenizers differ\. hint: train the models"
    with pytest.raises(ConfigError, match=message):
        load_ensemble(paths, device="cpu")


def test_other_inputs_are_refused(tmp_path, monkeypatch):
    paths = [write(tmp_path / "one"), write(tmp_path / "rows")]
    real = loading.load

    def load(path, **options):
        found = real(path, **options)
        found.reader = SimpleNamespace(inputs=("image",)) if path == paths[1] else None
        return found

    monkeypatch.setattr(loading, "load", load)
    message = rf"^{paths[0]} and {paths[1]} cannot translate together: their inputs differ\. hint: train the models"
    with pytest.raises(ConfigError, match=message):
        load_ensemble(paths, device="cpu")


@pytest.mark.parametrize("paths", ["runs/one", Path("runs/one"), []])
@pytest.mark.usefixtures("unchecked_shapes")
def test_what_is_no_list_of_models(paths):
    told = rf"{re.escape(repr(paths))}\. hint: write `\[\"runs/one\", \"runs/two\"\]`\.$"
    with pytest.raises(ConfigError, match=f"^`paths` must be a list of models, but is {told}"):
        load_ensemble(paths)


def test_the_other_direction_is_refused(tmp_path):
    paths = [write(tmp_path / "one"), write(tmp_path / "other", src="de", tgt="en")]
    with pytest.raises(
        ConfigError, match=rf"^--ensemble {paths[1]} translates from de to en, but a model from en to de"
    ):
        load_ensemble(paths, device="cpu")
