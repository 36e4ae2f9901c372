"""The set that a model is scored on: given files, or the test set of its run."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mt.checkpoint.model_folder import find_run, languages, table_columns
from mt.config import DataConfig, parse_inputs
from mt.config.from_json import from_plain
from mt.data.corpus.catalog import find, read_test
from mt.data.corpus.columns import read_given, unplaced
from mt.data.corpus.names import HUB
from mt.data.corpus.own import languages as own_languages
from mt.data.corpus.own import read_set, with_text
from mt.data.corpus.pair import Pair, fingerprint
from mt.data.corpus.readers import check_order
from mt.errors import CheckpointError, ConfigError, DataError
from mt.train.saved_config import read_config, read_facts
from mt.train.start_folder import from_start, own_name, start_folder

logger = logging.getLogger("mt")


def test_set(model: Path | None, files: list[str] | None, tgt: str | None) -> tuple[list[Pair], str | None]:
    """The pairs to score a model on, and the language of their target side.

    Args: files: the test set; None: that of the model's run. tgt: the language; None: the model's.
    Raises: ConfigError: when there is no test set; DataError: when it cannot be read; CheckpointError: when there is no
    such model.
    """
    try:
        folder = find_run(model)
    except CheckpointError:
        if model is not None or not files:
            raise
        folder = None  # files need no run: translations of another system can be scored on them
    if files:
        named = model or folder
        src, own = languages(named) if named is not None else (None, None)
        check_order(files, src, own, "the model translates")
        columns = table_columns(named) if named is not None else ([], "")
        return list(read_given(files, columns, src, tgt or own)), tgt or own
    if folder is None:
        check_whole(model)
        form = "TABLE" if model is not None and table_columns(model)[0] else "SOURCE TARGET"
        raise ConfigError(
            "this model is not in a run folder, so it has no test set.", hint=f"name one with `--test {form}`."
        )
    data = saved_data(folder)
    src, own = _languages(folder, data)
    try:
        pairs = _read(data, src, own, download=True)
    except DataError as error:
        if all(file.startswith(HUB) or Path(file).exists() for file in data.test):
            raise
        raise DataError(error.message, hint="if the test set is elsewhere now, name it with `--test`.") from error
    if not pairs:
        example = "test.tsv" if data.inputs else f"a.{src} a.{own}"
        raise ConfigError(f"`{folder}` has no test set.", hint=f"name one, as in `--test {example}`.")
    if not is_that_of_training(folder, pairs):
        logger.warning(
            f"the text of the test set is not that which `{folder}` was started with, so these scores are not those of "
            "its test set, and are not kept in its folder."
        )
    return pairs, tgt or own


def check_whole(model: Path | None) -> None:
    """Raises: CheckpointError: when the folder at or above `model` is that of a run with one of its two files only."""
    for place in (model, *model.parents[:2]) if model is not None else ():
        lost = [name for name in ("config.yaml", "manifest.json") if not (place / name).is_file()]
        if len(lost) == 1:
            raise CheckpointError(
                f"the test set of `{place}` is not known, because its `{lost[0]}` is missing.",
                hint="name one with `--test SOURCE TARGET`.",
            )


def saved_data(run: Path) -> DataConfig:
    """The section `data` of a run; names that are relative to the folder in which it was started lead there.

    Raises: CheckpointError, ConfigError: when it is damaged.
    """
    return from_start(*_section(run))


def _section(run: Path) -> tuple[DataConfig, Path]:
    """The section `data` of a run as it was saved, and the folder from which its relative names count."""
    saved = read_config(run / "config.yaml")
    data = from_plain(DataConfig, saved.get("data"), f"{run}/config.yaml: `data`")
    return data, start_folder(run, own_name(run, saved), data)


def _languages(run: Path, data: DataConfig) -> tuple[str, str]:
    """Those of the run's manifest, or else of its settings and the names of its files."""
    told = read_facts(run / "manifest.json")
    src, tgt = told.get("src"), told.get("tgt")
    if isinstance(src, str) and isinstance(tgt, str):
        return src, tgt
    if data.train:
        return own_languages(data)
    entry = find(str(data.corpus))
    return entry.src, entry.tgt


def test_of_run(run: Path) -> list[Pair]:
    """The test set of a run, without its other text and without a download; empty: it has none.

    Raises: DataError: when its files cannot be read any more; CheckpointError, ConfigError: as `saved_data`.
    """
    data = saved_data(run)
    return _read(data, *_languages(run, data), download=False)


def _read(data: DataConfig, src: str, tgt: str, *, download: bool) -> list[Pair]:
    if not data.train:
        return read_test(str(data.corpus), Path(data.root), download=download)
    return with_text(list(read_set(data.test, data, src, tgt)), "test") if data.test else []


def is_that_of_training(run: Path, pairs: Sequence[Pair]) -> bool:
    """Whether the text of a test set is that which the run was started with; true if its manifest does not say."""
    facts = read_facts(run / "manifest.json").get("data")
    facts = facts if isinstance(facts, dict) else {}
    known = facts.get("test_fingerprint")
    if known is None or known == fingerprint(pairs):
        return True
    data, start = _section(run)
    if not data.inputs:
        return False
    written = facts.get("as_written")
    if isinstance(written, dict):
        return written.get("test_fingerprint") == fingerprint(unplaced(pairs, parse_inputs(data.inputs)))
    # An older manifest: file names in the cells of a table begin with the folder of the table, as the run named it.
    cells = ([cell.removeprefix(f"{start}/") for cell in pair.src.split("\t")] for pair in pairs)
    named = [replace(pair, src="\t".join(row)) for row, pair in zip(cells, pairs, strict=True)]
    return known == fingerprint(named)
