"""Several inputs in one memory: end to end as by hand, co-attention as a plain dense implementation of one item."""

import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import tiny_config

from mt.checkpoint.model_folder import check_inputs
from mt.config import Fusion, ImageStem, Input, InputKind, NormPlacement, Positions, Tying
from mt.errors import ConfigError
from mt.inputs.several import SeveralInputs
from mt.nn.encoders import check_input_settings, input_model, require_text
from mt.nn.forced import capture_attention, force
from mt.nn.ragged import Ragged, joined, joined_rows
from mt.nn.source import SeveralSources, pack_items
from mt.nn.transformer import count_parameters

TEXT, OTHER = (Input(column=name, kind=InputKind.text) for name in ("en", "fr"))
FRAMES = Input(column="image", kind=InputKind.features, size=3)
VOCABULARY = 20


def model_of(*inputs, seed=0, **options):
    torch.manual_seed(seed)
    options = {"encoder_layers": 2, "kv_heads": 1, **options}
    return input_model(tiny_config(**options), inputs, src_size=VOCABULARY, tgt_size=VOCABULARY).eval()


@cache
def co_attending():
    return model_of(TEXT, OTHER, fusion=Fusion.co_attention)


def item(text, frames, present=(True, True)):
    return SeveralInputs((text, frames), present)


def some_items(seed=0):
    random = torch.Generator().manual_seed(seed)
    return [
        item([5, 6, 7, 2], torch.randn(3, 3, generator=random)),
        item([2], torch.randn(5, 3, generator=random), (False, True)),
        item([4, 9, 4, 9, 2], torch.zeros(1, 3), (True, False)),
        item([8, 2], torch.randn(1, 3, generator=random)),
    ]


def encoded(model, items):
    """The rows of each item's memory."""
    with torch.no_grad():
        memory = model.encode(model.encoder.pack(items))
    assert memory.layout.max_length == int(memory.layout.lengths.max())
    return memory.rows.split(memory.layout.lengths.tolist())


def test_layouts_end_to_end_by_hand():
    first, second = Ragged.from_lengths([2, 1, 3]), Ragged.from_lengths([1, 4, 1])
    whole = joined([first, second])
    assert (whole.lengths.tolist(), whole.num_rows, whole.max_length) == ([3, 5, 4], 12, 5)
    # items a, b, c: a a A | b B B B B | c c c C
    assert joined_rows([first, second], whole).tolist() == [0, 1, 3, 8, 9, 10, 2, 4, 5, 6, 7, 11]


def test_the_memory_has_the_rows_of_each_encoder_with_the_embedding_of_its_input():
    model = model_of(TEXT, FRAMES)
    items = some_items()
    words, frames = model.encoder.encoders
    for one, rows in zip(items, encoded(model, items), strict=True):
        expected = []
        for place, (encoder, part) in enumerate(zip((words, frames), one.parts, strict=True)):
            with torch.no_grad():
                own = encoder(encoder.pack([part])).rows if one.present[place] else model.encoder.absent[place][None]
                expected.append(own + model.encoder.kinds[place])
        assert torch.allclose(rows, torch.cat(expected), atol=1e-6)


@pytest.mark.parametrize("fusion", Fusion)
def test_an_item_does_not_depend_on_its_batch(fusion):
    model = model_of(TEXT, FRAMES, fusion=fusion)
    items = some_items()
    for rows, one in zip(encoded(model, items), items, strict=True):
        assert torch.allclose(rows, encoded(model, [one])[0], atol=1e-5)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([0, 1, 2])), min_size=1, max_size=6))
def test_any_items_packed_are_each_alone(shapes):
    model = co_attending()
    items = [item([3] * a, [4, 5] * b, (missing != 0, missing != 1)) for a, b, missing in shapes]
    for rows, one in zip(encoded(model, items), items, strict=True):
        assert torch.allclose(rows, encoded(model, [one])[0], atol=1e-5)


@pytest.mark.parametrize("fusion", Fusion)
def test_what_stands_in_for_a_missing_input_does_not_matter_but_its_absence_does(fusion):
    model = model_of(TEXT, FRAMES, fusion=fusion)
    (rows,) = encoded(model, [item([5, 6, 2], torch.zeros(1, 3), (True, False))])
    (other,) = encoded(model, [item([5, 6, 2], torch.ones(1, 3), (True, False))])
    assert torch.equal(rows, other)
    (present,) = encoded(model, [item([5, 6, 2], torch.zeros(1, 3))])
    assert not torch.allclose(rows[-1], present[-1], atol=1e-3)


