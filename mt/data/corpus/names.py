"""The format, the language and the corpus that the name of a file gives."""

import re
from collections.abc import Sequence
from pathlib import Path

from mt.errors import DataError
from mt.text.languages import NAMES, plain_code

HUB = "hub:"
HUB_FORM = re.compile(r"hub:([^/@]+/[^/@]+)(?:/([^/@]+))?(?:@([^/@]+))?")
FOLDER = "folder"
BOTH_SIDES = (".tsv", ".csv", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx", ".tmx", ".xlf", ".xliff", ".po")
TABLES = (".tsv", ".csv", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx", HUB)  # files with columns
COMPRESSED = (".gz", ".xz", ".zst", ".bz2")
LANGUAGE = re.compile(r"(^|\.)([a-z]{2,3}(?:[-_][A-Za-z]{2,4}){0,2})$")
# After a language, as in `newstest-ref.zho.txt` and `zho_Hans.devtest`.
AFTER_LANGUAGE = re.compile(
    r"(\.(txt|text|dev|devtest|valid|test|train|tok|ref|src|tgt|hyp|raw|clean))+$", re.IGNORECASE
)
SIDE = re.compile(r"(?<![a-z])(src|source|ref|reference|tgt|trg|target)(?![a-z])", re.IGNORECASE)
COMMON_NAMES = {
    "all", "bitext", "clean", "corpora", "corpus", "data", "dataset", "files", "full", "pairs", "parallel", "raw",
    "sentences", "source", "src", "target", "text", "texts", "tgt", "tmp", "tok", "train", "training",
}  # fmt: skip
NOT_LANGUAGES = {"csv", "dat", "doc", "hyp", "log", "md", "raw", "ref", "src", "tgt", "tok", "trg", "txt"}


def kind_of(file: str) -> str:
    """The format of a file that holds both sides, as its suffix; "hub:" or "folder"; "" for a plain file."""
    if file.startswith(HUB):
        return HUB
    suffix = Path(bare(file)).suffix.lower()
    if suffix in BOTH_SIDES:
        return suffix
    return FOLDER if Path(file).is_dir() else ""


def corpora(files: Sequence[str]) -> list[list[str]]:
    """The files corpus by corpus: a file with both sides, or two."""
    waiting, found = list(files), []
    while waiting:
        count = 1 if kind_of(waiting[0]) else 2
        found.append(waiting[:count])
        waiting = waiting[count:]
    return found


def corpus_name(files: Sequence[str], languages: tuple[str, str] | None = None) -> str:
    """The name of a corpus of these files: "news", "news+books", or "news+3" for more than two.

    A file with a common name, such as `train.en`, is named after the first folder above it that has no common name,
    else after the `languages`.
    """
    told = (file for group in corpora(files) for file in group if file is group[0] or kind_of(file))
    first, *others = dict.fromkeys(_telling_name(file, languages) for file in told)
    return "+".join([first, *others] if len(others) < 2 else [first, str(len(others))])


def _telling_name(file: str, languages: tuple[str, str] | None) -> str:
    name, form = name_of(file), HUB_FORM.fullmatch(file)
    if form or name.lower() not in COMMON_NAMES:
        return name
    folders = (folder.name for folder in Path(file).parents)
    telling = (folder for folder in folders if folder.strip(".") and folder.lower() not in COMMON_NAMES)
    return next(telling, "-".join(languages) if languages else name)


def name_of(file: str) -> str:
    """The name of a file up to the first dot, or the name of a dataset of the Hub. Bytes that are not UTF-8 are
    escaped, as in `caf\\xe9`."""
    form = HUB_FORM.fullmatch(file)
    name = form[1].partition("/")[2] if form else Path(file).name.partition(".")[0]
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def bare(file: str) -> str:
    """A name without the suffix of a compression."""
    return next((file[: -len(suffix)] for suffix in COMPRESSED if file.lower().endswith(suffix)), file)


def language_of(name: str) -> str | None:
    """The language code in the name or path of a file, such as "en" of `train.en`, "zho" of `ref.zho.txt`.

    A name that is nothing but the code, such as `zh.txt`, gives one if the code is common.
    """
    span = _language_span(name)
    return name[slice(*span)] if span else None


def without_language(name: str) -> str:
    """A name with "*" for its language and its side, as in `test-src.en` and `test-ref.de`: the same for both files."""
    span = _language_span(name)
    return SIDE.sub("*", f"{name[: span[0]]}*{name[span[1] :]}") if span else name


def _language_span(name: str) -> tuple[int, int] | None:
    start = len(name) - len(Path(name).name)
    match = LANGUAGE.search(AFTER_LANGUAGE.sub("", name[start:]))
    if not match or match[2] in NOT_LANGUAGES or (not match[1] and plain_code(match[2]) not in NAMES):
        return None
    return start + match.start(2), start + match.end(2)


def check_language(file: str, language: str, other: str, side: str, *, document: bool = False) -> None:
    """Raise `DataError` if the name of a plain file gives the other language of a model.

    Args: side: what the file is; document: its name ends in the suffix of a document, as in `de.html`.
    """
    name = str(Path(file).with_suffix("")) if document else file
    named = language_of(Path(bare(name)).name)
    if named and plain_code(language) != plain_code(other) == plain_code(named) and not kind_of(name):
        renamed = f", or rename it if it is in {language}" if document else ""
        raise DataError(
            f"the name of {file} says that it is in {named}, but the {side} of this model is in {language}.",
            hint=f"give the other file, or a model of the other direction{renamed}.",
        )
