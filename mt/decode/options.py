"""What one call asks of a translator, as one object that travels from the door to the search."""

from collections.abc import Sequence
from dataclasses import dataclass

from mt.config import DecodeConfig
from mt.decode.glossary import Glossary
from mt.decode.sample import Sampling


@dataclass(frozen=True, kw_only=True)
class Options:
    """Made by `Translator.options`, which starts from the model's own settings."""

    section: DecodeConfig
    nbest: int = 1
    prefixes: Sequence[str] | None = None  # how the translation of each text begins; empty: as it likes
    glossary: Glossary | None = None  # words that must, or must not, appear
    sampling: Sampling | None = None  # draw translations instead of searching for them
    first_text: int = 0  # how many came in calls before this one: warnings and what is drawn count from there
