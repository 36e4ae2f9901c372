"""Text to token ids and back: SentencePiece, one joint model or one per side.

The ids are those of the SentencePiece model, so the model file alone defines the vocabulary.
"""

import hashlib
import logging
import random
import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Self

import regex
import sentencepiece as spm

from mt.config import SPECIALS, TokenizerKind
from mt.errors import CheckpointError, ConfigError
from mt.files import write_file
from mt.text.piece_table import TabledModel, opened, read_table
from mt.text.subword_sampling import Sampler, is_bpe

JOINT, SOURCE, TARGET, TABLE = "tokenizer.model", "source.model", "target.model", "vocab.json"
# Symbols, invisible characters, variation selectors and private or unknown ones: no letters, marks on them or digits.
ODD_SIGN = regex.compile(r"[\p{So}\p{Sk}\p{Cf}\p{Co}\p{Cn}\p{Variation_Selector}]")
OWN_RULE = b"\x0a\x0cuser_defined\x12"  # in a model whose rule is not one of SentencePiece's
WORD_START = "▁"  # a space, in a piece
BYTE = re.compile(r"<0x([0-9A-F]{2})>")
TAG = re.compile(r">>[^\s<>]+<<|<(?!0x)[^\s<>]+>|__[a-z_]+__")  # a language or a domain, no byte
MOST_TAGS = 1000
MAX_MODEL = 64 << 20  # bytes
FEW = 64  # texts: SentencePiece starts a thread for a list, which takes as long as 30 sentences

logger = logging.getLogger("mt")
Model = spm.SentencePieceProcessor | TabledModel


