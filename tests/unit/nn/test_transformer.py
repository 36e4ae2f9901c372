"""The model: its parts, its initial values, and that packing and caching change nothing."""

import math
from collections import Counter
from dataclasses import asdict
from itertools import combinations, product
from pathlib import Path

import pytest
import torch
import yaml
from check_int8 import OPTIONS
from torch import nn

from mt.config import ModelConfig, Positions, Tying
from mt.config.from_json import from_plain
from mt.nn.encoders import text_model
from mt.nn.ragged import pack
from mt.nn.source import TokenSource
from mt.nn.transformer import count_parameters

ALL = [dict(zip(OPTIONS, values, strict=True)) for values in product(*OPTIONS.values())]
SOME = ALL[::17]  # 17 has no factor in common with the number of any option's values
PRESETS = sorted((Path(__file__).parents[3] / "configs/model").glob("*.yaml"))
SOURCES = [[5, 2], [7, 8, 9, 10, 2], [2], [5, 5, 5, 2]]
TARGETS = [[1, 6, 7, 8], [1], [1, 9, 9], [1, 4, 3, 5, 6, 7]]


def preset(path, **changes):
    """The preset at a size for tests: everything but its sizes stays."""
    values = yaml.safe_load(path.read_text())["model"]
    small = {"dim": 4 * values["heads"], "ffn_dim": 24, "max_length": 64}
    small |= {name: min(values[name], 2) for name in ("encoder_layers", "decoder_layers")}
    return from_plain(ModelConfig, {**asdict(ModelConfig()), **values, **small, **changes}, str(path))


def hidden_of(model, sources, targets):
    """Hidden rows, sentence by sentence."""
    target, rows = pack(targets)
    return model(TokenSource.pack(sources), target, rows).split(rows.lengths.tolist())


def check_that_company_changes_nothing(model):
    model = model.double()
    together = hidden_of(model, SOURCES, TARGETS)
    turned = hidden_of(model, SOURCES[::-1], TARGETS[::-1])
    for source, target, rows, other in zip(SOURCES, TARGETS, together, turned[::-1], strict=True):
        (alone,) = hidden_of(model, [source], [target])
        torch.testing.assert_close(rows, alone)
        torch.testing.assert_close(other, alone)


def check_that_steps_are_the_full_pass(model, steps=18):
    """Every hidden row of a decoder that sees all at once; 18 steps exceed the cache's first buffers."""
    model = model.double()
    targets = torch.randint(3, 19, (len(SOURCES), steps)).tolist()
    full = torch.stack(hidden_of(model, SOURCES, targets))
    state = model.start(model.encode(TokenSource.pack(SOURCES)))
    for place in range(steps):
        hidden = model.step(torch.tensor([target[place] for target in targets]), state)
        torch.testing.assert_close(hidden, full[:, place], msg=lambda m, place=place: f"at step {place}: {m}")
    assert state.position == steps


def test_the_combinations_tried_hold_every_pair_of_values():
    wanted = sum(len(a) * len(b) for a, b in combinations(OPTIONS.values(), 2))
    pairs = Counter(pair for options in SOME for pair in combinations(options.items(), 2))
    assert len(pairs) == wanted


@torch.no_grad()
@pytest.mark.parametrize("options", SOME, ids=lambda o: "-".join(map(str, o.values())))
def test_packing_batching_and_caching_change_nothing(small_model, options):
    model = small_model(dim=8, encoder_layers=1, decoder_layers=1, **options)
    check_that_company_changes_nothing(model)
    check_that_steps_are_the_full_pass(model, steps=4)


@pytest.mark.slow
@torch.no_grad()
def test_packing_batching_and_caching_change_nothing_in_any_combination(small_model):
    for options in ALL:
        model = small_model(dim=8, encoder_layers=1, decoder_layers=1, **options)
        check_that_company_changes_nothing(model)
        check_that_steps_are_the_full_pass(model, steps=4)


