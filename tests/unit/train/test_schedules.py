"""Five points of every schedule by hand, and what must hold everywhere."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt.config import ScheduleConfig, ScheduleKind
from mt.train.schedules import needs_end, rate

POINTS = {  # (step, done) -> share of the peak, after a warm-up of 4 steps; the last rate is 0.1, wsd falls from 0.6 on
    "constant": {(1, 0.01): 0.25, (3, 0.1): 0.75, (4, 0.2): 1.0, (50, 0.5): 1.0, (100, 1.0): 1.0},
    "inverse_sqrt": {(1, 0.01): 0.25, (4, 0.2): 1.0, (16, 0.5): 0.5, (100, 0.7): 0.2, (400, 1.0): 0.1},
    "cosine": {(2, 0.0): 0.5, (4, 0.0): 1.0, (50, 1 / 3): 0.775, (60, 0.5): 0.55, (100, 1.0): 0.1},
    "linear": {(1, 0.0): 0.25, (10, 0.0): 1.0, (20, 0.2): 0.82, (50, 0.5): 0.55, (100, 1.0): 0.1},
    "wsd": {(1, 0.0): 0.25, (50, 0.6): 1.0, (70, 0.7): 0.55, (90, 0.825): 0.325, (100, 1.0): 0.1},
}


def section(name, **changes):
    return ScheduleConfig(
        name=ScheduleKind(name), **{"warmup_steps": 4, "decay_share": 0.4, "final_ratio": 0.1, **changes}
    )


@pytest.mark.parametrize("name", POINTS)
def test_five_points_by_hand(name):
    found = {point: rate(section(name), *point) for point in POINTS[name]}
    assert found == {point: pytest.approx(share) for point, share in POINTS[name].items()}


def test_every_schedule_has_its_points():
    assert set(POINTS) == {kind.value for kind in ScheduleKind}


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd"])
def test_after_the_end_the_last_rate_stays(name):
    assert rate(section(name), 500, 1.7) == pytest.approx(0.1)


@pytest.mark.parametrize("name", POINTS)
def test_without_a_warm_up_the_first_step_has_the_peak_rate(name):
    assert rate(section(name, warmup_steps=0), 1, 0.0) == 1.0


def test_without_warm_up_the_inverse_root_falls_from_the_first_step():
    assert rate(section("inverse_sqrt", warmup_steps=0), 4, 0.5) == pytest.approx(0.5)


def test_a_stable_rate_without_decay_stays():
    assert rate(section("wsd", decay_share=0.0), 100, 1.0) == 1.0


kinds, ratios = st.sampled_from(list(ScheduleKind)), st.floats(0, 1)


@given(kinds, st.integers(0, 20), ratios, ratios, st.lists(st.integers(1, 100), min_size=2, max_size=20))
def test_rates_rise_in_the_warm_up_then_fall_within_their_bounds(kind, warmup, share, final, steps):
    chosen = section(kind, warmup_steps=warmup, decay_share=share, final_ratio=final)
    steps = sorted(steps)
    rates = [rate(chosen, step, step / 100) for step in steps]
    lowest = 0 if kind in (ScheduleKind.constant, ScheduleKind.inverse_sqrt) else min(final, 1 / max(1, warmup))
    assert all(lowest - 1e-9 <= r <= 1 and math.isfinite(r) for r in rates)
    for first, second, step in zip(rates, rates[1:], steps[1:], strict=False):
        if steps[0] >= warmup:
            assert second <= first + 1e-9
        if kind in (ScheduleKind.constant, ScheduleKind.inverse_sqrt) and step <= warmup:
            assert second >= first


def test_schedules_that_need_the_end():
    assert {kind.value for kind in ScheduleKind if needs_end(section(kind))} == {"cosine", "linear", "wsd"}
