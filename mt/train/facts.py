"""The facts of a run, for its manifest and the model card."""

from typing import Any

from mt.data.corpus.columns import unplaced
from mt.data.corpus.pair import fingerprint
from mt.data.prepare import PreparedData
from mt.nn.transformer import count_parameters
from mt.train.trainer import Trainer


def run_facts(
    prepared: PreparedData, trainer: Trainer, *, name: str | None, tokenizer: str, seed: int
) -> dict[str, Any]:
    """Data, tokenizer, size, precision and seed. Args: tokenizer: its kind."""
    return {
        "name": name,
        "src": prepared.corpus.src,
        "tgt": prepared.corpus.tgt,
        "data": {
            "name": prepared.corpus.name,
            "licence": prepared.corpus.licence,
            "train": len(prepared.train),
            "dev": len(prepared.corpus.dev),
            "test": len(prepared.corpus.test),
            "cleaning": prepared.refusals,
            "too_long": prepared.train.num_too_long,
            "src_tokens": prepared.train.num_source_rows,
            "tgt_tokens": prepared.train.num_target_rows,
            "fingerprint": prepared.train.fingerprint(),
            "dev_fingerprint": prepared.dev.fingerprint(),
            "test_fingerprint": fingerprint(prepared.corpus.test),
            **_as_written(prepared),
            "links": prepared.links.fingerprint() if prepared.links is not None else None,
        },
        "tokenizer": {
            "kind": tokenizer,
            "pieces": prepared.tokenizer.tgt_size,
            **({} if prepared.inputs or prepared.tokenizer.joint else {"source_pieces": prepared.tokenizer.src_size}),
            "sha256": prepared.tokenizer.fingerprint,
        },
        "parameters": count_parameters(trainer.model),
        "precision": trainer.updater.precision.value,
        "seed": seed,
        "batch_tokens": trainer.batch.budget,
        "determinism": "bitwise on one kind of CPU, with as many threads and processes, where steps or epochs limit "
        "the run; GPUs add in any order",
    }


def _as_written(prepared: PreparedData) -> dict[str, dict[str, str]]:
    """Of tables: hashes of their text that are the same wherever their folder is."""
    if not prepared.inputs:
        return {}
    test = fingerprint(unplaced(prepared.corpus.test, prepared.inputs))
    hashes = {"fingerprint": prepared.train.written(), "dev_fingerprint": prepared.dev.written()}
    return {"as_written": {**hashes, "test_fingerprint": test}}
