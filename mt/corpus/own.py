"""A corpus from files of one's own."""

from pathlib import Path

from mt.config import DataConfig
from mt.corpus.catalog import Corpus
from mt.corpus.pair import Pair
from mt.corpus.readers import infer_languages, read_pairs
from mt.corpus.split import split_pairs
from mt.errors import DataError

DEV_PAIRS = 1000  # held out where no dev set is given, but at most
DEV_SHARE = 0.1  # this share of the training pairs


def read_own(section: DataConfig) -> Corpus:
    """Read `train`, `dev` and `test`; without `dev`, one is held out that shares no sentence with what is left.

    Raises: DataError: when a file cannot be used, or there are too few pairs to hold out a dev set.
    """
    inferred = infer_languages(section.train)
    src, tgt = section.src or (inferred or ("src", "tgt"))[0], section.tgt or (inferred or ("src", "tgt"))[1]
    train = list(read_pairs(section.train, src, tgt))
    dev = list(read_pairs(section.dev, src, tgt)) if section.dev else []
    test = list(read_pairs(section.test, src, tgt)) if section.test else []
    if not dev:
        train, dev = _hold_out(train, section.train[0])
    name = Path(section.train[0]).name.partition(".")[0]
    return Corpus(src, tgt, train, dev, test, name=name, licence="your own files")


def _hold_out(pairs: list[Pair], first_file: str) -> tuple[list[Pair], list[Pair]]:
    try:
        split = split_pairs(pairs, dev=min(DEV_PAIRS, max(1, int(len(pairs) * DEV_SHARE))), test=0)
    except DataError:
        raise DataError(
            f"{first_file}: of its {len(pairs):,} pairs too few share no sentence with the others, so no dev set can "
            "be held out; name one with `data.dev`."
        ) from None
    return split.train, split.dev
