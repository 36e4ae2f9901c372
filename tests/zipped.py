"""Small documents that are archives, written by hand."""

import io
import zipfile
from collections.abc import Mapping

HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n'
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
ODF = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for name in ("office", "text", "drawing", "table")
)
OTHERS = {
    "[Content_Types].xml": "<Types/>",
    "word/vbaProject.bin": b"\0macros\xff",
    "word/_rels/document.xml.rels": '<Relationships><Relationship TargetMode="External" Target="http://a/"/></Relationships>',
    "media/picture.png": b"\x89PNG\r\n\x1a\n" * 9,
}


def archive(parts: Mapping[str, str | bytes], *, first: str = "") -> bytes:
    """Args: first: a part that comes first and is not compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name in sorted(parts, key=lambda one: one != first):
            info = zipfile.ZipInfo(name, (2001, 2, 3, 4, 5, 6))
            info.compress_type = zipfile.ZIP_STORED if name == first else zipfile.ZIP_DEFLATED
            file.writestr(info, parts[name])
    return out.getvalue()


def parts_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


def docx(body: str, **others: str) -> bytes:
    parts = {f"word/{name}.xml": text for name, text in others.items()}
    document = f"{HEAD}<w:document {W}><w:body>{body}<w:sectPr/></w:body></w:document>"
    return archive({**OTHERS, "word/document.xml": document, **parts})


def pptx(body: str) -> bytes:
    slide = f"{HEAD}<p:sld {A} {P}><p:txBody>{body}</p:txBody></p:sld>"
    return archive({**OTHERS, "ppt/presentation.xml": "<p/>", "ppt/slides/slide1.xml": slide})


def xlsx(strings: str, **others: str) -> bytes:
    parts = {"xl/" + name.replace("__", "/") + ".xml": text for name, text in others.items()}
    shared = f"{HEAD}<sst {S}>{strings}</sst>"
    return archive({**OTHERS, "xl/workbook.xml": "<workbook/>", "xl/sharedStrings.xml": shared, **parts})


def odt(body: str, **others: str) -> bytes:
    content = f"{HEAD}<office:document-content {ODF}><office:body>{body}</office:body></office:document-content>"
    parts = {**OTHERS, "mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content, **others}
    return archive(parts, first="mimetype")


def epub(page: str, **others: str) -> bytes:
    parts = {f"OEBPS/{name}.ncx": text for name, text in others.items()}
    return archive(
        {"mimetype": "application/epub+zip", "META-INF/container.xml": "<container/>", "OEBPS/a.css": "p {}",
         "OEBPS/a.xhtml": page, **parts}, first="mimetype",
    )  # fmt: skip
