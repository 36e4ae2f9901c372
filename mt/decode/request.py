"""The options of one call of a translator."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypedDict

from mt.config import DecodeConfig, LengthNorm, Split, Unknown
from mt.config.decode import COUNT_FROM_0, WIDTH, Bound, check_bounds, check_lengths, setting
from mt.config.from_json import from_plain
from mt.decode.constraints.glossary import Constraints, Glossary
from mt.errors import ConfigError, check_texts

MBR_SAMPLES, MBR_EPSILON = 32, 0.02  # the cut-off that Freitag et al. 2023 (arXiv:2305.09860) found best
LENGTHS = {"min_length", "max_length", "min_ratio", "max_ratio"}
TEMPERATURE = Bound(
    lambda n: 0 < n < math.inf, "be positive and finite", "above 0 (the limit, always the likeliest piece, is --beam 1)"
)
TOP_P = Bound(lambda n: 0 < n <= 1, "be above 0 and at most 1", "a number above 0 and at most 1")
EPSILON = Bound(lambda n: 0 <= n < 1, "be at least 0 and below 1", "a number of at least 0 and below 1")
SEED = Bound(lambda n: 0 <= n < 1 << 63, "be at least 0 and below 2 ** 63", "a whole number from 0 to 2 ** 63 - 1")
OnProgress = Callable[[int, int], object]  # how many parts of the texts are translated, and of how many


class SearchSettings(TypedDict, total=False):
    """The settings of `DecodeConfig` as keyword arguments of one call; None: as the model has it.

    Lengths count pieces, as the vocabulary divides words. Samples are drawn without a beam; of these settings they
    depend on lengths and rules only.
    """

    beam: int | None  # hypotheses kept at each step; 1 is greedy
    length_penalty: float | None  # scores are log p / length ** this; more gives longer translations
    # gnmt: log p / ((5 + length) / 6) ** penalty; none: log p
    length_norm: LengthNorm | Literal["average", "gnmt", "none"] | None
    min_ratio: float | None  # at least so many pieces for each of the source
    min_length: int | None  # at least so many pieces, eos not counted
    max_ratio: float | None  # at most so many pieces for each of the source, and `max_extra`
    max_extra: int | None
    max_length: int | None  # at most so many pieces, with eos
    groups: int | None  # diverse beam search with so many groups; divides `beam`
    diversity: float | None  # what a group pays for a piece that an earlier group has chosen
    coverage_penalty: float | None  # for source words without attention: 0.05 to 0.2 where output is too short
    no_repeat_ngram: int | None  # no so many pieces in a row come twice; 0: they may
    unknown: Unknown | Literal["keep", "ban"] | None  # ban: the unknown piece is never written
    split: Split | Literal["auto", "always", "never"] | None  # by sentences; auto: where a text is unusually long
    patience: float | None  # so many times `beam` ends, and none open ahead of them, end a sentence; math.inf: exact
    batch_tokens: int | None  # source pieces translated together


def changed(section: DecodeConfig, settings: SearchSettings) -> DecodeConfig:
    """The settings of a model with those of a call in their place. Raises: ConfigError."""
    given = {name: value for name, value in settings.items() if value is not None}
    if given.get("beam") == 1:
        given.setdefault("groups", 1)  # greedy search: one hypothesis has no other to differ from
    found = from_plain(DecodeConfig, {**asdict(section), **given}, "a translation")
    if not LENGTHS.isdisjoint(given):
        check_lengths(found)
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How tokens are drawn: first the temperature, then the cut-offs, each from the whole tempered distribution. A
    token is kept when all cut-offs keep it; the likeliest token is always kept. (Hugging Face applies one cut-off after
    the other and renormalises in between.)

    temperature: p ** (1 / temperature), renormalised. top_k: Fan et al. 2018 (arXiv:1805.04833). top_p: Holtzman et al.
    2020 (arXiv:1904.09751). epsilon: Hewitt et al. 2022 (arXiv:2210.15191).
    """

    samples: int = setting(
        1, "sampling", f"of each line; more than 1 implies --jsonl (default: 1, or {MBR_SAMPLES} for --mbr)", WIDTH, "N"
    )
    temperature: float = setting(1.0, "sampling", "below 1 sharper, above 1 flatter (default: 1)", TEMPERATURE)
    top_k: int = setting(0, "sampling", "only the K likeliest pieces; 0: all", COUNT_FROM_0, "K")
    top_p: float = setting(1.0, "sampling", "only the likeliest pieces that together have this probability", TOP_P, "P")
    epsilon: float = setting(
        0.0, "sampling", f"only pieces at least this likely (default: 0, or {MBR_EPSILON} for --mbr)", EPSILON, "P"
    )
    seed: int = setting(0, "sampling", "the same seed draws the same translations (default: 0)", SEED)

    def __post_init__(self) -> None:
        check_bounds(self, "sampling")

    @property
    def cuts(self) -> bool:
        """Whether some tokens are never drawn."""
        return self.top_k > 0 or self.top_p < 1 or self.epsilon > 0


