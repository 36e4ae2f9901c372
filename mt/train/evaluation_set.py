"""The set that a model is scored on: given files, or the test set of its run."""

from pathlib import Path

from mt.checkpoint.model_folder import find_run, languages, table_columns
from mt.config import DataConfig
from mt.config.from_json import from_plain
from mt.data.corpus.catalog import stored_test
from mt.data.corpus.columns import read_given
from mt.data.corpus.own import languages as own_languages
from mt.data.corpus.own import read_set, with_text
from mt.data.corpus.pair import Pair
from mt.data.corpus.readers import check_order
from mt.data.prepare import read_corpus
from mt.errors import CheckpointError, ConfigError
from mt.train.saved_config import read_config


def test_set(model: Path | None, files: list[str] | None, tgt: str | None) -> tuple[list[Pair], str | None]:
    """The pairs to score a model on, and the language of their target side.

    Args: files: the test set; None: that of the model's run. tgt: the language, if no model gives one.
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
        raise ConfigError(
            "this model is not in a run folder, so it has no test set.", hint="name one with `--test SOURCE TARGET`."
        )
    corpus = read_corpus(saved_data(folder))
    if not corpus.test:
        raise ConfigError(
            f"`{folder}` has no test set.", hint=f"name one, as in `--test a.{corpus.src} a.{corpus.tgt}`."
        )
    return corpus.test, corpus.tgt


def saved_data(run: Path) -> DataConfig:
    """The section `data` of a run. Raises: CheckpointError, ConfigError: when it is damaged."""
    saved = read_config(run / "config.yaml")
    return from_plain(DataConfig, saved.get("data"), f"{run}/config.yaml: `data`")


def test_of_run(run: Path) -> list[Pair]:
    """The test set of a run, without its other text and without a download; empty: it has none.

    Raises: DataError: when its files cannot be read any more; CheckpointError, ConfigError: as `saved_data`.
    """
    data = saved_data(run)
    if not data.train:
        return stored_test(str(data.corpus), Path(data.root))
    if not data.test:
        return []
    return with_text(list(read_set(data.test, data, *own_languages(data))), "test")
