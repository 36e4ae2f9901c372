"""Fields of protobuf messages; the bytes are those of the examples in its description of the format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt.text.protobuf import field, fields, varint


@pytest.mark.parametrize(
    "number, written", [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (150, "9601"), (16384, "808001")]
)
def test_numbers(number, written):
    assert varint(number).hex() == written


def test_fields_of_each_kind():
    message = bytes.fromhex("089601" "120774657374696e67" "1d0000803f" "210000000000000040")  # fmt: skip
    assert [(number, content.hex()) for number, content, _ in fields(message)] == [
        (1, "9601"), (2, b"testing".hex()), (3, "0000803f"), (4, "0000000000000040"),
    ]  # fmt: skip
    assert b"".join(whole for _, _, whole in fields(message)) == message
    assert field(2, b"testing") == message[3:12]


@given(st.lists(st.tuples(st.integers(1, 5000), st.binary(max_size=300)), max_size=5))
def test_what_is_written_is_read(written):
    message = b"".join(field(number, content) for number, content in written)
    assert [(number, content) for number, content, _ in fields(message)] == written