def dense_attention(module, x, y):
    """Multi-head attention of the rows `x` over `y`, head by head."""
    q, (k, v) = module.query(x), module.key_value(y).unflatten(1, (2, -1)).unbind(1)
    size, heads = module.size, []
    for head in range(module.heads):
        shared = head // (module.heads // module.kv_heads)
        own, keys = q[:, head * size : (head + 1) * size], k[:, shared * size : (shared + 1) * size]
        weights = torch.softmax(own @ keys.T / math.sqrt(size), dim=-1)
        heads.append(weights @ v[:, shared * size : (shared + 1) * size])
    return module.out(torch.cat(heads, dim=1))


def dense_layer(layer, x, other):
    def sublayer(norm, x, function):
        return x + function(norm(x)) if layer.pre_norm else norm(x + function(x))

    x = sublayer(layer.self_norm, x, lambda x: dense_attention(layer.self_attention, x, x))
    x = sublayer(layer.cross_norm, x, lambda x: dense_attention(layer.cross_attention, x, other))
    inner = layer.feed_forward
    return sublayer(layer.feed_forward_norm, x, lambda x: inner.outer(inner.inner(x).relu()))


def dense_co_attention(encoder, one):
    """The memory of one item, written out: no packing, no shared functions of the model but linear layers and norms."""

    sides = []
    for place, (own, part) in enumerate(zip(encoder.of_inputs, one.parts, strict=True)):
        rows = torch.tensor(part) if isinstance(part, list) else part
        embedded = own.embedding(rows, torch.arange(len(rows)))
        sides.append(embedded if one.present[place] else encoder.absent[place].expand(len(rows), -1))
    for layers in zip(*(own.layers for own in encoder.of_inputs), strict=True):
        entering = list(sides)
        sides = [
            dense_layer(layer, entering[place], layer.memory_norm(entering[1 - place]))
            for place, layer in enumerate(layers)
        ]
    norms = [own.norm for own in encoder.of_inputs]
    return torch.cat([norm(x) + kind for norm, x, kind in zip(norms, sides, encoder.kinds, strict=True)])


@pytest.mark.parametrize("norm", NormPlacement)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("inputs", [(TEXT, FRAMES), (TEXT, OTHER)], ids=["text and frames", "texts, one encoder"])
def test_co_attention_is_the_plain_formula(norm, layers, inputs):
    share = inputs[1] is OTHER
    model = model_of(
        *inputs, fusion=Fusion.co_attention, norm=norm, encoder_layers=layers, share_encoders=share, heads=4, kv_heads=2
    )
    items = some_items() if not share else [item([5, 6, 7, 2], [8, 2]), item([3, 2], [2], (True, False))]
    for one, rows in zip(items, encoded(model, items), strict=True):
        with torch.no_grad():
            assert torch.allclose(rows, dense_co_attention(model.encoder, one), atol=1e-5)


def test_both_sources_ask_each_other():
    model = model_of(TEXT, OTHER, fusion=Fusion.co_attention, encoder_layers=1)
    (rows,) = encoded(model, [item([5, 6, 2], [7, 8, 2])])
    (first,) = encoded(model, [item([5, 9, 2], [7, 8, 2])])
    (second,) = encoded(model, [item([5, 6, 2], [7, 9, 2])])
    assert not torch.allclose(rows[3:], first[3:], atol=1e-3)  # what changed in one changes the rows of the other
    assert not torch.allclose(rows[:3], second[:3], atol=1e-3)
    alone = model_of(TEXT, OTHER)
    (rows,), (first,) = (encoded(alone, [item([5, word, 2], [7, 8, 2])]) for word in (6, 9))
    assert torch.equal(rows[3:], first[3:])


def test_texts_may_share_an_encoder_which_counts_once():
    own, shared = model_of(TEXT, FRAMES, OTHER), model_of(TEXT, FRAMES, OTHER, share_encoders=True)
    first, frames, second = shared.encoder.of_inputs
    assert first is second is not frames
    layers = sum(p.numel() for name, p in first.named_parameters() if not name.startswith("embedding"))
    assert count_parameters(own) - count_parameters(shared) == layers
    assert own.encoder.of_inputs[0].embedding.weight is own.tgt_weight is own.encoder.of_inputs[2].embedding.weight
    untied = model_of(TEXT, OTHER, tying=Tying.none)
    assert untied.encoder.encoders[0].embedding.weight is untied.encoder.encoders[1].embedding.weight
    assert untied.encoder.encoders[0].embedding.weight is not untied.tgt_weight


@pytest.mark.parametrize("fusion", Fusion)
def test_every_parameter_is_drawn_and_learns(fusion):
    model = model_of(TEXT, FRAMES, fusion=fusion)
    for vectors in model.encoder.vectors:
        assert 0.1 < float(vectors.detach().std()) / model.config.dim**-0.5 < 2
    memory = model.encode(model.encoder.pack(some_items()))
    memory.rows.square().sum().backward()
    names = {name for name, p in model.named_parameters() if name.startswith("encoder.") and p.grad is None}
    assert not names
    assert len(dict(model.named_parameters())) == len(list(model.parameters()))


