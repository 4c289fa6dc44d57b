from hypothesis import given
from hypothesis import strategies as st

from serving.variants.brownout import Brownout, Brownouts

LIMIT_S = 0.25
UPDATES = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0, 1), st.integers(0, 4)), min_size=1, max_size=200
)


@given(UPDATES)
def test_steps_stay_within_the_options_and_move_by_one(updates):
    brownout, now_s, before, changed_s = Brownout(LIMIT_S), 0.0, 0, None
    for pause_s, wait_s, most in updates:
        now_s += pause_s
        assert 0 <= brownout.update(now_s, wait_s, most) <= most
        moved = brownout.steps - before
        assert abs(moved) <= 1
        if moved > 0:
            assert wait_s > LIMIT_S
            assert changed_s is None or now_s - changed_s >= LIMIT_S
        if moved < 0:
            assert wait_s <= LIMIT_S / 4
            assert now_s - changed_s >= 1.0
        changed_s = now_s if moved else changed_s
        before = brownout.steps


def test_it_degrades_while_the_wait_is_long_and_recovers_once_the_wait_has_stayed_short():
    brownout = Brownout(LIMIT_S)

    down = [brownout.update(n * 0.1, 1.0, 3) for n in range(10)]
    between = [brownout.update(1.0 + n * 0.1, 0.1, 3) for n in range(50)]
    up = [brownout.update(6.0 + n * 0.1, 0.0, 3) for n in range(50)]

    assert down == sorted(down)
    assert (down[0], down[-1]) == (1, 3)
    assert set(between) == {3}
    assert up == sorted(up, reverse=True)
    assert up[-1] == 0


def test_each_relapse_doubles_the_delay_before_the_next_step_up():
    brownout, now_s, delays_s = Brownout(LIMIT_S), 0.0, []
    for _ in range(8):
        while brownout.update(now_s, 1.0, 1) == 0:
            now_s += 0.01
        began_s = now_s
        while brownout.update(now_s, 0.0, 1) == 1:
            now_s += 0.01
        delays_s.append(round(now_s - began_s))

    assert delays_s == [1, 2, 4, 8, 16, 30, 30, 30]


def test_callers_that_have_left_are_forgotten_and_those_that_wait_are_not():
    brownouts = Brownouts(LIMIT_S)
    waiting = brownouts.begin(("waiting", 0), 0.0)

    for number in range(20_000):
        now_s = number * 0.1
        waiting.update(now_s, 1.0, 3)
        brownouts.begin((f"caller {number}", 0), now_s).update(now_s, 0.0, 3)

    assert len(brownouts) < 4000
    assert brownouts["waiting", 0].steps == 3
