"""A model that says which words belong together, and what it keeps about how to ask it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from torch import Tensor

from mt.alignment.choose_heads import Choice, choose_alone, choose_together
from mt.alignment.heads import Reading, read, word_maps
from mt.alignment.observe import Observation, observe
from mt.errors import CheckpointError
from mt.nn.transformer import Transformer
from mt.text.tokenizer import Tokenizer

FILE = "alignment.json"
SCHEMA = 1
CHOOSE_ON = 500  # pairs: enough to tell readings apart, and seconds of work


class Aligner:
    """A model, its tokenizer and, once chosen, its reading."""

    def __init__(
        self, model: Transformer, tokenizer: Tokenizer, *, max_length: int, by_spaces: bool = True,
        reading: Reading | None = None,
    ) -> None:  # fmt: skip
        """Args: max_length: the longest sentence, in pieces, that the model takes; by_spaces: as `observe`."""
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.by_spaces = by_spaces
        self.reading = reading

    def observe(self, sources: Sequence[str], targets: Sequence[str]) -> Iterator[Observation]:
        return observe(
            self.model, self.tokenizer, sources, targets,
            max_length=self.max_length, uses=("cross",), by_spaces=self.by_spaces,
        )  # fmt: skip

    def weights(self, sources: Sequence[str], targets: Sequence[str]) -> Iterator[Tensor]:
        """`[target words, source words + 1]` of each pair, as the reading takes them."""
        assert self.reading is not None, "a reading is chosen first"
        for seen in self.observe(sources, targets):
            yield read(word_maps(seen), self.reading)


def choose(
    aligner: Aligner, sources: Sequence[str], targets: Sequence[str], reverse: Aligner | None = None
) -> list[Choice]:
    """Measure the readings of one aligner, or of two that go opposite ways, on the first pairs, and set the best."""
    some, others = list(islice(sources, CHOOSE_ON)), list(islice(targets, CHOOSE_ON))
    seen = list(aligner.observe(some, others))
    if reverse is None:
        words = [(o.source.word_texts, o.target.word_texts) for o in seen]
        choices = [choose_alone([word_maps(o) for o in seen], words)]
    else:
        backward = [word_maps(o) for o in reverse.observe(others, some)]
        choices = list(choose_together([word_maps(o) for o in seen], backward))
        reverse.reading = choices[1].reading
    aligner.reading = choices[0].reading
    return choices


def to_file(choice: Choice) -> bytes:
    """`alignment.json`: the reading, and how it was found."""
    values = {"schema": SCHEMA, **asdict(choice), "reading": choice.reading.to_plain()}
    return (json.dumps(values, indent=2) + "\n").encode()


def from_file(values: Mapping[str, Any], model: Transformer, where: str) -> Reading:
    """Raises: CheckpointError: when it is of another version, or names a layer or head that the model has not."""
    if values.get("schema") != SCHEMA:
        raise CheckpointError(f"{where} must have schema {SCHEMA}, but has {values.get('schema')!r}: remove it.")
    reading = Reading.from_plain(values.get("reading"), where)
    layers, heads = len(model.decoder.layers), model.decoder.layers[0].cross_attention.heads  # pyright: ignore
    if not reading.fits(layers, heads):
        raise CheckpointError(
            f"{where} names {reading.describe()}, but the model has {layers} layers with {heads} heads: remove it."
        )
    return reading
