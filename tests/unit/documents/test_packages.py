"""Documents that are archives: what is copied, and what is refused."""

import io
import struct
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shout import same, segments, shout, translated
from zipped import OTHERS, S, archive, docx, epub, odt, parts_of, pptx, xlsx

from mt.documents.readers import READERS, read_document, translate_document
from mt.errors import DataError

DOCUMENTS = {
    ".docx": docx("<w:p><w:r><w:t>one</w:t></w:r></w:p>"),
    ".pptx": pptx("<a:p><a:r><a:t>one</a:t></a:r></a:p>"),
    ".xlsx": xlsx("<si><t>one</t></si>"),
    ".odt": odt("<text:p>one</text:p>"),
    ".epub": epub("<html><body><p>one</p></body></html>"),
}


@pytest.mark.parametrize("suffix", DOCUMENTS)
def test_an_unchanged_document_is_the_same_file_and_a_changed_one_differs_in_its_text_only(suffix):
    raw = DOCUMENTS[suffix]
    assert segments(raw, suffix) == ["one"]
    assert translate_document(raw, suffix, same) == raw
    said = translate_document(raw, suffix, shout)
    before, after = parts_of(raw), parts_of(said)
    assert list(before) == list(after)
    changed = [name for name in before if before[name] != after[name]]
    assert len(changed) == 1 and after[changed[0]] == before[changed[0]].replace(b">one<", b">ONE<")
    assert not set(changed) & set(OTHERS)


@pytest.mark.parametrize("suffix", [".odt", ".epub"])
def test_the_first_part_stays_first_and_uncompressed(suffix):
    said = translate_document(DOCUMENTS[suffix], suffix, shout)
    assert said[30:38] == b"mimetype" and said[8:10] == b"\0\0"


def test_what_the_members_say_of_themselves_stays():
    with zipfile.ZipFile(io.BytesIO(translate_document(DOCUMENTS[".docx"], ".docx", shout))) as file:
        assert {info.date_time for info in file.infolist()} == {(2001, 2, 3, 4, 5, 6)}
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_DEFLATED}


def refused(parts, suffix=".docx"):
    with pytest.raises(DataError) as caught:
        translate_document(parts if isinstance(parts, bytes) else archive(parts), suffix, same)
    return str(caught.value)


GOOD = {"word/document.xml": "<d/>"}


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a\\x", "a\nb"])
def test_names_that_leave_the_archive(name):
    assert "the archive contains the unsafe name" in refused({**GOOD, name: "x"})


def test_a_link():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        info = zipfile.ZipInfo("word/document.xml")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    assert "contains a link, 'word/document.xml'" in refused(out.getvalue())


def test_two_parts_of_one_name():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("word/document.xml", "<d/>")
        file.writestr("word/document.xml", "<d/>")
    assert "two files of the name 'word/document.xml'" in refused(out.getvalue())


def test_bombs():
    assert "unpacks to 17,825,796 bytes, which is too much for its" in refused({**GOOD, "x": b"\0" * (17 << 20)})
    lying = bytearray(archive({**GOOD, "x": b"\0" * (17 << 20)}))
    for place in range(len(lying)):  # both headers of the large member say 9 bytes
        if lying[place : place + 4] in (b"PK\3\4", b"PK\1\2"):
            at = place + (22 if lying[place + 2] == 3 else 24)
            if struct.unpack("<I", lying[at : at + 4])[0] == 17 << 20:
                lying[at : at + 4] = struct.pack("<I", 9)
    assert "damaged" in refused(bytes(lying))


def test_too_many_parts(monkeypatch):
    monkeypatch.setattr("mt.text.archive.MAX_MEMBERS", 2)
    assert "must have at most 2 members, but has 3" in refused({**GOOD, "a": "", "b": ""})


