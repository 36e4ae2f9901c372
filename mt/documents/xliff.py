"""XLIFF 1.2 and 2: each source without a translation gets a target, with its inline codes."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from mt.documents.parsed import Parsed
from mt.documents.parts import Kind, Part, Segmented, text
from mt.documents.xml import SPACE, Block, Code, child_of, fill, parse_xml, parsed_tree, parts_of
from mt.errors import DataError
from mt.text.xml import ends_line, local, native_codes

WIDE = re.compile(r"([ \t\r]{2,}|[\t\r])")
UNTRANSLATED = {"new", "needs-translation"}  # states whose target may be a copy of the source
INITIAL = "initial"  # the same in version 2, of a segment
# Elements that begin a pair and that end it, with the attributes that name the pair, of which the first counts.
PAIRS = {"bpt": ("ept", ("rid", "id"), ("rid", "id")), "bx": ("ex", ("rid", "id"), ("rid", "id")),
         "sc": ("ec", ("id",), ("startRef",))}  # fmt: skip


def read_xliff(data: bytes) -> Parsed:
    root = parse_xml(data, "the file")
    if local(root) != "xliff":
        raise DataError(f"this is not an XLIFF file: its root element is <{local(root)}>, not <xliff>.")
    found, named, copies = list[Block](), dict[tuple[str, str], None](), 0
    for unit in root.iter("{*}trans-unit", "{*}segment"):
        if blocks := _blocks(unit):
            found += blocks
            named[_languages(unit)] = None
        else:
            copies += _is_copy(unit)
    one = "1 target was left as found: it is a copy of its source and has no state"
    more = f"{copies:,} targets were left as found: they are copies of their sources and have no state"
    left = "" if not copies else one if copies == 1 else more
    return parsed_tree(root, data, found, always=True)._replace(languages=list(named), left=left)


def _blocks(unit: Any) -> list[Block]:
    """What is to be translated of a unit and is not yet: all of it, or segments that have no translation."""
    source, target = child_of(unit, "source"), child_of(unit, "target")
    if source is None or _is_kept(unit) or not "".join(source.itertext()).strip():
        return []
    if _is_wanted(unit, source, target):
        return [(Segmented(_parts(_segments_of(unit)), _separates), partial(_translate, unit))]
    sources = {one.get("mid"): one for one in _segments_of(unit).iter("{*}mrk") if _is_segment(one)}
    return [
        (Segmented(_parts(sources[one.get("mid")]), _separates), partial(_fill_segment, unit, one))
        for one in target.iter("{*}mrk")
        if _is_segment(one) and one.get("mid") in sources and not len(one) and not (one.text or "").strip()
    ]


def _is_copy(unit: Any) -> bool:
    """Whether the text of a unit stands in its target, too, and nothing says whether that is its translation."""
    source, target = child_of(unit, "source"), child_of(unit, "target")
    if source is None or target is None or target.get("state") or unit.get("state") or _is_kept(unit):
        return False
    words = "".join(source.itertext())
    return words == "".join(target.itertext()) and any(map(str.isalpha, words))


def _is_kept(unit: Any) -> bool:
    """Whether the nearest element that says so keeps a unit from translation."""
    said = (one.get("translate") for one in (unit, *unit.iterancestors()))
    return next(filter(None, said), "yes") == "no"


def _translate(unit: Any, parts: Sequence[Part]) -> None:
    fill(_target(unit, child_of(unit, "source")), parts, copied=True)


def _languages(unit: Any) -> tuple[str, str]:
    """What the file says that it is translated from and to; "": nothing."""
    within = [*unit.iterancestors("{*}file"), *unit.iterancestors("{*}xliff")]
    source, target = (
        next(filter(None, (one.get(name) for one in within for name in names)), "")
        for names in (("source-language", "srcLang"), ("target-language", "trgLang"))
    )
    return source, target


def _is_wanted(unit: Any, source: Any, target: Any) -> bool:
    """Whether a unit has no translation yet."""
    if target is None or target.get("state") in UNTRANSLATED:
        return True
    if unit.get("state") == INITIAL and "".join(target.itertext()) == "".join(source.itertext()):
        return True
    return not ("".join(target.itertext()).strip() or any(local(one) != "mrk" for one in target.iterdescendants()))


def _segments_of(unit: Any) -> Any:
    """What is translated: the source, or in version 1.2 the source cut into segments, with marks around each."""
    cut = child_of(unit, "seg-source")
    return cut if cut is not None and any(_is_segment(one) for one in cut.iter("{*}mrk")) else child_of(unit, "source")


def _is_segment(element: Any) -> bool:
    return local(element) == "mrk" and element.get("mtype") == "seg"


def _separates(part: Part) -> bool:
    inner = part.content
    return part.kind in (Kind.opening, Kind.closing) and not isinstance(inner, Code) and _is_segment(inner)


def _parts(source: Any) -> list[Part]:
    """The content of a source. Where it says that white space is kept, more than one space is a mark."""
    parts = _paired(parts_of(source, _kind))
    spaces = (one.get(SPACE) for one in (source, *source.iterancestors()))
    if next(filter(None, spaces), "") != "preserve":
        return parts
    found = list[Part]()
    for part in parts:
        if part.kind is not Kind.text:
            found.append(part)
            continue
        for n, piece in enumerate(WIDE.split(part.content)):
            if piece:
                found.append(Part(Kind.line_break, piece) if n % 2 else text(piece))
    return found


def _paired(parts: list[Part]) -> list[Part]:
    """The parts with codes that begin and end a pair as its marks, where they are well nested."""
    found, open_ones = list(parts), list[tuple[int, tuple[str, str | None]]]()
    for place, part in enumerate(parts):
        if isinstance(part.content, str):
            continue
        name = local(part.content)
        if part.kind is Kind.opening:
            open_ones.append((place, ("", None)))
        elif part.kind is Kind.closing:
            while open_ones.pop()[1][0]:  # a pair that crosses this one
                pass
        elif name in PAIRS:
            ends, names, _ = PAIRS[name]
            open_ones.append((place, (ends, _named(part.content, names))))
        elif open_ones and name == open_ones[-1][1][0]:
            names = next(ending for ends, _, ending in PAIRS.values() if ends == name)
            begin, (_, pair) = open_ones[-1]
            if pair is not None and pair == _named(part.content, names):
                open_ones.pop()
                found[begin] = Part(Kind.opening, Code(parts[begin].content))
                found[place] = Part(Kind.closing, Code(part.content))
    return found


def _named(element: Any, names: Sequence[str]) -> str | None:
    return next((element.get(name) for name in names if element.get(name)), None)


def _kind(child: Any) -> Kind:
    if local(child) not in {"g", "pc", "mrk"}:
        unit = next(child.iterancestors("{*}unit"), None)
        native = {} if unit is None else native_codes(child_of(unit, "originalData"))
        return Kind.line_break if ends_line(child, native) else Kind.alone
    protected = child.get("translate") == "no" or child.get("mtype") == "protected"
    return Kind.literal if protected else Kind.opening


def _target(unit: Any, source: Any) -> Any:
    """The target of a unit, empty; a new one follows the source, or in version 1.2 its segmented form."""
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    target = child_of(unit, "target")
    if target is None:
        target = etree.Element(source.tag.replace("source", "target"), nsmap=source.nsmap)
        if source.get(SPACE):
            target.set(SPACE, source.get(SPACE))
        segmented = child_of(unit, "seg-source")
        before = source if segmented is None else segmented
        tail, before.tail = before.tail, None
        before.addnext(target)
        before.tail = target.tail = tail
    for child in list(target):
        target.remove(child)
    _unsettle(unit, target)
    return target


def _fill_segment(unit: Any, segment: Any, parts: Sequence[Part]) -> None:
    fill(segment, parts, copied=True)
    _unsettle(unit, child_of(unit, "target"))


def _unsettle(unit: Any, target: Any) -> None:
    """Say that nobody has seen the translation yet, whatever was said of the empty target."""
    if target.get("state"):
        target.set("state", "needs-review-translation")
    if unit.get("state"):
        unit.set("state", "translated")
    if unit.get("approved") == "yes":
        unit.set("approved", "no")
