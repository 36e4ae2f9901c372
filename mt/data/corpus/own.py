"""A corpus from the user's own files."""

import logging
from collections.abc import Iterator
from pathlib import Path

from mt.config import DataConfig, parse_inputs
from mt.data.corpus.catalog import Corpus
from mt.data.corpus.columns import check_table, read_table
from mt.data.corpus.names import corpora, corpus_name, kind_of
from mt.data.corpus.pair import Pair
from mt.data.corpus.readers import check_columns, check_order, infer_languages, plan, read_pairs
from mt.data.corpus.split import fold, split_pairs
from mt.errors import DataError, counted
from mt.progress import Waiting
from mt.text.languages import check_code, has_name

DEV_PAIRS = 1000  # held out if no dev set is given,
DEV_SHARE = 0.1  # but at most this share of the training pairs
UNKNOWN = ("src", "tgt")  # languages that neither settings nor file names give

logger = logging.getLogger("mt")


def read_own(section: DataConfig) -> Corpus:
    """Read `train`, `dev` and `test`. Without `dev`, pairs are held out that share no sentence with those that stay.

    Raises: DataError: when a file cannot be used, or there are too few pairs to hold out a dev set.
    """
    check_files(section)
    warn_of_pipes([*section.train, *section.dev, *section.test])
    src, tgt = languages(section)
    if not section.inputs:
        for files in (section.train, section.dev, section.test):  # of which the settings say nothing
            check_order(files, src, tgt, "the training text goes from")
    with Waiting("reading the text", plain=True) as wait:
        train, dev, test = (
            list(wait.each(read_set(files, section, src, tgt))) for files in (section.train, section.dev, section.test)
        )
    dev, test = with_text(dev, "dev"), with_text(test, "test")
    warn_of_known(train, {"dev": dev, "test": test})
    if not dev:
        train, dev = _hold_out(train, section.train[0])
    name = corpus_name(section.train, (src, tgt) if (src, tgt) != UNKNOWN else None)
    return Corpus(src, tgt, train, dev, test, name=name, licence="not stated")


def read_set(files: list[str], section: DataConfig, src: str | None, tgt: str | None) -> Iterator[Pair]:
    """The pairs of some files, by the settings. No files, no pairs."""
    if section.inputs:
        return read_table(files, parse_inputs(section.inputs), str(section.target or section.tgt))
    return read_pairs(files, src, tgt, section.columns) if files else iter(())


def with_text(pairs: list[Pair], name: str) -> list[Pair]:
    """The pairs of a dev or test set that have text on both sides; the others are counted in a warning.

    Raises: DataError: when there are none, though the set was given.
    """
    kept = [pair for pair in pairs if pair.src.strip() and pair.tgt.strip()]
    empty = next((pair for pair in pairs if not (pair.src.strip() and pair.tgt.strip())), None)
    if empty is None:
        return kept
    side = "source" if not empty.src.strip() else "target"
    if not kept:
        raise DataError(f"`data.{name}`: no pair has text on both sides; {empty.origin} has an empty {side}.")
    logger.warning(
        f"{counted(len(pairs) - len(kept), f'{name} pair')} with an empty side left out; the first is {empty.origin}, "
        f"whose {side} is empty. If blank lines shifted one of the files, its scores mean nothing."
    )
    return kept


def languages(section: DataConfig) -> tuple[str, str]:
    """As the settings or else the names of the files say, or else "src" and "tgt", with a warning.

    Raises: DataError: when the names say the opposite of the settings.
    """
    if section.inputs:
        return section.src or "+".join(one.column for one in parse_inputs(section.inputs)), section.tgt or UNKNOWN[1]
    check_order(section.train, section.src, section.tgt, "`data.src` and `data.tgt` say")
    inferred = infer_languages(section.train)
    src, tgt = inferred or UNKNOWN
    for key, given in (("`data.src`", section.src), ("`data.tgt`", section.tgt)):
        if given and has_name(given):
            check_code(given, key)
    if not inferred and not (section.src and section.tgt):
        named = dict.fromkeys(filter(None, map(infer_languages, corpora(section.train))))
        several = " and ".join(f"{one} to {other}" for one, other in named)
        logger.warning(
            f"the file names {f'say {several}' if len(named) > 1 else 'do not say which languages these are'}; set "
            "`data.src` and `data.tgt`, which decide how BLEU splits words"
        )
    return section.src or src, section.tgt or tgt


def check_files(section: DataConfig) -> None:
    """Raise `DataError` for a file that is missing, has no partner, or is named as both sides. Reads no file."""
    check_columns([*section.train, *section.dev, *section.test], section.columns, "`data.columns`")
    for files in (section.train, section.dev, section.test):
        if section.inputs:
            for file in files:
                check_table(file)
            continue
        check_sides(files)
        if files:
            plan(files, section.src, section.tgt, section.columns)


def check_sides(files: list[str]) -> None:
    """Raise `DataError` if one plain file is named as both sides."""
    plain = [file for file in files if not kind_of(file)]
    for source, target in zip(plain[::2], plain[1::2], strict=False):
        if Path(source) == Path(target):
            raise DataError(f"`{source}` is named as both source and target.", hint="name one file for each language.")


def warn_of_pipes(files: list[str]) -> None:
    """Say before the training, and not at its restart, that text from a pipe can be read once only."""
    pipes = [file for file in files if Path(file).exists() and not (Path(file).is_file() or Path(file).is_dir())]
    if pipes:
        logger.warning(
            f"`{pipes[0]}` is a pipe, which can be read once: a run that is stopped cannot go on. To be able to, write "
            "the text to a file first."
        )


def warn_of_known(train: list[Pair], held: dict[str, list[Pair]]) -> None:
    """Warn of pairs of dev and test that are also in the training text, but for case and punctuation."""
    keys = {name: [(fold(pair.src), fold(pair.tgt)) for pair in pairs] for name, pairs in held.items()}
    wanted = {src for folded in keys.values() for src, _ in folded}
    if not wanted:
        return
    sides = ((fold(pair.src), pair.tgt) for pair in train)  # few sources match, and only their targets are folded
    known = {(src, fold(tgt)) for src, tgt in sides if src in wanted}
    counts = {name: sum(key in known for key in folded) for name, folded in keys.items()}
    if any(counts.values()):
        found = " and ".join(counted(count, f"{name} pair") for name, count in counts.items() if count)
        logger.warning(f"the training text also contains {found}; scores on them are too good")


def _hold_out(pairs: list[Pair], first_file: str) -> tuple[list[Pair], list[Pair]]:
    try:
        split = split_pairs(pairs, dev=min(DEV_PAIRS, max(1, int(len(pairs) * DEV_SHARE))), test=0)
    except DataError:
        raise DataError(
            f"{first_file}: no dev set can be held out, because too few of its {counted(len(pairs), 'pair')} share no "
            "sentence with the others.",
            hint="name a dev set with `data.dev`.",
        ) from None
    if split.dropped:
        logger.info(f"left out {counted(split.dropped, 'training pair')} with a sentence of the dev set")
    return split.train, split.dev
