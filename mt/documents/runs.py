"""Paragraphs made of runs with properties, as Word, PowerPoint and Excel have them (Office Open XML).

The properties of most of the text become the paragraph's; text with other properties is marked, as are links, pictures,
notes and fields, so that a paragraph is one segment however often an editor has split its runs.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from mt.documents.parsed import Parsed
from mt.documents.parts import Kind, Part, Segmented, add_part, text, without_empty_pairs, words_of
from mt.documents.xml import SPACE, child_of, lines_of, parsed_tree
from mt.text.xml import clean, local

CONTAINERS = frozenset({"hyperlink", "ins", "moveTo", "smartTag", "customXml", "dir", "bdo", "sdt"})
DROPPED = frozenset({"proofErr", "lastRenderedPageBreak", "softHyphen"})  # left by an editor for itself
BREAKS = frozenset({"br", "cr"})
OF_PARAGRAPH = frozenset({"pPr", "endParaRPr", "rPh", "phoneticPr"})  # properties, which stay where they are
AT_THE_END = OF_PARAGRAPH - {"pPr"}  # those that stand behind the text
# Excel writes a control character of a text so, such as the carriage return of a line end from elsewhere.
CONTROL = re.compile(r"((?<!_x005F)_x00[01][0-9A-Fa-f]_)")
IGNORED = frozenset({"lang", "noProof", "altLang", "dirty", "err", "smtClean", "bmk"})  # do not show in the text


@dataclass(eq=False)
class Props:
    """The properties of runs; None: they have none."""

    element: Any


@dataclass(eq=False)
class InRun:
    """What a run has beside text, such as a picture or the reference to a note."""

    element: Any
    props: Any


@dataclass
class _Atom:
    part: Part
    key: str = ""  # of the properties of the run
    props: Any = None

    @property
    def field(self) -> str:
        """For a sign of a field: "begin", "separate" or "end"."""
        element = self.part.content.element if isinstance(self.part.content, InRun) else None
        if element is None or local(element) != "fldChar":
            return ""
        return next((value for name, value in element.items() if name.rpartition("}")[2] == "fldCharType"), "")


@dataclass(eq=False)
class Field:
    """A field as a whole, or what it has before or after a result that is translated."""

    atoms: list[_Atom]


def read_paragraphs(root: Any, paragraphs: Sequence[Any], data: bytes, keep: Callable[[str], bool]) -> Parsed:
    """The segments of paragraphs: each is one, or several that tabs separate.

    Args: root: the tree that has them; data: the file that it was read from; keep: says whether a text stays as it is.
    """
    found = ((one.segmented, one.fill) for one in map(_Paragraph, paragraphs))
    return parsed_tree(root, data, [one for one in found if one[0].texts and not keep(words_of(one[0].parts))])


class _Paragraph:
    """A paragraph, or a string of a sheet, whose text may stand in it without runs."""

    def __init__(self, element: Any) -> None:
        self.element = element
        self.bare = child_of(element, "t")
        atoms = _fields(_atoms(element)) if self.bare is None else [_Atom(part) for part in _words(self.bare)]
        counts = Counter[str]()
        for atom in atoms:
            if atom.part.kind is Kind.text:
                counts[atom.key] += len(atom.part.content.strip()) + 1
        key = counts.most_common(1)[0][0] if counts else ""
        self.base = next((atom.props for atom in atoms if atom.key == key and atom.part.kind is Kind.text), None)
        self.segmented = Segmented(_marked(atoms, key), _separates)

    def fill(self, parts: Sequence[Part]) -> None:
        """Make parts the content of the paragraph."""
        parts = without_empty_pairs(parts, lambda part: isinstance(part.content, Props))
        if self.bare is None:
            _write(self.element, parts, self.base)
        else:
            _set_text(self.bare, "".join(part.content for part in parts))


def _separates(part: Part) -> bool:
    if isinstance(part.content, InRun):
        return local(part.content.element) in {"tab", "ptab"}
    # The end of a field without its beginning, or the reverse, must not change places with anything.
    return part.kind is Kind.alone and isinstance(part.content, Field)


def _atoms(container: Any) -> list[_Atom]:
    """The content of a paragraph from left to right."""
    found = list[_Atom]()
    for child in container:
        name = local(child)
        if name in OF_PARAGRAPH or name in DROPPED:
            continue
        if name == "r":
            found += _of_run(child)
        elif name in CONTAINERS:
            inner = child_of(child, "sdtContent", child)
            found += [_Atom(Part(Kind.opening, child)), *_atoms(inner), _Atom(Part(Kind.closing, child))]
        elif name == "fldSimple":
            found.append(_Atom(Part(Kind.literal, child)))
        elif not name.endswith("Pr"):
            found.append(_Atom(Part(Kind.line_break if name in BREAKS else Kind.alone, child)))
    return found


def _of_run(run: Any) -> list[_Atom]:
    props = child_of(run, "rPr")
    key = _key(props)
    found = list[_Atom]()
    for child in run:
        name = local(child)
        if name == "t":
            found += [_Atom(part, key, props) for part in _words(child)]
        elif name == "noBreakHyphen":
            found.append(_Atom(text("\u2011"), key, props))
        elif name == "ruby":  # the reading over its words is one of the source
            found += _atoms(child_of(child, "rubyBase", ()))
        elif name not in DROPPED and child is not props:
            found.append(
                _Atom(Part(Kind.line_break if name in BREAKS else Kind.alone, InRun(child, props)), key, props)
            )
    return found


def _words(element: Any) -> list[Part]:
    """The text of an element. Control characters that a sheet spells part words, as line ends do."""
    if "spreadsheetml" not in element.tag:
        return lines_of(element.text)
    found = list[Part]()
    for n, piece in enumerate(CONTROL.split(element.text or "")):
        found += [Part(Kind.line_break, piece)] if n % 2 else lines_of(piece)
    return found


def _key(props: Any) -> str:
    """Equal for properties that look equal."""
    if props is None:
        return ""
    own = sorted((name, value) for name, value in props.items() if name.rpartition("}")[2] not in IGNORED)
    inner = [_whole(child) for child in props if local(child) not in IGNORED]
    return repr((own, inner)) if own or inner else ""


def _whole(element: Any) -> tuple[Any, ...]:
    return (element.tag, sorted(element.items()), [_whole(child) for child in element])


def _fields(atoms: Sequence[_Atom]) -> list[_Atom]:
    """Each field as one literal, or as marks around its result if that is the text of a link."""
    found, place, ends = list[_Atom](), 0, _field_ends(atoms)
    while place < len(atoms):
        if place in ends:
            found += _one_field(atoms[place : ends[place] + 1])
            place = ends[place]
        else:
            found.append(_Atom(Part(Kind.alone, Field([atoms[place]]))) if atoms[place].field else atoms[place])
        place += 1
    return found


def _field_ends(atoms: Sequence[_Atom]) -> dict[int, int]:
    """Where each field ends, by its beginning; without those that leave the paragraph or their link."""
    found, open_ones = dict[int, int](), list[int]()
    for place, atom in enumerate(atoms):
        if atom.part.kind in (Kind.opening, Kind.closing):
            open_ones = []
        elif atom.field == "begin":
            open_ones.append(place)
        elif atom.field == "end" and open_ones:
            found[open_ones.pop()] = place
    return found


def _one_field(atoms: Sequence[_Atom]) -> list[_Atom]:
    runs = [atom.part.content for atom in atoms if isinstance(atom.part.content, InRun)]
    codes = "".join(run.element.text or "" for run in runs if local(run.element) == "instrText")
    places = [n for n, atom in enumerate(atoms) if atom.field == "separate"]
    if not re.match(r"\s*HYPERLINK\b", codes) or len(places) != 1:
        return [_Atom(Part(Kind.literal, Field([*atoms])))]
    head, tail = Field([*atoms[: places[0] + 1]]), Field([*atoms[-1:]])
    return [_Atom(Part(Kind.opening, head)), *atoms[places[0] + 1 : -1], _Atom(Part(Kind.closing, tail))]


def _marked(atoms: Sequence[_Atom], base: str) -> list[Part]:
    """The parts of a paragraph: text whose properties are not the paragraph's stands between marks."""
    parts, key = list[Part](), base
    props = Props(None)
    for atom in [*atoms, _Atom(Part(Kind.closing, None), base)]:
        if atom.part.kind is Kind.text:
            here = atom.key
        else:
            here = key if atom.key == key and atom.part.kind not in (Kind.opening, Kind.closing) else base
        if here != key:
            if key != base:
                parts.append(Part(Kind.closing, props))
            if here != base:
                props = Props(atom.props)
                parts.append(Part(Kind.opening, props))
            key = here
        if atom.part.content is not None:
            add_part(parts, atom.part)
    return parts


