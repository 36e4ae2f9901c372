"""The suffixes of documents."""

from pathlib import Path

# Formats whose lines are not text to translate: archives, and text between marks, keys, times or tags.
NOT_LINES = (
    ".md", ".markdown", ".html", ".htm", ".xhtml", ".srt", ".vtt", ".json", ".po", ".pot", ".xlf", ".xliff", ".docx",
    ".pptx", ".xlsx", ".odt", ".epub",
)  # fmt: skip
SUFFIXES = (".txt", *NOT_LINES)
UNPACK = {".gz": "gzip", ".xz": "xz", ".zst": "zstd", ".bz2": "bzip2"}  # what unpacks a compressed document

# Files of sources and translations, whose names (`de.po`) give the language of the translations.
BILINGUAL = (".po", ".pot", ".xlf", ".xliff")
ALIASES = {".markdown": ".md", ".htm": ".html", ".xhtml": ".html", ".pot": ".po", ".xliff": ".xlf"}


def suffix_of(file: Path | str) -> str:
    """The suffix of a document, in small letters; "" for a name that no format has."""
    suffix = Path(file).suffix.lower()
    return suffix if suffix in SUFFIXES else ""


def unpacks(file: Path | str) -> str:
    """The program that unpacks a document which is compressed by its name, such as `a.srt.gz`; "" for others."""
    path = Path(file)
    return UNPACK.get(path.suffix.lower(), "") if suffix_of(path.stem) else ""


def same_format(file: Path | str, other: Path | str) -> bool:
    """Whether the suffixes of two files are of one format."""
    one, two = (ALIASES.get(suffix_of(name), suffix_of(name)) for name in (file, other))
    return bool(one) and one == two


def known() -> str:
    """The suffixes, for messages."""
    return f"{', '.join(SUFFIXES[:-1])} and {SUFFIXES[-1]}"