def test_what_is_no_archive_or_another_document():
    assert refused(b"text") == "this is not a .docx document, or it is damaged: File is not a zip file."
    assert refused(DOCUMENTS[".odt"]) == "this is not a .docx document: the archive has no word/document.xml."
    assert "this is not an .epub book: the archive has no META-INF" in refused(DOCUMENTS[".odt"], ".epub")
    assert "damaged" in refused(DOCUMENTS[".docx"][:-40])


def test_other_compressions():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("word/document.xml", "<d/>")
    assert "'word/document.xml' is compressed in a way that is not read. hint: save the document anew" in refused(
        out.getvalue()
    )


def test_the_hint_of_a_fault_in_a_page_of_a_book_stays_one():
    message = refused({"META-INF/container.xml": "<c/>", "a.xhtml": b"<html><p>\xe9</p></html>"}, ".epub")
    assert message.startswith("a.xhtml: line 1: ")
    assert message.endswith(" is not UTF-8. hint: convert the file to UTF-8, for example with iconv.")


def test_encrypted_documents():
    manifest = "<manifest><file-entry><encryption-data/></file-entry></manifest>"
    assert "encrypted. hint: save it without a password" in refused(
        odt("", **{"META-INF/manifest.xml": manifest}), ".odt"
    )
    raw = bytearray(archive(GOOD))
    raw[raw.index(b"PK\1\2") + 8] |= 1
    assert "encrypted. hint: save it without a password" in refused(bytes(raw))


@pytest.mark.parametrize(("suffix", "what"), [(".docx", "a .docx document"), (".odt", "an .odt document")])
def test_a_document_with_a_password_or_of_old_office(suffix, what):
    assert refused(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), suffix) == (
        f"this is not {what}, but one with a password, or of the time before Office 2007. "
        "hint: open it and save it anew, without a password."
    )


def test_pages_of_a_book_with_copy_protection():
    parts = {"META-INF/container.xml": "<c/>", "a b.xhtml": bytes(range(256)), "font.otf": b"\xff"}
    parts["META-INF/encryption.xml"] = '<e><CipherReference URI="font.otf"/><CipherReference URI="a%20b.xhtml"/></e>'
    assert refused(parts, ".epub") == "a b.xhtml is encrypted. hint: take a copy of the book without copy protection."


@pytest.mark.parametrize(
    ("suffix", "usual", "other"),
    [
        (".docx", "word/document.xml", "word/document2.xml"),  # of Word in a browser
        (".pptx", "ppt/slides/slide1.xml", "ppt/slides/slide.xml"),
        (".xlsx", "xl/worksheets/sheet1.xml", "xl/worksheets/first.xml"),
    ],
)
def test_parts_with_another_number_or_name(suffix, usual, other):
    parts = parts_of(DOCUMENTS[suffix])
    if suffix == ".xlsx":
        parts |= {usual: f'<worksheet {S}><c t="inlineStr"><is><t>one</t></is></c></worksheet>'.encode()}
        del parts["xl/sharedStrings.xml"]
    parts[other] = parts.pop(usual)
    said = parts_of(translate_document(archive(parts), suffix, shout))
    assert said[other] == parts[other].replace(b">one<", b">ONE<") != parts[other]


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ('<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]><d>&e;</d>', "word/document.xml has a document type"),
        ("<d>", "word/document.xml is not well-formed XML: line 1"),
        ("<d>" * 300 + "</d>" * 300, "word/document.xml has elements nested too deeply"),
    ],
)
def test_hostile_xml(xml, message):
    assert message in refused({"word/document.xml": xml})


def test_a_page_of_a_book_is_named():
    page = '<?xml version="1.0" encoding="klingon"?><p>a</p>'
    assert "OEBPS/a.xhtml: the file says that it is in `klingon`" in refused(epub(page), ".epub")