class Tokenizer:
    """Encodes and decodes with a joint model, or with a source and a target model that have the same special ids. These
    two may share one vocabulary by a table of their pieces (`mt.text.piece_table`).

    `sampling` in (0, 1] is the strength of subword regularisation: the probability that BPE skips a merge
    (Provilkov et al. 2020, arXiv 1910.13267, who advise 0.1). A unigram model draws a segmentation with probability
    proportional to P(segmentation)^alpha (Kudo 2018, arXiv 1804.10959), where a *smaller* alpha is more varied; ours
    is 0.02 / sampling. At 0.1 text grows 1.16 times with BPE, 1.30 with unigram (Multi30k, 8000 pieces).
    """

    def __init__(
        self,
        source: bytes,
        target: bytes | None = None,
        table: bytes | None = None,
        *,
        sampling: float = 0.0,
        where: str = "memory",
    ):
        """Without `target` the source model is joint. `where`: the place of the files, for errors.

        Raises `CheckpointError` if a model is damaged, lacks a special piece, or if the two models disagree.
        """
        self._files = {JOINT: source} if target is None else {SOURCE: source, TARGET: target}
        pieces = None if table is None else _open_table(table, where)
        models = [_open_model(data, name, where, pieces) for name, data in self._files.items()]
        self._files |= {} if table is None else {TABLE: table}
        self._source, self._target = models[0], models[-1]
        self.sampling = sampling
        self._samplers = [Sampler(model, sampling) for model in models] if sampling else []
        specials = [(model.unk_id(), model.bos_id(), model.eos_id(), model.pad_id()) for model in models]
        if min(specials[0]) < 0 or specials[0] != specials[-1]:
            raise CheckpointError(
                f"{' and '.join(self._files)} in {where} must define <unk>, <s>, </s> and <pad>, with the same ids, "
                f"but their ids are {' and '.join(map(str, specials))} (-1: not defined)."
            )
        self.unk, self.bos, self.eos, self.pad = specials[0]
        self.src_size, self.tgt_size = len(self._source), len(self._target)
        self.joint = JOINT in self._files or TABLE in self._files  # whether both sides share one vocabulary
        self.tag = ""  # that each source text is read with
        self._signs: dict[str, bool] = {}  # whether the source model can read a sign that is no letter
        # Tokenizers of older versions, with a rule of SentencePiece's, read as they did in training.
        self._keeps_all = OWN_RULE not in source
        try:
            written_in_bytes = filter(self._target.is_byte, range(self.tgt_size))
            self._bytes = {i: bytes.fromhex(BYTE.sub(r"\1", self._target.id_to_piece(i))) for i in written_in_bytes}
            self.tags = models[0].tags if isinstance(models[0], TabledModel) else _tags(models[0])
        except ValueError as error:  # a piece that is no UTF-8, or a byte that is none
            raise CheckpointError(f"{' and '.join(self._files)} in {where} is damaged: {error}.") from None

    @property
    def kind(self) -> TokenizerKind:
        return TokenizerKind.bpe if is_bpe(self._target) else TokenizerKind.unigram

    def with_tag(self, tag: str) -> "Tokenizer":
        """The same tokenizer, which reads each source text as if it began with this tag, unless it is empty or begins
        with a tag. Raises: ConfigError: for what is none of the tags that the model was trained with."""
        if tag not in self.tags:
            shown = ", ".join(sorted(self.tags)) or "none"
            raise ConfigError(f"a tag must be one that the model was trained with ({shown}), but is {tag!r}.")
        tagged = Tokenizer.__new__(Tokenizer)
        tagged.__dict__ |= {**self.__dict__, "tag": tag}
        return tagged

    def _tagged(self, text: str) -> str:
        return f"{self.tag} {text}" if self.tag and text.strip() and not self.tags_of(text) else text

    def encode_source(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, ending with `eos`; an empty text is `[eos]`.

        Signs that are no letters and that the vocabulary could only spell in bytes, such as an emoji or an invisible
        character that training never saw, are left out: bytes that were never trained derail their neighbours.
        """
        known = [self._readable(self._tagged(text))[0] for text in as_utf8(texts)]
        return _encode(self._source, known, add_eos=True)

    def tags_of(self, text: str, end: int | None = None) -> str:
        """The tags that a text begins with, and the white space after each. Args: end: of those before this place."""
        begin = place = len(text) - len(text.lstrip())
        while tag := max((tag for tag in self.tags if text.startswith(tag, place)), key=len, default=""):
            place += len(tag)
            place += len(text) - place - len(text[place:].lstrip())
        return text[begin : place if end is None else min(place, end)]

    def encode_target(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text without `bos` and `eos`, which batching adds."""
        return _encode(self._target, as_utf8(texts))

    def sample_source(self, texts: Sequence[str], seed: int) -> list[list[int]]:
        """Like `encode_source`, with sampled segmentations: a pure function of (texts, seed)."""
        return self._sample(0, self.encode_source(texts), seed)

    def sample_target(self, texts: Sequence[str], seed: int) -> list[list[int]]:
        """Like `encode_target`, with sampled segmentations: a pure function of (texts, seed)."""
        return self._sample(-1, self.encode_target(texts), seed)

    def _sample(self, side: int, plain: list[list[int]], seed: int) -> list[list[int]]:
        rng = random.Random(seed)
        return [self._samplers[side](ids, rng) for ids in plain] if self.sampling else plain

    def decode_source(self, ids: Sequence[int]) -> str:
        """Text of source ids, as `decode_target`."""
        return self._decode(self._source, ids)

    def decode_target(self, ids: Sequence[int]) -> str:
        """Text of target ids: `bos`, `eos` and `pad` are dropped, byte pieces are joined to characters.

        Bytes that make no character are dropped, `unk` becomes " ⁇ ".
        """
        return self._decode(self._target, [ids[place] for place in self.whole_characters(ids)])

    def _decode(self, model: Model, ids: Sequence[int]) -> str:
        return model.decode([i for i in ids if i not in (self.bos, self.eos, self.pad)])

    def whole_characters(self, ids: Sequence[int]) -> list[int]:
        """The places of the target ids that spell whole characters: bytes that make none are left out."""
        if not any(i in self._bytes for i in ids):
            return list(range(len(ids)))
        kept, place = [], 0
        while place < len(ids):
            if ids[place] not in self._bytes:
                kept.append(place)
                place += 1
                continue
            length = next((n for n in range(1, 5) if self._is_character(ids[place : place + n])), 0)
            kept += range(place, place + length)
            place += max(1, length)
        return kept

    def _is_character(self, ids: Sequence[int]) -> bool:
        try:
            return len(b"".join(self._bytes[i] for i in ids).decode()) == 1
        except (KeyError, UnicodeDecodeError):
            return False

    def pieces_source(self, ids: Sequence[int]) -> list[str]:
        """Each id's piece, for people to read."""
        return [self._source.id_to_piece(i) for i in ids]

    def pieces_target(self, ids: Sequence[int]) -> list[str]:
        """Each id's piece, for people to read."""
        return [self._target.id_to_piece(i) for i in ids]

    def offsets_source(self, text: str) -> list[tuple[int, int, int]]:
        """(id, begin, end) of each piece, which stands for `text[begin:end]`; no `eos`.

        Spans count characters of the text before normalisation, and are consecutive. Empty spans belong to the leading
        "▁", to a tag that is not in the text, and to all bytes of a character but the last.
        """
        (given,) = as_utf8([text])
        known, places = self._readable(whole := self._tagged(given))
        found = _offsets(self._source.encode(known, return_type="offset_mapping"))
        if places is not None:
            # A piece ends where its last character did, and begins where the one before it ended.
            ends = [0, *(place + 1 for place in places)]
            found = [(piece, ends[begin], ends[end]) for piece, begin, end in found]
        if before := len(whole) - len(given):
            found = [(piece, max(0, begin - before), max(0, end - before)) for piece, begin, end in found]
        return found

    def readable(self, text: str) -> str:
        """The text without what `encode_source` leaves out."""
        return self._readable(as_utf8([text])[0])[0]

    def _readable(self, text: str) -> tuple[str, list[int] | None]:
        """The text without unreadable signs, and the place of each character that is left; None: all are left."""
        if not self._keeps_all and (odd := ODD_SIGN.search(text)) is not None:
            kept = [n for n, sign in enumerate(text) if n < odd.start() or self._can_read(sign)]
            if len(kept) < len(text):
                return "".join(text[n] for n in kept), kept
        return text, None

    def _can_read(self, sign: str) -> bool:
        if (known := self._signs.get(sign)) is None:
            spelt = self._source.encode(sign) if ODD_SIGN.match(sign) else []
            known = self._signs[sign] = not any(self._source.is_byte(i) for i in spelt)
        return known

    def offsets_target(self, text: str) -> list[tuple[int, int, int]]:
        """(id, begin, end) of each piece, as `offsets_source`."""
        return _offsets(self._target.encode(as_utf8([text])[0], return_type="offset_mapping"))

    def offsets_written(self, pieces: Sequence[str]) -> list[tuple[int, int, int]]:
        """(id, begin, end) of the pieces of a translation, without `eos`, in the text that `decode_target` gives."""
        ids = [self._target.piece_to_id(piece) for piece in pieces]
        kept = self.whole_characters(ids)
        spans = _offsets(self._target.decode([pieces[n] for n in kept], return_type="offset_mapping"))
        found = dict(zip(kept, spans, strict=True))
        offsets, end = [], 0
        for place, token in enumerate(ids):  # what was dropped stands for nothing
            offsets.append(found.get(place, (token, end, end)))
            end = offsets[-1][2]
        return offsets

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled for another process, a tokenizer is its files, without the samplers' caches."""
        return partial(Tokenizer.from_files, self._files, sampling=self.sampling), ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the model files' bytes, in hexadecimal."""
        return hashlib.sha256(b"".join(self._files.values())).hexdigest()

    def files(self) -> dict[str, bytes]:
        """File names and contents: `tokenizer.model`, or `source.model` and `target.model`, with or without
        `vocab.json`."""
        return dict(self._files)

    def save(self, folder: Path) -> list[str]:
        """Write the model files into `folder`, each appearing whole or not at all; return their names."""
        for name, data in self._files.items():
            write_file(folder / name, data)
        return list(self._files)

    @classmethod
    def load(cls, folder: Path, *, sampling: float = 0.0) -> Self:
        """Read what `save` wrote. Raises `CheckpointError` if a file is missing or damaged."""
        names = [name for name in (JOINT, SOURCE, TARGET, TABLE) if (folder / name).is_file()]
        return cls.from_files({name: _read(folder / name) for name in names}, str(folder), sampling=sampling)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], where: str = "memory", *, sampling: float = 0.0) -> Self:
        """Inverse of `files`; other names are ignored. Raises `CheckpointError` as `load`."""
        if JOINT in files:
            return cls(files[JOINT], sampling=sampling, where=where)
        if SOURCE in files and TARGET in files:
            return cls(files[SOURCE], files[TARGET], files.get(TABLE), sampling=sampling, where=where)
        found = next((f"only {name}" for name in (SOURCE, TARGET) if name in files), "none of them")
        raise CheckpointError(f"{where} must contain {JOINT}, or {SOURCE} and {TARGET}, but contains {found}.")


