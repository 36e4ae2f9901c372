"""Guided alignment: the target and its loss by hand, and a head that learns it."""

import math
from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy import number_corpus, number_pairs, number_tokenizer, stream_of, tiny_model

from mt.alignment.guided_loss import AlignmentTarget, GuidedHead, alignment_loss, alignment_target
from mt.config import OptimConfig, OptimizerKind
from mt.nn.attention import attend_explicit
from mt.nn.forced import force
from mt.nn.ragged import Ragged
from mt.text.words import NO_WORD
from mt.train.optim import make_optimizer


def test_a_target_by_hand():
    """Two sentences; word 0 of the first target is linked to a source word of two pieces, its word 1 to none."""
    links = [{(0, 0)}, {(1, 0), (0, 0)}]
    target = alignment_target(links, [[0, 0, 1, NO_WORD], [0, 1, NO_WORD]], [[0, 1], [0, NO_WORD]])
    assert target.rows.tolist() == [1, 1, 4, 4]  # row 0 and row 3 are the begin marks
    assert target.columns.tolist() == [0, 1, 0, 1]
    assert target.shares.tolist() == [0.5, 0.5, 0.5, 0.5]


def word_by_word(links, source_words, target_words):
    """`alignment_target` with every source token compared with every target token."""
    found, first = [], 0
    for linked, sources, targets in zip(links, source_words, target_words, strict=True):
        for row, target in enumerate(targets, first + 1):
            seen = [column for column, word in enumerate(sources) if word != NO_WORD and (word, target) in linked]
            found += [(row, column, 1 / len(seen)) for column in seen]
        first += len(targets) + 1
    return found


WORDS = st.lists(st.integers(NO_WORD, 3), max_size=6)


@given(st.lists(st.tuples(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3))), WORDS, WORDS), max_size=3))
def test_a_target_has_the_tokens_of_linked_words_and_no_others(pairs):
    sides = [list(side) for side in zip(*pairs, strict=True)] or [[], [], []]
    target, expected = alignment_target(*sides), word_by_word(*sides)
    assert list(zip(target.rows.tolist(), target.columns.tolist(), strict=True)) == [place[:2] for place in expected]
    torch.testing.assert_close(target.shares, torch.tensor([share for *_, share in expected]))
    assert target.num_rows == len({row for row, *_ in expected})


@pytest.mark.parametrize(("device", "ahead"), [("cuda", True), ("mps", False)])
def test_a_target_is_copied_ahead_only_where_its_memory_is_kept(monkeypatch, device, ahead):
    told = []
    monkeypatch.setattr(torch.Tensor, "to", lambda part, *args, **options: told.append((args, options)) or part)
    alignment_target([{(0, 0)}], [[0, NO_WORD]], [[0]]).to(torch.device(device))
    assert told == [((torch.device(device),), {"non_blocking": ahead})] * 3


def test_no_links_no_loss():
    target = alignment_target([set()], [[0, NO_WORD]], [[0]])
    rows = Ragged.from_lengths([2])
    loss = alignment_loss(torch.ones(2, 4), torch.ones(2, 4), queries=rows, keys=rows, target=target)
    assert loss == 0


def test_the_loss_is_the_cross_entropy_of_the_explicit_weights():
    q, kv = torch.randn(5, 2, 4), torch.randn(7, 2, 2, 4)
    queries, keys = Ragged.from_lengths([2, 3]), Ragged.from_lengths([4, 3])
    target = AlignmentTarget(torch.tensor([1, 1, 4]), torch.tensor([0, 3, 2]), torch.tensor([0.5, 0.5, 1.0]))
    _, maps = attend_explicit(q, kv, queries=queries, keys=keys)
    expected = -(0.5 * maps[0][1, 1, 0].log() + 0.5 * maps[0][1, 1, 3].log() + maps[1][1, 2, 2].log())
    found = alignment_loss(q[:, 1], kv[:, 0, 1], queries=queries, keys=keys, target=target)
    torch.testing.assert_close(found, expected)


def test_the_loss_is_made_in_32_bits_within_a_pass_in_16():
    rows = Ragged.from_lengths([3])
    target = AlignmentTarget(torch.tensor([1, 2]), torch.tensor([0, 2]), torch.tensor([1.0, 1.0]))
    q, k = torch.randn(3, 8), torch.randn(3, 8)
    exact = alignment_loss(q, k, queries=rows, keys=rows, target=target)
    with torch.autocast("cpu", torch.bfloat16):
        assert alignment_loss(q, k, queries=rows, keys=rows, target=target) == exact


def test_a_head_that_looks_evenly_pays_the_log_of_what_it_sees():
    queries, keys = Ragged.from_lengths([2]), Ragged.from_lengths([4])
    target = AlignmentTarget(torch.tensor([1]), torch.tensor([2]), torch.tensor([1.0]))
    loss = alignment_loss(torch.zeros(2, 4), torch.randn(4, 4), queries=queries, keys=keys, target=target)
    assert loss.item() == pytest.approx(math.log(4))


