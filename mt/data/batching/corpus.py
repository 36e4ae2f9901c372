"""The text of a run as token ids."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import sentencepiece
from numpy.typing import NDArray

from mt.data.batching.batch import Batch, Flat, Ids, cut_sorted, pack_batch
from mt.data.batching.input_rows import InputRows, measured, total
from mt.data.batching.store import SCHEMA, VERSION, Facts, Pairs, TokenLists, cached, in_memory
from mt.data.corpus.columns import unplaced
from mt.data.corpus.pair import Pair, as_bytes
from mt.errors import DataError
from mt.inputs.reader import InputReader
from mt.progress import Waiting
from mt.text.tokenizer import Tokenizer

ROWS = 16384  # pairs that are tokenised and written together


class TokenizedCorpus:
    """Pairs as token ids. Pairs with more than `max_length` rows on a side are left out and counted in `num_too_long`.

    `pairs`, `source` and `target` read from the table when they are indexed.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        tokenizer: Tokenizer,
        *,
        max_length: int | None = None,
        cache: Path | None = None,
        kind: str = "training",
        setting: str = "batch.max_length",
        reader: InputReader | None = None,
    ) -> None:
        """Args: cache: a folder that caches tokenised text between runs; None: in memory only. kind, setting: names of
        the set and of the setting behind `max_length`, for the error. reader: of sources that are not text; every one
        is read once here, so that its faults are known before training.
        Raises: DataError: when no pair is left, or a source cannot be read."""

        def build(sink: pa.NativeFile) -> Facts:
            facts = _write(sink, pairs, tokenizer, max_length, reader)
            if not facts.pairs:
                higher = " and `model.max_length`" if setting != "model.max_length" else ""
                advice = "split the text into sentences" if reader is None else "shorten the sources"
                raise DataError(
                    f"none of the {facts.too_long:,} {kind} pairs has at most {max_length} {self.unit} (`{setting}`) "
                    f"on each side; the longest has {facts.longest:,}.",
                    hint=f"raise `{setting}`{higher}, or {advice}.",
                )
            return facts

        self.tokenizer = tokenizer
        self.reader = reader
        self.unit = "pieces" if reader is None else "rows"  # what lengths are counted in, for messages
        if cache is None or reader is not None:  # the files that the sources name may change
            self.table = in_memory(build)
        else:
            self.table = cached(cache / _key(pairs, tokenizer, max_length)[:32], build)
        facts = self.table.facts
        self.num_too_long, self.num_source_rows = facts.too_long, facts.source_pieces
        self.num_target_rows = facts.target_pieces + facts.pairs

    def __len__(self) -> int:
        return len(self.table)

    @property
    def pairs(self) -> Pairs:
        return Pairs(self.table)

    @property
    def source(self) -> TokenLists | InputRows:
        """Token ids that end with `eos`, or what `reader` reads."""
        return self.table.source if self.reader is None else InputRows(self.table, self.reader)

    @property
    def target(self) -> TokenLists:
        """Token ids without `bos` and `eos`."""
        return self.table.target

    def fingerprint(self) -> str:
        """sha256 over all text, in order."""
        return self.table.facts.fingerprint

    def written(self) -> str:
        """As `fingerprint`, but the same wherever the folder of the tables is; empty for text."""
        return self.table.facts.written

    def to_keep_all(self) -> str:
        """What to set so that no pair is left out, for a message; empty if it is not known."""
        longest = self.table.facts.longest
        wanted = "raise `batch.max_length`, and `model.max_length` with it, to keep them"
        return f"; the longest has {longest:,}: {wanted}" if longest else ""

    def batch(self, indices: Sequence[int]) -> Batch:
        chosen = np.array(indices, np.int64)
        source, target = self.source.flat(chosen), self.target.flat(chosen)
        return pack_batch(source, target, chosen.tolist(), bos=self.tokenizer.bos, eos=self.tokenizer.eos)


def in_budget(corpus: TokenizedCorpus, budget: int) -> Iterator[Batch]:
    """Batches of the whole corpus, sorted by length, for validation."""
    source, target = corpus.source.lengths(), corpus.target.lengths() + 1
    order = np.lexsort((source, target))
    largest = max(budget, int(source.max()), int(target.max()))
    for begin, end in pairwise(cut_sorted(source[order], target[order], largest)):
        yield corpus.batch(order[begin:end].tolist())


