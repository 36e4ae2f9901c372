"""The wire format of protobuf messages, which SentencePiece models are.

https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

VARINT, BYTES = 0, 2  # kinds of fields
SIZES = {1: 8, 5: 4}  # of the other kinds


def varint(number: int) -> bytes:
    """A whole number, not negative."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each field of a valid message: its number, its content (of strings, bytes and messages) and all its bytes."""
    place = 0
    while place < len(message):
        begin = place
        key, place = _read(message, place)
        content = place
        if key & 7 == VARINT:
            _, place = _read(message, place)
        elif key & 7 == BYTES:
            size, content = _read(message, place)
            place = content + size
        else:
            place += SIZES[key & 7]
        yield key >> 3, message[content:place], message[begin:place]


def field(number: int, content: bytes) -> bytes:
    """A field that holds a string, bytes or a message."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def _read(message: bytes, place: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    number = shift = 0
    while message[place] > 127:
        number |= (message[place] & 127) << shift
        place, shift = place + 1, shift + 7
    return number | message[place] << shift, place + 1
