"""The shares of cross-attention that several inputs get."""

import torch
from toy import number_tokenizer, tiny_config

from mt.config import Input, InputKind
from mt.inputs.several import SeveralInputs
from mt.interpret.source_shares import END, SourceShares, mean_share, shares_table, source_shares
from mt.nn.encoders import input_model
from mt.nn.forced import force

INPUTS = [Input(column=name, kind=InputKind.text) for name in ("en", "fr")]


def test_shares_are_sums_of_the_weights_on_each_input():
    tokenizer = number_tokenizer()
    torch.manual_seed(0)
    size = tokenizer.tgt_size
    model = input_model(tiny_config(decoder_layers=2), INPUTS, src_size=size, tgt_size=size)
    items = [
        SeveralInputs((*tokenizer.encode_source([en, fr]),), (bool(en), bool(fr)))
        for en, fr in [("one two", "three"), ("", "one two three"), ("four", "")] * 15  # more than one batch
    ]
    targets = tokenizer.encode_target(["eins zwei", "drei", "vier fünf sechs"] * 15)
    found = list(source_shares(model, tokenizer, items, targets))
    forced = force(model, items, targets, bos=tokenizer.bos, eos=tokenizer.eos, uses=("cross",))
    for one, item, target, known in zip(found, items, targets, forced, strict=True):
        assert one.pieces == [*tokenizer.pieces_target(target), END]
        weights, first = known.maps.cross.mean((0, 1)), len(item.parts[0])
        assert torch.allclose(one.shares[:, 0], weights[:, :first].sum(1), atol=1e-5)
        assert torch.allclose(one.shares.sum(1), torch.ones(len(one.pieces)), atol=1e-5)


def test_the_table_by_hand():
    found = [
        SourceShares(["▁zwei", END], torch.tensor([[0.25, 0.75], [0.5, 0.5]])),
        SourceShares([END], torch.tensor([[1.0, 0.0]])),
    ]
    assert shares_table(["en", "fr"], found, [3, 5]).split("\n") == [
        "sentence\tpiece\ten\tfr",
        "3\t▁zwei\t0.250\t0.750",
        "3\t</s>\t0.500\t0.500",
        "3\tmean\t0.375\t0.625",
        "5\t</s>\t1.000\t0.000",
        "5\tmean\t1.000\t0.000",
        "all\tmean\t0.583\t0.417",
        "",
    ]
    assert torch.allclose(mean_share(found), torch.tensor([1.75, 1.25]) / 3)
