"""The format, the language and the corpus that the name of a file gives."""

import re
from pathlib import Path

HUB = "hub:"
HUB_FORM = re.compile(r"hub:([^/@]+/[^/@]+)(?:/([^/@]+))?(?:@([^/@]+))?")
FOLDER = "folder"
BOTH_SIDES = (".tsv", ".csv", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx", ".tmx", ".xlf", ".xliff", ".po")
COMPRESSED = (".gz", ".xz", ".zst", ".bz2")
LANGUAGE = re.compile(r"\.([a-z]{2,3}(?:[-_][A-Za-z]{2,4})?)$")
NOT_LANGUAGES = {"csv", "dat", "doc", "hyp", "log", "md", "raw", "ref", "src", "tgt", "tok", "trg", "txt"}


def kind_of(file: str) -> str:
    """The format of a file that holds both sides, as its suffix; "hub:" or "folder"; "" for a plain file."""
    if file.startswith(HUB):
        return HUB
    suffix = Path(bare(file)).suffix.lower()
    if suffix in BOTH_SIDES:
        return suffix
    return FOLDER if Path(file).is_dir() else ""


def name_of(file: str) -> str:
    """The name of a corpus by its first file: the file's name up to the first dot, or the dataset's name."""
    form = HUB_FORM.fullmatch(file)
    return form[1].partition("/")[2] if form else Path(file).name.partition(".")[0]


def bare(file: str) -> str:
    """A name without the suffix of a compression."""
    return next((file[: -len(suffix)] for suffix in COMPRESSED if file.lower().endswith(suffix)), file)


def language_of(name: str) -> str | None:
    """The language code at the end of a name, such as "en" of `train.en`."""
    match = LANGUAGE.search(name)
    return match[1] if match and match[1] not in NOT_LANGUAGES else None
