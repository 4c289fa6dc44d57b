import asyncio

from serving.server.turns import _MOST_A_TURN, Turns


async def turns_until(condition):
    """How many turns of the loop pass until this holds."""
    for count in range(1000):
        if condition():
            return count
        await asyncio.sleep(0)
    raise AssertionError


async def test_what_all_want_at_once_is_begun_in_order_and_little_in_a_turn():
    turns, begun = Turns(), []
    for number in range(5 * _MOST_A_TURN):
        turns.begin(lambda number=number: begun.append(number))

    assert begun == list(range(_MOST_A_TURN))
    sizes = []
    while len(begun) < 5 * _MOST_A_TURN:
        before = len(begun)
        await asyncio.sleep(0)
        sizes.append(len(begun) - before)
    assert max(sizes) == _MOST_A_TURN
    assert begun == sorted(begun)


async def test_what_is_added_later_waits_its_turn_behind_what_waits():
    turns, begun = Turns(), []
    turns.add(lambda: begun.append("first"))
    turns.begin(lambda: begun.append("second"))

    assert begun == []
    await turns_until(lambda: len(begun) == 2)
    assert begun == ["first", "second"]


async def test_after_a_turn_there_is_room_again():
    turns, begun = Turns(), []
    for _ in range(3):
        for _ in range(_MOST_A_TURN):
            turns.begin(lambda: begun.append(None))
        await turns_until(lambda: not turns._scheduled)
    assert len(begun) == 3 * _MOST_A_TURN

    turns.begin(lambda: begun.append("at once"))
    assert begun[-1] == "at once"
