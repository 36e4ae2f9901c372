"""The suffixes of documents."""

from pathlib import Path

# Formats whose lines are never text to translate: zip archives, and text between keys, times or tags.
NOT_LINES = (
    ".srt", ".vtt", ".json", ".po", ".pot", ".xlf", ".xliff", ".docx", ".pptx", ".xlsx", ".odt", ".epub",
)  # fmt: skip
SUFFIXES = (".txt", ".md", ".markdown", ".html", ".htm", ".xhtml", *NOT_LINES)

ALIASES = {".markdown": ".md", ".htm": ".html", ".xhtml": ".html", ".pot": ".po", ".xliff": ".xlf"}


def suffix_of(file: Path | str) -> str:
    """The suffix of a document, in small letters; "" for a name that no format has."""
    suffix = Path(file).suffix.lower()
    return suffix if suffix in SUFFIXES else ""


def same_format(file: Path | str, other: Path | str) -> bool:
    """Whether the suffixes of two files are of one format."""
    one, two = (ALIASES.get(suffix_of(name), suffix_of(name)) for name in (file, other))
    return bool(one) and one == two


def known() -> str:
    """The suffixes, for messages."""
    return f"{', '.join(SUFFIXES[:-1])} and {SUFFIXES[-1]}"
