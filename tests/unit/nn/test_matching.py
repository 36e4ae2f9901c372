"""The rows of the matching head, by hand."""

import torch

from mt.nn.matching import closed, match_logits, moved_by_closing, reordered
from mt.nn.ragged import Ragged

BOS, EOS = 1, 2


def test_each_sentence_gets_eos_as_its_last_row():
    layout = Ragged.from_lengths([2, 1, 3])
    target = torch.tensor([1, 7, 1, 1, 8, 9])
    longer, rows = closed(target, layout, EOS)
    assert longer.tolist() == [1, 7, 2, 1, 2, 1, 8, 9, 2]
    assert rows.lengths.tolist() == [3, 2, 4] and rows.on_host.tolist() == [3, 2, 4]
    assert (rows.num_rows, rows.max_length) == (9, 4)
    assert longer[moved_by_closing(layout)].tolist() == target.tolist()


def test_sentences_in_another_order_keep_their_rows():
    layout = Ragged.from_lengths([2, 1, 3])
    target, other = reordered(torch.tensor([1, 7, 1, 1, 8, 9]), layout, torch.tensor([2, 0, 1]))
    assert target.tolist() == [1, 8, 9, 1, 7, 1]
    assert other.lengths.tolist() == [3, 2, 1] and other.on_host.tolist() == [3, 2, 1]
    assert other.num_rows == 6 and other.max_length == 3


def test_the_head_is_the_difference_of_two_logits(small_model):
    for bias in (False, True):
        model = small_model(output_bias=bias)
        hidden = torch.randn(5, 16)
        logits = model.logits(hidden)
        found = match_logits(model, hidden, bos=BOS, eos=EOS)
        torch.testing.assert_close(found, logits[:, EOS] - logits[:, BOS])
