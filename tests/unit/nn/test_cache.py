"""What a decoder remembers follows the hypotheses about."""

import random

import torch

from mt.nn.cache import FIRST_CAPACITY, TIDY_EVERY, DecoderState, MemoryKeys, PastKeys, as_bias

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
    return [past.append(kv, state.num_sentences) for past, kv in zip(state.past, drawn, strict=True)]


def paths(state, layer):
    """For every hypothesis the key vectors that it sees, in the order of the nodes: [steps, G, K] each."""
    past = state.past[layer]
    keys = past._room[0, :, :, : past.length]
    return [keys[i // state.seen.shape[1]][:, seen].transpose(0, 1) for i, seen in enumerate(state.seen.flatten(0, 1))]


def test_every_hypothesis_sees_the_rows_of_its_own_past_and_no_other():
    """Against lists, through a search that widens, swaps, narrows and loses sentences."""
    draw = random.Random(1)
    state, width = first_state(5), 1
    lists = [[[] for _ in range(5)] for _ in range(2)]  # by layer and row: the keys of its past
    for place in range(3 * TIDY_EVERY):
        drawn = torch.randn(2, state.num_sentences * width, 2, G, K)
        step(state, drawn)
        lists = [
            [[*row, keys] for row, keys in zip(*pair, strict=True)] for pair in zip(lists, drawn[:, :, 0], strict=True)
        ]
        assert state.position == place + 1
        for layer in range(2):
            for found, wanted in zip(paths(state, layer), lists[layer], strict=True):
                assert torch.equal(found, torch.stack(wanted))
        stay = sorted(draw.sample(range(state.num_sentences), state.num_sentences - (place in (3, 4, 6))))
        wider = draw.choice([1, 3, 3, 3])
        rows = [i * width + draw.randrange(width) for i in stay for _ in range(wider)]
        everyone = len(stay) == state.num_sentences
        state.reorder(torch.tensor(rows), None if everyone else torch.tensor(stay))
        lists = [[layer[row] for row in rows] for layer in lists]
        width = wider


def test_the_bias_hides_exactly_what_a_hypothesis_does_not_see():
    state = first_state(1)
    step(state, torch.randn(2, 1, 2, G, K))
    assert state.past_bias is None  # one hypothesis, which sees everything
    state.reorder(torch.tensor([0, 0]))
    step(state, torch.randn(2, 2, 2, G, K))
    assert state.past_bias.tolist() == [[[0, 0, -torch.inf], [0, -torch.inf, 0]]]
    state.reorder(torch.tensor([1, 1]))
    step(state, torch.randn(2, 2, 2, G, K))
    assert state.past_bias[0, 0].tolist() == [0, -torch.inf, 0, 0, -torch.inf]


def test_greedy_search_needs_no_bias_even_when_sentences_leave():
    state = first_state(3)
    for place in range(2 * FIRST_CAPACITY + 3):  # room doubles twice
        found = step(state, torch.full((2, state.num_sentences, 2, G, K), float(place)))
        assert state.past_bias is None
        assert found[0][0][:, 0, :, 0].tolist() == [list(range(place + 1))] * state.num_sentences
        if place == 5:
            state.reorder(torch.tensor([0, 2]), torch.tensor([0, 2]))
    assert state.num_sentences == 2


def test_nodes_that_nobody_goes_on_from_are_dropped():
    state = first_state(2)
    step(state, torch.randn(2, 2, 2, G, K))
    state.reorder(torch.tensor([0, 0, 0, 1, 1, 1]))
    for _ in range(10 * TIDY_EVERY):
        step(state, torch.randn(2, 6, 2, G, K))
        state.reorder(torch.tensor([0, 0, 0, 5, 4, 5]))  # one chain, and two
    assert state.past[0].length <= 2 * state.position + 3 * TIDY_EVERY  # and not three for each position


def test_a_state_keeps_only_the_sentences_named():
    state = first_state(3)
    memory, bias = list(state.memory), torch.randn(3, 1, 4)
    state.memory_bias = bias
    step(state, torch.randn(2, 3, 2, G, K))
    state.reorder(torch.tensor([0, 1, 2]))
    assert state.memory[0] is memory[0]  # nothing is copied while every sentence stays
    state.reorder(torch.tensor([2, 0]), torch.tensor([2, 0]))
    for old, new in zip(memory, state.memory, strict=True):
        assert torch.equal(new.keys, old.keys[[2, 0]])
        assert torch.equal(new.values, old.values[[2, 0]])
    assert torch.equal(state.memory_bias, bias[[2, 0]])


def test_there_is_nothing_to_reorder_before_the_first_step():
    state = first_state(2)
    state.reorder(torch.tensor([1]), torch.tensor([1]))
    (keys, values), _ = step(state, torch.ones(2, 1, 2, G, K))
    assert keys.shape == values.shape == (1, G, 1, K)


def test_room_grows_and_keeps_what_is_there():
    past, steps = PastKeys(), torch.randn(2 * FIRST_CAPACITY + 3, 2, 2, G, K)
    for n, kv in enumerate(steps, 1):
        keys, values = past.append(kv, 2)
        assert past.length == n
    wanted = steps.permute(2, 1, 3, 0, 4)  # [steps, B, 2, G, K] -> [2, B, G, steps, K]
    torch.testing.assert_close((keys, values), tuple(wanted), rtol=0, atol=0)


def test_hidden_keys_have_no_weight():
    bias = as_bias(torch.tensor([[[False, True]]]), torch.float32)
    assert (torch.tensor([[[5.0, 9.0]]]) + bias).softmax(-1).tolist() == [[[1.0, 0.0]]]
