"""What a decoder remembers follows the hypotheses about."""

import random

import torch

from mt.nn.cache import PLACES, DecoderState, MemoryKeys, PastKeys, fill, move

G, K = 2, 3


def first_state(num_sentences, layers=2):
    memory = [
        MemoryKeys(keys=torch.randn(num_sentences, G, 4, K), values=torch.randn(num_sentences, G, 4, K))
        for _ in range(layers)
    ]
    return DecoderState.first(memory, hidden=torch.zeros(num_sentences, 4, dtype=torch.bool))


def step(state, drawn):
    """What a model's step does with the state; `drawn` is [layers, R, 2, G, K]."""
    state.advance(drawn.shape[1])
    return [state.write(layer, kv) for layer, kv in enumerate(drawn)]


def paths(state, layer):
    """For every hypothesis the key vectors that it sees, in the order of their places: [steps, G, K] each."""
    keys = state.past[layer]._buffers[0]
    return [keys[i // state.seen.shape[1]][:, seen].transpose(0, 1) for i, seen in enumerate(state.seen.flatten(0, 1))]


def together(rows):
    """A place that was free is written again: nodes do not lie in the order of their steps."""
    return sorted(torch.as_tensor(row).flatten().tolist() for row in rows)


def test_every_hypothesis_sees_the_rows_of_its_own_prefix_only():
    """Against lists, through a search that widens, swaps, narrows and loses sentences."""
    draw = random.Random(1)
    state, width = first_state(5), 1
    lists = [[[] for _ in range(5)] for _ in range(2)]  # by layer and row: the keys of its past
    for place in range(20):
        drawn = torch.randn(2, state.num_sentences * width, 2, G, K)
        step(state, drawn)
        lists = [
            [[*row, keys] for row, keys in zip(*pair, strict=True)] for pair in zip(lists, drawn[:, :, 0], strict=True)
        ]
        assert state.position == place + 1
        for layer in range(2):
            for found, wanted in zip(paths(state, layer), lists[layer], strict=True):
                assert together(found) == together(wanted)
        stay = draw.sample(range(state.num_sentences), state.num_sentences - (place in (3, 4, 6)))
        wider = draw.choice([1, 3, 3, 3])
        rows = [i * width + draw.randrange(width) for i in stay for _ in range(wider)]
        state.reorder(torch.tensor(rows), torch.tensor(stay))
        lists = [[layer[row] for row in rows] for layer in lists]
        width = wider


def test_the_bias_hides_exactly_what_a_hypothesis_does_not_see():
    state = first_state(1)
    step(state, torch.randn(2, 1, 2, G, K))
    state.reorder(torch.tensor([0, 0]))
    step(state, torch.randn(2, 2, 2, G, K))
    assert state.past_bias[0, :, :3].tolist() == [[0, 0, -torch.inf], [0, -torch.inf, 0]]
    state.reorder(torch.tensor([1, 1]))  # no hypothesis continues the node at place 1
    step(state, torch.randn(2, 2, 2, G, K))
    assert state.past_bias[0, :, :4].tolist() == [[0, 0, 0, -torch.inf], [0, -torch.inf, 0, 0]]
    assert state.past_bias[0, :, 4:].eq(-torch.inf).all()


def test_places_of_unused_nodes_are_used_again():
    state = first_state(2)
    step(state, torch.randn(2, 2, 2, G, K))
    state.reorder(torch.tensor([0, 0, 0, 1, 1, 1]))
    for _ in range(2 * PLACES):
        step(state, torch.randn(2, 6, 2, G, K))
        state.reorder(torch.tensor([0, 0, 0, 5, 4, 5]))  # one chain, and two
    assert state.seen.shape[2] <= 2 * state.position + PLACES  # and not three for each position
    assert state.seen.shape[2] % PLACES == 0


def test_only_sentences_that_move_are_copied():
    x = torch.arange(5.0)[:, None].repeat(1, 2)
    found = move(x, torch.tensor([0, 4, 2]))
    assert found[:, 0].tolist() == [0, 4, 2]
    assert found.data_ptr() == x.data_ptr()
    assert move(x, torch.tensor([2, 1, 0]))[:, 0].tolist() == [2, 4, 0]  # also where two change places


def test_a_state_keeps_only_the_given_sentences():
    state = first_state(3)
    keys, values = ([getattr(layer, name).clone() for layer in state.memory] for name in ("keys", "values"))
    bias = torch.randn(3, 1, 4)
    state.memory_bias = bias.clone()
    step(state, torch.randn(2, 3, 2, G, K))
    state.reorder(torch.tensor([2, 0]), torch.tensor([2, 0]))
    for layer, old_keys, old_values in zip(state.memory, keys, values, strict=True):
        assert torch.equal(layer.keys, old_keys[[2, 0]])
        assert torch.equal(layer.values, old_values[[2, 0]])
    assert torch.equal(state.memory_bias, bias[[2, 0]])


def test_there_is_nothing_to_reorder_before_the_first_step():
    state = first_state(2)
    state.reorder(torch.tensor([1]), torch.tensor([1]))
    (keys, values), _ = step(state, torch.ones(2, 1, 2, G, K))
    assert keys.shape == values.shape == (1, G, PLACES, K)


def test_the_buffers_grow_and_keep_their_contents():
    state, steps = first_state(2, layers=1), torch.randn(2 * PLACES + 3, 1, 2, 2, G, K)
    for kv in steps:
        ((keys, values),) = step(state, kv)
    wanted = steps[:, 0].permute(2, 1, 3, 0, 4)  # [steps, B, 2, G, K] -> [2, B, G, steps, K]
    torch.testing.assert_close((keys[:, :, : len(steps)], values[:, :, : len(steps)]), tuple(wanted), rtol=0, atol=0)


def buffers_for(sentences, width, places, pieces, layers=2):
    """Memory for a state, with something in it."""
    return DecoderState(
        memory=[
            MemoryKeys(keys=torch.randn(sentences, G, pieces, K), values=torch.randn(sentences, G, pieces, K))
            for _ in range(layers)
        ],
        memory_bias=torch.randn(sentences, 1, pieces),
        past=[PastKeys(*torch.randn(2, sentences, G, places, K)) for _ in range(layers)],
        seen=torch.ones(sentences, width, places, dtype=torch.bool),
        past_bias=torch.randn(sentences, width, places),
        places=torch.zeros(sentences, width, dtype=torch.long),
    )


def test_a_state_moves_into_other_buffers_and_continues():
    state, stays = first_state(3), first_state(3)
    for ours, theirs in zip(state.memory, stays.memory, strict=True):
        theirs.keys, theirs.values = ours.keys.clone(), ours.values.clone()
    for place in range(PLACES + 2):
        if place in (0, 1, PLACES):  # before there is a node, before the first hypotheses part, and when it has grown
            buffers = buffers_for(3, 1 if place < 2 else 2, 2 * PLACES if place < PLACES else 4 * PLACES, 9)
            state.move_into(buffers)
            assert state.past[0].lies_at(buffers.past[0]._buffers[0].data_ptr(), buffers.seen.shape[2])
            assert not state.past[1].lies_at(buffers.past[0]._buffers[0].data_ptr(), buffers.seen.shape[2])
        drawn = torch.randn(2, 3 * (1 if place == 0 else 2), 2, G, K)
        step(state, drawn)
        step(stays, drawn)
        for layer in range(2):
            for found, wanted in zip(paths(state, layer), paths(stays, layer), strict=True):
                assert together(found) == together(wanted)
        assert (state.past_bias == 0).equal(state.seen)
        rows = torch.tensor([0, 0, 1, 1, 2, 2] if place == 0 else [1, 0, 2, 2, 4, 5])
        state.reorder(rows)
        stays.reorder(rows)
    for ours, theirs in zip(state.memory, stays.memory, strict=True):
        assert torch.equal(ours.keys[:, :, :4], theirs.keys)
        assert torch.equal(ours.values[:, :, :4], theirs.values)
        assert not ours.keys[:, :, 4:].any()
        assert not ours.values[:, :, 4:].any()
    assert state.memory_bias[:, 0].tolist() == [[0] * 4 + [-torch.inf] * 5] * 3
    assert not any(side[:, :, -1].any() for layer in state.past for side in layer._buffers)  # no node has been there


def test_a_buffer_is_filled_to_its_end_even_from_itself():
    memory = torch.full((24,), 7.0)
    small = memory[:6].view(2, 3)
    small.copy_(torch.arange(6.0).view(2, 3))
    large = memory[:12].view(3, 4)
    fill(large, small, -1.0)
    assert large.tolist() == [[0, 1, 2, -1], [3, 4, 5, -1], [-1, -1, -1, -1]]
    assert memory[12:].tolist() == [7] * 12
