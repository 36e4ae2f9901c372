"""A glossary's lines, and which of its entries a sentence calls for."""

import pytest

from mt.decode.constraints.glossary import Entry, Glossary, parse
from mt.errors import ConfigError, DataError


def required(glossary, sentence):
    return [entry.targets for entry in glossary.constraints(sentence).required]


def banned(glossary, sentence):
    return [entry.targets for entry in glossary.constraints(sentence).banned]


@pytest.fixture
def glossary(tmp_path):
    file = tmp_path / "g.tsv"
    file.write_text(
        "# source\ttarget\n\nhouse\tHaus|Hauses\ngreen  house\tTreibhaus\nPolish\tPolnisch\n"
        "house\t!Bude\n*\t!okay\n日本\tJapan\nc++\tC++\n"
    )
    return Glossary.read(file)


@pytest.mark.parametrize(
    ("sentence", "targets"),
    [
        ("A house.", [("Haus", "Hauses")]), ("A HOUSE, a house", [("Haus", "Hauses")]), ("houses", []),
        ("greenhouse", []), ("A green\t house", [("Treibhaus",)]),
        ("A green house is a house", [("Treibhaus",), ("Haus", "Hauses")]),
        ("polish", []), ("Polish", [("Polnisch",)]), ("POLISH", []), ("昔日本に", [("Japan",)]),
        ("C++, not C", [("C++",)]), ("", []),
    ],
)  # fmt: skip
def test_terms_are_found_as_whole_words(glossary, sentence, targets):
    assert required(glossary, sentence) == targets


def test_what_must_not_appear(glossary):
    assert banned(glossary, "A house") == [("okay",), ("Bude",)]
    assert banned(glossary, "A tree") == [("okay",)]


def test_entries_know_their_line(glossary):
    [entry] = glossary.constraints("Polish").required
    assert entry.where.endswith("g.tsv:5")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "house",
            r"^g:7: an entry must be a source term, a tab and a target term, but is 'house'\. hint: a target after !",
        ),
        ("a\tb\tc", r"^g:7: an entry must be"),
        ("\tHaus", r"^g:7: an entry must be"),
        ("house\t ", r"^g:7: an entry must be"),
        (
            "house\tHaus||Hauses",
            r"^g:7: a form of the target term is empty in 'Haus\|\|Hauses'\. hint: write a word on each",
        ),
        ("house\t!", r"^g:7: a form of the target term is empty in '!'"),
        ("*\tHaus", r"^g:7: \* stands for every sentence and can only ban, as in \*<TAB>!Haus\.$"),
    ],
)
def test_lines_that_are_no_entries(line, sentence):
    with pytest.raises(DataError, match=sentence):
        parse(line, "g:7")


def test_comments_and_empty_lines_are_nothing():
    assert parse("# x\ty", "g:1") is None and parse("  ", "g:1") is None
    assert parse("a  b\t! c | d ", "g:1") == Entry("a b", ("c", "d"), True, "g:1")


@pytest.mark.usefixtures("unchecked_shapes")
def test_an_entry_of_a_python_caller_is_read_as_a_line_is():
    assert Entry(" a  b", ["c  d"], False).targets == ("c d",)  # pyright: ignore[reportArgumentType]
    assert required(Glossary([Entry(" green  house", ("Treibhaus",), False)]), "green house") == [("Treibhaus",)]


@pytest.mark.parametrize(
    ("terms", "kind", "sentence"),
    [
        (("", ("Haus",), True), DataError, r"^glossary: the source term of `!Haus` is empty\.$"),
        (("house", (), False), DataError, r"^glossary: a form of the target term is empty in ''\."),
        (("house", ("Haus", " "), False), DataError, r"^glossary: a form of the target term is empty in 'Haus\|'\."),
        (("*", ("Haus",), False), DataError, r"^glossary: \* stands for every sentence and can only ban"),
        (
            ("house", "Haus", False),
            ConfigError,
            r"^glossary: an entry must have a source term and a tuple of target terms, but has 'house' and 'Haus'\. "
            r"hint: write it as `Entry\(\"cat\", \(\"Katze\", \"Katzen\"\), banned=False\)`\.$",
        ),
        (("house", (1,), False), ConfigError, r"but has 'house' and \(1,\)\."),
        ((None, ("Haus",), False), ConfigError, r"but has None and \('Haus',\)\."),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_entries_of_a_python_caller_that_no_file_could_have(terms, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        Entry(*terms)
    if "`Entry" in error.value.hint:
        eval(error.value.hint.split("`")[1])


@pytest.mark.usefixtures("unchecked_shapes")
def test_what_is_no_entry_is_refused():
    with pytest.raises(ConfigError, match=r"^entry 2 of the glossary must be an `Entry`, but is \('a', 'b'\)\.$"):
        Glossary([Entry("a", ("b",), False), ("a", "b")])  # pyright: ignore[reportArgumentType]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("term", "sentence"),
    [
        ("grün", "ein gru\u0308nes, gru\u0308n"), ("gru\u0308n", "Grün ist es"),
        ("سيب", "یک سیب سبز"), ("كتاب", "این کتاب"),
        ("API", "das ＡＰＩ"), ("سلام", "ﺳﻼﻡ دنیا"), ("น้ำ", "น้ํา"), ("și", "tu şi eu"),
    ],
)  # fmt: skip
def test_a_term_is_found_in_any_spelling_of_its_letters(term, sentence):
    [entry] = Glossary([Entry(term, ("x",), False)]).constraints(sentence).required
    assert entry.source == term


@pytest.mark.usefixtures("unchecked_shapes")
def test_letters_that_are_not_the_same_are_not_taken_for_it():
    glossary = Glossary([Entry("على", ("on",), False), Entry("grun", ("x",), False)])
    assert glossary.constraints("علي grün").required == ()
