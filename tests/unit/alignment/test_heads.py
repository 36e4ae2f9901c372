"""From maps to links: by hand on made-up maps, and on a model that has learned to translate word by word."""

import pytest
import torch
from toy import number_pairs, number_tokenizer, trained_numbers

from mt.alignment.aligner import Aligner, choose, from_file, to_file
from mt.alignment.choose_heads import (
    best_words,
    candidate_heads,
    choose_by_agreement,
    choose_by_regularity,
    guess_heads,
    regularity,
)
from mt.alignment.heads import AlignmentHeads, hard_links, head_mean, joint_links, soft_links, turned, word_maps
from mt.alignment.observe import Observation, Side, observe
from mt.alignment.pharaoh import Gold, compare
from mt.alignment.shares import shares, source_shares
from mt.errors import CheckpointError
from mt.nn.forced import Maps


def made_up(cross, source="ab c", target="x yz"):
    """Source tokens "a", "b", "c" and eos; target tokens "x", "y", "z"."""
    one = Side(source, [(0, 2), (3, 4)], [(5, 0, 1), (6, 1, 2), (7, 2, 4)])
    other = Side(target, [(0, 1), (2, 4)], [(8, 0, 1), (9, 1, 3), (9, 3, 4)])
    nothing = torch.empty(0, 0, 0, 0)
    return Observation(one, other, Maps(torch.tensor(cross)[None, None], nothing, nothing), torch.zeros(4))


# rows: bos, x, y, z; columns: a, b, c, eos
CROSS = [[0.7, 0.1, 0.1, 0.1], [0.2, 0.2, 0.5, 0.1], [0.1, 0.1, 0.2, 0.6], [0.0, 0.4, 0.3, 0.3]]


def test_word_maps_by_hand():
    """Weights are summed over source tokens and averaged over target tokens, in both rows."""
    maps = word_maps(made_up(CROSS))
    assert maps.shape == (2, 1, 1, 2, 3)
    at_prediction = [[0.8, 0.1, 0.1], [(0.4 + 0.2) / 2, (0.5 + 0.2) / 2, (0.1 + 0.6) / 2]]
    at_input = [[0.4, 0.5, 0.1], [(0.2 + 0.4) / 2, (0.2 + 0.3) / 2, (0.6 + 0.3) / 2]]
    torch.testing.assert_close(maps[:, 0, 0], torch.tensor([at_prediction, at_input]))
    assert hard_links(head_mean(maps, AlignmentHeads(0, (0,), False))) == {(0, 0), (1, 1)}
    assert hard_links(head_mean(maps, AlignmentHeads(0, (0,), True))) == {(1, 0), (0, 1)}


def test_links_need_a_weight_and_the_end_mark_is_no_word():
    weights = torch.tensor([[0.1, 0.2, 0.7], [0.0, 0.0, 1.0], [0.6, 0.4, 0.0]])
    assert hard_links(weights) == {(1, 0), (0, 2)}
    assert hard_links(weights, least=0.5) == {(0, 2)}
    assert [(i, j, round(w, 6)) for i, j, w in soft_links(weights, 0.2)] == [(1, 0, 0.2), (0, 2, 0.6), (1, 2, 0.4)]
    assert hard_links(torch.empty(0, 3)) == hard_links(torch.ones(2, 1)) == set()


def test_of_equal_weights_the_first_is_linked_whatever_rounding_says():
    assert hard_links(torch.tensor([[0.1 + 1e-8, 0.1, 0.8], [0.1, 0.1 + 1e-8, 0.8]])) == {(0, 0), (0, 1)}


def test_joint_links_need_both_directions():
    forward = torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0]])  # target by source
    backward = torch.tensor([[0.9, 0.0, 0.1], [0.0, 0.02, 0.98]])  # source by target
    assert joint_links(forward, backward, least=0.1) == {(0, 0), (1, 1)}
    assert joint_links(forward, backward, least=0.2) == {(0, 0)}
    assert turned({(1, 2)}) == {(2, 1)}


