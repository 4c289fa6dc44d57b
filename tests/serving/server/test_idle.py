import asyncio

import pytest

from serving.server.idle import Idle

SECONDS = 10


class Loop:
    """An event loop whose time passes on request; counts the timers that were made."""

    def __init__(self):
        self.now, self.timers, self.made = 0.0, [], 0

    def time(self):
        return self.now

    def call_later(self, seconds, callback):
        self.made += 1
        timer = [self.now + seconds, callback]
        self.timers.append(timer)
        return self._Handle(lambda: timer in self.timers and self.timers.remove(timer))

    class _Handle:
        def __init__(self, cancel):
            self.cancel = cancel

    def sleep(self, seconds):
        """Let time pass, and run the timers that are due."""
        until = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= until]:
            timer = min(due)
            self.timers.remove(timer)
            self.now = max(self.now, timer[0])
            timer[1]()
        self.now = until


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def passed():
    """When the time passed."""
    return []


@pytest.fixture
def idle(loop, passed):
    return Idle(loop, SECONDS, lambda: passed.append(loop.now))


def test_a_connection_is_kept_for_so_long_after_its_last_request(loop, idle, passed):
    for _ in range(7):
        idle.begin()
        loop.sleep(3)
        idle.since = None
        loop.sleep(1)
    idle.begin()
    began = loop.now
    loop.sleep(SECONDS - 0.01)
    assert passed == []
    assert idle.since == began
    loop.sleep(0.01)

    assert passed == [began + SECONDS]
    assert idle.since is None
    assert loop.timers == []


def test_many_requests_cost_few_timers(loop, idle, passed):
    for _ in range(1000):
        idle.begin()
        loop.sleep(0.01)
        idle.since = None
    assert loop.made <= 2

    loop.sleep(2 * SECONDS)
    assert passed == []
    assert loop.timers == []


def test_one_that_is_busy_when_the_timer_passes_is_kept_for_as_long_afterwards(loop, idle, passed):
    idle.begin()
    idle.since = None
    loop.sleep(2 * SECONDS)
    idle.begin()
    loop.sleep(2 * SECONDS)

    assert passed == [3 * SECONDS]


def test_it_may_begin_anew_when_its_time_has_passed(loop, passed):
    def again():
        passed.append(loop.now)
        if len(passed) < 3:
            idle.begin()

    idle = Idle(loop, SECONDS, again)
    idle.begin()
    loop.sleep(10 * SECONDS)

    assert passed == [SECONDS, 2 * SECONDS, 3 * SECONDS]


def test_after_its_end_nothing_is_called_and_nothing_refers_to_the_connection(loop, idle, passed):
    idle.begin()
    idle.end()
    idle.end()
    loop.sleep(2 * SECONDS)

    assert loop.timers == passed == []
    assert not any(callable(value) for value in vars(idle).values())


async def test_on_a_real_loop_it_passes_once():
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    idle = Idle(loop, 0.05, ended.set)
    began = loop.time()
    idle.begin()
    await asyncio.wait_for(ended.wait(), 10)

    assert loop.time() - began >= 0.049
