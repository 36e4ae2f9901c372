"""The text of an update with a loss spike or a gradient that is not finite, in a file for a person to read."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from mt.data.corpus.pair import Pair
from mt.errors import CheckpointError
from mt.files import write_text
from mt.train.step import Update

logger = logging.getLogger("mt")
MAX_FILES = 100  # a run that fails for hours must not fill the disk


def dump_batch(folder: Path, step: int, reason: str, update: Update, pairs: Sequence[Pair]) -> None:
    """Write `step-00000012.json` with the pairs of an update, and log their files and lines.

    A disk error causes only a warning.
    """
    path = folder / f"step-{step:08d}.json"
    places = lines_of(pairs)
    if len(list(folder.glob("step-*.json"))) >= MAX_FILES:
        logger.warning(f"step {step:,}: {reason}; its text: {places}.")
        return
    rows = [{"file": p.origin.file, "line": p.origin.line, "src": p.src, "tgt": p.tgt} for p in pairs]
    facts = {"step": step, "reason": reason, "loss": repr(update.loss), "grad_norm": repr(update.grad_norm)}
    try:
        write_text(path, json.dumps({**facts, "pairs": rows}, indent=1, ensure_ascii=False) + "\n")
    except CheckpointError as error:
        logger.warning(f"step {step:,}: {reason}; its text: {places}. {error}")
        return
    logger.warning(f"step {step:,}: {reason}; its text is in {path}: {places}.")


def lines_of(pairs: Sequence[Pair], most: int = 8) -> str:
    """For example `train.en lines 3, 7, 21; more.tsv line 2 and 40 more`."""
    files: dict[str, list[int]] = {}
    for pair in pairs[:most]:
        files.setdefault(pair.origin.file, []).append(pair.origin.line)
    shown = "; ".join(
        f"{file} line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}" for file, lines in files.items()
    )
    return shown + (f" and {len(pairs) - most:,} more" if len(pairs) > most else "")
