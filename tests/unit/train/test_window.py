"""Means over the last updates, by hand."""

import pytest

from mt.train.step import Update
from mt.train.window import Window


def update(nll, src_tokens, tgt_tokens, skipped=False):
    return Update(nll, nll, 1.0, src_tokens, tgt_tokens, skipped)


def test_means_are_weighted_by_tokens_and_leave_skipped_updates_out_of_the_loss():
    window = Window(3)
    for found, seconds in (
        (update(9.0, 1, 1), 9.0),  # too long ago
        (update(1.0, 300, 10), 2.0),
        (update(2.0, 20, 30), 1.0),
        (update(float("nan"), 40, 5, skipped=True), 1.0),
    ):
        window.add(found, seconds)
    loss, src_rate, tgt_rate, tokens = window.means()
    assert loss == pytest.approx((1 * 10 + 2 * 30) / 40)
    assert (src_rate, tgt_rate) == (320 / 4, 40 / 4)
    assert tokens == pytest.approx((300 + 30 + 40) / 3)  # frames of speech are many more than the pieces of their text
