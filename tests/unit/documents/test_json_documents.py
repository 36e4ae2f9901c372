"""JSON: string values are segments; keys and all else stay."""

import json

import pytest
from characters import ANY
from hypothesis import given
from hypothesis import strategies as st
from shout import same, segments, translated

from mt.documents.readers import translate_document
from mt.errors import DataError

TREE = (
    '{"a": "hello\\n\\nworld <b>x</b>", "b": ["x y", {"c": "why\\\\n", "d": 3}], "u":"http://a.b/c", "a{": "é\\u00e9"}'
)


def test_each_line_of_a_string_is_a_segment():
    assert segments(TREE, ".json") == ["hello", "world <b>x</b>", "x y", "why\\n", "éé"]


def test_only_values_change():
    assert translated(TREE, ".json") == (
        '{"a": "HELLO\\n\\nWORLD <b>X</b>", "b": ["X Y", {"c": "WHY\\\\N", "d": 3}], "u":"http://a.b/c", "a{": "ÉÉ"}'
    )


def test_a_file_without_other_characters_stays_so():
    assert translated('["\\u00e9", "a"]', ".json") == '["\\u00c9", "A"]'
    assert translated('["é\\n"]', ".json") == '["É\\n"]'


def test_chosen_keys_with_all_within_them():
    assert segments(TREE, ".json", keys=["b"]) == ["x y", "why\\n"]
    assert segments(TREE, ".json", keys=["c", "a"]) == ["hello", "world <b>x</b>", "why\\n"]
    assert segments('{"a": {"b": ["x"]}, "c": "y", "b": "z"}', ".json", keys=["b"]) == ["x", "z"]
    assert segments('[{"a": "x"}, "y"]', ".json", keys=["a"]) == ["x"]


def test_half_a_character_is_left_alone():
    assert translated('["\\ud83d a", "\\ud83d\\ude00 a"]', ".json") == '["\\ud83d a", "\\ud83d\\ude00 A"]'


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ('{"a": }', {}, "line 1, column 7: this is not JSON: Expecting value"),
        ("", {}, "line 1, column 1: this is not JSON"),
        ("[" * 200_000, {}, "nested too deeply"),
        ("1" * 5000, {}, "number of too many digits"),
        ('{"a": 1}', {"keys": ["b", "c"]}, "the JSON has no key `b`, `c`"),
    ],
)
def test_what_cannot_be_read(text, options, message):
    with pytest.raises(DataError, match=message):
        translated(text, ".json", **options)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(ANY, max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(ANY, max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_the_same_text_gives_the_same_bytes(value, ascii_only, indent):
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(errors="surrogatepass")
    if not ascii_only:
        raw = raw.decode(errors="replace").encode()
    if b"\0" not in raw:
        assert translate_document(raw, ".json", same) == raw


@given(VALUES)
def test_only_strings_change(value):
    def said(one):
        if isinstance(one, dict):
            return {key: said(inner) for key, inner in one.items()}
        if isinstance(one, list):
            return [said(inner) for inner in one]
        return "*" if isinstance(one, str) else one

    answer = json.loads(translated(json.dumps(value), ".json", lambda texts: ["!"] * len(texts)))
    assert said(answer) == said(value)


def test_line_ends_in_any_spelling_part_segments():
    text = r'["a\u000ab\u000D\nc", "\\u000ad", "\\\u000ae", "\u00e9f\u000b"]'
    assert segments(text, ".json") == ["a", "b", "c", "\\u000ad", "e", "éf"]
    assert translated(text, ".json") == r'["A\u000aB\u000D\nC", "\\U000AD", "\\\u000aE", "\u00c9F\u000b"]'
