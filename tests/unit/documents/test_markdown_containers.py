"""Containers of Markdown: their marks stay, their titles and texts are translated."""

import pytest
from shout import same, segments, shout, translated

from mt.errors import DataError

CONTAINERS = """:::note
look here
:::

::: warning Mind *this*
- one
  :::tip[go on]
  two
  :::
> quoted
::: details Click "me" {open}
three
::::

::: {.aside #a}
four
:::
:::{figure} a.png
:::

!!! danger inline end "Mind this"

    five
    lines

    !!! tip
        deep

        ```
        code
        ```
after
???+ note
    folded
=== "C tab"

    six

!!! not one

a ::: b
"""


def test_marks_of_containers_stay():
    assert segments(CONTAINERS, ".md") == [
        "look here", "Mind <g1>this</g1>", "one", "go on", "two", "quoted", 'Click "me"', "three", "four", "Mind this",
        "five lines", "deep", "after", "folded", "C tab", "six", "!!! not one", "a ::: b",
    ]  # fmt: skip
    assert translated(CONTAINERS, ".md", same) == CONTAINERS
    kept = (
        ":::note",
        "::: warning",
        ":::tip",
        "::: details",
        "{open}",
        "{.aside #a}",
        "{figure} a.png",
        "danger inline end",
        "!!! tip",
        "???+ note",
    )
    said = CONTAINERS.upper()
    for one in (*kept, "        code\n"):
        said = said.replace(one.upper(), one)
    assert translated(CONTAINERS, ".md", shout) == said


def test_a_translation_does_not_begin_or_end_a_container():
    assert translated("one\n", ".md", lambda _: ["::: tip"]) == "\\::: tip\n"
    said = translated("one two three\nfour\n", ".md", lambda _: ["one two three ::: four"])
    assert segments(said, ".md") == ["one two three ::: four"]
    assert translated('!!! tip "one"\n    two\n', ".md", lambda _: ['say "a"', "b"]) == "!!! tip \"say 'a'\"\n    b\n"
    assert translated('::: tip say "one"\n', ".md") == '::: tip SAY "ONE"\n'


def test_containers_within_each_other():
    def nested(depth):
        return "".join(f"{'    ' * n}!!! tip\n" for n in range(depth)) + "    " * depth + "one\n"

    assert translated(nested(99), ".md").endswith(" ONE\n")
    with pytest.raises(DataError, match=r"^line 100: quotes and lists are nested too deeply to be read\.$"):
        translated(nested(1000), ".md")
