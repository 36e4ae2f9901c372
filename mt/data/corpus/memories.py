"""Translation memories and software texts to pairs: TMX, XLIFF 1.2 and 2, gettext PO.

A unit of TMX with several texts in one language is as many pairs. A unit that lacks one of the two languages, or a
translation (in XLIFF a copy that waits for one), is left out, and counted. Inline codes (`<bpt>`, `<ph>`, `<x/>`, ...)
are no text, but a space where they stand for the end of a line. Languages are compared without region where they do not
agree in full: "en" takes "en-GB" (`mt.text.languages.nearest`).
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from mt.data.corpus.names import kind_of
from mt.data.corpus.pair import Origin, Pair, Sides
from mt.errors import DataError, counted
from mt.text.languages import MADE_UP, nearest
from mt.text.lines import DAMAGE, decode_line, open_bytes, raw_lines, unreadable
from mt.text.po import encoding_of, form_of_one, is_utf8, parse
from mt.text.xml import elements, local, native_codes, plain_text

logger = logging.getLogger("mt")
CODES = {"bpt", "ept", "ph", "it", "ut", "x", "bx", "ex", "sc", "ec", "cp"}  # native codes of the file they came from
UNTRANSLATED = {"new", "needs-translation", "initial"}  # XLIFF: states of a target that may be a copy of the source
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
BOTH_HINT = "give a file with text in both languages."
LANG_HINT = "a file must say which language each text is in: TMX in `xml:lang`, XLIFF in `source-language`."
UNITS = {"trans-unit", "segment", "originalData"}  # of XLIFF
PEEKED = 100  # units
UNNAMED_SOURCE, UNNAMED_TARGET = "?source", "?target"  # languages that a file does not name
Unit = tuple[int, dict[str, list[str]]]  # its line, and its texts by language


def read_memory(file: str, sides: Sides) -> Iterator[Pair]:
    """Raises: DataError: for a file that cannot be read, or that has no pair in these languages."""
    src, tgt = known(sides) or declared_languages(file) or ("", "")
    left_out = kept = 0
    languages: set[str] = set()
    for line, texts in units_of(file):
        languages |= texts.keys()
        pairs = choose(texts, src, tgt)
        kept += len(pairs)
        left_out += not pairs
        for pair in pairs:
            yield Pair(*pair, Origin(file, line))
    if not kept:
        found, hint = described(languages, kind_of(file))
        message = f"`{file}` has no unit with text in both {src or 'the source'} and {tgt or 'the target'} language; "
        raise DataError(message + found, hint=hint)
    if left_out:
        why = f"without text in both {src} and {tgt}" + (", or fuzzy," if kind_of(file) == ".po" else "")
        logger.warning(f"`{file}`: {counted(left_out, 'unit')} {why} left out")


def described(languages: Collection[str], kind: str) -> tuple[str, str]:
    """The languages of a file as a clause, and what to do where its units are not in the languages that are asked for.

    Args: kind: of the file, as its suffix.
    """
    named = sorted(code for code in languages if not code.startswith("?"))
    if len(named) > 1:
        return f"its languages are {', '.join(named)}.", "name two of them with `data.src` and `data.tgt`."
    if named and len(languages) > 1:  # the other side is there, and not named
        side = "src" if UNNAMED_TARGET in languages else "tgt"
        return f"the only language that it names is {named[0]}.", f"write `data.{side}={named[0]}`."
    if named:
        return f"its only language is {named[0]}.", BOTH_HINT
    return "its languages are not named.", LANG_HINT if languages and kind == ".tmx" else BOTH_HINT


def known(sides: Sides) -> tuple[str, str] | None:
    return (sides.src, sides.tgt) if sides.src and sides.tgt and not {sides.src, sides.tgt} & MADE_UP else None


def declared_languages(file: str) -> tuple[str, str] | None:
    """What the file says it translates from and to; of TMX, the only two languages of its first units, the one that its
    header calls the source first."""
    first: dict[str, None] = {}
    for _, texts in islice(units_of(file), PEEKED):
        first |= dict.fromkeys(texts)
    found = list(first)
    if len(found) == 2 and kind_of(file) == ".tmx" and nearest(found[1:], _header_language(file)):
        found.reverse()
    return (found[0], found[1]) if len(found) == 2 and not any(code.startswith("?") for code in found) else None


def choose(texts: Mapping[str, list[str]], src: str, tgt: str) -> list[tuple[str, str]]:
    """The texts of two languages, or of variants of them; a side whose language the file does not name is the other.
    Of several texts in one language each is in a pair."""
    source, target = nearest(texts, src), nearest(texts, tgt)
    unnamed = [code for code in (UNNAMED_SOURCE, UNNAMED_TARGET) if code in texts]
    if source is None and unnamed and (target is not None or len(unnamed) == 2):
        source = unnamed.pop(0)
    if target is None and source is not None and unnamed:
        target = unnamed[-1]
    if source is None or target is None or source == target:
        return []
    one, other = texts[source], texts[target]
    return [(one[n % len(one)], other[n % len(other)]) for n in range(max(len(one), len(other)))]


def units_of(file: str) -> Iterator[Unit]:
    return {".tmx": _tmx, ".po": _po}.get(kind_of(file), _xliff)(file)


def _tmx(file: str) -> Iterator[Unit]:
    try:
        with open_bytes(file) as stream:
            for unit in elements(stream, file, {"tu"}):
                texts: dict[str, list[str]] = {}
                for variant in unit.iterchildren("{*}tuv"):
                    language = variant.get(LANG) or variant.get("lang") or UNNAMED_SOURCE
                    segment = variant.find("{*}seg")
                    text = "" if segment is None else plain_text(segment, file, skipped=CODES)
                    if text:
                        texts.setdefault(language, []).append(text)
                yield unit.sourceline, texts
    except DAMAGE as error:
        raise unreadable(file, error) from error


def _header_language(file: str) -> str:
    """`srclang` of TMX; empty if it is missing, and "*all*" where a file has no one source."""
    with open_bytes(file) as stream:
        header = next(elements(stream, file, (), opened={"header", "tu"}))
        return str(header.get("srclang") or "")


def _xliff(file: str) -> Iterator[Unit]:
    """Of version 1.2 each `<trans-unit>`, of version 2 each `<segment>`."""
    src = tgt = ""
    native = dict[str, str]()
    try:
        with open_bytes(file) as stream:
            for element in elements(stream, file, UNITS, opened={"xliff", "file", "unit"}):
                if local(element) in {"unit", "originalData"}:  # the codes of a unit stand before its segments
                    native = native_codes(element if local(element) == "originalData" else None)
                    continue
                if local(element) in {"xliff", "file"}:
                    src = element.get("source-language") or element.get("srcLang") or src
                    tgt = element.get("target-language") or element.get("trgLang") or tgt
                    continue
                texts = {local(part): plain_text(part, file, skipped=CODES, native=native) for part in element}
                states = {element.get("state"), *(part.get("state") for part in element if local(part) == "target")}
                if states & UNTRANSLATED and texts.get("source") == texts.get("target"):
                    texts["target"] = ""
                named = {src or UNNAMED_SOURCE: texts.get("source", ""), tgt or UNNAMED_TARGET: texts.get("target", "")}
                yield element.sourceline, {code: [text] for code, text in named.items() if text}
    except DAMAGE as error:
        raise unreadable(file, error) from error


def _po(file: str) -> Iterator[Unit]:
    """Entries that are not obsolete; the singular with its form, the plural with the last, which is for many things. A
    fuzzy entry, whose translation nobody has confirmed, has its source only. The file names the language of its
    translations only."""
    try:
        catalogue = parse(_po_text(file))
    except ValueError as error:
        raise DataError(f"`{file}` cannot be read as a PO file ({error}).") from None
    language = catalogue.metadata.get("Language") or UNNAMED_TARGET
    single = form_of_one(catalogue)
    for entry in catalogue:
        if entry.obsolete:
            continue
        if not entry.translated():
            yield entry.linenum or 0, {UNNAMED_SOURCE: [one_line(entry.msgid)]}
            continue
        pairs = [(entry.msgid, entry.msgstr)]
        if forms := entry.msgstr_plural:
            pairs = [(entry.msgid, forms.get(single, forms[min(forms)])), (entry.msgid_plural, forms[max(forms)])]
        for source, target in pairs:
            yield entry.linenum or 0, {UNNAMED_SOURCE: [one_line(source)], language: [one_line(target)]}


def _po_text(file: str) -> str:
    """Raises: DataError: for what is neither UTF-8 nor in the encoding that its header declares."""
    lines = list(raw_lines(file))
    data = b"".join(raw for _, raw in lines)
    encoding = encoding_of(data)
    if is_utf8(encoding):
        return "\n".join(decode_line(raw, f"{file}:{number}", first=number == 1) for number, raw in lines)
    try:
        return data.decode(encoding).replace("\r\n", "\n")
    except LookupError:
        raise DataError(f"`{file}` says that it is in `{encoding}`, which is no encoding known here.") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{file}:{line}: byte 0x{data[error.start]:02x} is not {encoding}, the encoding that the file declares.",
            hint="convert the file to UTF-8, for example with iconv, and declare UTF-8.",
        ) from None


def one_line(text: str) -> str:
    return " ".join(text.split("\n")).strip()
