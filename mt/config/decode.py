"""The settings of a translation. Each field has its default, its bounds, and its help as an option of a command.

`bounded` and `check_bounds` serve the other sections, too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args

from mt.config.enums import LengthNorm, Split, Unknown
from mt.errors import require

# metadata of a setting that old model folders lack: `from_plain` gives it its default, or the value `before`
LATER: dict[str, Any] = {"later": True}
# metadata of a setting that only our own search honours: other engines need its default
OWN_SEARCH: dict[str, Any] = {"own_search": True}


@dataclass(frozen=True, slots=True)
class Bound:
    """The numbers that a setting may have."""

    fits: Callable[[float], bool]
    must: str  # the error for a setting: "must ..."
    wanted: str  # the error for an option: "must be ..."
    most: float = math.inf  # far above any use, and below what exhausts a machine's memory
    endless: bool = False  # whether an option may be inf

    def up_to(self, most: int) -> "Bound":
        """The same numbers, but at most `most`."""
        return replace(self, most=most, wanted=f"{self.wanted} and at most {most:,}")


COUNT = Bound(lambda n: n > 0, "be positive", "a whole number of at least 1")
WIDTH = Bound(lambda n: n > 0, "be positive", "a whole number from 1 to 1,000", 1000)
COUNT_FROM_0 = Bound(lambda n: n >= 0, "not be negative", "a whole number of at least 0")
POSITIVE = Bound(lambda n: n > 0, "be positive", "a number above 0")
FROM_0 = Bound(lambda n: n >= 0, "not be negative", "a number of at least 0")
FROM_1 = Bound(lambda n: n >= 1, "be at least 1", "a number of at least 1")
PATIENCE = Bound(lambda n: n > 0, "be positive", "a number above 0, or inf", endless=True)
SHARE = Bound(lambda n: 0 <= n <= 1, "lie in [0, 1]", "a number from 0 to 1")
BELOW_1 = Bound(lambda n: 0 <= n < 1, "lie in [0, 1)", "a number from 0 to below 1")


@dataclass(frozen=True, slots=True)
class Option:
    """A field as an option of a command. Its name and type are the field's."""

    group: str  # of options in a command's help; "": no option
    help: str
    bound: Bound | None = None  # None: the setting is an enum
    metavar: str | None = None


def setting(
    default: Any, group: str, help: str, bound: Bound | None = None, metavar: str | None = None, **metadata: Any
) -> Any:
    """A field with an `Option`. Args: metadata: more of it, such as `LATER`."""
    return bounded(default, bound, option=Option(group, help, bound, metavar), **metadata)


def bounded(default: Any, bound: Bound | None, **metadata: Any) -> Any:
    """A field whose value `check_bounds` checks. Args: metadata: more of it, such as `LATER`."""
    return field(default=default, metadata={"bound": bound, **metadata})


def options_of(section: type, group: str = "") -> dict[str, Option]:
    """The options among the fields of a dataclass, by name: those of a group, or of all groups."""
    found = {f.name: f.metadata["option"] for f in fields(section) if "option" in f.metadata}
    return {name: one for name, one in found.items() if one.group and group in ("", one.group)}


def own_search(section: Any) -> list[str]:
    """The names of the settings whose values only our own search honours."""
    return [f.name for f in fields(section) if "own_search" in f.metadata and getattr(section, f.name) != f.default]


def check_bounds(section: Any, name: str) -> None:
    """Raises: ConfigError: for the first field of a dataclass whose value is out of its bound."""
    for f in fields(section):
        bound, value = f.metadata.get("bound"), getattr(section, f.name)
        nullable = type(None) in get_args(f.type)
        if bound is not None and not (nullable and value is None):
            require(bound.fits(value), f"{name}.{f.name}", bound.must + (" or null" if nullable else ""), value)
            require(value <= bound.most, f"{name}.{f.name}", f"be at most {bound.most:,}", value)


