"""Trains tokenizers with SentencePiece, as a pure function of the lines and the settings."""

import hashlib
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sentencepiece as spm

from mt.config import SPECIALS, TokenizerConfig
from mt.errors import CheckpointError, ConfigError, DataError
from mt.files import reason
from mt.text.normalization import NFC, nfc_rule, without_rule_path
from mt.text.piece_table import opened
from mt.text.tokenizer import JOINT, SOURCE, TARGET, Tokenizer, as_utf8

LONGEST_LINE = 16384  # bytes
FEWEST_WITH_BYTES = 300  # pieces: 256 bytes, the special ones, and some characters

logger = logging.getLogger("mt")


def train_tokenizer(
    src_lines: Sequence[str], tgt_lines: Sequence[str], section: TokenizerConfig, cache: Path
) -> Tokenizer:
    """Train on the lines, or load from `cache` the model of the same lines and settings.

    The model is a pure function of lines and settings. Lines of more than 16384 bytes are skipped. A corpus too small
    for `vocab_size` gives fewer pieces, with a warning.

    Raises `ConfigError` if `vocab_size` is too small for all characters, `DataError` if there is no text.
    """
    if section.vocab_size == "auto":
        section = replace(section, vocab_size=fitting_vocab_size(len(src_lines)))
        logger.info(f"`tokenizer.vocab_size=auto` is {section.vocab_size:,} for {len(src_lines):,} pairs")
    share = max(1, section.max_sentences // 2)
    source, target = as_utf8(_spread(src_lines, share)), as_utf8(_spread(tgt_lines, share))
    options = _options(section)
    folder = cache / _key(options, section.joint, source, target)[:16]
    try:
        # A killed process may have left no file, or one of two, undamaged.
        if all((folder / name).is_file() for name in ([JOINT] if section.joint else [SOURCE, TARGET])):
            return Tokenizer.load(folder, sampling=section.sampling)
    except (CheckpointError, OSError) as error:
        logger.warning("the cached tokenizer cannot be used and is trained again: %s", error)
    if section.joint:
        models = [_train([*source, *target], options, "text")]
    else:
        models = [_train(source, options, "source text"), _train(target, options, "target text")]
    tokenizer = Tokenizer(*models, sampling=section.sampling)
    try:
        tokenizer.save(folder)
    except OSError as error:
        logger.warning("the tokenizer cannot be cached in `%s`: %s.", folder, reason(error))
    return tokenizer


def fitting_vocab_size(pairs: int) -> int:
    """Pieces for a corpus of so many pairs: 1,000 for 10,000, 2,000 for 30,000, 8,000 for a million, at most 32,000.

    As small corpora are translated best with few pieces (Gowda & May 2020, arXiv 2004.02334; Sennrich & Zhang 2019).
    """
    return min(32_000, max(500, 100 * round(20 * (pairs / 30_000) ** 0.4)))


def _options(section: TokenizerConfig) -> dict[str, Any]:
    """The options of SentencePiece's trainer, which are part of the cache's key."""
    return {
        "model_type": str(section.kind),
        "vocab_size": section.vocab_size,
        "character_coverage": section.character_coverage,
        "byte_fallback": section.byte_fallback,
        **({} if section.normalization == NFC else {"normalization_rule_name": section.normalization}),
        **({"split_digits": True} if section.split_digits else {}),  # as a key of the cache only where it is used
        "user_defined_symbols": list(section.tags),
        **{f"{name}_id": i for i, name in enumerate(("unk", "bos", "eos", "pad"))},
        "hard_vocab_limit": False,  # a small corpus gives fewer pieces, instead of an error
        "max_sentence_length": LONGEST_LINE,
        "num_threads": 16,  # fixed: the rounding of a unigram model's scores depends on it
        "minloglevel": 2,
    }


def _train(lines: Sequence[str], options: dict[str, Any], side: str, *, again: bool = False) -> bytes:
    """The bytes of a new model, checked."""
    written = io.BytesIO()
    try:
        with rule_file(options) as rule:
            spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=written, **{**options, **rule})
    except RuntimeError as error:
        if few := re.search(r"smaller than required_chars\. (\d+) vs (\d+)", str(error)):
            if options["byte_fallback"] and (size := options["vocab_size"]) > FEWEST_WITH_BYTES and not again:
                return _train(_without_rare_characters(lines, size, side, int(few[2])), options, side, again=True)
            extra = " (256 bytes and 4 marks among them)" if options["byte_fallback"] else ""
            raise ConfigError(
                f"`tokenizer.vocab_size` must be at least {few[2]}{extra} to hold the characters of the {side}, but is "
                f"{few[1]}.",
                hint="raise it, or lower `tokenizer.character_coverage`.",
            ) from error
        if "sentences_.empty()" in str(error) or "all_chars_count" in str(error):
            raise DataError(f"the {side} is empty, so no tokenizer can be trained on it.") from error
        raise
    data = without_rule_path(written.getvalue())
    model = opened(data)
    firsts = [*SPECIALS, *options["user_defined_symbols"]]
    assert [model.id_to_piece(i) for i in range(len(firsts))] == firsts
    if len(model) < (wanted := options["vocab_size"]):
        logger.warning("the %s yields only %d pieces, not `tokenizer.vocab_size` (%d).", side, len(model), wanted)
    return data


def _without_rare_characters(lines: Sequence[str], size: int, side: str, required: int) -> list[str]:
    """Where a vocabulary cannot hold all characters: lines with the most frequent ones only, which get half of it; the
    others are written in bytes. SentencePiece itself leaves out 2 % of all characters at most."""
    counts = Counter(sign for sign in chain.from_iterable(lines) if not sign.isspace())
    kept = {sign for sign, _ in counts.most_common((size - FEWEST_WITH_BYTES) // 2)}
    rare = 1 - sum(counts[sign] for sign in kept) / counts.total()
    logger.warning(
        f"`tokenizer.vocab_size` ({size:,}) is less than the {required:,} that all characters of the {side} need: "
        f"{rare:.2%} of them, the rarest, are written in bytes. Raise it for better translations."
    )
    return ["".join(sign if sign in kept else " " for sign in line) for line in lines]


@contextmanager
def rule_file(options: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The option for our own normalisation rule, which SentencePiece reads from a file; {} for its own rules."""
    if "normalization_rule_name" in options:
        yield {}
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "nfc.tsv"
        path.write_text(nfc_rule(), encoding="ascii")
        yield {"normalization_rule_tsv": str(path)}


def _key(options: dict[str, Any], joint: bool, source: list[str], target: list[str]) -> str:
    """SHA-256 of everything that training depends on."""
    digest = hashlib.sha256(json.dumps([options, joint, len(source)], sort_keys=True).encode())
    for line in chain(source, target):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _spread(lines: Sequence[str], most: int) -> Sequence[str]:
    """All lines, or `most` of them at equal distances."""
    return lines if len(lines) <= most else [lines[i * len(lines) // most] for i in range(most)]