def test_parts_and_padding_of_a_batch():
    model = model_of(TEXT, FRAMES)
    items = some_items()
    source = model.encoder.pack(items)
    assert (source.layout.num_rows, source.layout.lengths.tolist()) == (22, [7, 6, 6, 3])
    with torch.no_grad():
        whole = model.encode(source).rows
        part = model.encode(source.part(1, 3)).rows
        longer = [Ragged.from_lengths([*layout.lengths.tolist(), 2, 1]) for layout in source.layouts]
        padded = source.padded(longer)
        assert padded.layout.lengths.tolist() == [7, 6, 6, 3, 4, 2]
        assert torch.allclose(model.encode(padded).rows[:22], whole, atol=1e-6)
    assert torch.allclose(part, whole[7:19], atol=1e-6)
    again = source.to("cpu")
    assert torch.equal(again.present, source.present) and again.layout.num_rows == 22


def test_items_are_packed_by_what_they_are():
    items = some_items()
    packed, same = pack_items(items), model_of(TEXT, FRAMES).encoder.pack(items)
    assert isinstance(packed, SeveralSources)
    assert [type(part) for part in packed.parts] == [type(part) for part in same.parts]
    for one, other in zip(packed.parts, same.parts, strict=True):
        assert torch.equal(one.rows, other.rows)  # pyright: ignore[reportAttributeAccessIssue]
    assert packed.present.tolist() == [[True, True], [False, True], [True, False], [True, True]]


@pytest.mark.parametrize("positions", Positions)
def test_scores_and_maps_see_the_rows_of_all_inputs(positions):
    model = model_of(TEXT, FRAMES, positions=positions)
    items = some_items()
    found = list(force(model, items, [[4, 5]] * len(items), bos=1, eos=2))
    for one, forced in zip(items, found, strict=True):
        assert forced.maps.cross.shape == (1, 2, 3, len(one))
        assert torch.allclose(forced.maps.cross.sum(-1), torch.ones(1, 2, 3))
    with capture_attention(model, ("encoder",)) as captured:
        model.encode(model.encoder.pack(items))
    assert not any(captured.layers.values())  # several encoders have no one stack of maps


REFUSED = {
    "three": (
        {"fusion": Fusion.co_attention},
        (TEXT, OTHER, FRAMES),
        "`model.fusion` is co_attention, which needs two in",
    ),
    "one": ({"fusion": Fusion.co_attention}, (TEXT,), "needs two inputs in `data.inputs`, but they are en:text."),
    "one text": (
        {"share_encoders": True},
        (TEXT, FRAMES),
        "`model.share_encoders` is true, which needs two or more inp",
    ),
    "no image": (
        {"image_stem": ImageStem.convolution},
        (TEXT, FRAMES),
        "`model.image_stem` is convolution, which needs an image in `data.inputs`, but they are en:text, ",
    ),
    "odd patches": (
        {"image_stem": ImageStem.convolution},
        (TEXT, Input(column="photo", kind=InputKind.image, side=12, patch=6)),
        "`model.image_stem` must be linear where patches have no side of 2, 4, 8, ... pixels, but is 6.",
    ),
    "an odd width": (
        {"dim": 18, "heads": 3},
        (Input(column="photo", kind=InputKind.image, side=12, patch=6),),
        "`model.dim` must be a multiple of 4 for an image, but is 18.",
    ),
    "no recording": (
        {"spec_augment": 0.1},
        (TEXT,),
        "`model.spec_augment` is 0.1, which needs audio in `data.inputs`, but they are en:text.",
    ),
    "no inputs": (
        {"source_dropout": 0.2},
        (),
        "`model.source_dropout` is 0.2, which needs two or more inputs in `data",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_do_not_fit_the_inputs_are_refused(case):
    options, inputs, message = REFUSED[case]
    with pytest.raises(ConfigError) as refused:
        check_input_settings(tiny_config(**options), inputs)
    assert message in str(refused.value)


def test_inputs_of_a_file_are_checked():
    check_inputs([TEXT, OTHER, FRAMES], tiny_config(), "config.json")
    many = [Input(column=str(number), kind=InputKind.text) for number in range(17)]
    for inputs, message in (
        ([], "config.json: inputs` must be one or more columns"),
        ([TEXT, TEXT], "config.json: inputs` must be one or more columns"),
        (many, "config.json: inputs` must be at most 16, but is 17"),
        ([TEXT, Input(column="image", kind=InputKind.features)], "must give the size of `image`"),
    ):
        with pytest.raises(ConfigError) as refused:
            check_inputs(inputs, tiny_config(), "config.json")
        assert message in str(refused.value)


def test_what_needs_one_text_says_so():
    with pytest.raises(ConfigError, match=r"^maps needs a model that reads text, but this one reads several inputs\.$"):
        require_text(model_of(TEXT, OTHER), "maps")
