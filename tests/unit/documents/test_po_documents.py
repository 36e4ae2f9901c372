"""gettext PO: entries without a translation get one."""

import gettext
import re
import shutil
import subprocess

import polib
import pytest
from shout import same, segments, shout, translated

from mt.documents.readers import translate_document
from mt.errors import DataError

CATALOGUE = """# comment
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

#. for translators
#: a.c:1
#, c-format
msgid ""
"Hello %s\\n"
"\\n"
"world\\n"
msgstr ""

#, fuzzy
#| msgid "old"
msgid "Two"
msgstr "Zwei"

msgid "Done"
msgstr "Fertig"

msgctxt "x"
msgid "one file"
msgid_plural "many files"
msgstr[0] ""
msgstr[1] ""

#~ msgid "gone"
#~ msgstr ""
"""


def asked(text):
    seen = []
    translated(text, ".po", lambda texts: seen.extend(texts) or texts)
    return seen


def test_what_is_not_translated_is_a_segment():
    assert asked(CATALOGUE) == ["Hello %s", "world", "one file", "many files"]


def test_entries_are_filled_and_all_else_stays():
    assert translated(CATALOGUE, ".po") == (
        CATALOGUE.replace('world\\n"\nmsgstr ""', 'world\\n"\nmsgstr ""\n"HELLO %S\\n"\n"\\n"\n"WORLD\\n"')
        .replace('msgstr[0] ""', 'msgstr[0] "ONE FILE"')
        .replace('msgstr[1] ""', 'msgstr[1] "MANY FILES"')
    )


