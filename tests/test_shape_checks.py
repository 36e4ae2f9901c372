"""`shape_checks`: a call is checked unless one like it has passed, whatever is called in between."""

import beartype
import jaxtyping
import pytest
import torch
from jaxtyping import Float
from shape_checks import MOST, remembered
from torch import Tensor


def checked(function):
    return remembered(jaxtyping.jaxtyped, function, typechecker=beartype.beartype)


@pytest.fixture
def checks(monkeypatch):
    """How often beartype's check of an array has run."""
    seen = []
    before = type(Float[Tensor, "a"]).__instancecheck_str__

    def counted(annotation, value):
        seen.append(value)
        return before(annotation, value)

    monkeypatch.setattr(type(Float[Tensor, "a"]), "__instancecheck_str__", counted)
    return seen


@checked
def halves(x: Float[Tensor, "a b"], y: Float[Tensor, "a"], width: int = 1) -> Float[Tensor, "a width"]:
    return x[:, :width] + y[:, None]


def test_a_call_like_one_that_passed_is_not_checked(checks):
    halves(torch.ones(2, 5), torch.ones(2))
    first = len(checks)
    assert halves(torch.ones(2, 5), torch.zeros(2)).tolist() == [[1], [1]]
    assert len(checks) == first > 0


@pytest.mark.parametrize(
    "x, y",
    [
        (torch.ones(2, 3), torch.ones(3)),
        (torch.ones(2, 3, 1), torch.ones(2)),
        (torch.ones(2, 3, dtype=torch.int64), torch.ones(2)),
        ([[1.0, 1.0]], torch.ones(2)),
    ],
)
def test_another_shape_dtype_or_type_is_checked_after_calls_that_passed(x, y):
    halves(torch.ones(2, 3), torch.ones(2))
    with pytest.raises(jaxtyping.TypeCheckError, match="parameters of"):
        halves(x, y)


def test_a_result_of_another_shape_is_checked_after_calls_that_passed():
    wide = False

    @checked
    def same(x: Float[Tensor, "a b"]) -> Float[Tensor, "a b"]:
        return torch.cat([x, x]) if wide else x

    same(torch.ones(2, 3))
    wide = True
    with pytest.raises(jaxtyping.TypeCheckError, match="return value"):
        same(torch.ones(2, 3))
    with pytest.raises(jaxtyping.TypeCheckError, match="return value"):  # what failed is not remembered
        same(torch.ones(2, 3))


def test_what_a_container_holds_is_looked_at():
    @checked
    def total(parts: list[Float[Tensor, "a"]], scale: dict[str, int]) -> int:
        return len(parts) * scale.get("by", 1)

    for size in (MOST, MOST + 1):  # one more than is looked through
        for _ in range(2):
            assert total([torch.ones(2)] * size, {"by": 2}) == 2 * size
    with pytest.raises(jaxtyping.TypeCheckError):
        total([torch.ones(2, 2)], {"by": 2})
    with pytest.raises(jaxtyping.TypeCheckError):
        total([torch.ones(2)], {"by": "2"})


def test_the_function_itself_runs_once_a_call_and_its_errors_come_through():
    runs = []

    @checked
    def grow(x: Float[Tensor, "a"], by: int) -> Float[Tensor, "b"]:
        runs.append(by)
        if by < 0:
            raise ValueError("less than nothing")
        return torch.ones(by)

    for by in (1, 1, 2, 3, 2):  # the results have other shapes, their arguments the same kind
        assert len(grow(torch.ones(4), by)) == by
    with pytest.raises(ValueError, match="less than nothing"):
        grow(torch.ones(4), -1)
    assert runs == [1, 1, 2, 3, 2, -1]