def check_lengths(section: "DecodeConfig") -> None:
    """Raises: ConfigError: for a shortest output that is longer than the longest one.

    Not a check of `DecodeConfig` itself: the longest output that a model can write is no contradiction of the user's,
    and model folders that were written before this check load.
    """
    most = section.max_length
    if most is not None:
        says = f"be below `decode.max_length` ({most}), which counts the end mark"
        hint = f"take at most {most - 1}, or raise `decode.max_length`."
        require(section.min_length < most, "decode.min_length", says, section.min_length, hint=hint)
    hint = "lower it, or raise `decode.max_ratio`."
    says = f"be at most `decode.max_ratio` ({section.max_ratio:g})"
    require(section.min_ratio <= section.max_ratio, "decode.min_ratio", says, section.min_ratio, hint=hint)


@dataclass(kw_only=True, slots=True)
class DecodeConfig:
    """How a trained model translates by default. Lengths count pieces, the end mark included."""

    beam: int = setting(5, "beam", "hypotheses kept at each step; 1 is greedy search", WIDTH)
    length_penalty: float = setting(  # larger powers of long lengths overflow
        1.0, "beam", "exponent P of a score, log p / length ** P", FROM_0.up_to(50), "P"
    )
    length_norm: LengthNorm = setting(
        LengthNorm.average, "beam",
        "average: scores are log p / length ** P; gnmt: log p / ((5 + length) / 6) ** P; none: log p",
        **LATER, **OWN_SEARCH,
    )  # fmt: skip
    min_ratio: float = setting(0.0, "length", "at least R pieces per source piece", FROM_0.up_to(100), "R", **LATER)
    min_length: int = setting(
        0, "length", "at least N pieces, without the end mark", COUNT_FROM_0.up_to(100_000), "N", **LATER
    )
    max_ratio: float = setting(
        2.0, "length", "at most R pieces per source piece, and max_extra", POSITIVE.up_to(100), "R"
    )
    max_extra: int = setting(
        10, "", "the longest output is max_ratio * source pieces + this", COUNT_FROM_0.up_to(100_000)
    )
    max_length: int | None = setting(
        None, "length", "at most N pieces, with the end mark", COUNT.up_to(1_000_000), "N", **LATER
    )
    groups: int = setting(
        1, "beam", "diverse beam search with N groups; --beam must be a multiple", COUNT, "N", **LATER, **OWN_SEARCH
    )
    diversity: float = setting(
        0.5, "beam", "penalty of a group for pieces that earlier groups chose", FROM_0, "D", **LATER
    )
    coverage_penalty: float = setting(
        0.0, "beam", "penalty for source words without attention; try 0.05 to 0.2 if translations are too short",
        FROM_0, "B", **LATER, **OWN_SEARCH,
    )  # fmt: skip
    no_repeat_ngram: int = setting(
        0, "rules", "never repeat N pieces in a row; 0: no such rule", COUNT_FROM_0, "N", **LATER
    )
    unknown: Unknown = setting(Unknown.keep, "rules", "ban: never produce the unknown piece", **LATER)
    split: Split = setting(
        Split.auto, "rules",
        "auto: translate lines that are longer, or have more sentences, than usual in the training text in parts: "
        "by sentences, then by clauses (not with a model of summaries); always: all lines by sentences, also where "
        "no mark shows an end; never: each line as one sentence", **LATER,
    )  # fmt: skip
    patience: float | None = setting(
        1.0, "beam",
        "stop a sentence once P * beam hypotheses are finished; inf: only when no unfinished one can win, which is "
        "exact and takes 1.1 to 1.7 times as long",
        PATIENCE, "P", **LATER, before=None,  # the rule of model folders that do not name one
    )  # fmt: skip
    batch_tokens: int = setting(4096, "", "source pieces translated together", COUNT.up_to(10_000_000))

    def __post_init__(self) -> None:
        if self.patience == math.inf:
            self.patience = None  # the same rule; JSON has no infinity
        check_bounds(self, "decode")
        fits = self.beam % self.groups == 0
        hint = f"take a beam that is a multiple of {self.groups}, or 1 group."
        require(fits, "decode.groups", f"be positive and divide `decode.beam` ({self.beam})", self.groups, hint=hint)