def test_shares_of_pieces_that_lie_across_words_and_in_none():
    found = shares([(1, 0, 4), (2, 4, 5), (3, 9, 9)], [(0, 1), (1, 4), (5, 7)])
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.75, 0], [0, 0, 1], [0, 0, 0]]))
    with_end = source_shares([(1, 0, 1)], [(0, 1)])
    torch.testing.assert_close(with_end, torch.tensor([[1.0, 0], [0, 1]]))


def test_best_words_are_the_hard_links_of_every_reading():
    maps = torch.rand(2, 2, 3, 4, 6)
    maps[..., 1, :] = 0  # a target word without tokens
    found = best_words(maps).tolist()
    tried = candidate_heads(2, 3)
    assert len(found) == len(tried) == 2 * 7 * 2
    for row, heads in zip(found, tried, strict=True):
        assert {(i, j) for j, i in enumerate(row) if i >= 0} == hard_links(head_mean(maps, heads))


@pytest.mark.parametrize(("targets", "sources"), [(0, 3), (2, 0), (0, 0)])
def test_a_pair_with_an_empty_side_changes_no_choice(targets, sources):
    torch.manual_seed(1)
    empty, full = torch.zeros(2, 1, 2, targets, sources + 1), [torch.rand(2, 1, 2, 3, 4) for _ in range(4)]
    back = [maps[..., :3].transpose(3, 4).contiguous() for maps in full]  # [2, L, H, W, V], and an end mark
    back = [torch.cat([maps, torch.zeros(2, 1, 2, 3, 1)], dim=4) for maps in back]
    words = [(["a", "b", "c"], ["x", "y", "z"])] * 4
    assert best_words(empty).tolist() == [[-1] * targets] * len(candidate_heads(1, 2))
    turned_round = torch.zeros(2, 1, 2, sources, targets + 1)
    with_it, without = choose_by_agreement([*full, empty], [*back, turned_round]), choose_by_agreement(full, back)
    assert [one.heads for one in with_it] == [one.heads for one in without]
    assert with_it[0].score == without[0].score and with_it[0].pairs == 5
    blank = (["a"] * sources, ["x"] * targets)
    assert choose_by_regularity([*full, empty], [*words, blank]).heads == choose_by_regularity(full, words).heads
    assert guess_heads([*full, empty]) == guess_heads(full)


def test_case_does_not_count_in_a_choice():
    torch.manual_seed(1)
    maps = [torch.rand(2, 1, 2, 3, 4) for _ in range(6)]
    small, large = [(["a", "b", "c"], ["x", "y", "z"])] * 6, [(["A", "b", "C"], ["X", "Y", "z"])] * 6
    mixed = [(small, large)[n % 2][n] for n in range(6)]
    assert choose_by_regularity(maps, mixed) == choose_by_regularity(maps, small)


def test_with_many_heads_each_is_tried_alone_and_all_together():
    assert {r.heads for r in candidate_heads(1, 8)} == {*((h,) for h in range(8)), tuple(range(8))}


def test_regular_links_beat_those_that_rest_on_one_word_and_those_by_chance():
    words = [(p.src.split(), p.tgt.split()) for p in number_pairs(60)]
    right = [{(i, i) for i in range(len(s))} for s, _ in words]
    resting = [{(0, j) for j in range(len(t))} for _, t in words]
    wrong = [{((i + 1) % len(s), i) for i in range(len(s))} for s, _ in words]
    assert regularity(right, words) > 1.5
    assert regularity(right, words) > regularity(resting, words) + 1
    assert regularity(right, words) > regularity(wrong, words) + 1
    assert regularity([set() for _ in words], words) == -float("inf")


@pytest.fixture(scope="module")
def pairs():
    return number_pairs(60, seed=7)


def aligner_of(turned=False):
    return Aligner(trained_numbers(turned), number_tokenizer(), max_length=64)


def aer_of(links, pairs):
    gold = [{(i, i) for i in range(len(p.src.split()))} for p in pairs]
    return compare(links, [Gold(g, g) for g in gold]).aer


def test_a_model_alone_finds_the_links_of_word_for_word_translation(pairs):
    aligner, sources, targets = aligner_of(), [p.src for p in pairs], [p.tgt for p in pairs]
    (choice,) = choose(aligner, sources, targets)
    assert choice.criterion == "regularity"
    assert choice.pairs == len(pairs)
    assert aer_of([hard_links(w) for w in aligner.weights(sources, targets)], pairs) < 0.1


