"""A translator that searches with CTranslate2, and the export that is kept beside the model."""

import math
import shutil
import sys
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
from toy import number_pairs, trained_numbers, write_numbers

import mt
from mt.decode.constraints.glossary import Entry, Glossary
from mt.decode.request import Sampling, SearchSettings
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translation import EMPTY
from mt.errors import CheckpointError, ConfigError, DataError
from mt.interchange import load as loading
from mt.interchange.load import load, place_of
from mt.interchange.verify import Sample

pytest.importorskip("ctranslate2")
LINES = [pair.src for pair in number_pairs(25, seed=9)]
EXACT = {"patience": math.inf}


@pytest.fixture
def model(tmp_path):
    return write_numbers(tmp_path / "model")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The model with torch and with ct2."""
    folder = write_numbers(tmp_path_factory.mktemp("kept") / "model")
    return mt.load(folder, device="cpu", precision="fp32"), mt.load(folder, device="cpu", engine="ct2")


def exports(model):
    return sorted(path.name for path in place_of(model).iterdir())


def test_an_export_is_made_once_and_again_when_the_model_has_changed(model, monkeypatch, caplog):
    with caplog.at_level("INFO", "mt"):
        load(model, engine="ct2", device="cpu")
    assert f"made {model}.ct2/float32-" in caplog.text and "40 of 40 greedy translations equal" in caplog.text
    assert load(model, engine="torch", device="cpu").engine is None
    [first] = exports(model)
    with monkeypatch.context() as patched:
        patched.setattr(loading, "write_ct2", None)
        load(model, engine="auto", device="cpu")
    load(model, engine="ct2", quantization="int8", device="cpu")
    assert [name.partition("-")[0] for name in exports(model)] == ["float32", "int8"]
    name, weight = next((n, p) for n, p in trained_numbers().named_parameters() if p.dim() == 1)
    write_numbers(model, {name: weight.detach() + 0.01})
    load(model, engine="ct2", device="cpu")
    [changed, small] = exports(model)
    assert changed != first and small.startswith("int8-")


def test_a_damaged_export_is_made_again(model, caplog):
    load(model, engine="ct2", device="cpu")
    [name] = exports(model)
    weights = place_of(model) / name / "model.bin"
    right = weights.read_bytes()
    weights.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    load(model, engine="ct2", device="cpu")
    assert "its content is damaged. It is made again." in caplog.text and weights.read_bytes() == right


def test_an_export_that_translates_otherwise_is_not_kept(model, monkeypatch, caplog):
    import mt.interchange.ct2 as written

    monkeypatch.setattr(written, "epsilon", lambda model: 1e4)
    with pytest.raises(CheckpointError, match=r"^the export does not translate as the model does, on 40 sentences"):
        load(model, engine="ct2", device="cpu")
    assert exports(model) == []
    assert load(model, engine="auto", device="cpu").engine is None
    assert "torch searches, not CTranslate2: the export does not translate as the model does" in caplog.text


def test_a_sample_without_sentences_is_refused(model):
    with pytest.raises(DataError, match=r"^nothing can be verified on 0 sentences of a\.en\. hint: name a file with"):
        load(model, engine="ct2", device="cpu", sampler=lambda made: Sample([], [], "0 sentences of a.en"))
    assert exports(model) == []


def test_checkpoints_of_a_run_share_one_place(tmp_path):
    assert place_of(tmp_path / "run/model") == tmp_path / "run/model.ct2"
    assert place_of(tmp_path / "run/checkpoints/step-00000010") == tmp_path / "run/checkpoint.ct2"


def test_where_nothing_can_be_written_the_reason_is_said(model, caplog, tmp_path):
    place_of(model).write_text("")
    says = r"^the export `.*model\.ct2/float32-\w{12}` cannot be written: .* hint: .*, or copy the model elsewhere\.$"
    with pytest.raises(CheckpointError, match=says):
        load(model, engine="ct2", device="cpu")
    copied = shutil.copytree(model, tmp_path / "other/model")
    assert load(copied, engine="ct2", device="cpu").engine is not None
    assert load(model, engine="auto", device="cpu").engine is None
    assert "torch searches, not CTranslate2: the export `" in caplog.text


def test_what_the_engine_cannot_do_with_a_model_is_refused_at_once(tmp_path, caplog):
    model = write_numbers(tmp_path / "model", groups=5, coverage_penalty=0.1)
    reasons = (
        "the model cannot be searched with the engine ct2: the setting `decode.groups`; the setting "
        "`decode.coverage_penalty`; `quantization` must be one of "
    )
    with pytest.raises(ConfigError, match=f"^{reasons}.*, but is int3"):
        load(model, engine="ct2", quantization="int3", device="cpu")
    assert load(model, engine="auto", device="cpu").engine is None
    assert "torch searches, not CTranslate2: the model cannot be searched with the engine ct2: the s" in caplog.text
    settings = SearchSettings(groups=1, coverage_penalty=0.0)
    assert load(model, engine="auto", device="cpu", settings=settings).engine is not None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"engine": "ct2", "precision": "int8"}, "`precision` must be auto for the engine ct2, which has `quan"),
        ({"engine": "ct2", "cuda_graphs": True}, "`cuda_graphs` must be False for the engine ct2, but is True"),
        ({"quantization": "int8"}, "`quantization` must be float32 for the engine torch, which has `precision`"),
    ],
)
def test_arguments_of_the_other_engine_are_refused(arguments, told, tmp_path):
    with pytest.raises(ConfigError, match=f"^{told}"):
        mt.load(tmp_path, **arguments)


def test_where_torch_takes_over_it_has_its_own_arguments(model, monkeypatch):
    given = []
    real = loading.load_with_torch
    monkeypatch.setattr(loading, "load_with_torch", lambda path, **own: given.append(own) or real(path, device="cpu"))
    assert mt.load(model, engine="auto", device="cpu", precision="bf16", cuda_graphs=True).engine is None
    assert given[-1] == {"device": "cpu", "precision": "bf16", "cuda_graphs": True}


@pytest.mark.parametrize("argument", [{"precision": "bf16"}, {"cuda_graphs": True}])
def test_an_argument_of_torch_makes_auto_choose_torch_and_say_so(model, argument, caplog):
    assert mt.load(model, engine="auto", device="cpu", **argument).engine is None
    assert f"torch searches, not CTranslate2: `{min(argument)}` must be " in caplog.text


def test_rows_of_a_table_are_refused(model, monkeypatch):
    made = mt.load(model, device="cpu", precision="fp32")
    made.reader = SimpleNamespace()
    monkeypatch.setattr(loading, "load_with_torch", lambda *_, **__: made)
    with pytest.raises(ConfigError, match=r"be searched with the engine ct2: it reads rows of a table\.$"):
        load(model, engine="ct2", device="cpu")


def test_a_device_that_the_engine_does_not_know_is_refused(model, monkeypatch):
    monkeypatch.setattr(CachedStepper, "device", torch.device("mps"))
    with pytest.raises(ConfigError, match=r"^`device` must be cpu or cuda for the engine ct2, but is mps\."):
        load(model, engine="ct2", device="cpu")


def test_a_model_that_is_replaced_while_it_is_read_is_not_exported(model, monkeypatch):
    real = loading.load_with_torch

    def replaced(path, **options):
        made = real(path, **options)
        write_numbers(path, beam=2)
        return made

    monkeypatch.setattr(loading, "load_with_torch", replaced)
    with pytest.raises(CheckpointError, match=r"model` was replaced while it was read\. hint: run the command again\."):
        load(model, engine="ct2", device="cpu")
    assert not place_of(model).exists()


def test_without_the_package_auto_is_torch(model, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(ConfigError, match=r"^the engine ct2 needs the package `ctranslate2`. hint: install it with"):
        load(model, engine="ct2", device="cpu")
    assert load(model, engine="auto", device="cpu").engine is None
    assert "torch searches, not CTranslate2: the engine ct2 needs the package `ctranslate2`" in caplog.text


def test_a_model_that_is_not_there_is_no_reason_for_torch(tmp_path, caplog):
    with pytest.raises(CheckpointError, match="does not exist"):
        load(tmp_path / "none", engine="auto")
    with pytest.raises(ConfigError, match="`engine` must be one of torch, ct2, auto, but is marian"):
        load(tmp_path / "none", engine="marian")
    assert "torch searches" not in caplog.text


def test_translations_are_those_of_torch(both):
    long = " ".join(LINES)
    for options in (
        {"beam": 1},
        EXACT,
        {"prefixes": ["zehn"] * (len(LINES) + 2), "beam": 1},
        {"min_ratio": 1.2, "beam": 1},
        {"split": "always", "beam": 1},
        {"glossary": Glossary([Entry("one", ("zehn",), False, "g:1")]), **EXACT},
    ):
        ours, theirs = (one.search([*LINES, "", long], **options) for one in both)
        assert [[(one.text, one.pieces, one.finished, one.segments) for one in some] for some in ours] == [
            [(one.text, one.pieces, one.finished, one.segments) for one in some] for some in theirs
        ]
        for one, other in ((a, b) for some, others in zip(ours, theirs, strict=True)
                           for a, b in zip(some, others, strict=True)):  # fmt: skip
            assert other.score == pytest.approx(one.score, abs=1e-3)
            assert other.piece_log_probs == pytest.approx(one.piece_log_probs, abs=1e-3)
    assert len(theirs[-1][0].segments) > 1 and theirs[-2] == [EMPTY]
    assert len({one.text for one in both[1].search(["one two three"], nbest=3)[0]}) == 3


def test_a_translation_does_not_depend_on_its_batch(both):
    _, ct2 = both
    texts = [*LINES, *(" ".join(LINES[:n]) for n in range(2, 6)), "one"]
    for options in ({}, {"max_ratio": 0.5, "max_extra": 2}, {"max_length": 5}, {"prefixes": ["zehn"], "beam": 3}):
        prefixes = options.pop("prefixes", None)
        together = ct2.translate(texts, **options, prefixes=prefixes and prefixes * len(texts))
        assert together == [ct2.translate(text, **options, prefixes=prefixes) for text in texts]
        assert together == ct2.translate(texts, **options, prefixes=prefixes and prefixes * len(texts), batch_tokens=9)


def test_options_of_one_call_that_only_torch_honours_are_refused_together(both):
    _, ct2 = both
    with pytest.raises(ConfigError) as refused:
        ct2.translate("one", groups=5, length_norm="gnmt", sampling=Sampling())
    assert str(refused.value) == (
        "the engine ct2 cannot honour `length_norm`, `groups`, `sampling`. hint: leave out what it cannot honour, or "
        "use the engine torch."
    )


def test_details_are_computed_only_where_they_are_asked_for(both, monkeypatch):
    _, ct2 = both
    monkeypatch.setattr(ct2.engine, "log_probs", None)
    assert ct2.translate("one two")
    [[found]] = ct2.answer(["one two"], replace(ct2.options(), details=False))
    assert found.piece_log_probs == [] and found.log_prob < 0
    assert asdict(found)["finished"]