def _write(
    sink: pa.NativeFile, pairs: Sequence[Pair], tokenizer: Tokenizer, max_length: int | None, reader: InputReader | None
) -> Facts:
    """Tokenise and write in chunks, because lists of token ids take fifty times the memory of an array."""
    digest, written, files = hashlib.sha256(), hashlib.sha256(), dict[str, int]()
    read = kept = source_pieces = target_pieces = longest = 0
    stream, known = iter(pairs), dict[tuple[int, str], int]()
    what = "tokenizing" if reader is None else "reading the sources"
    with pa.ipc.new_file(sink, SCHEMA) as writer, Waiting(what, plain=True) as wait:
        while chunk := list(islice(stream, ROWS)):
            wait.show(read, len(pairs))
            if reader is None:
                source = tokenizer.encode_source([pair.src for pair in chunk])
                sizes = [*map(len, source)]
            else:
                source = measured(chunk, reader, known, lambda done, before=read: wait.show(before + done, len(pairs)))
                sizes = total(np.array(source)).tolist()
            read += len(chunk)
            target = tokenizer.encode_target([pair.tgt for pair in chunk])
            longest = max(longest, *sizes, *(len(one) + 1 for one in target))
            if max_length is not None:
                rows = enumerate(zip(sizes, target, strict=True))
                fits = [i for i, (s, t) in rows if s <= max_length and len(t) + 1 <= max_length]
                chunk, source, target = [chunk[i] for i in fits], [source[i] for i in fits], [target[i] for i in fits]
                sizes = [sizes[i] for i in fits]
            if not chunk:
                continue
            digest.update(as_bytes(chunk))
            if reader is not None:
                digest.update(found := f"{reader.inputs} {sizes}".encode())
                written.update(as_bytes(unplaced(chunk, reader.inputs)) + found)
            writer.write_batch(_record_batch(chunk, source, target, files))
            kept += len(chunk)
            source_pieces += sum(sizes)
            target_pieces += sum(map(len, target))
    return Facts(
        kept, read - kept, source_pieces, target_pieces, digest.hexdigest(), list(files),
        longest=longest, written=written.hexdigest() if reader is not None else "",
    )  # fmt: skip


def _record_batch(pairs: list[Pair], source: Ids, target: Ids, files: dict[str, int]) -> pa.RecordBatch:
    """Args: files: the number of each file; new files are added."""
    columns = [
        _texts([pair.src for pair in pairs]),
        _texts([pair.tgt for pair in pairs]),
        _numbers([files.setdefault(pair.origin.file, len(files)) for pair in pairs], np.int32),
        _numbers([pair.origin.line for pair in pairs], np.int64),
        _lists(source),
        _lists(target),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


# `pa.array` of a list imports pandas, which takes longer than all else of a small corpus: arrays are made of buffers.


def _numbers(values: Sequence[int] | NDArray[Any], kind: type[np.integer]) -> pa.Array:
    array = np.array(values, kind)
    return pa.Array.from_buffers(pa.from_numpy_dtype(kind), len(array), [None, pa.py_buffer(array)])


def _texts(texts: Sequence[str]) -> pa.Array:
    data = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, data)], dtype=np.int64)
    return pa.LargeStringArray.from_buffers(len(data), pa.py_buffer(offsets), pa.py_buffer(b"".join(data)))


def _lists(lists: Sequence[Sequence[int]]) -> pa.Array:
    flat = Flat.of(lists)
    offsets = np.append(flat.starts, len(flat.rows))
    return pa.ListArray.from_arrays(_numbers(offsets, np.int32), _numbers(flat.rows, np.int32))


def _key(pairs: Sequence[Pair], tokenizer: Tokenizer, max_length: int | None) -> str:
    """SHA-256 of everything that the table depends on."""
    made_of = f"{VERSION} {sentencepiece.__version__} {tokenizer.fingerprint} {max_length}\n"
    digest = hashlib.sha256(made_of.encode())
    stream = iter(pairs)
    while lines := [f"{p.src}\0{p.tgt}\0{p.origin.line} {p.origin.file}\n" for p in islice(stream, ROWS)]:
        digest.update("".join(lines).encode(errors="surrogateescape"))  # names of files
    return digest.hexdigest()
