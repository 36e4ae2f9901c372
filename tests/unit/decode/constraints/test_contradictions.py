"""Entries of a glossary that contradict each other."""

import pytest

from mt.cli.translate import parse as options
from mt.decode.constraints.glossary import Entry, Glossary, parse
from mt.errors import DataError


def glossary(*lines):
    return Glossary([entry for n, line in enumerate(lines, 1) if (entry := parse(line, f"g:{n}"))])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["dog\tHund", "cat\tKatze", "dog\tKöter|Hündin"],
            r"^g:1 and g:3 contradict each other: `dog` as `Hund` and `dog` as `Köter\|Hündin`, which must "
            r"both appear\. hint: delete one of the two, or write .* in one entry: dog<TAB>Hund\|Köter\|Hündin\.$",
        ),
        (
            ["dog\t!Hund", "dog\tHund"],
            r"^g:2 and g:1 contradict each other: `dog` as `Hund` and `dog` as `!Hund`, which must appear by "
            r"the one and must not by the other\. hint: delete one of the two\.$",
        ),
        (["dog\tHund", "*\t!Hund|Katze"], r"g:1 and g:2 contradict each other: `dog` as `Hund` and `\*` as `!Hund\|Ka"),
    ],
)  # fmt: skip
def test_what_no_translation_can_satisfy(lines, message, tmp_path):
    with pytest.raises(DataError, match=message):
        glossary(*lines)
    (tmp_path / "g").write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"{tmp_path}/g:\d and {tmp_path}/g:\d contradict each other"):
        options(["model", "--glossary", str(tmp_path / "g")])


@pytest.mark.parametrize(
    "lines",
    [
        ["dog\tHund", "dog\tHund"],
        ["dog\tHund|Hunde", "dog\tHund"],
        ["dog\tHund|Hunde", "dog\t!Hunde"],
        ["dog\tHund", "Dog\tKöter", "big dog\tHündin"],
        ["dog\tHund", "dog\t!Köter", "dog\t!Hündin", "*\t!Katze"],
    ],
)
def test_what_can_be_satisfied(lines):
    glossary(*lines)


def test_the_hint_removes_the_contradiction():
    with pytest.raises(DataError) as error:
        glossary("dog\tHund", "dog\tKöter")
    line = error.value.hint.split(": ")[1].removesuffix(".").replace("<TAB>", "\t")
    glossary(line)


def test_entries_of_a_python_caller_are_checked_and_named_by_their_number():
    entries = [Entry("cat", ("Katze",), False), Entry("dog", ("Hund",), False), Entry("dog", ("Hund", "Köter"), True)]
    with pytest.raises(DataError, match=r"^entry 2 of the glossary and entry 3 of the glossary contradict each other"):
        Glossary(entries)
    assert not Glossary(entries[:2]).constraints("bird").required
