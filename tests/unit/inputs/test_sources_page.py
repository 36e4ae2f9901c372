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
from toy import tiny_config

from mt.config import Input, InputKind, ModelConfig
from mt.errors import DataError
from mt.inputs.kind import FrameKind
from mt.nn.encoders import LinearStem
from mt.nn.ragged import Ragged
from mt.nn.source import FrameSource, Memory, SourceEncoder
from mt.nn.transformer import Decoder, Transformer

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sources.md"
NAMES = {
    "Any": Any, "DataError": DataError, "FrameKind": FrameKind, "FrameSource": FrameSource, "LinearStem": LinearStem,
    "Memory": Memory, "ModelConfig": ModelConfig, "NDArray": NDArray, "Ragged": Ragged, "Sequence": Sequence,
    "SourceEncoder": SourceEncoder, "Tensor": Tensor, "np": np,
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
    assert memory.layout.lengths.tolist() == [2, 3] and memory.rows.shape == (5, config.dim)
    alone = model.encode(encoder.pack(items[1:]))
    assert torch.allclose(memory.rows[2:], alone.rows, atol=1e-6)
    hidden = model(encoder.pack(items), torch.tensor([1, 2, 3]), Ragged.from_lengths([1, 2]))
    assert hidden.shape == (3, config.dim)