def _encode(model: Model, texts: list[str], *, add_eos: bool = False) -> list[list[int]]:
    if len(texts) <= FEW:
        return [model.encode(text, add_eos=add_eos) for text in texts]
    return model.encode(texts, add_eos=add_eos, num_threads=1)


def _tags(model: spm.SentencePieceProcessor) -> frozenset[str]:
    """User-defined pieces that name a language or a domain: they come right after the special ones."""
    first = (model.id_to_piece(i) for i in range(len(SPECIALS), min(len(model), MOST_TAGS)))
    return frozenset(takewhile(TAG.fullmatch, first))


def as_utf8(texts: Sequence[str]) -> list[str]:
    """The texts with "?" for each lone surrogate, which SentencePiece cannot read."""
    return [text.encode("utf-8", "replace").decode() for text in texts]


def _offsets(found: Mapping[str, Any]) -> list[tuple[int, int, int]]:
    return [(i, begin, end) for i, (begin, end) in zip(found["ids"], found["offsets"], strict=True)]


def _read(path: Path) -> bytes:
    if (size := path.stat().st_size) > MAX_MODEL:
        raise CheckpointError(f"`{path}` must have at most {MAX_MODEL:,} bytes, but has {size:,}.")
    return path.read_bytes()


def _open_table(data: bytes, where: str) -> list[str]:
    try:
        return read_table(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{TABLE} in {where} is no table of pieces: {error}.") from None


def _open_model(data: bytes, name: str, where: str, pieces: Sequence[str] | None) -> Model:
    """Args: pieces: of the table; None: the ids are the model's own."""
    try:
        return opened(data) if pieces is None else TabledModel(data, pieces)
    except (RuntimeError, ValueError, OSError) as error:
        fault = f"{name} in {where} is damaged: SentencePiece cannot read its {len(data)} bytes."
        raise CheckpointError(fault, hint="take it from another copy of the model.") from error
