"""Bodies that arrive slowly take no room that others need."""

from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from serving.errors import Overloaded
from serving.runtime.arrivals import Arrivals
from tests.support.processes import serving
from tests.support.raw_http import connect, read, request

MOST = 4


@pytest.fixture(scope="module", params=[0, 1], ids=["one process", "an HTTP process"])
def small(request, tiny_registry):
    """A server for few requests."""
    with serving(
        tiny_registry, max_requests=MOST, http_processes=request.param, body_timeout_ms=4000
    ) as running:
        yield running


class Given:
    """`arrivals`, of which the bodies' `give_up` note their names, and a clock."""

    def __init__(self, most):
        self.now_s = 0.0
        self.in_flight = SimpleNamespace(requests=10)
        self.arrivals = Arrivals(self.in_flight, most, lambda: self.now_s)
        self.given_up = []

    def body(self, name, **options):
        return self.arrivals.arriving(lambda: self.given_up.append(name), **options)


def test_a_request_is_not_counted_while_its_body_arrives():
    given = Given(2)
    with given.body("one"), given.body("two"):
        assert given.in_flight.requests == 8
    assert given.in_flight.requests == 10


def test_the_oldest_slow_body_is_given_up_for_a_new_one():
    given = Given(2)
    with given.body("one"), given.body("two"):
        given.now_s = 2.0
        with given.body("three"), given.body("four"):
            assert given.given_up == ["one", "two"]
            assert given.in_flight.requests == 6
    assert given.in_flight.requests == 10


def test_bodies_that_have_just_begun_are_not_given_up():
    given = Given(1)
    with given.body("one"):
        with pytest.raises(Overloaded) as refused, given.body("two"):
            pass
        assert given.in_flight.requests == 9
    assert (refused.value.retry_after_s, given.given_up) == (1, [])


def test_those_that_have_perhaps_arrived_are_let_in_up_to_twice_as_many():
    given = Given(2)
    with ExitStack() as held:
        for name in ("one", "two", "three", "four"):
            held.enter_context(given.body(name, perhaps=True))
        with pytest.raises(Overloaded) as refused, given.body("five", perhaps=True):
            pass
        assert (given.in_flight.requests, given.given_up) == (6, [])
    assert (refused.value.limit, given.in_flight.requests) == (4, 10)


def test_each_new_body_ends_one_slow_one_however_many_there_are():
    """To end thousands at once would hold up everybody."""
    given = Given(1)
    with given.body("one"), given.body("two", perhaps=True):
        given.now_s = 2.0
        with given.body("three", perhaps=True):
            assert given.given_up == ["one"]
            with given.body("four"):
                assert given.given_up == ["one", "two"]
    assert given.in_flight.requests == 10


def test_slow_bodies_lock_nobody_out(small):
    tei = request(path="/predict", body=b'{"inputs": "good"}')
    whole = [b"".join(request()), b"".join(tei), b"".join(request(chunked=True))]
    with ExitStack() as held:
        slow = []
        for _ in range(2 * MOST):
            connection = held.enter_context(connect(small.url, timeout=30))
            connection.sendall(b"".join(request())[:-3])
            slow.append(connection)
        for sent in whole * 2:
            with connect(small.url, timeout=30) as other:
                other.sendall(sent)
                assert read(other)[0] == 200
        assert {read(each)[0] for each in slow} == {408, 429}
