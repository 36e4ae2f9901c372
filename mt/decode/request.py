"""The options of one call of a translator."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from mt.config import DecodeConfig
from mt.config.decode import COUNT_FROM_0, WIDTH, Bound, check_bounds, option
from mt.decode.constraints.glossary import Glossary

MBR_SAMPLES, MBR_EPSILON = 32, 0.02  # the cut-off that Freitag et al. 2023 (arXiv:2305.09860) found best
TEMPERATURE = Bound(
    lambda n: 0 < n < math.inf, "be positive and finite", "above 0 (the limit, always the likeliest piece, is --beam 1)"
)
TOP_P = Bound(lambda n: 0 < n <= 1, "be above 0 and at most 1", "a number above 0 and at most 1")
EPSILON = Bound(lambda n: 0 <= n < 1, "be at least 0 and below 1", "a number of at least 0 and below 1")
SEED = Bound(lambda n: 0 <= n < 1 << 63, "be at least 0 and below 2 ** 63", "a whole number from 0 to 2 ** 63 - 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How tokens are drawn: first the temperature, then the cut-offs, each from the whole tempered distribution. A
    token is kept when all cut-offs keep it; the likeliest token is always kept. (Hugging Face applies one cut-off after
    the other and renormalises in between.)

    temperature: p ** (1 / temperature), renormalised. top_k: Fan et al. 2018 (arXiv:1805.04833). top_p: Holtzman et al.
    2020 (arXiv:1904.09751). epsilon: Hewitt et al. 2022 (arXiv:2210.15191).
    """

    samples: int = field(
        default=1,
        metadata=option(
            "sampling",
            f"of each line; more than 1 implies --jsonl (default: 1, or {MBR_SAMPLES} for --mbr)",
            WIDTH,
            "N",
        ),
    )
    temperature: float = field(
        default=1.0, metadata=option("sampling", "below 1 sharper, above 1 flatter (default: 1)", TEMPERATURE)
    )
    top_k: int = field(default=0, metadata=option("sampling", "only the K likeliest pieces; 0: all", COUNT_FROM_0, "K"))
    top_p: float = field(
        default=1.0,
        metadata=option("sampling", "only the likeliest pieces that together have this probability", TOP_P, "P"),
    )
    epsilon: float = field(
        default=0.0,
        metadata=option(
            "sampling", f"only pieces at least this likely (default: 0, or {MBR_EPSILON} for --mbr)", EPSILON, "P"
        ),
    )
    seed: int = field(
        default=0, metadata=option("sampling", "the same seed draws the same translations (default: 0)", SEED)
    )

    def __post_init__(self) -> None:
        check_bounds(self, "sampling")

    @property
    def cuts(self) -> bool:
        """Whether some tokens are never drawn."""
        return self.top_k > 0 or self.top_p < 1 or self.epsilon > 0


@dataclass(frozen=True, kw_only=True)
class Options:
    """Made by `Translator.options`, which starts from the model's own settings."""

    section: DecodeConfig
    nbest: int = 1
    prefixes: Sequence[str] | None = None  # the beginning of each translation; empty: free
    glossary: Glossary | None = None  # words that must, or must not, appear
    sampling: Sampling | None = None  # draw samples instead of a beam search
    stand_ins: Sequence[Sequence[str]] | None = None  # of each text: a part with no other words than these is copied
    first_text: int = 0  # the number of texts of earlier calls; warnings and random numbers count from it
