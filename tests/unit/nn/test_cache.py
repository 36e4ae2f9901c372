"""What a decoder remembers follows the hypotheses about."""

import torch

from mt.nn.cache import FIRST_CAPACITY, DecoderState, MemoryKeys, PastKeys

STEPS = 2 * FIRST_CAPACITY + 3  # room doubles twice


def drawn_steps(rows, steps=STEPS):
    return torch.randn(steps, rows, 2, 3, 4)  # of every step: R, 2, G, K


def fill(past, steps):
    for step in steps:
        found = past.append(step)
    return found


def as_kept(steps):
    """[steps, R, 2, G, K] -> keys and values [R, G, steps, K]"""
    return tuple(steps.permute(2, 1, 3, 0, 4).unbind(0))


def test_all_steps_are_kept_in_order_however_many():
    past, steps = PastKeys(), drawn_steps(rows=2)
    for n, step in enumerate(steps, 1):
        keys, values = past.append(step)
        assert past.length == n
        assert keys.shape == values.shape == (2, 3, n, 4)
    torch.testing.assert_close((keys, values), as_kept(steps), rtol=0, atol=0)


def test_rows_go_on_from_the_rows_they_name():
    rows = torch.tensor([1, 1, 0, 2, 1])  # more rows than before, one of them three times
    past, steps = PastKeys(), drawn_steps(rows=3, steps=FIRST_CAPACITY)
    fill(past, steps)
    past.reorder(rows)
    later = drawn_steps(rows=5, steps=3)
    found = fill(past, later)
    wanted = as_kept(torch.cat([steps[:, rows], later]))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_rows_that_part_do_not_write_into_each_other():
    past = PastKeys()
    past.append(torch.zeros(1, 2, 1, 1))
    past.reorder(torch.tensor([0, 0]))
    keys, _ = past.append(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1).expand(2, 2, 1, 1))
    assert keys[:, 0, :, 0].tolist() == [[0.0, 1.0], [0.0, 2.0]]


def test_there_is_nothing_to_reorder_before_the_first_step():
    past = PastKeys()
    past.reorder(torch.tensor([0, 0]))
    keys, _ = past.append(torch.ones(2, 2, 1, 1))
    assert keys.shape == (2, 1, 1, 1)


def test_a_state_moves_its_rows_and_keeps_only_the_sentences_named():
    memory = [MemoryKeys(keys=torch.randn(3, 1, 2, 2), values=torch.randn(3, 1, 2, 2)) for _ in range(2)]
    hidden = torch.tensor([[0, 0], [0, 1], [1, 0]], dtype=torch.bool)
    steps = torch.randn(2, 3, 2, 1, 2)
    state = DecoderState(memory=list(memory), hidden=hidden, past=[PastKeys(), PastKeys()], position=1)
    for past, step in zip(state.past, steps, strict=True):
        past.append(step)

    state.reorder(torch.tensor([0, 1, 2]))
    assert state.memory[0] is memory[0]  # nothing is copied while every sentence stays
    state.reorder(torch.tensor([2, 2, 0, 0]), torch.tensor([2, 0]))
    for old, new in zip(memory, state.memory, strict=True):
        assert torch.equal(new.keys, old.keys[[2, 0]])
        assert torch.equal(new.values, old.values[[2, 0]])
    assert torch.equal(state.hidden, hidden[[2, 0]])
    for past, step in zip(state.past, steps, strict=True):
        keys, values = past.append(torch.zeros(4, 2, 1, 2))
        assert torch.equal(keys[:, :, 0], step[[2, 2, 0, 0], 0])
        assert torch.equal(values[:, :, 0], step[[2, 2, 0, 0], 1])
    assert state.position == 1
