"""What a safetensors file says is known before memory is taken, and lies are refused in a sentence."""

import json
import struct
import tracemalloc
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mt.checkpoint.tensors import DTYPES, MAX_HEADER, describe_tensors, read_tensors
from mt.errors import CheckpointError


def write(path: Path, header: object, data: bytes = b"", *, length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_a_description_is_what_loading_gives(tmp_path, dtype):
    tensors = {"a": torch.ones(2, 3).to(dtype), "b": torch.zeros(0, 4).to(dtype), "c": torch.ones(()).to(dtype)}
    safetensors.torch.save_file(tensors, tmp_path / "x")
    told, read = describe_tensors(tmp_path / "x"), read_tensors(tmp_path / "x")
    assert {name: (t.dtype, t.shape) for name, t in told.items()} == {n: (t.dtype, t.shape) for n, t in read.items()}
    assert all(tensor.device.type == "meta" for tensor in told.values())


@pytest.mark.parametrize("read", [describe_tensors, read_tensors])
@pytest.mark.parametrize(
    ("header", "data", "length"),
    [
        ({"a": entry("F32", [2**40], 0, 2**42)}, b"", None),  # a terabyte that is not there
        ({"a": entry("F32", [1], 0, 4)}, b"1234567", None),
        ({"a": entry("F32", [2], 0, 4)}, b"1234", None),
        ({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 0, 2)}, b"12", None),
        ({"a": entry("U8", [1], 1, 2)}, b"12", None),
        ({"a": entry("F32", [-1], 0, 0)}, b"", None),
        ({"a": entry("F99", [1], 0, 4)}, b"1234", None),
        ({"a": {"dtype": "F32"}}, b"", None),
        ([1], b"", None),
        (b"\xff\xfe", b"", None),
        (b"[" * 100_000, b"", None),
        (b"", b"", 500),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused(tmp_path, read, header, data, length):
    path = write(tmp_path / "x", header, data, length=length)
    with pytest.raises(CheckpointError, match=r"/x` cannot be read as safetensors: .*\.$") as refused:
        read(path)
    assert len(str(refused.value)) < 400 and "\n" not in str(refused.value)


@pytest.mark.parametrize("read", [describe_tensors, read_tensors])
@pytest.mark.parametrize("size", [MAX_HEADER + 1, 2**64 - 1])
def test_a_header_without_end_is_refused_unread(tmp_path, read, size):
    path = write(tmp_path / "x", b"{}" + b" " * MAX_HEADER, length=size)
    tracemalloc.start()
    try:
        with pytest.raises(
            CheckpointError, match=rf"/x` must have a header of at most 4,194,304 bytes, but has {size:,}"
        ):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_types_and_dimensions_that_no_model_has(tmp_path):
    write(tmp_path / "c", {"a": entry("C64", [1], 0, 8)}, b"12345678")
    with pytest.raises(CheckpointError, match=r"/c`: `a` has the type C64, which no model of mt has\."):
        describe_tensors(tmp_path / "c")
    write(tmp_path / "d", {"a": entry("F32", [0, 2**60, 2**60], 0, 0)})
    with pytest.raises(CheckpointError, match=r"/d` cannot be read as safetensors: Stride"):
        describe_tensors(tmp_path / "d")


@settings(max_examples=200)
@given(st.integers(0, 10**6), st.integers(0, 7), st.integers(0, 10**6))
def test_any_flipped_bit_is_refused_or_only_changes_values(tmp_path_factory, place, bit, cut):
    raw = bytearray(safetensors.torch.save({"a": torch.ones(3), "b": torch.zeros(2, 2)}))
    raw[place % len(raw)] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    path.write_bytes(bytes(raw[: len(raw) - (cut % 3)]))
    for read in (describe_tensors, read_tensors):
        try:
            found = read(path)
        except CheckpointError:
            continue
        assert sum(tensor.numel() * tensor.element_size() for tensor in found.values()) <= 28


def test_a_file_that_goes_away_before_torch_opens_it_is_refused_in_a_sentence(tmp_path, monkeypatch):
    """safetensors reads the header; then torch opens the file once more, by its name."""
    path = tmp_path / "gone.safetensors"
    safetensors.torch.save_file({"a": torch.ones(3)}, path)

    def too_late(path, device):
        path.unlink()
        return torch.UntypedStorage.from_file(str(path), False, 12)

    monkeypatch.setattr(safetensors.torch, "load_file", too_late)
    with pytest.raises(CheckpointError, match=r"gone\.safetensors` cannot be read as safetensors: unable to open file"):
        read_tensors(path)
