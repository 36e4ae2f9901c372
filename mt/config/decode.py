"""The settings of a translation. Each is stated once: its field has its default, its check, and what a door that offers
it as an option says about it (`mt translate --help`)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, get_args

from mt.config.enums import LengthNorm, Split, Unknown
from mt.errors import require

# of a setting that the first model folders lack: `from_plain` gives it its default, or what `before` says
LATER = {"later": True}
WIDEST = 1000  # hypotheses: a slip of ten times more takes a machine's memory


@dataclass(frozen=True, slots=True)
class Bound:
    """Which numbers a setting takes."""

    fits: Callable[[float], bool]
    must: str  # how a setting's refusal goes on after "must"
    wanted: str  # how an option's refusal goes on after "must be"
    most: float = math.inf  # for an option of one command
    endless: bool = False  # whether an option may be inf


COUNT = Bound(lambda n: n > 0, "be positive", "a whole number of at least 1")
WIDTH = Bound(lambda n: n > 0, "be positive", f"a whole number from 1 to {WIDEST:,}", WIDEST)
COUNT_FROM_0 = Bound(lambda n: n >= 0, "not be negative", "a whole number of at least 0")
POSITIVE = Bound(lambda n: n > 0, "be positive", "a number above 0")
FROM_0 = Bound(lambda n: n >= 0, "not be negative", "a number of at least 0")
PATIENCE = Bound(lambda n: n > 0, "be positive", "a number above 0, or inf", endless=True)
SHARE = Bound(lambda n: 0 <= n <= 1, "lie in [0, 1]", "a number from 0 to 1")


@dataclass(frozen=True, slots=True)
class Option:
    """What a field says of itself as an option. Its name is the field's, its type the field's type."""

    group: str  # under which heading a command's help has it; "": it is no option of a command
    help: str
    bound: Bound | None = None  # None: one of the members of an enum
    metavar: str | None = None


def option(group: str, help: str, bound: Bound | None = None, metavar: str | None = None) -> dict[str, Any]:
    """The metadata of a field that is an option; see `Option`."""
    return {"option": Option(group, help, bound, metavar)}


def options_of(section: type, group: str = "") -> dict[str, Option]:
    """The fields of a dataclass that are options of a command, by name: those of a group, or of all groups."""
    found = {f.name: f.metadata["option"] for f in fields(section) if "option" in f.metadata}
    return {name: one for name, one in found.items() if one.group and group in ("", one.group)}


def check_bounds(section: Any, name: str) -> None:
    """Raises: ConfigError: for the first field of a dataclass whose value is out of its bound."""
    for f in fields(section):
        bound, value = f.metadata["option"].bound if "option" in f.metadata else None, getattr(section, f.name)
        nullable = type(None) in get_args(f.type)
        if bound is not None and not (nullable and value is None):
            require(bound.fits(value), f"{name}.{f.name}", bound.must + (" or null" if nullable else ""), value)


@dataclass(kw_only=True, slots=True)
class DecodeConfig:
    """How a trained model translates, unless a command says otherwise. Lengths count pieces, the end mark included."""

    beam: int = field(default=5, metadata=option("beam", "hypotheses kept at each step; 1 is greedy", WIDTH))
    length_penalty: float = field(default=1.0, metadata=option("beam", "scores are log p / length ** this", FROM_0))
    length_norm: LengthNorm = field(
        default=LengthNorm.average,
        metadata=option("beam", "gnmt: scores are log p / ((5 + length) / 6) ** penalty; none: log p") | LATER,
    )
    min_ratio: float = field(
        default=0.0, metadata=option("length", "at least so many for each of the source", FROM_0) | LATER
    )
    min_length: int = field(
        default=0, metadata=option("length", "at least so many, the end mark not counted", COUNT_FROM_0) | LATER
    )
    max_ratio: float = field(
        default=2.0, metadata=option("length", "at most so many for each of the source, and some", POSITIVE)
    )
    max_extra: int = field(
        default=10, metadata=option("", "the longest output is max_ratio * source pieces + this", COUNT_FROM_0)
    )
    max_length: int | None = field(
        default=None, metadata=option("length", "at most so many, with the end mark", COUNT) | LATER
    )
    groups: int = field(
        default=1, metadata=option("beam", "diverse beam search with so many groups; divides --beam", COUNT) | LATER
    )
    diversity: float = field(
        default=0.5, metadata=option("beam", "what a group pays for saying what an earlier one says", FROM_0) | LATER
    )
    coverage_penalty: float = field(
        default=0.0,
        metadata=LATER
        | option(
            "beam",
            "what leaving out a part of the source costs: 0.05 to 0.2 where output is too short",
            FROM_0,
            "B",
        ),
    )
    no_repeat_ngram: int = field(
        default=0, metadata=option("rules", "no N pieces in a row come twice; 0: they may", COUNT_FROM_0, "N") | LATER
    )
    unknown: Unknown = field(
        default=Unknown.keep, metadata=option("rules", "ban: the unknown piece is never written") | LATER
    )
    split: Split = field(
        default=Split.auto,
        metadata=LATER
        | option(
            "rules",
            "auto: lines with more sentences, or longer, than those the model was trained on are translated in parts: "
            "by sentences, then by clauses; always: all lines; never: a line is one sentence",
        ),
    )
    patience: float | None = field(
        default=1.0,
        metadata=LATER
        | {"before": None}  # the rule of model folders that do not name one
        | option(
            "beam",
            "a sentence is done when P * beam hypotheses have ended; inf: when no open one can still win, the exact "
            "rule, which takes 1.1 to 1.7 times as long",
            PATIENCE,
            "P",
        ),
    )
    batch_tokens: int = field(default=4096, metadata=option("", "source pieces translated together", COUNT))

    def __post_init__(self) -> None:
        if self.patience == math.inf:
            self.patience = None  # the same rule; JSON has no infinity
        check_bounds(self, "decode")
        # with more, the longest lengths to that power are no numbers of a computer
        require(self.length_penalty <= 50, "decode.length_penalty", "be at most 50", self.length_penalty)
