"""CTranslate2 with our weights says what we say."""

import math
import random
import sys
from pathlib import Path

import pytest
import torch
import yaml
from check_int8 import OPTIONS
from toy import number_pairs, number_tokenizer, trained_numbers

from mt.alignment.heads import AlignmentHeads
from mt.config import DecodeConfig, Precision, TokenizerConfig
from mt.decode.search.beam import beam_search
from mt.decode.search.settings import Search
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import ConfigError
from mt.interchange.ct2 import first_heads, python_example, write_ct2
from mt.nn.encoders import frame_model
from mt.nn.forced import force
from mt.text.tokenizer_training import train_tokenizer

ctranslate2 = pytest.importorskip("ctranslate2")
PRESETS = sorted((Path(__file__).parents[3] / "configs/model").glob("*.yaml"))
DRAW = random.Random(18)
SOME = [{name: DRAW.choice(values) for name, values in OPTIONS.items()} for _ in range(20)]
LONGEST = 12


def preset(path):
    """What a preset says of the shape, but for its sizes."""
    names = (*OPTIONS, "heads")
    values = {k: v for k, v in yaml.safe_load(path.read_text())["model"].items() if k in names}
    return {**values, "dim": 4 * values["heads"]}


def made(small_model, options):
    t = number_tokenizer()
    model = small_model(src_size=t.src_size, tgt_size=t.tgt_size, **{"encoder_layers": 1, **options})
    with torch.no_grad():
        model.out_weight.mul_(3)  # opinions: no near ties
    return model, t


def opened(folder):
    return ctranslate2.Translator(str(folder), device="cpu", compute_type="float32", intra_threads=1, inter_threads=1)


def our_log_probs(model, source, target, bos):
    stepper = CachedStepper(model, Precision.fp32)
    stepper.start([source])
    found = []
    for piece, following in zip([bos, *target], target, strict=False):
        found.append(float(stepper.step(torch.tensor([piece]))[0, following]))
    return found


def check_agreement(model, t, folder):
    pairs = number_pairs(6, seed=3)
    sources, targets = t.encode_source([p.src for p in pairs]), t.encode_target([p.tgt for p in pairs])
    theirs = opened(folder)
    pieces = [t.pieces_source(ids[:-1]) for ids in sources]  # the engine adds the end mark
    scored = theirs.score_batch(pieces, [t.pieces_target(ids) for ids in targets])
    with torch.no_grad():
        for source, target, score in zip(sources, targets, scored, strict=True):
            ours = our_log_probs(model, source, [*target, t.eos], t.bos)
            assert score.log_probs == pytest.approx(ours, abs=1e-4)
    for beam in (1, 5):
        lengths = {"max_ratio": 1e-9, "max_extra": LONGEST}
        search = Search(bos=t.bos, eos=t.eos, pad=t.pad, beam=beam, patience=math.inf, **lengths)
        ours = [best.tokens for [best] in beam_search(CachedStepper(model), sources, search=search)]
        found = theirs.translate_batch(
            pieces, beam_size=beam, length_penalty=1, min_decoding_length=0, max_decoding_length=LONGEST,
            patience=1000, suppress_sequences=[["<s>"], ["<pad>"]],
        )  # fmt: skip
        for one, ids in zip(found, ours, strict=True):
            theirs_here = one.hypotheses[0]
            # A hypothesis that was cut competes with finished ones there, and ranks behind them here.
            if beam == 1 or len(theirs_here) < LONGEST:
                assert theirs_here == t.pieces_target(ids)


