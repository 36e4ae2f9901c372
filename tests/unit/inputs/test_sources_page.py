"""The examples of docs/sources.md run."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from toy import number_tokenizer, tiny_config

from mt.config import Input, InputKind, ModelConfig
from mt.errors import DataError
from mt.inputs.kind import FrameKind
from mt.inputs.reader import InputReader
from mt.interpret.input_pictures import picture_of
from mt.interpret.inputs import observe_inputs
from mt.nn.ragged import Ragged
from mt.nn.source import FrameSource, Memory, SourceEncoder
from mt.nn.stems import LinearStem, picked
from mt.nn.transformer import Decoder, Transformer

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sources.md"
NAMES = {
    "Any": Any, "DataError": DataError, "FrameKind": FrameKind, "FrameSource": FrameSource, "LinearStem": LinearStem,
    "Memory": Memory, "ModelConfig": ModelConfig, "NDArray": NDArray, "Ragged": Ragged, "Sequence": Sequence,
    "SourceEncoder": SourceEncoder, "Tensor": Tensor, "np": np, "picked": picked, "torch": torch,
}  # fmt: skip


def example(name: str) -> Any:
    (code,) = re.findall(rf"^```\n(class {name}\(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    names = dict(NAMES)
    exec(code, names)
    return names[name]


def test_a_kind_of_ones_own_reads_cells(tmp_path):
    (tmp_path / "a.txt").write_text("1 2\n3 4\n")
    kind = example("Numbers")(Input(column="x", kind=InputKind.features, size=2, scale=2.0))
    assert kind.read(str(tmp_path / "a.txt")).tolist() == [[0.5, 1], [1.5, 2]]
    with pytest.raises(DataError, match=r"none\.txt cannot be read as rows of numbers \("):
        kind.read(str(tmp_path / "none.txt"))


def test_an_encoder_of_ones_own_feeds_the_decoder():
    config = tiny_config()
    encoder = example("PairEncoder")(config, 3)
    model = Transformer(config, encoder, Decoder(config, 7)).eval()
    items = [torch.randn(4, 3), torch.randn(7, 3)]
    memory = model.encode(encoder.pack(items))
    assert memory.layout.lengths.tolist() == [2, 4] and memory.rows.shape == (6, config.dim)
    alone = model.encode(encoder.pack(items[1:]))
    assert torch.allclose(memory.rows[2:], alone.rows, atol=1e-6)
    hidden = model(encoder.pack(items), torch.tensor([1, 2, 3]), Ragged.from_lengths([1, 2]))
    assert hidden.shape == (3, config.dim)


def test_an_encoder_of_ones_own_reads_batches_that_are_filled_up_with_short_items():
    """As training does on a CPU: with items of one row, and of odd numbers of rows."""
    config = tiny_config()
    encoder = example("PairEncoder")(config, 3)
    model = Transformer(config, encoder, Decoder(config, 7)).eval()
    source, target = encoder.pack([torch.randn(4, 3), torch.randn(7, 3)]), torch.tensor([1, 2, 3, 0, 0, 0])
    filled = source.padded([Ragged.from_lengths([4, 7, 1, 3])])
    hidden = model(filled, target, Ragged.from_lengths([1, 2, 1, 2]))
    expected = model(source, target[:3], Ragged.from_lengths([1, 2]))
    assert torch.allclose(hidden[:3], expected, atol=1e-6)
    hidden[:3].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters())


def test_what_an_encoder_of_ones_own_attends_to_is_drawn(tmp_path):
    """As training does at a validation."""
    np.save(tmp_path / "a.npy", np.arange(15).reshape(5, 3))
    config, tokenizer = tiny_config(), number_tokenizer()
    encoder = example("PairEncoder")(config, 3)
    model = Transformer(config, encoder, Decoder(config, tokenizer.tgt_size)).eval()
    reader = InputReader([Input(column="x", kind=InputKind.features, size=3)], tokenizer.encode_source)
    source = str(tmp_path / "a.npy")
    (seen,) = observe_inputs(model, tokenizer, reader, [source], [reader.item(source)], ["eins"], max_length=64)
    assert seen.maps.shape[-1] == 3 and [view.rows for view in seen.views] == [3]
    assert picture_of(seen).shape[1] > 3
