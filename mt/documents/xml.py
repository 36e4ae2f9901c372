"""XML in memory: read safely, its mixed content as parts, and parts as mixed content.

Nothing outside of the file is read, and document types are refused, so that there are no entities to fill in.
"""

import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from mt.documents.parsed import Parsed
from mt.documents.parts import Kind, Part, Segmented, text
from mt.errors import DataError
from mt.text.xml import SAFE, clean, local, misnamed, says_utf16

SPACE = "{http://www.w3.org/XML/1998/namespace}space"
WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")  # told by the first bytes, the longer ones first
BEFORE_ROOT = re.compile(r"\ufeff?(?:\s|<!--(?:(?!-->).)*-->|<\?(?:(?!\?>).)*\?>)*", re.S)


def parse_xml(data: bytes, what: str) -> Any:
    """The root element. Args: what: the name of the file, for errors.

    Raises: DataError: for what is not well-formed, has a document type, or is nested more than 256 deep.
    """
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    try:
        root = etree.fromstring(data, etree.XMLParser(**SAFE, strip_cdata=False))
    except etree.XMLSyntaxError as error:
        if "Excessive depth" in str(error):
            raise DataError(f"{what} has elements nested too deeply to be read.") from None
        if name := says_utf16(data):
            raise misnamed(what, name) from None
        raise DataError(f"{what} is not well-formed XML: line {error.lineno or 1}: {error.msg}.") from None
    if root.getroottree().docinfo.doctype:
        raise DataError(f"{what} has a document type (DOCTYPE), which is refused.", hint="remove it.")
    return root


def child_of(element: Any, name: str, default: Any = None) -> Any:
    """The first child of this name, in any namespace."""
    return next((child for child in element if local(child) == name), default)


def write_xml(root: Any, data: bytes) -> bytes:
    """The file of a root element, with the encoding and the line ends of the file that it was read from, and all that
    stood around it."""
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    tree = root.getroottree()
    wide = (one for one in WIDE if data.startswith(("\ufeff".encode(one), "<".encode(one))))
    name = next(wide, tree.docinfo.encoding or "UTF-8")
    try:
        content = data.decode(name)
    except (LookupError, UnicodeDecodeError):  # libxml2 reads encodings that Python lacks
        return etree.tostring(tree, encoding=name, xml_declaration=True, standalone=tree.docinfo.standalone)
    before, end = BEFORE_ROOT.match(content), _root_end(root, content)
    begin = before.end() if before else 0
    body = etree.tostring(root, encoding="unicode", with_tail=False)  # a CR that counts is a reference in it
    if content.find("\r\n", begin, end) >= 0:
        body = body.replace("\n", "\r\n")
    return f"{content[:begin]}{body}{content[end:]}".encode(name, "xmlcharrefreplace")


def _root_end(root: Any, content: str) -> int:
    """Where the root element ends, found from the end of the file, over the comments and instructions behind it."""
    place = len(content.rstrip())
    for one in reversed([*root.itersiblings()]):
        target, text = getattr(one, "target", None), one.text or ""
        opening = "<!--" if target is None else f"<?{target}"
        for _ in range(1 + text.count(opening)):  # an instruction may have its own beginning in it
            place = content.rindex(opening, 0, place)
        place = len(content[:place].rstrip())
    return place


@dataclass(frozen=True, eq=False)
class Code:
    """An element that begins or ends a pair of marks by itself, as `<bpt>` and `<ept>` of XLIFF do."""

    element: Any


Block = tuple[Segmented, Callable[[list[Part]], None]]  # of a document, and what puts other parts into its place


def parsed_tree(root: Any, data: bytes, blocks: Sequence[Block], *, always: bool = False) -> Parsed:
    """A document that is a tree. Args: data: the file that it was read from; always: put also what has not changed."""

    def write(said: Sequence[str]) -> bytes:
        given = iter(said)
        for segmented, put in blocks:
            translations = [next(given) for _ in segmented.texts]
            if always or translations != segmented.texts:
                put(segmented.with_translations(translations))
        return write_xml(root, data) if blocks else data

    return Parsed([line for segmented, _ in blocks for line in segmented.texts], write)


def lines_of(content: str | None) -> list[Part]:
    """A text as parts. The content of line ends is "\\n"."""
    parts = list[Part]()
    for n, line in enumerate((content or "").split("\n")):
        parts += [Part(Kind.line_break, "\n")] if n else []
        parts += [text(line)] if line else []
    return parts


def parts_of(element: Any, kind: Callable[[Any], Kind]) -> list[Part]:
    """The mixed content of an element as parts, with texts as `lines_of`. The content of a mark is its element.

    Args: kind: of a child: `opening` if its own content belongs to the text, else what it is as a whole.
    """
    parts = lines_of(element.text)
    for child in element:
        what = kind(child)
        parts.append(Part(what, child))
        if what is Kind.opening:
            parts += [*parts_of(child, kind), Part(Kind.closing, child)]
        parts += lines_of(child.tail)
    return parts


def fill(element: Any, parts: Sequence[Part], *, copied: bool) -> None:
    """Make parts the content of an element; its old content is removed.

    Args: copied: the elements of the marks stay where they are, and copies of them are used.
    """
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    element.text = None
    if not copied:
        for child in list(element):
            element.remove(child)
    stack = [element]

    def add_text(content: str) -> None:
        parent = stack[-1]
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + content
        else:
            parent.text = (parent.text or "") + content

    for part in parts:
        if isinstance(part.content, Code):
            stack[-1].append(_alone(part.content.element, copied=copied))
        elif part.kind is Kind.closing:
            if len(stack) > 1:
                stack.pop()
        elif isinstance(part.content, str):
            add_text(clean(part.content))
        elif part.kind is Kind.opening:
            mark = part.content
            stack.append(etree.SubElement(stack[-1], mark.tag, attrib=dict(mark.attrib), nsmap=mark.nsmap))
        else:
            stack[-1].append(_alone(part.content, copied=copied))


def _alone(element: Any, *, copied: bool) -> Any:
    """An element, or a copy of it, without the text behind it."""
    child = deepcopy(element) if copied else element
    child.tail = None
    return child