@pytest.mark.parametrize(
    "options",
    [*map(preset, PRESETS), *SOME],
    ids=[*(p.stem for p in PRESETS), *("-".join(map(str, o.values())) for o in SOME)],
)
def test_the_engine_says_what_the_model_says(small_model, options, tmp_path):
    model, t = made(small_model, options)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    write_ct2(model, t, tmp_path / "out")
    check_agreement(model, t, tmp_path / "out")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "kv_heads, chosen, order", [(4, (2,), [2, 0, 1, 3]), (2, (3,), [3, 2, 0, 1]), (1, (1, 2), [1, 2, 0, 3])]
)
def test_the_heads_that_align_come_first(small_model, kv_heads, chosen, order, tmp_path):
    model, t = made(small_model, {"kv_heads": kv_heads, "heads": 4, "decoder_layers": 2, "bias": True})
    heads = AlignmentHeads(0, chosen, shifted=False)
    assert first_heads(model, heads) == order
    write_ct2(model, t, tmp_path / "out", heads=heads)
    check_agreement(model, t, tmp_path / "out")
    source = t.encode_source(["one two three"])
    [found] = opened(tmp_path / "out").translate_batch(
        [t.pieces_source(source[0][:-1])], beam_size=1, max_decoding_length=LONGEST, min_decoding_length=3,
        suppress_sequences=[["<s>"], ["<pad>"]], return_attention=True,
    )  # fmt: skip
    tokens = [t._target.piece_to_id(piece) for piece in found.hypotheses[0]]
    [forced] = force(model, source, [tokens], bos=t.bos, eos=t.eos)
    ours = forced.maps.cross[0, list(chosen)].mean(0)
    theirs = torch.tensor(found.attention[0])
    assert len(theirs) >= 3
    torch.testing.assert_close(theirs, ours[: len(theirs), : theirs.shape[1]], atol=1e-5, rtol=0)


def test_heads_that_share_keys_are_not_divided(small_model, tmp_path):
    model, t = made(small_model, {"kv_heads": 2, "heads": 4})
    heads = AlignmentHeads(0, (0, 3), shifted=False)
    assert first_heads(model, heads) is None
    write_ct2(model, t, tmp_path / "out", heads=heads)
    check_agreement(model, t, tmp_path / "out")


def test_int8_leaves_the_model_as_it_is(small_model, tmp_path):
    model, t = made(small_model, {"tying": "none"})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    write_ct2(model, t, tmp_path / "a", quantization="int8")
    write_ct2(model, t, tmp_path / "b", quantization="int8")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert {"model.bin", "config.json", "tokenizer.model", "shared_vocabulary.json"} == set(files)
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    found = opened(tmp_path / "a").translate_batch([["▁one"]], max_decoding_length=LONGEST)
    assert found[0].hypotheses
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]  # nothing half made is left


def test_what_cannot_be_written_is_refused(small_model, tmp_path):
    model, t = made(small_model, {})
    with pytest.raises(ConfigError, match=r"^the model cannot be exported to CTranslate2: `quant.* is int3\.$"):
        write_ct2(model, t, tmp_path / "out", quantization="int3")
    frames = frame_model(model.config, frame_size=3, tgt_size=t.tgt_size)
    with pytest.raises(ConfigError, match=r"but is int3; the model reads rows of numbers, not one text\.$"):
        write_ct2(frames, t, tmp_path / "out", quantization="int3")
    with pytest.raises(ConfigError, match=r"already exists\. hint: name a new folder"):
        write_ct2(model, t, tmp_path)
    assert not any(tmp_path.iterdir())


def test_the_python_that_is_printed_translates_as_mt_does(tmp_path, capsys):
    t, section = number_tokenizer(), DecodeConfig(beam=2)
    write_ct2(trained_numbers(), t, tmp_path / "out")
    code = python_example(t, section, tmp_path / "out", max_length=64)
    lines = [pair.src for pair in number_pairs(5, seed=9)]
    assert '["Good morning."]' in code
    exec(compile(code.replace('["Good morning."]', repr(lines)), "printed", "exec"), {})
    ours = Translator(CachedStepper(trained_numbers()), t, section, max_length=64).translate(lines)
    assert capsys.readouterr().out.split("\n") == [*ours, ""]


def test_with_two_tokenizers_each_side_is_read_by_its_own(small_model, tmp_path, capsys):
    pairs = number_pairs(100)
    section = TokenizerConfig(vocab_size=40, joint=False, byte_fallback=False)
    t = train_tokenizer([p.src for p in pairs], [p.tgt for p in pairs], section, tmp_path / "cache")
    model = small_model(src_size=t.src_size, tgt_size=t.tgt_size, encoder_layers=1, tying="decoder")
    write_ct2(model, t, tmp_path / "out")
    code = python_example(t, DecodeConfig(beam=1), tmp_path / "out", max_length=12)
    exec(compile(code, "printed", "exec"), {})
    assert "out/source.model" in code and "target.decode(" in code and "max_decoding_length=12," in code
    assert capsys.readouterr().out.count("\n") == 1


def test_without_the_package_the_way_to_it_is_named(small_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(ConfigError, match=r"^export to CTranslate2 needs the package `ctranslate2`\. .* install ctr"):
        write_ct2(*made(small_model, {}), tmp_path / "out")
