"""A model folder to a translator: the weights of the file, and nothing drawn."""

import pytest
import torch
from toy import number_tokenizer, tiny_config, tiny_model

import mt
from mt.checkpoint import load_into, write_folder
from mt.checkpoint.model_folder import Description, read_model
from mt.config import DecodeConfig, Positions, Precision, Split, Tying
from mt.decode.load import load, with_tag
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import ConfigError
from mt.nn.encoders import frame_model, text_model


def written(folder, *tags, **shape):
    """A model folder, and the model that was written."""
    model, size = tiny_model(seed=3, tags=tags, **shape), number_tokenizer(*tags).tgt_size
    description = Description(
        src="en", tgt="de", src_size=size, tgt_size=size, max_length=64, precision=Precision.fp32,
        model=tiny_config(**shape), decode=DecodeConfig(beam=2),
    )  # fmt: skip
    weights = {name: p.detach() for name, p in model.named_parameters()}
    write_folder(folder, {**description.files(number_tokenizer(*tags)), "model.safetensors": weights})
    return folder, model


def test_a_precision_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"`precision` must be one of auto, fp32, bf16, fp16, int8, but is fp8\."):
        load("anywhere", precision="fp8")


@pytest.mark.parametrize("positions", list(Positions))
@pytest.mark.parametrize("tying", list(Tying))
def test_it_is_the_model_that_was_written(tmp_path, positions, tying):
    folder, model = written(tmp_path / "model", positions=positions, tying=tying)
    read = read_model(folder)
    loaded = read.model(torch.device("cpu"))
    # the longer way: a model that draws its weights, into which those of the file are copied
    size = number_tokenizer().tgt_size
    drawn = text_model(model.config, src_size=size, tgt_size=size)
    load_into(drawn, read.tensors, "the file")
    for one, other in ((model, loaded), (drawn, loaded)):
        wanted, found = one.state_dict(), other.state_dict()
        assert wanted.keys() == found.keys()
        assert all(torch.equal(wanted[name], found[name]) for name in wanted)
        tables = [(m.encoder.embedding.table, m.decoder.embedding.table) for m in (one, other)]
        for a, b in zip(*tables, strict=True):
            assert (a is None and b is None) or torch.equal(a, b)
    assert (loaded.tgt_weight is loaded.encoder.embedding.weight) == (tying is Tying.all)
    assert (loaded.out_weight is loaded.tgt_weight) == (tying is not Tying.none)
    assert loaded.decoder.output.weight is loaded.out_weight
    assert not loaded.training


def test_it_draws_nothing_and_two_of_a_folder_are_two(tmp_path):
    folder, model = written(tmp_path / "model")
    before = torch.get_rng_state()
    read = read_model(folder)
    one, other = (read.model(torch.device("cpu")) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        one.tgt_weight.zero_()
    assert torch.equal(other.tgt_weight, model.tgt_weight)


def test_a_file_that_is_written_over_does_not_change_a_model_that_was_read(tmp_path):
    folder, model = written(tmp_path / "model")
    loaded = load(folder, device="cpu").stepper.model
    file = folder / "model.safetensors"
    with file.open("r+b") as same:  # in place: the mapped pages change with it
        same.seek(-4 * 16, 2)
        same.write(bytes(4 * 16))
    assert not any(bool((weight == 0).all()) for weight in loaded.parameters() if weight.dim() > 1)
    wanted = model.state_dict()
    assert all(torch.equal(wanted[name], found) for name, found in loaded.state_dict().items())


TEXTS = ["one two", "", "three. four five. six", "seven ", "<2fr> nine"]
TYPED = ["<2de> one two", "", "<2de> three. four five. six", "<2de> seven ", "<2fr> nine"]


def test_a_tag_is_read_before_each_text_and_is_no_part_of_it(tmp_path):
    folder, _ = written(tmp_path / "model", "<2de>", "<2fr>")
    plain = load(folder, device="cpu", precision="fp32")
    tagged = with_tag(plain, "<2de>")
    for split in Split:
        found, typed = (one.search(texts, split=split) for one, texts in ((tagged, TEXTS), (plain, TYPED)))
        assert [some[0].text for some in found] == [some[0].text for some in typed]
        assert [some[0].log_prob for some in found] == [some[0].log_prob for some in typed]
        assert all(
            part.source[1] <= len(text) for text, some in zip(TEXTS, found, strict=True) for part in some[0].segments
        )
    assert (
        plain.translate(TEXTS) != tagged.translate(TEXTS) == mt.load(folder, device="cpu", tag="<2de>").translate(TEXTS)
    )


def test_a_tag_that_the_model_does_not_know_is_refused(tmp_path):
    folder, _ = written(tmp_path / "model", "<2de>", "<2fr>")
    known = r"^a tag must be one that the model was trained with \(<2de>, <2fr>\), but is '<2nl>'\.$"
    with pytest.raises(ConfigError, match=known):
        mt.load(folder, device="cpu", tag="<2nl>")
    with pytest.raises(
        ConfigError, match=r"^a tag must be one that the model was trained with \(none\), but is '<2de>'"
    ):
        mt.load(written(tmp_path / "other")[0], device="cpu", tag="<2de>")


def test_a_model_that_reads_no_text_takes_no_tag():
    tokenizer = number_tokenizer("<2de>")
    model = frame_model(tiny_config(), frame_size=2, tgt_size=tokenizer.tgt_size)
    translator = Translator(CachedStepper(model), tokenizer, DecodeConfig(), max_length=64)
    with pytest.raises(ConfigError, match=r"^a tag needs a model that reads text, but this one reads rows"):
        with_tag(translator, "<2de>")


def test_pieces_of_a_tag_that_is_not_in_the_text_stand_before_it():
    plain = number_tokenizer("<2de>", "<2fr>")
    tagged = plain.with_tag("<2de>")
    for text in ("one two", " one", "<2fr> one"):
        typed = text if text.startswith("<2fr>") else f"<2de> {text}"
        before = len(typed) - len(text)
        offsets = [(piece, max(0, a - before), max(0, b - before)) for piece, a, b in plain.offsets_source(typed)]
        assert tagged.offsets_source(text) == offsets
        assert (
            [piece for piece, *_ in offsets]
            == tagged.encode_source([text])[0][:-1]
            == plain.encode_source([typed])[0][:-1]
        )
    assert tagged.encode_source(["", " \t"]) == plain.encode_source(["", " \t"]) and tagged.offsets_source("") == []
    assert plain.tag == "" and plain.encode_source(["one"]) != tagged.encode_source(["one"])
