"""Word, PowerPoint and Excel documents (.docx, .pptx, .xlsx): which parts have text, and where."""

import re
from collections.abc import Mapping
from functools import partial

from mt.documents.package import read_package
from mt.documents.parsed import Parsed
from mt.documents.runs import read_paragraphs
from mt.documents.xml import parse_xml

DRAWN = r"(?:charts/chart|diagrams/(?:data|drawing)|drawings/drawing)\d*\.xml"
WORD = re.compile(rf"word/(?:(?:document|header|footer|footnotes|endnotes)\d*\.xml|{DRAWN})")
SLIDES = re.compile(rf"ppt/(?:(?:slides/slide|notesSlides/notesSlide)\d*\.xml|{DRAWN})")
SHEETS = re.compile(rf"xl/(?:sharedStrings\.xml|worksheets/[^/]+\.xml|{DRAWN})")
TABLES = re.compile(r"xl/tables/[^/]+\.xml")
ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")  # a character in the name of a column, or in a text of a sheet


def read_docx(data: bytes) -> Parsed:
    return read_package(data, "word/document.xml", partial(_paragraphs, wanted=WORD), "a .docx document")


def read_pptx(data: bytes) -> Parsed:
    return read_package(data, "ppt/presentation.xml", partial(_paragraphs, wanted=SLIDES), "a .pptx document")


def read_xlsx(data: bytes) -> Parsed:
    return read_package(data, "xl/workbook.xml", partial(_paragraphs, wanted=SHEETS), "an .xlsx document")


def _paragraphs(name: str, part: bytes, parts: Mapping[str, bytes], *, wanted: re.Pattern[str]) -> Parsed | None:
    """The paragraphs, or the strings of cells, of a part whose name is wanted."""
    if not wanted.fullmatch(name) or ("/worksheets/" in name and b"inlineStr" not in part):
        return None
    root = parse_xml(part, name)
    columns = set[str]()
    if "xl/workbook.xml" in parts:
        columns = {
            _shown(column.get("name", ""))
            for table, content in parts.items()
            if TABLES.fullmatch(table)
            for column in parse_xml(content, table).iter("{*}tableColumn")
        }
    found = [*root.iter("{*}p", "{*}si", "{*}is")]
    # Excel refuses a table whose columns have other names than the cells above them.
    return read_paragraphs(root, found, part, keep=lambda words: _shown(words) in columns)


def _shown(words: str) -> str:
    """A text without the ends of its lines, which the name of a column spells in another way than a cell."""
    return re.sub("[\x00-\x1f]", "", ESCAPED.sub(lambda found: chr(int(found[1], 16)), words))
