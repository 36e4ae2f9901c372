"""Two ways to say where a token stands, by hand and by the property that makes each useful."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from mt.nn.positions import rotate, sinusoidal_table


def test_sinusoidal_table_by_hand():
    """Four columns: rates 1 and 1/100; sines first, then cosines."""
    table = sinusoidal_table(3, 4)
    expected = [
        [0.0, 0.0, 1.0, 1.0],
        [0.8414710, 0.0099998, 0.5403023, 0.9999500],
        [0.9092974, 0.0199987, -0.4161468, 0.9998000],
    ]
    torch.testing.assert_close(table, torch.tensor(expected), rtol=0, atol=5e-7)


def test_sinusoidal_rows_are_exact_at_large_positions():
    table = sinusoidal_table(5001, 8)
    assert math.isclose(table[5000, 1], math.sin(500.0), abs_tol=1e-6)
    assert math.isclose(table[5000, 7], math.cos(5.0), abs_tol=1e-6)


def test_rotation_by_hand():
    """A head of four: x0 turns with x2 at rate 1, x1 with x3 at rate 1/100."""
    x = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]]).expand(2, 1, 4)
    turned = rotate(x, torch.tensor([0, 3]))
    cos, sin = math.cos, math.sin
    expected = torch.tensor([[[1.0, 1.0, 0.0, 0.0]], [[cos(3), cos(0.03), sin(3), sin(0.03)]]])
    torch.testing.assert_close(turned, expected)


@given(
    st.integers(0, 200),
    st.integers(0, 200),
    st.integers(0, 100),
    st.sampled_from([2, 4, 16]),
    st.integers(0, 99),
)
def test_rotated_products_depend_on_the_distance_only(start, other_start, distance, size, seed):
    random = torch.Generator().manual_seed(seed)
    q, k = torch.nn.functional.normalize(torch.randn(2, size, generator=random), dim=1)

    def product(p):
        turned = rotate(torch.stack([q, k])[:, None], torch.tensor([p, p + distance]))
        return turned[0, 0] @ turned[1, 0]

    torch.testing.assert_close(product(start), product(other_start), rtol=0, atol=3e-4)


def test_rotated_products_do_depend_on_the_distance():
    x = torch.tensor([[[1.0, 0.0]]]).expand(3, 1, 2)
    turned = rotate(x, torch.tensor([0, 1, 2]))[:, 0]
    torch.testing.assert_close(turned @ turned[0], torch.tensor([1.0, math.cos(1), math.cos(2)]))


@given(st.integers(0, 300), st.integers(0, 99))
def test_rotation_keeps_lengths_and_type(position, seed):
    x = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(seed))
    turned = rotate(x, torch.tensor([position]))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert rotate(x.bfloat16(), torch.tensor([position])).dtype == torch.bfloat16
