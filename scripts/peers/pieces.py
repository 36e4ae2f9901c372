"""The corpus, tokenised once for every toolkit, and its vocabulary in the forms that they read."""

import json
from pathlib import Path

from mt.config import TokenizerConfig, TokenizerKind
from mt.data.corpus.pair import Pair
from mt.data.corpus.readers import read_pairs
from mt.text.tokenizer import Tokenizer
from mt.text.tokenizer_training import train_tokenizer

VOCABULARY = 8000


def training_pairs(data: Path) -> list[Pair]:
    """`train.en` and `train.de` in `data`, plain or compressed. Raises: DataError."""
    found = [
        next((str(p) for p in sorted(data.glob(f"train.{side}*"))), f"{data}/train.{side}") for side in ("en", "de")
    ]
    return [pair for pair in read_pairs(found, "en", "de") if pair.src.strip() and pair.tgt.strip()]


def prepare(data: Path, work: Path) -> Path:
    """Make the folder of the tokenised corpus, or find an earlier one:

    `tokenizer.model`; `text.src` and `text.tgt`; `train.src` and `train.tgt`, pieces with spaces between; `ids.jsonl`,
    one `[source, target]` a line, without end marks; `vocabulary.txt`, the pieces by id.
    """
    pairs = training_pairs(data)
    section = TokenizerConfig(kind=TokenizerKind.bpe, vocab_size=VOCABULARY)
    sources, targets = [pair.src for pair in pairs], [pair.tgt for pair in pairs]
    tokenizer = train_tokenizer(sources, targets, section, work / "tokenizers")
    folder = work / f"pieces-{tokenizer.fingerprint[:12]}"
    if not (folder / "tokenizer.model").exists():  # it is written last
        folder.mkdir(parents=True, exist_ok=True)
        write_pieces(tokenizer, sources, targets, folder)
        tokenizer.save(folder)
    return folder


def write_pieces(tokenizer: Tokenizer, sources: list[str], targets: list[str], folder: Path) -> None:
    source = [ids[:-1] for ids in tokenizer.encode_source(sources)]
    target = tokenizer.encode_target(targets)
    lines = "".join(json.dumps(pair) + "\n" for pair in zip(source, target, strict=True))
    (folder / "ids.jsonl").write_text(lines, encoding="utf-8")
    vocabulary = tokenizer.pieces_target(range(tokenizer.tgt_size))
    (folder / "vocabulary.txt").write_text("".join(f"{piece}\n" for piece in vocabulary), encoding="utf-8")
    for side, texts, ids in (("src", sources, source), ("tgt", targets, target)):
        lines = "".join(" ".join(vocabulary[i] for i in sentence) + "\n" for sentence in ids)
        (folder / f"train.{side}").write_text(lines, encoding="utf-8")
        (folder / f"text.{side}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def read_vocabulary(folder: Path) -> list[str]:
    """Pieces by id, the four marks of SentencePiece first."""
    return (folder / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")


def num_pairs(folder: Path) -> int:
    with (folder / "train.src").open("rb") as file:
        return sum(1 for _ in file)