class TranslateOptions(SearchSettings, total=False):
    """All options of `Translator.translate` and `search`."""

    prefixes: Sequence[str] | None  # the beginning of the translation of each text; empty: none
    glossary: Glossary | None  # terms that must, or must not, appear
    sampling: Sampling | None  # draw translations instead of searching for them
    on_progress: OnProgress | None  # called after each batch


@dataclass(frozen=True, kw_only=True)
class Options:
    """Made by `Translator.options`, which starts from the model's own settings."""

    section: DecodeConfig
    nbest: int = 1
    prefixes: Sequence[str] | None = None  # the beginning of each translation; empty: free
    glossary: Glossary | None = None  # words that must, or must not, appear
    sampling: Sampling | None = None  # draw samples instead of a beam search
    stand_ins: Sequence[Sequence[str]] | None = None  # of each text: a part with no other words than these is copied
    on_progress: OnProgress | None = None
    first_text: int = 0  # the number of texts of earlier calls; warnings and random numbers count from it
    details: bool = True  # log-probabilities of single pieces, which cost some engines one more pass
    recut: bool = True  # what is not translated whole is cut again, or named in a warning
    names: Sequence[object] = ()  # of rows of a table, for errors and warnings; empty: they are numbered

    def __post_init__(self) -> None:
        """Raises: ConfigError: for an argument of another type."""
        if self.prefixes is not None:
            check_texts(prefixes=self.prefixes)
        kinds = (("glossary", Glossary, '`Glossary.read("terms.tsv")`'), ("sampling", Sampling, "`Sampling(seed=1)`"))
        for name, kind, example in kinds:
            if (given := getattr(self, name)) is not None and not isinstance(given, kind):
                raise ConfigError(f"`{name}` must be a `{kind.__name__}`, but is {given!r}.", hint=f"give {example}.")

    def for_one(self, names: Sequence[object]) -> "Options":
        """The same, for the text of the best translation alone. Raises: ConfigError: where several are asked for."""
        drawn = self.sampling.samples if self.sampling else 1
        for name, count, given in (("nbest", self.nbest, f"nbest={self.nbest}"), ("samples", drawn, "sampling=...")):
            if count != 1:
                raise ConfigError(
                    f"`translate` returns one translation of each text, but `{name}` is {count}.",
                    hint=f"`search(texts, {given})` returns a list of translations of each.",
                )
        return replace(self, details=False, names=names)

    def name(self, place: int) -> str:
        """What messages call a text."""
        return f"{self.names[place]}" if self.names else f"input {self.first_text + place + 1:,}"

    def constraints(self, text: str) -> Constraints:
        """What the glossary asks of the translation of a text."""
        return self.glossary.constraints(text) if self.glossary else Constraints()

    @property
    def of_drafts(self) -> "Options":
        """The same, but greedy: to see how likely a translation is."""
        section = replace(self.section, beam=1, groups=1, coverage_penalty=0.0, min_length=0)
        return replace(self, section=section, nbest=1, on_progress=None, details=False)