def _write(paragraph: Any, parts: Sequence[Part], base: Any) -> None:
    """Make parts the content of a paragraph, after its properties."""
    last = [child for child in paragraph if local(child) in AT_THE_END]
    for child in list(paragraph):
        if local(child) not in OF_PARAGRAPH or child in last:
            paragraph.remove(child)
    stack, formats = [paragraph], [base]
    for part in parts:
        if isinstance(part.content, Props):
            if part.kind is Kind.opening:
                formats.append(part.content.element)
            elif len(formats) > 1:
                formats.pop()
        elif isinstance(part.content, Field):
            for atom in part.content.atoms:
                _add(stack[-1], atom.part.content, atom.props, paragraph)
        elif part.kind is Kind.opening:
            stack.append(_add_container(stack[-1], part.content))
        elif part.kind is Kind.closing:
            if len(stack) > 1:
                stack.pop()
        else:
            _add(stack[-1], part.content, formats[-1], paragraph)
    paragraph.extend(last)


def _add(parent: Any, content: Any, props: Any, paragraph: Any) -> None:
    """Append text, what stands in a run, or an element. Args: props: of text; paragraph: has the names of elements."""
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    if not isinstance(content, str | InRun):
        parent.append(content)
        return
    names = paragraph.tag.rpartition("}")[0]
    props = content.props if isinstance(content, InRun) else props
    run = etree.SubElement(parent, names + "}r")
    if props is not None:
        run.append(deepcopy(props))
    if isinstance(content, str):
        _set_text(etree.SubElement(run, names + "}t"), content)
    else:
        run.append(content.element)


def _set_text(element: Any, words: str) -> None:
    element.text = clean(words)
    if words != words.strip() and "drawingml" not in element.tag:
        element.set(SPACE, "preserve")


def _add_container(parent: Any, element: Any) -> Any:
    """A copy of a container without its runs; returns where its content belongs."""
    copied = deepcopy(element)
    copied.tail = None
    inner = child_of(copied, "sdtContent", copied)
    for child in list(inner):
        if not local(child).endswith("Pr"):
            inner.remove(child)
    parent.append(copied)
    return inner
