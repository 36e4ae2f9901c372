"""Heat maps for papers, through matplotlib where it is installed."""

import pytest
import torch

from mt.interpret.plots import END, heatmap

pytest.importorskip("matplotlib")


def test_words_stand_at_their_rows_and_columns_and_signs_are_no_formula():
    weights = torch.tensor([[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]])
    (axes,) = heatmap(weights, ["$5", "two"], ["fünf", "$x$"]).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [r"\$5", "two", END]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fünf", r"\$x\$"]
    (image,) = axes.images
    assert image.get_array().tolist() == weights.tolist() and image.get_clim() == (0, 1)
