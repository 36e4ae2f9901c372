"""The formats of documents, and the one function that translates a document of any of them."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from mt.documents.epub import read_epub
from mt.documents.html import read_html
from mt.documents.json_strings import read_json
from mt.documents.markdown import read_markdown
from mt.documents.names import known
from mt.documents.office import read_docx, read_pptx, read_xlsx
from mt.documents.opendocument import read_odt
from mt.documents.parsed import MAX_BYTES, Parsed
from mt.documents.plain import read_text
from mt.documents.po import read_po
from mt.documents.subtitles import read_subtitles
from mt.documents.xliff import read_xliff
from mt.errors import ConfigError, DataError, check_texts, short
from mt.text.lines import decompressor_for
from mt.text.media import HEAD
from mt.text.tags import parse

Translate = Callable[[list[str]], list[str]]
READERS: dict[str, Callable[[bytes], Parsed]] = {
    ".txt": read_text, ".md": read_markdown, ".markdown": read_markdown,
    ".html": read_html, ".htm": read_html, ".xhtml": partial(read_html, xml=True),
    ".srt": partial(read_subtitles, vtt=False), ".vtt": partial(read_subtitles, vtt=True), ".json": read_json,
    ".po": read_po, ".pot": read_po, ".xlf": read_xliff, ".xliff": read_xliff,
    ".docx": read_docx, ".pptx": read_pptx, ".xlsx": read_xlsx, ".odt": read_odt, ".epub": read_epub,
}  # fmt: skip


def translate_document(data: bytes, suffix: str, translate: Translate, *, keys: Collection[str] = ()) -> bytes:
    """A document with its text translated, and all else as it was.

    Args:
        suffix: the format, such as ".docx", one of `READERS`.
        translate: takes lines of text and returns a translation of each. A line may have tags (`<g1>`, `<x2/>`),
            placeholders (`{x3}`) and character references, as `mt.postprocess.markup` reads them; the translation has
            each once. It is called at most once, with all lines that have letters, each different one once.
        keys: of a JSON file, the keys whose values are translated; none: all.
    Raises:
        ConfigError: for an unknown format, or keys of another format than JSON.
        DataError: for a document that cannot be read; and what `translate` raises.
    """
    parsed = read_document(data, suffix, keys=keys)
    wanted = lines_of(parsed)
    return write_translated(parsed, wanted, translate(wanted) if wanted else [])


def lines_of(parsed: Parsed) -> list[str]:
    """The lines of a document that are translated: those with letters outside of their tags, placeholders and
    addresses, each different one once."""
    lines = dict.fromkeys(text.strip() for text in parsed.texts)
    return [line for line in lines if any(map(str.isalpha, parse(line).between))]


def write_translated(parsed: Parsed, lines: Sequence[str], said: Sequence[str]) -> bytes:
    """The document with translations of its lines. Args: lines: what `lines_of` gave."""
    check_texts(translations=said)
    if len(said) != len(lines):
        raise ValueError(f"{len(lines)} segments were given to the translator, which returned {len(said)}")
    # A segment whose translation is empty stays as it is: no text is lost.
    found = {text: " ".join(one.split("\n")).strip() or text for text, one in zip(lines, said, strict=True)}

    def translated(text: str) -> str:
        inner = text.strip()
        begin = text.index(inner)
        return text[:begin] + found.get(inner, inner) + text[begin + len(inner) :]

    return parsed.write([translated(text) for text in parsed.texts])


def read_document(data: bytes, suffix: str, *, keys: Collection[str] = ()) -> Parsed:
    """The segments of a document. Raises: as `translate_document`."""
    if suffix not in READERS:
        raise ConfigError(f"a document with the suffix `{suffix}` cannot be translated; the formats are {known()}.")
    if not isinstance(data, bytes | bytearray):  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = "read a file with `pathlib.Path(NAME).read_bytes()`, and encode a text with `TEXT.encode()`."
        raise ConfigError(f"`data` must be the bytes of a document, but is {short(data)}.", hint=hint)
    if len(data) > MAX_BYTES:
        raise DataError(f"the document has {len(data):,} bytes; at most {MAX_BYTES:,} are read.")
    if decompressor_for(data[:HEAD]) is not None:
        raise DataError("the document is compressed.", hint="unpack it first, for example with `gzip -d < OLD > NEW`.")
    if keys and suffix != ".json":
        raise ConfigError(f"keys are chosen in .json files, not in {suffix} files.")
    return read_json(data, keys) if suffix == ".json" else READERS[suffix](data)
