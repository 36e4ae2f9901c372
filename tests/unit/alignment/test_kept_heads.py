"""What `mt align` has chosen, in the model's folder: kept, read, refused, and taken back by removing it."""

import json
from dataclasses import asdict

import pytest
from toy import number_tokenizer, tiny_config, tiny_model

from mt.alignment.aligner import FILE, load_heads, save_heads
from mt.alignment.choose_heads import Choice
from mt.alignment.heads import AlignmentHeads
from mt.checkpoint import verify_folder, write_folder
from mt.checkpoint.model_folder import Description, read_model
from mt.config import DecodeConfig, Precision
from mt.errors import CheckpointError

CHOICE = Choice(AlignmentHeads(0, (1,), True), "regularity", 0.5, 40)


@pytest.fixture
def folder(tmp_path):
    size = number_tokenizer().tgt_size
    description = Description(
        src="en", tgt="de", src_size=size, tgt_size=size, max_length=64, precision=Precision.fp32, model=tiny_config(),
        decode=DecodeConfig(),
    )  # fmt: skip
    files = {**description.files(number_tokenizer()), "model.safetensors": dict(tiny_model().named_parameters())}
    write_folder(tmp_path / "m", files, meta={"step": 7})
    return tmp_path / "m"


def test_a_choice_is_kept_with_how_it_was_made(folder):
    assert load_heads(folder, tiny_model()) is None
    save_heads(folder, CHOICE)
    assert load_heads(folder, tiny_model()) == CHOICE.heads
    values = json.loads((folder / FILE).read_text())
    assert (values["criterion"], values["score"], values["pairs"]) == ("regularity", 0.5, 40)
    assert verify_folder(folder).meta == {"step": 7}


def test_a_choice_that_was_removed_leaves_a_whole_model(folder):
    save_heads(folder, CHOICE)
    (folder / FILE).unlink()
    assert FILE not in verify_folder(folder).files
    assert load_heads(read_model(folder).path, tiny_model()) is None
    save_heads(folder, CHOICE)
    assert load_heads(read_model(folder).path, tiny_model()) == CHOICE.heads
    assert [path.name for path in folder.parent.iterdir()] == ["m"]  # nothing was moved aside as bad


def test_a_choice_may_be_edited(folder):
    save_heads(folder, CHOICE)
    values = json.loads((folder / FILE).read_text())
    values["reading"] = asdict(AlignmentHeads(0, (0,), False))
    (folder / FILE).write_text(json.dumps(values))
    assert load_heads(read_model(folder).path, tiny_model()) == AlignmentHeads(0, (0,), False)
    save_heads(folder, CHOICE)
    assert verify_folder(folder).free == {FILE}


def test_a_folder_that_can_no_longer_be_read_is_named(folder, monkeypatch):
    def gone(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pathlib.Path.read_bytes", gone)
    with pytest.raises(CheckpointError, match=r"/m` cannot be read: Input/output error\.$"):
        save_heads(folder, CHOICE)


def test_a_checkpoint_is_left_to_its_run(folder, tmp_path):
    files = {name: (folder / name).read_bytes() for name in verify_folder(folder).files}
    write_folder(tmp_path / "step-00000001", {**files, "optimizer.safetensors": b""})
    with pytest.raises(CheckpointError, match=r"step-00000001 is a checkpoint, which only its run writes to\.$"):
        save_heads(tmp_path / "step-00000001", CHOICE)
