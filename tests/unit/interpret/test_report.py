"""The page: whole, safe whatever the text, and with the numbers that it shows."""

import base64
import hashlib
import json
import re

import pytest
import torch
from toy import number_tokenizer, trained_numbers

from mt.alignment.heads import AlignmentHeads, word_maps
from mt.alignment.observe import Observation, Side, observe
from mt.alignment.pharaoh import Gold
from mt.interpret.contribution import Contribution, contributions, shuffle
from mt.interpret.report import Exhibit, as_script, heads_table, page
from mt.nn.forced import Maps

NASTY = "</script><script>alert(1)</script> <!-- & <b>\u2028"


def seen_of(sources, targets):
    return list(observe(trained_numbers(), number_tokenizer(), sources, targets, max_length=64))


def exhibit_of(sources, targets, name="a model", gold=()):
    seen = seen_of(sources, targets)
    owed = contributions(trained_numbers(), number_tokenizer(), seen)
    return Exhibit(name, AlignmentHeads(0, (1,), True), "Chosen.", seen, owed, gold)


def data_of(html):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    return json.loads(text)


def test_a_script_cannot_get_out_of_the_data():
    values = {"text": NASTY, NASTY: [1]}
    text = as_script(values)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == values


def test_text_in_the_page_is_data_and_nothing_else():
    html = page([exhibit_of([NASTY, "one"], ["eins", NASTY], name=NASTY)], NASTY)
    assert html.count("<script") == html.count("</script>") == 2
    assert "alert(1)<" not in html
    data = data_of(html)
    assert data["title"] == data["models"][0]["name"] == NASTY
    words = data["models"][0]["pairs"][0]["source"]
    assert "".join(word["g"] + word["t"] for word in words) == NASTY.rstrip("\u2028")


def test_the_policy_lets_run_what_the_file_wrote_and_nothing_else():
    html = page([exhibit_of(["one"], ["eins"])], "t")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert set(rules) == {"default-src", "script-src", "style-src", "base-uri", "form-action"}
    for rule, element in (("script-src", "script"), ("style-src", "style")):
        (body,) = re.findall(rf"<{element}>(.*?)</{element}>", html, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_the_page_names_no_other_place_and_writes_no_markup():
    html = page([exhibit_of(["one"], ["eins"])], "t")
    assert re.findall(r"https?://[^\s\"']*", html) == ["http://www.w3.org/2000/svg"] * 2  # a name, not an address
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(|XMLHttp|import\(|url\(", html
    )


def test_weights_travel_in_steps_of_a_255th():
    exhibit = exhibit_of(["one two three"], ["eins zwei drei"])
    (pair,) = data_of(page([exhibit], "t"))["models"][0]["pairs"]
    maps = word_maps(exhibit.seen[0])
    found = torch.frombuffer(bytearray(base64.b64decode(pair["weights"])), dtype=torch.uint8) / 255
    torch.testing.assert_close(found.view(maps.shape), maps, atol=0.5 / 255 + 1e-6, rtol=0)


def test_gold_links_are_shown_and_give_an_aer():
    gold = [Gold({(0, 0)}, {(0, 0), (1, 1)})]
    model = data_of(page([exhibit_of(["one two"], ["eins zwei"], gold=gold)], "t"))["models"][0]
    assert model["pairs"][0]["gold"] == [[0, 0]]
    assert model["pairs"][0]["possible"] == [[0, 0], [1, 1]]
    assert all(0 <= value <= 1 for head in model["heads_seen"] for value in head["aer"])


def test_entropy_and_shares_by_hand():
    """Source "a ." and the end mark; target "x": at the prediction even over all, at the input all on the sign."""
    source = Side("a .", [(0, 1), (2, 3)], [(5, 0, 1), (6, 1, 3)])
    target = Side("x", [(0, 1)], [(7, 0, 1)])
    cross, nothing = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.0, 1.0, 0.0]])[None, None], torch.empty(0, 0, 0, 0)
    seen = [Observation(source, target, Maps(cross, nothing, nothing), torch.zeros(2))]
    (head,) = heads_table(seen, [word_maps(seen[0])], [])
    assert head["entropy"] == [1.585, 0.0]
    assert head["end"] == [0.333, 0.0]
    assert head["signs"] == [0.333, 1.0]
    assert "aer" not in head


def test_a_word_owes_its_source_what_it_loses_without_it():
    """Number words cannot be guessed: dropped or in another order, the source is missed."""
    seen = seen_of(["one five nine two"], ["eins fünf neun zwei"])
    (owed,) = contributions(trained_numbers(), number_tokenizer(), seen)
    assert isinstance(owed, Contribution)
    assert sum(owed.log_probs) == pytest.approx(float(seen[0].log_probs[:-1].sum()), abs=1e-4)
    assert sum(owed.dropped) > 4
    assert sum(owed.shuffled) > 4


def test_shuffled_words_stay_whole_and_one_word_stays():
    import random

    (seen,) = seen_of(["seven three eight"], ["eins"])
    pieces = number_tokenizer().pieces_source
    mixed = shuffle(seen, random.Random(3))
    text = "".join(pieces(mixed)).replace("▁", " ").split()
    assert sorted(text) == ["eight", "seven", "three"]
    assert text != ["seven", "three", "eight"]
    (alone,) = seen_of(["seven"], ["eins"])
    assert shuffle(alone, random.Random(0)) == alone.source.ids
    (same,) = seen_of(["one one"], ["eins"])
    assert "".join(pieces(shuffle(same, random.Random(0)))).replace("▁", " ").split() == ["one", "one"]
