"""Word alignment with a translation model: the model, and the heads that were chosen for it, in `alignment.json` of its
folder."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mt.alignment.choose_heads import Choice, choose_by_agreement, choose_by_regularity
from mt.alignment.heads import AlignmentHeads, head_mean, word_maps
from mt.alignment.observe import Observation, observe
from mt.checkpoint import verify_folder, write_folder
from mt.errors import CheckpointError, shown
from mt.files import explained, read_json
from mt.nn.transformer import Transformer
from mt.text.tokenizer import Tokenizer

FILE = "alignment.json"
SCHEMA = 1
CHOOSE_ON = 500  # pairs: enough to tell heads apart, and seconds of work


@dataclass(eq=False)
class Aligner:
    """A model, its tokenizer and, once chosen, its alignment heads."""

    model: Transformer
    tokenizer: Tokenizer
    _: KW_ONLY
    max_length: int  # as `observe`, like `by_spaces`
    by_spaces: bool = True
    heads: AlignmentHeads | None = None

    def observe(self, sources: Sequence[str], targets: Sequence[str]) -> Iterator[Observation]:
        return observe(
            self.model, self.tokenizer, sources, targets,
            max_length=self.max_length, uses=("cross",), by_spaces=self.by_spaces,
        )  # fmt: skip

    def weights(self, sources: Sequence[str], targets: Sequence[str]) -> Iterator[Tensor]:
        """`[target words, source words + 1]` of each pair: the mean of the alignment heads."""
        assert self.heads is not None, "heads are chosen first"
        for seen in self.observe(sources, targets):
            yield head_mean(word_maps(seen), self.heads)


def choose(
    aligner: Aligner, sources: Sequence[str], targets: Sequence[str], reverse: Aligner | None = None
) -> list[Choice]:
    """Choose and set the heads of one aligner, or of two of opposite directions, by the first pairs."""
    sources, targets = sources[:CHOOSE_ON], targets[:CHOOSE_ON]
    seen = list(aligner.observe(sources, targets))
    if reverse is None:
        words = [(o.source.word_texts, o.target.word_texts) for o in seen]
        choices = [choose_by_regularity([word_maps(o) for o in seen], words)]
    else:
        backward = [word_maps(o) for o in reverse.observe(targets, sources)]
        choices = list(choose_by_agreement([word_maps(o) for o in seen], backward))
        reverse.heads = choices[1].heads
    aligner.heads = choices[0].heads
    return choices


def to_file(choice: Choice) -> bytes:
    """`alignment.json`: the heads, under the key `reading`, and how they were chosen."""
    values = asdict(choice)
    values = {"schema": SCHEMA, "reading": values.pop("heads"), **values}
    return (json.dumps(values, indent=2) + "\n").encode()


def from_file(values: Mapping[str, Any], model: Transformer, where: str) -> AlignmentHeads:
    """Raises: CheckpointError: when the file is of another version, or names a layer or head the model lacks."""
    if values.get("schema") != SCHEMA:
        message = f"{where} must have schema {SCHEMA}, but has {shown(values.get('schema'))}."
        raise CheckpointError(message, hint="remove the file.")
    chosen = AlignmentHeads.from_plain(values.get("reading"), where)
    layers, heads = len(model.decoder.layers), model.decoder.layers[0].cross_attention.heads  # pyright: ignore
    if chosen.layer >= layers or max(chosen.heads) >= heads:
        raise CheckpointError(
            f"{where} names {chosen.describe()}, but the model has {layers} layers with {heads} heads.",
            hint="remove the file.",
        )
    return chosen


def load_heads(folder: Path, model: Transformer) -> AlignmentHeads | None:
    """None: none were chosen yet. Raises: CheckpointError: when the file does not fit the model."""
    path = folder / FILE
    return from_file(read_json(path), model, str(path)) if path.is_file() else None


def save_heads(folder: Path, choice: Choice) -> None:
    """Raises: CheckpointError: when the folder is damaged, cannot be written or is a checkpoint."""
    manifest = verify_folder(folder)
    if "optimizer.safetensors" in manifest.files:
        raise CheckpointError(f"{folder} is a checkpoint, which only its run writes to.")
    with explained(f"`{folder}` cannot be read"):
        files = {name: (folder / name).read_bytes() for name in manifest.files}
    write_folder(
        folder, {**files, FILE: to_file(choice)}, meta=manifest.meta, free=manifest.free | {FILE}, replace=True
    )