def test_a_book():
    page = (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml"><head><title/>'
        "<script/></head><body><p>One <b>two</b>&#160;&amp; three.</p><pre/><p>four</p></body></html>"
    )
    book = "<docTitle><text>Book</text></docTitle><docAuthor><text>A. Uthor</text></docAuthor>"
    toc = f"<ncx>{book}<navLabel><text>Part</text></navLabel></ncx>"
    raw = epub(page, toc=toc)
    assert segments(raw, ".epub") == ["One <g1>two</g1>\xa0&amp; three.", "four", "Part"]
    said = parts_of(translate_document(raw, ".epub", shout))
    wanted = page.replace("One", "ONE").replace("two", "TWO").replace("three", "THREE")
    assert said["OEBPS/a.xhtml"].decode() == wanted.replace("four", "FOUR")
    assert said["OEBPS/toc.ncx"].decode() == toc.replace("Part", "PART")


def test_pages_of_a_book_are_known_by_their_type_whatever_their_suffix():
    items = (
        '<item href="text/a%20b.xml" id="a" media-type="application/xhtml+xml"/>'
        "<item media-type='application/x-dtbncx+xml' href='../toc.xml'></item><item/>"
        '<item href="fonts.xml" media-type="application/xml"/><opf:item media-type="text/html" href="c&amp;d"/>'
    )
    texts = {name: f"<p>{name[-1]} word</p>" for name in ("O/text/a b.xml", "toc.xml", "O/fonts.xml", "O/c&d", "e.xml")}
    raw = archive({"META-INF/container.xml": "<c/>", "O/p.OPF": f"<manifest>{items}</manifest>", **texts})
    said = parts_of(translate_document(raw, ".epub", shout))
    changed = {name for name, text in texts.items() if said[name].decode() != text}
    assert changed == {"O/text/a b.xml", "toc.xml", "O/c&d"}


@given(st.sampled_from(sorted(DOCUMENTS)), st.data())
def test_damaged_documents_are_refused_in_one_sentence_or_read(suffix, data):
    raw = bytearray(DOCUMENTS[suffix])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] = data.draw(st.integers(0, 255))
    with suppress(DataError):
        parts_of(translate_document(bytes(raw), suffix, shout))


@given(st.sampled_from(sorted(READERS)), st.binary(max_size=60) | st.text("<>&;{}[]\"'\\ab\n-#:>|*`", max_size=60))
def test_nothing_but_our_errors(suffix, raw):
    with suppress(DataError):
        translate_document(raw.encode() if isinstance(raw, str) else raw, suffix, shout)


def test_text_documents_are_no_archives():
    assert translated("PK\3\4 one", ".txt") == "PK\3\4 ONE"


def test_a_book_and_its_pages_name_the_language_of_the_translation():
    page, other = '<html xml:lang="en"><p xml:lang="en">one</p></html>', "<html lang='fr'><p>two</p></html>"
    opf = '<package xml:lang="en"><dc:language id="l">en-GB</dc:language><dc:title>Café</dc:title></package>'
    parts = {**parts_of(epub(page, toc='<ncx xml:lang="en"><text>Part</text></ncx>')), "OEBPS/b.html": other}
    raw = archive({**parts, "OEBPS/book.opf": opf.encode("iso-8859-1")})
    parsed = read_document(raw, ".epub")
    assert sorted(parsed.languages) == [("en", ""), ("en-GB", ""), ("fr", "")]
    assert parsed.naming("en", "de").write(parsed.texts) == raw
    said = parts_of(parsed.naming("en", "de").write(shout(parsed.texts)))
    assert said.pop("OEBPS/a.xhtml").decode() == '<html xml:lang="de"><p xml:lang="en">ONE</p></html>'
    assert said.pop("OEBPS/b.html").decode() == "<html lang='fr'><p>TWO</p></html>"
    assert said.pop("OEBPS/toc.ncx").decode() == '<ncx xml:lang="de"><text>PART</text></ncx>'
    assert said.pop("OEBPS/book.opf").decode("iso-8859-1") == opf.replace("en-GB", "de")
    assert said == {name: content for name, content in parts_of(raw).items() if name in said}