def pieces(batch):
    source = [rows.tolist() for rows in batch.source.rows.split(batch.source.layout.lengths.tolist())]
    target = [rows.tolist()[1:] for rows in batch.target_in.split(batch.target_layout.lengths.tolist())]
    return source, target


def test_only_the_parts_of_the_head_and_below_get_a_gradient():
    model, batch = tiny_model(decoder_layers=2), next(stream_of(number_corpus(8)))
    head = GuidedHead(model, number_tokenizer(), layer=0, head=1)
    texts = [(p.src, p.tgt) for p in (number_pairs(8)[i] for i in batch.indices)]
    links = [{(i, i) for i in range(len(src.split()))} for src, _ in texts]
    target = head.target(texts, links, *pieces(batch))
    with head.compare(target) as loss:
        model(batch.source, batch.target_in, batch.target_layout)
    loss.value.backward()
    query = model.decoder.layers[0].cross_attention.query.weight.grad
    assert query[:8].abs().max() == 0
    assert query[8:].abs().max() > 0
    assert model.decoder.layers[0].cross_attention.out.weight.grad is None
    assert all(p.grad is None for p in model.decoder.layers[1].parameters())


def test_a_pass_outside_of_compare_sets_no_loss():
    model, batch = tiny_model(), next(stream_of(number_corpus(8)))
    head = GuidedHead(model, number_tokenizer(), layer=0, head=0)
    target = AlignmentTarget(torch.tensor([1]), torch.tensor([0]), torch.tensor([1.0]))
    with head.compare(target) as loss:
        pass
    model(batch.source, batch.target_in, batch.target_layout)
    assert loss.value is None
    with head.compare(target) as loss:
        model(batch.source, batch.target_in, batch.target_layout)
    assert loss.value > 0


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_a_head_learns_links_that_training_on_text_would_not_give(kv_heads):
    """Every word is linked to the first one."""
    model, corpus = tiny_model(kv_heads=kv_heads), number_corpus(60)
    head, stream = GuidedHead(model, number_tokenizer(), layer=0, head=1), stream_of(corpus, tokens=256)
    optimizer = make_optimizer(model, OptimConfig(name=OptimizerKind.adamw, lr=2e-2))
    for group in optimizer.param_groups:
        group["lr"] = 2e-2
    for _ in range(60):
        batch = next(stream)
        texts = [(corpus.pairs[i].src, corpus.pairs[i].tgt) for i in batch.indices]
        links = [{(0, j) for j in range(len(tgt.split()))} for _, tgt in texts]
        with head.compare(head.target(texts, links, *pieces(batch))) as loss:
            model(batch.source, batch.target_in, batch.target_layout)
        (loss.value / batch.target_layout.num_rows).backward()
        optimizer.step()
        optimizer.zero_grad()
    t = number_tokenizer()
    text = "one two three four"
    source, ids = t.encode_source([text])[0], t.encode_target(["eins zwei drei vier"])[0]
    (done,) = force(model, [source], [ids], bos=t.bos, eos=t.eos)
    target = head.target([(text, "eins zwei drei vier")], [{(0, 0), (0, 1), (0, 2), (0, 3)}], [source], [ids])
    attended = done.maps.cross[0, 1].argmax(-1)
    targets_of = {}
    for row, column in zip(target.rows.tolist(), target.columns.tolist(), strict=True):
        targets_of.setdefault(row, set()).add(column)
    right = sum(int(attended[row]) in columns for row, columns in targets_of.items())
    assert right >= 0.75 * len(targets_of)


def test_a_sampled_segmentation_has_the_same_words():
    model, t = tiny_model(), number_tokenizer()
    head = GuidedHead(model, t, layer=0, head=0)
    text, translation = "seven one", "sieben eins"
    links = [{(0, 0)}]
    letters = ["▁", *"seven", "▁", *"one"]
    spelled = [t._source.piece_to_id(letter) for letter in letters]
    assert t.unk not in spelled
    target = head.target([(text, translation)], links, [[*spelled, t.eos]], t.encode_target([translation]))
    assert set(target.columns.tolist()) == set(range(6))


def test_a_sampled_letter_that_is_no_piece_has_no_target():
    """The tokenizer knows no "q" by itself, and spells it as unknown; which letters are whose is then not known."""
    model, t = tiny_model(), number_tokenizer()
    head = GuidedHead(model, t, layer=0, head=0)
    ids = t.encode_target(["sieben"])[0]
    target = head.target([("seven", "sieben")], [{(0, 0)}], [[t.unk, t.unk, t.eos]], [ids])
    assert len(target.rows) == 0 and target.num_rows == 0


def test_a_copy_of_a_guided_model_can_be_made_and_computes_the_same():
    model, batch = tiny_model(), next(stream_of(number_corpus(8)))
    head = GuidedHead(model, number_tokenizer(), layer=0, head=0)
    copy = deepcopy(model)
    inputs = (batch.source, batch.target_in, batch.target_layout)
    assert torch.equal(copy(*inputs), model(*inputs))
    assert copy.decoder.layers[0].cross_attention.listener.__self__ is head
