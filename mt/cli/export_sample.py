"""The sentences that an export is verified on."""

import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from mt.checkpoint.model_folder import find_run
from mt.data.corpus.catalog import CATALOG, locate
from mt.data.corpus.names import HUB, check_language
from mt.data.corpus.readers import check_order, read_pairs
from mt.decode.translator import Translator
from mt.errors import MtError, counted
from mt.interchange.verify import MOST, Sample, own_sample
from mt.train.evaluation_set import saved_data

logger = logging.getLogger("mt")
READ = 20 * MOST  # lines at most; `MOST` of them are taken, evenly spread


def choose_sample(translator: Translator, model: Path | None, files: Sequence[str], src: str, tgt: str) -> Sample:
    """From the given files, else from those of the model's run, else made of the model's own vocabulary.

    Args: model: None: the newest run; files: sources, or sources and references; empty: none are given.
    Raises: DataError: when given files cannot be read, or are named as of the other direction.
    """
    if len(files) == 1:
        from mt.cli.lines import file_texts

        check_language(files[0], src, tgt, "source")
        sources = file_texts(files[0], READ)
        return Sample(sources, [], _origin(len(sources), files[0]))
    if files:
        check_order(files, src, tgt, "the model translates")
        return _from_pairs(files, src, tgt)
    folder = find_run(model)
    try:
        found = None if folder is None else _of_run(folder)
    except MtError as error:
        logger.info(f"the text of the run cannot be read: {error}")
        found = None
    return found or own_sample(translator)


def _of_run(folder: Path) -> Sample | None:
    """The dev set of a run, else its test set, else its training text; None: they are elsewhere. Fetches nothing."""
    data = saved_data(folder)
    if data.train:
        sets = [data.dev, data.test, data.train]
    else:
        entry = CATALOG[str(data.corpus)]
        place = Path(data.root) / entry.folder
        if not place.is_dir():
            return None
        sets = [[locate(file, place, entry.advice) for file in some] for some in (entry.dev, entry.test)]
    for files in sets:
        if files and all(Path(file).exists() for file in files if not file.startswith(HUB)):
            return _from_pairs(files, data.src, data.tgt, data.columns)
    return None


def _from_pairs(files: Sequence[str], src: str | None, tgt: str | None, columns: Sequence[str] = ()) -> Sample:
    pairs = list(islice(read_pairs(files, src, tgt, columns), READ))
    return Sample([pair.src for pair in pairs], [pair.tgt for pair in pairs], _origin(len(pairs), files[0]))


def _origin(number: int, file: str) -> str:
    return f"{counted(min(number, MOST), 'sentence')} of {Path(file).name}"