ODD_ENTRIES = """#~ msgid "old"
#~ msgstr "alt"
\x0c
#  one
#:  a.c:1
#: b.c:2
#, no-wrap , c-format
  msgid "a"
\t msgstr  "" \x20

# a\u2028#
msgid ""
"b"
msgid_plural "c"
msgstr[1] ""
""
msgstr[0] "x"
"y"
msgid "d"
msgstr ""
"e"

#~| msgid "older"
#~ msgid "old"
#~ msgstr ""
# the end
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_all_but_new_translations_stays_byte_for_byte(line_end):
    """polib would write obsolete entries last, wrap comments and strings anew, and drop what it does not know."""
    text = f"{CATALOGUE}\n{ODD_ENTRIES}".replace("\n", line_end)
    wanted = translated(CATALOGUE.replace("\n", line_end), ".po") + line_end
    odd = ODD_ENTRIES.replace('msgstr  ""', 'msgstr  "A"').replace('[1] ""\n""', '[1] "C"').replace("\n", line_end)
    assert translated(text, ".po").encode() == f"{wanted}{odd}".encode()


def test_a_half_translated_plural_keeps_what_it_has():
    text = 'msgid "a"\nmsgid_plural "b"\nmsgstr[0] "x"\nmsgstr[1] ""\nmsgstr[2] ""\n'
    assert [entry.msgstr_plural for entry in polib.pofile(translated(text, ".po"))] == [{0: "x", 1: "B", 2: "B"}]


@pytest.mark.parametrize("translate", [same, shout])
def test_a_file_that_is_translated_comes_back_byte_for_byte(translate):
    done = (
        CATALOGUE.replace('""\n\n#, fuzzy', '"x"\n\n#, fuzzy').replace('] ""', '] "y"').replace("# c", "#   c\r\n# c")
    )
    assert translated(done, ".po", translate) == done
    assert translated("", ".po", translate) == ""


def test_long_lines_are_broken_only_where_the_file_breaks_them():
    words = " ".join(["word"] * 30)
    wide = f'msgid "{words}"\nmsgstr ""\n'
    assert f'msgstr "{words.upper()}"' in translated(wide, ".po")
    narrow = f'msgid ""\n"{words[:70]}"\n"{words[70:140]}"\n"{words[140:]}"\nmsgstr ""\n'
    said = translated(narrow, ".po")
    assert max(map(len, said.split("\n"))) <= 80 and polib.pofile(said)[0].msgstr == words.upper()


def test_line_ends_and_encoding_stay():
    text = (
        'msgid ""\r\nmsgstr ""\r\n"Content-Type: text/plain; charset=ISO-8859-15\\n"\r\n\r\nmsgid "é"\r\nmsgstr ""\r\n'
    )
    said = translate_document(text.encode("iso-8859-15"), ".po", shout)
    assert said.decode("iso-8859-15").count("\r\n") == said.count(b"\n") and 'msgstr "É"' in said.decode("iso-8859-15")
    with pytest.raises(DataError, match=r"character '犬', which is not in ISO-8859-15, .* file\. hint: convert the"):
        translate_document(text.encode("iso-8859-15"), ".po", lambda texts: ["犬"])


def test_the_name_of_a_file_is_no_catalogue(tmp_path):
    """polib opens what it is given if there is such a file."""
    (tmp_path / "secret.po").write_text('msgid "secret"\nmsgstr ""\n')
    seen = []
    with pytest.raises(DataError, match="this is not a PO file"):
        translated(str(tmp_path / "secret.po"), ".po", lambda texts: seen.extend(texts) or texts)
    assert not seen


def test_what_is_no_catalogue():
    with pytest.raises(DataError, match=r"this is not a PO file \(.*Syntax error"):
        translated("nonsense", ".po")
    assert segments("# a comment\n", ".pot") == []


@pytest.mark.parametrize("bare", ['msgid "a b', "msgid a b", "msgid 'a b'", 'msgid ""\n"a b\\"', '#~ msgid "a b'])
def test_a_string_that_is_not_in_quotes(bare):
    """polib takes its first and last character for the quotes, and drops what an unclosed line adds to."""
    with pytest.raises(DataError, match=r"this is not a PO file \(line [34] has a string that is not in quotes\)\."):
        translated(f'# "one\n\n{bare}\nmsgstr ""\n', ".po")
    assert segments('#~| msgid "a"\n#~ msgid "b"\n#~ msgstr[10] "\\"" \n', ".po") == []


@pytest.mark.parametrize("escape", [r"\x41", r"\101", r"\a", r"\e", r"\'", r"\u00e9"])
def test_an_escape_that_would_become_a_backslash_is_refused(escape):
    read = r"\b \f \n \r \t \v \\ \" \\x41"
    for entry in ('msgid "%s"\nmsgstr ""\n', 'msgid "a"\nmsgstr ""\n"%s"\n', '#| msgid "%s"\nmsgid "a"\nmsgstr "b"\n',
                  '#~ msgid "a"\n#~ msgstr "%s"\n'):  # fmt: skip
        assert translated(entry % read, ".po", same)
        said = rf"^this is not a PO file \(line \d has the escape `{re.escape(escape)}`, which is not read\)\.$"
        with pytest.raises(DataError, match=said):
            translated(f"# {escape}\n{entry % (read + escape)}", ".po")


def test_no_empty_comment_is_added():
    text = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "a"\nmsgstr ""\n'
    assert translated(text, ".po") == text.replace('"a"\nmsgstr ""', '"a"\nmsgstr "A"')
    assert translated(f"#\n{text}", ".po").startswith('#\nmsgid ""\n')


def test_forms_of_a_plural_by_the_rule_of_the_language():
    """Arabic begins with the form for nothing, and Japanese has one form for all numbers."""
    header = 'msgid ""\nmsgstr "Plural-Forms: nplurals={}; plural={};\\n"\n\nmsgid "a"\nmsgid_plural "b"\n'
    arabic = header.format(3, "n==0 ? 0 : n==1 ? 1 : 2") + 'msgstr[0] ""\nmsgstr[1] ""\nmsgstr[2] ""\n'
    assert [entry.msgstr_plural for entry in polib.pofile(translated(arabic, ".po"))] == [{0: "B", 1: "A", 2: "B"}]
    japanese = header.format(1, "0") + 'msgstr[0] ""\n'
    assert [entry.msgstr_plural for entry in polib.pofile(translated(japanese, ".po"))] == [{0: "B"}]


def meant(data: bytes, folder) -> dict[str, str]:
    """What gettext reads of a catalogue."""
    (folder / "a.po").write_bytes(data)
    subprocess.run(["msgfmt", "-c", "-o", folder / "a.mo", folder / "a.po"], check=True, capture_output=True)
    with (folder / "a.mo").open("rb") as file:
        return gettext.GNUTranslations(file)._catalog  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.skipif(shutil.which("msgfmt") is None, reason="there is no gettext")
@pytest.mark.parametrize(
    ("header", "source", "written"),
    [
        ("ISO-8859-1", "für", "UTF-8"), ("CHARSET", "für", "UTF-8"), ("CHARSET", "a", "UTF-8"),
        ("US-ASCII", "a", "UTF-8"), ("utf-8", "für", "utf-8"), ("utf-8", "a", "utf-8"),
    ],
)  # fmt: skip
def test_a_catalogue_that_is_written_in_utf8_says_so(header, source, written, tmp_path):
    text = f'msgid ""\nmsgstr "Content-Type: text/plain; charset={header}\\n"\n\nmsgid "{source}"\nmsgstr ""\n'
    said = translate_document(text.encode(), ".po", lambda texts: ["öß" for _ in texts])
    assert said.decode() == text.replace(header, written).replace(f'{source}"\nmsgstr ""', f'{source}"\nmsgstr "öß"')
    assert meant(said, tmp_path)[source] == "öß"


@pytest.mark.skipif(shutil.which("msgfmt") is None, reason="there is no gettext")
@pytest.mark.parametrize("header", ["", 'msgid ""\nmsgstr "Language: de\\n"\n\n'])
def test_a_catalogue_that_says_no_encoding_names_one_where_it_needs_it(header, tmp_path):
    text = f'{header}msgid "a"\nmsgstr ""\n'
    assert "charset" not in translated(text, ".po")
    said = translate_document(text.encode(), ".po", lambda texts: ["ö"])
    assert meant(said, tmp_path)["a"] == "ö" and said.decode().count("Language") == header.count("Language")


def test_a_catalogue_keeps_its_encoding_where_it_can():
    text = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=ISO-8859-1\\n"\n\nmsgid "a"\nmsgstr ""\n'
    said = translate_document(text.encode(), ".po", lambda texts: ["ö"])
    assert said == text.replace('a"\nmsgstr ""', 'a"\nmsgstr "ö"').encode("iso-8859-1")


def test_an_encoding_that_is_none():
    text = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=nonsense\\n"\n\nmsgid "a"\nmsgstr ""\n'
    with pytest.raises(DataError, match="the file says that it is in `nonsense`, which is no encoding known here"):
        translated(text, ".po")


@pytest.mark.parametrize(
    "text",
    [
        '# note\nmsgid "a"\nmsgstr ""\n',
        '# note\n# more\n#. for translators\n#: x.c:1\n#, c-format\nmsgctxt "x"\nmsgid "a"\nmsgstr ""\n',
        '#: x.c:1\nmsgid "a"\nmsgstr ""\n\nmsgid "b"\nmsgstr "B"\n',
        'msgid "a"\nmsgstr ""\n',
        '# top\nmsgid ""\nmsgstr ""\n\n# x\nmsgid "a"\nmsgstr ""\n',
        'msgid ""\nmsgstr ""\n\nmsgid "a"\nmsgstr ""\n',
        '#\nmsgid ""\nmsgstr "Language: de\\n"\n\nmsgid "a"\nmsgstr ""\n',
        '#, fuzzy\nmsgid ""\nmsgstr "Language: de\\n"\n\nmsgid "a"\nmsgstr ""\n',
    ],
)
def test_a_header_is_neither_made_nor_lost_and_comments_stay_with_their_entries(text):
    for given in (text, text.replace("\n", "\r\n")):
        end = "\r\n" if "\r\n" in given else "\n"
        said = translated(given, ".po")
        assert said == given.replace(f'msgid "a"{end}msgstr ""', f'msgid "a"{end}msgstr "A"')


def test_a_header_that_names_the_encoding_leaves_the_comment_of_the_first_entry():
    said = translated('# note\nmsgid "ä"\nmsgstr ""\n', ".po")
    assert said.startswith('msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n# note\nmsgid "ä"\n')


ODD = """#  two  spaces
#
#, fuzzy
msgid ""
msgstr ""
"X-Poedit-Basepath: .\\n"
"Language: de\\n"
"Project-Id-Version:x\\n"
"X-Note: one\\n"
"X-Note: two\\n"
"{}"
"MIME-Version: 1.0\\n"
"Empty:\\n"
"X-Wide: a line that is far wider than the seventy-eight characters at which gettext breaks its own\\n"
"""
ENTRY = '\n# note\nmsgid "a"\nmsgstr ""\n\n#~ msgid "old"\n#~ msgstr "alt"\n'


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("Content-Type: text/plain; charset=UTF-8\\n", None),
        ("Content-Type:  text/x-po; charset=ASCII; format=flowed\\n", ("ASCII", "UTF-8")),
        ("Content-Type: text/plain\\n", ("text/plain", "text/plain; charset=UTF-8")),
    ],
)
def test_a_header_stays_as_it_is_but_for_its_encoding(line, changed):
    text = ODD.replace("{}", line) + ENTRY
    assert translated(text, ".po") == text.replace('"a"\nmsgstr ""', '"a"\nmsgstr "A"')
    assert (
        translated(text.replace("\n", "\r\n"), ".po").encode() == translated(text, ".po").replace("\n", "\r\n").encode()
    )
    said = translated(text, ".po", lambda texts: ["Ä"])
    named = text.replace(*changed) if changed else text
    assert said == named.replace('"a"\nmsgstr ""', '"a"\nmsgstr "Ä"')


def test_a_header_without_an_encoding_gets_one_at_its_end():
    text = ODD.replace('"{}"\n', "") + ENTRY
    said = translated(text, ".po", lambda texts: ["Ä"])
    wide = 'breaks its own\\n"\n'
    assert said.replace('"Ä"', '""') == text.replace(wide, f'{wide}"Content-Type: text/plain; charset=UTF-8\\n"\n')


def test_a_header_of_another_form_keeps_its_order():
    text = ODD.replace('"{}"', '"Content-Type: text/plain; "\n"charset=ASCII\\n"') + ENTRY  # in two parts
    keys = [line.partition(":")[0] for line in translated(text, ".po", lambda texts: ["Ä"]).split("\n") if ": " in line]
    assert keys == [
        '"X-Poedit-Basepath', '"Language', '"Project-Id-Version', '"X-Note', '"Content-Type', '"MIME-Version', '"Empty',
        '"X-Wide',
    ]  # fmt: skip
    late = f'msgid "b"\nmsgstr "B"\n\n{ODD.replace("{}", "X: y")}{ENTRY}'
    assert [entry.msgstr for entry in polib.pofile(translated(late, ".po"))] == ["B", "A", "alt"]


@pytest.mark.parametrize("header", ['  msgid ""\n\tmsgstr ""\n', 'msgid\t""\nmsgstr ""\n', 'msgid ""\n""\nmsgstr ""\n'])
def test_a_header_that_is_laid_out_oddly_is_not_made_a_second_time(header):
    text = f'{header}"Language: de\\n"\n\nmsgid "a"\nmsgstr ""\n'
    said = translated(text, ".po", lambda texts: ["Ä"])
    named = f'{header}"Language: de\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
    assert said == f'{named}\nmsgid "a"\nmsgstr "Ä"\n'
