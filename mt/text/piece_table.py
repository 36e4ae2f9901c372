"""SentencePiece with ids of its own, as OPUS-MT and MarianMT have it: `vocab.json` gives the pieces of a source model
and a target model one common numbering. A text becomes pieces by its side's model, and pieces become ids by the table.
"""

import json
import re
import struct
from collections.abc import Sequence
from typing import Any

import sentencepiece as spm

from mt.text.protobuf import field

EOS, UNK, PAD = "</s>", "<unk>", "<pad>"
LANGUAGE = re.compile(r">>[^\s<>]+<<")
MOST = 1_000_000  # pieces
UNUSED = 5  # SentencePiece's type of a piece that no text becomes


def read_table(data: bytes) -> list[str]:
    """The pieces of a table, in the order of their ids. Raises: ValueError: for anything else."""
    found = json.loads(data.decode(), object_pairs_hook=_whole)
    if not isinstance(found, dict) or not 0 < len(found) <= MOST:
        raise ValueError(f"an object of 1 to {MOST:,} pieces is expected")
    if any(type(number) is not int for number in found.values()) or sorted(found.values()) != [*range(len(found))]:
        raise ValueError(f"the ids of its {len(found):,} pieces must be 0 to {len(found) - 1:,}, each once")
    if missing := [piece for piece in (EOS, UNK, PAD) if piece not in found]:
        raise ValueError(f"it lacks {' and '.join(missing)}")
    if any(not piece or "\0" in piece for piece in found):
        raise ValueError("a piece is empty or has a zero byte")
    return sorted(found, key=found.__getitem__)


def _whole(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a piece is there twice")
    return found


class TabledModel:
    """A SentencePiece model with the ids of a table: those methods of `SentencePieceProcessor` that `Tokenizer` calls.

    What the table lacks is unk. A language tag at the beginning, ">>fra<<", is one piece and never split. A decoder
    starts from pad, which is also bos.
    """

    def __init__(self, data: bytes, pieces: Sequence[str]) -> None:
        """Args: data: the SentencePiece model. Raises: as `opened`."""
        self._pieces = list(pieces)
        self._ids = {piece: number for number, piece in enumerate(pieces)}
        self._model = opened(data)
        known = {self._model.id_to_piece(i) for i in range(len(self._model))}
        # Pieces of the other side can be decoded. Text never becomes them, but BPE would merge differently.
        self._decoder = opened(data + b"".join(_entry(piece) for piece in pieces if piece not in known))
        self._to_model = [self._decoder.piece_to_id(piece) for piece in pieces]
        self._known = len(self._model)

    @property
    def tags(self) -> frozenset[str]:
        """The languages that a text may ask for."""
        return frozenset(filter(LANGUAGE.fullmatch, self._pieces))

    def __len__(self) -> int:
        return len(self._pieces)

    def unk_id(self) -> int:
        return self._ids[UNK]

    def eos_id(self) -> int:
        return self._ids[EOS]

    def pad_id(self) -> int:
        return self._ids[PAD]

    bos_id = pad_id

    def id_to_piece(self, number: int) -> str:
        return self._pieces[number]

    def piece_to_id(self, piece: str) -> int:
        return self._ids.get(piece, self.unk_id())

    def is_byte(self, number: int) -> bool:
        return self._decoder.is_byte(self._to_model[number])

    def get_score(self, number: int) -> float:
        """As SentencePiece's; 0 for pieces of the other side."""
        place = self._to_model[number]
        return self._model.get_score(place) if place < self._known else 0.0

    def encode(
        self, text: str | list[str], *, add_eos: bool = False, num_threads: int = 1, return_type: str = "ids"
    ) -> Any:
        """Ids of a text or of texts, or of one text `{"ids": ..., "offsets": ...}` (`return_type="offset_mapping"`)."""
        if return_type == "offset_mapping":
            assert isinstance(text, str)
            tag, rest = _parted(text)
            found = self._model.encode(rest, return_type=return_type)
            first = [(0, len(tag))] if tag else []
            offsets = [(begin + len(tag), end + len(tag)) for begin, end in found["offsets"]]
            return {"ids": self._numbers(tag, found["pieces"]), "offsets": first + offsets}
        end = [self.eos_id()] if add_eos else []
        if isinstance(text, str):
            tag, rest = _parted(text)
            return self._numbers(tag, self._model.encode(rest, out_type=str)) + end
        parted = [_parted(one) for one in text]
        split = self._model.encode([rest for _, rest in parted], out_type=str, num_threads=num_threads)
        return [self._numbers(tag, pieces) + end for (tag, _), pieces in zip(parted, split, strict=True)]

    def decode(self, tokens: Sequence[int] | Sequence[str], return_type: str = "str") -> Any:
        """The text of ids, or of pieces `{"ids": ..., "offsets": ...}` (`return_type="offset_mapping"`)."""
        places = [self._to_model[self.piece_to_id(one) if isinstance(one, str) else one] for one in tokens]
        if return_type == "offset_mapping":
            found = self._decoder.decode([self._decoder.id_to_piece(i) for i in places], return_type=return_type)
            return {"ids": [self.piece_to_id(str(piece)) for piece in tokens], "offsets": found["offsets"]}
        return self._decoder.decode(places)

    def _numbers(self, tag: str, pieces: Sequence[str]) -> list[int]:
        return [self.piece_to_id(piece) for piece in ([tag, *pieces] if tag else pieces)]


def _parted(text: str) -> tuple[str, str]:
    """A language tag at the beginning, or "", and the rest."""
    end = text.find("<<") + 2 if text.startswith(">>") else 1
    return (text[:end], text[end:]) if end > 1 else ("", text)


def opened(data: bytes) -> spm.SentencePieceProcessor:
    """A SentencePiece model. Raises: RuntimeError, ValueError or OSError when it is damaged."""
    model = spm.SentencePieceProcessor()
    model.LoadFromSerializedProto(data)
    return model


def _entry(piece: str) -> bytes:
    """An unused piece at the end of a serialized model: its pieces are a repeated field, which goes on anywhere."""
    return field(1, field(1, piece.encode()) + b"\x15" + struct.pack("<f", 0.0) + b"\x18" + bytes([UNUSED]))