def test_two_directions_find_them_by_agreement(pairs):
    aligner, reverse = aligner_of(), aligner_of(turned=True)
    sources, targets = [p.src for p in pairs], [p.tgt for p in pairs]
    first, second = choose(aligner, sources, targets, reverse)
    assert first.criterion == second.criterion == "agreement"
    assert first.score > 0.9
    assert (aligner.heads, reverse.heads) == (first.heads, second.heads)
    assert aer_of([hard_links(w) for w in aligner.weights(sources, targets)], pairs) < 0.1
    back = [turned(hard_links(w)) for w in reverse.weights(targets, sources)]
    assert aer_of(back, pairs) < 0.1


def test_a_guess_from_two_sentences_is_sharp_and_varied():
    uniform, diagonal, resting = torch.full((3, 4), 0.25), torch.eye(3, 4), torch.zeros(3, 4)
    resting[:, 1] = 1
    maps = torch.stack([torch.stack([uniform, resting]), torch.stack([uniform, diagonal])])[None]  # (1, L, H, V, W1)
    assert guess_heads([torch.cat([torch.full_like(maps, 0.25), maps])]) == AlignmentHeads(1, (1,), True)


def test_what_is_longer_than_the_model_takes_is_cut_with_a_warning(caplog):
    model, tokenizer = trained_numbers(), number_tokenizer()
    lines = ["one two", "one two three four"]
    most = len(tokenizer.encode_source(lines[:1])[0])
    seen = list(observe(model, tokenizer, lines, ["eins", "eins"], max_length=most))
    assert [len(o.source.words) for o in seen] == [2, 4]
    assert len(seen[1].source.tokens) == most - 1
    assert f"1 source line with more than the {most - 1} tokens that the model takes (2)" in caplog.text


def test_empty_sides_have_no_links():
    for source, target in (("", "eins"), ("one", ""), ("", "")):
        (seen,) = observe(trained_numbers(), number_tokenizer(), [source], [target], max_length=64)
        assert hard_links(head_mean(word_maps(seen), AlignmentHeads(0, (0,), True))) == set()


def test_a_choice_goes_to_its_file_and_back(pairs):
    import json

    aligner = aligner_of()
    (choice,) = choose(aligner, [p.src for p in pairs[:4]], [p.tgt for p in pairs[:4]])
    assert from_file(json.loads(to_file(choice)), aligner.model, "f") == choice.heads


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schema": 7}, r"^f must have schema 1, but has 7\. hint: remove the file\.$"),
        ({"schema": 1}, r"^f must hold a `layer`, some `heads` and `shifted`, but does not\.$"),
        ({"schema": 1, "reading": {"layer": 0, "heads": [-1], "shifted": True}}, "must hold a `layer`"),
        ({"schema": 1, "reading": {"layer": 0, "heads": [5], "shifted": True}},
         r"^f names layer 1, head 6, read at the input, but the model has 1 layers with 2 heads\. hint: remove the f"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(values, message):
    with pytest.raises(CheckpointError, match=message):
        from_file(values, trained_numbers(), "f")


def test_blocks_of_pairs_change_nothing_and_warnings_count_on(monkeypatch, caplog):
    model, tokenizer = trained_numbers(), number_tokenizer()
    sources = ["one two", "three", "", "one", "two", "three " * 30, "one"]
    targets = ["eins zwei", "drei", "", "eins", "zwei", "drei", "eins"]

    def seen():
        return [(o.source, o.target, o.log_probs) for o in observe(model, tokenizer, sources, targets, max_length=20)]

    whole = seen()
    monkeypatch.setattr("mt.alignment.observe.BLOCK", 2)
    for (source, target, values), (other_source, other_target, others) in zip(seen(), whole, strict=True):
        assert (source, target) == (other_source, other_target)
        torch.testing.assert_close(values, others)
    assert len(caplog.messages) == 2 and all("takes (6):" in message for message in caplog.messages)