@torch.no_grad()
@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_cached_steps_are_the_full_pass_in_every_preset(path):
    model = text_model(preset(path), src_size=19, tgt_size=19).eval()
    check_that_company_changes_nothing(model)
    check_that_steps_are_the_full_pass(model)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_builds_at_full_size_with_its_settings(path):
    values = yaml.safe_load(path.read_text())["model"]
    config = from_plain(ModelConfig, {**asdict(ModelConfig()), **values}, str(path))
    with torch.device("meta"):
        model = text_model(config, src_size=8000, tgt_size=8000)
    depths = len(model.encoder.layers), len(model.decoder.layers)
    assert depths == (values["encoder_layers"], values["decoder_layers"])
    gate = 1 if config.activation.value in ("swiglu", "geglu") else 0
    matrices = 8000 * config.dim
    matrices += config.encoder_layers * (4 * config.dim**2 + (2 + gate) * config.dim * config.ffn_dim)
    matrices += config.decoder_layers * (8 * config.dim**2 + (2 + gate) * config.dim * config.ffn_dim)
    assert sum(p.numel() for p in model.parameters() if p.dim() == 2) == matrices


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_in_training_every_parameter_gets_a_finite_gradient(path):
    dropping = {"dropout": 0.1, "attention_dropout": 0.1, "activation_dropout": 0.1, "word_dropout": 0.1}
    model = text_model(preset(path, **dropping), src_size=19, tgt_size=19)
    hidden = model(TokenSource.pack(SOURCES * 5), *pack(TARGETS * 5))
    (model.logits(hidden).log_softmax(-1)[:, 3]).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_dropout_acts_in_training_only(small_model):
    model = small_model(dropout=0.3, word_dropout=0.3)
    first, second = (torch.cat(hidden_of(model, SOURCES, TARGETS)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.allclose(torch.cat(hidden_of(model.train(), SOURCES, TARGETS)), first)


@torch.no_grad()
@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_in_16_bits_rows_are_16_bit_and_nearly_the_same(path):
    model = text_model(preset(path), src_size=19, tgt_size=19).eval()
    exact = torch.cat(hidden_of(model, SOURCES, TARGETS))
    with torch.autocast("cpu", torch.bfloat16):
        half = torch.cat(hidden_of(model, SOURCES, TARGETS))
        state = model.start(model.encode(TokenSource.pack(SOURCES)))
        step = model.step(torch.tensor([1, 1, 1, 1]), state)
    assert half.dtype == step.dtype == torch.bfloat16
    assert (half - exact).norm() < 0.05 * exact.norm()
    first_rows = exact[pack(TARGETS)[1].offsets[:-1].long()]
    assert (step - first_rows).norm() < 0.05 * first_rows.norm()


@torch.no_grad()
def test_hypotheses_branch_are_reordered_and_leave(small_model):
    model = small_model(positions="rotary", kv_heads=2).double()
    state = model.start(model.encode(TokenSource.pack(SOURCES[:3])))
    model.step(torch.tensor([1, 1, 1]), state)
    state.reorder(torch.tensor([0, 0, 1, 1, 2, 2]))
    model.step(torch.tensor([4, 5, 6, 7, 8, 9]), state)
    state.reorder(torch.tensor([5, 4, 1, 1]), torch.tensor([2, 0]))
    hidden = model.step(torch.tensor([10, 11, 12, 13]), state)
    prefixes = [[1, 9, 10], [1, 8, 11], [1, 5, 12], [1, 5, 13]]
    full = hidden_of(model, [SOURCES[2], SOURCES[2], SOURCES[0], SOURCES[0]], prefixes)
    torch.testing.assert_close(hidden, torch.stack([rows[-1] for rows in full]))


def test_an_embedding_is_scaled_and_has_its_position_added(small_model):
    model = small_model(positions="sinusoidal", dim=4, heads=1)
    x = model.encoder.embedding(torch.tensor([7, 7]), torch.tensor([0, 1]))
    row = 2 * model.encoder.embedding.weight[7]  # sqrt(D) = 2
    torch.testing.assert_close(x[0], row + torch.tensor([0.0, 0, 1, 1]))
    torch.testing.assert_close(x[1], row + torch.tensor([math.sin(1), math.sin(0.01), math.cos(1), math.cos(0.01)]))
    model = small_model(positions="learned", dim=4, heads=1)
    x = model.decoder.embedding(torch.tensor([7]), torch.tensor([5]))
    torch.testing.assert_close(x[0], 2 * model.tgt_weight[7] + model.decoder.embedding.learned[5])


# ---- what is in it ------------------------------------------------------------------------------------------------


def test_parameters_counted_by_hand(small_model):
    D, F, V = 16, 24, 19
    attention, feed, norm = 4 * (D * D + D), 2 * D * F + F + D, 2 * D
    layers = 2 * (attention + feed + 2 * norm) + 2 * (2 * attention + feed + 3 * norm)
    assert count_parameters(small_model(tying="all")) == V * D + layers + 2 * norm
    assert count_parameters(small_model(tying="decoder")) == 2 * V * D + layers + 2 * norm
    assert count_parameters(small_model(tying="none", norm="post")) == 3 * V * D + layers
    assert count_parameters(small_model(tying="decoder", src_size=29)) == (19 + 29) * D + layers + 2 * norm


@pytest.mark.parametrize(("tying", "matrices"), [("all", 1), ("decoder", 2), ("none", 3)])
def test_tied_matrices_are_one_tensor(small_model, tying, matrices):
    model = small_model(tying=tying)
    assert len({id(w) for w in (model.encoder.embedding.weight, model.tgt_weight, model.out_weight)}) == matrices
    hidden = torch.randn(3, 16)
    torch.testing.assert_close(model.logits(hidden), hidden @ model.out_weight.t())


def test_tying_all_needs_one_vocabulary():
    with pytest.raises(AssertionError, match="tying `all` needs one vocabulary"):
        text_model(ModelConfig(tying=Tying.all), src_size=10, tgt_size=11)


def test_initial_values():
    config = ModelConfig(dim=64, heads=4, ffn_dim=96, tying=Tying.none, positions=Positions.learned)
    model = text_model(config, src_size=500, tgt_size=400)
    tables = (model.encoder.embedding.learned, model.decoder.embedding.learned)
    for weight in (model.encoder.embedding.weight, model.tgt_weight, model.out_weight, *tables):
        assert abs(weight.std() * 64**0.5 - 1) < 0.03
    for module in model.modules():
        if isinstance(module, nn.Linear):
            bound = math.sqrt(6 / (module.in_features + module.out_features))
            assert module.weight.abs().max() <= bound
            assert abs(module.weight.std() / (bound / math.sqrt(3)) - 1) < 0.05
            assert (module.bias == 0).all()
        elif isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


def test_a_seed_gives_the_same_values_at_any_memory_addresses(monkeypatch):
    """Matrices of one shape must be drawn in a fixed order: a set of tensors has none."""
    drawn = []
    monkeypatch.setattr(nn.init, "normal_", lambda weight, std: drawn.append(id(weight)))
    config = ModelConfig(
        dim=8, heads=2, ffn_dim=8, encoder_layers=1, decoder_layers=1, max_length=9,
        tying=Tying.none, positions=Positions.learned,
    )  # fmt: skip
    kept = []
    for _ in range(8):
        drawn.clear()
        model = text_model(config, src_size=9, tgt_size=9)
        tables = (model.encoder.embedding.learned, model.decoder.embedding.learned)
        assert drawn == [id(w) for w in (model.encoder.embedding.weight, model.tgt_weight, model.out_weight, *tables)]
        kept.append(model)  # so that the next one lies elsewhere


def test_parameters_have_their_names_in_files_and_are_in_that_order(small_model):
    model = small_model(positions="learned", tying="none", encoder_layers=1, decoder_layers=1)
    names = [name for name, _ in model.named_parameters()]
    assert names[:5] == ["tgt_weight", "src_weight", "out_weight", "src_embedding.learned", "tgt_embedding.learned"]
    assert [*dict.fromkeys(name.split(".")[0] for name in names[5:])] == [
        "encoder", "decoder", "encoder_norm", "decoder_norm"
    ]  # fmt: skip
    assert {"encoder.0.self_norm.weight", "decoder.0.cross_attention.key_value.weight"} < set(names)
    assert [id(p) for p in model.parameters()] == [id(p) for _, p in model.named_parameters()]
    modules = dict(nn.Module.named_parameters(model))
    assert {id(p) for p in modules.values()} == {id(p) for p in model.parameters()} and len(modules) == len(names)
    assert [name for name, _ in small_model(tying="all").named_parameters()][:2] == [
        "tgt_weight", "encoder.0.feed_forward.inner.weight"
    ]  # fmt: skip


# ---- the textbook's model -----------------------------------------------------------------------------------------


def copy_attention(ours, theirs):
    for part in ("weight", "bias"):
        both = torch.cat([getattr(ours.query, part), getattr(ours.key_value, part)])
        getattr(theirs, f"in_proj_{part}").copy_(both)
    theirs.out_proj.load_state_dict(ours.out.state_dict())


@torch.no_grad()
def as_torch(model, norm, activation):
    """torch's own encoder and decoder with our weights."""
    c = model.config
    options = {
        "dim_feedforward": c.ffn_dim, "dropout": 0.0, "activation": activation, "batch_first": True,
        "norm_first": norm == "pre", "dtype": torch.float64,
    }  # fmt: skip
    last = [nn.LayerNorm(c.dim, dtype=torch.float64) if norm == "pre" else None for _ in range(2)]
    layer = nn.TransformerEncoderLayer(c.dim, c.heads, **options)
    encoder = nn.TransformerEncoder(layer, c.encoder_layers, last[0], enable_nested_tensor=False)
    layer = nn.TransformerDecoderLayer(c.dim, c.heads, **options)
    decoder = nn.TransformerDecoder(layer, c.decoder_layers, last[1])
    theirs = nn.Transformer(c.dim, c.heads, custom_encoder=encoder, custom_decoder=decoder, batch_first=True)
    for our_layers, their_layers in ((model.encoder.layers, encoder.layers), (model.decoder.layers, decoder.layers)):
        for ours, layer in zip(our_layers, their_layers, strict=True):
            norms = [ours.self_norm, ours.feed_forward_norm]
            copy_attention(ours.self_attention, layer.self_attn)
            if hasattr(ours, "cross_attention"):
                copy_attention(ours.cross_attention, layer.multihead_attn)
                norms.insert(1, ours.cross_norm)
            layer.linear1.load_state_dict(ours.feed_forward.inner.state_dict())
            layer.linear2.load_state_dict(ours.feed_forward.outer.state_dict())
            for number, our_norm in enumerate(norms, 1):
                getattr(layer, f"norm{number}").load_state_dict(our_norm.state_dict())
    if norm == "pre":
        encoder.norm.load_state_dict(model.encoder.norm.state_dict())
        decoder.norm.load_state_dict(model.decoder.norm.state_dict())
    return theirs


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_torchs_transformer_with_our_weights_gives_the_same(small_model, norm, activation):
    model = small_model(norm=norm, activation=activation).double()
    theirs = as_torch(model, norm, activation)
    source = TokenSource.pack(SOURCES)
    target, target_rows = pack(TARGETS)
    memory = model.encode(source)
    ours = model.decode(target, target_rows, memory)

    x = model.encoder.embedding(source.rows, source.layout.positions)[source.layout.grid_to_row]
    y = model.decoder.embedding(target, target_rows.positions)[target_rows.grid_to_row]
    unread = ~source.layout.filled
    future = torch.ones(y.shape[1], y.shape[1], dtype=torch.bool).triu(1)
    encoded = theirs.encoder(x, src_key_padding_mask=unread)
    decoded = theirs.decoder(
        y, encoded, tgt_mask=future, tgt_key_padding_mask=~target_rows.filled, memory_key_padding_mask=unread
    )
    torch.testing.assert_close(memory.rows, encoded.flatten(0, 1)[source.layout.row_to_grid])
    torch.testing.assert_close(ours, decoded.flatten(0, 1)[target_rows.row_to_grid])

    upstream = torch.randn_like(ours)
    (gradient,) = torch.autograd.grad((ours * upstream).sum(), model.encoder.embedding.weight, retain_graph=True)
    wanted = torch.autograd.grad(
        (decoded.flatten(0, 1)[target_rows.row_to_grid] * upstream).sum(), model.encoder.embedding.weight
    )
    torch.testing.assert_close(gradient, wanted[0])
