"""How many connections a server keeps, and which it gives up for those that come.

Without a free file descriptor nobody is answered, so HTTP leaves some to everything else, and a new
connection takes the place of one that has sent no request for the longest time.
"""

import ipaddress
import math
import time
from collections import Counter, deque
from typing import Any, Protocol

from uvicorn.server import ServerState

from serving.descriptors import REFUSED_SHARE, most_connections
from serving.server.refused_connections import RefusedConnections
from serving.server.slow_readers import Readers
from serving.server.turns import Turns
from serving.settings import Settings

_BATCH_SHARE = 16
_PAUSE_S = 0.1
# What a client's machine may take from its handshake to its first request when it is busy.
_FIRST_REQUEST_S = 2.0
_IPV6_NETWORK_BITS = 64

Waiting = tuple[bool, float]
"""Whether a connection is of use to its client, and since when it has waited."""


class Held(Protocol):
    """A connection that may be given up."""

    @property
    def waits_since(self) -> Waiting | None:
        """The least is given up first; None: a request that has arrived is being answered."""

    def give_up(self) -> bool:
        """End it, unless a request has arrived meanwhile; return whether it has ended."""


class LimitedConnections(ServerState):
    """uvicorn's state of a server, with bounds on its connections."""

    def __init__(
        self, settings: Settings, refused: RefusedConnections, *, admin: bool = False
    ) -> None:
        super().__init__()
        self.refused = refused
        self.readers = Readers(settings.max_requests)
        self.turns = Turns()
        self.most = most_connections(settings, admin=admin)
        self.first_request_s = min(_FIRST_REQUEST_S, settings.drain_ms / 1e3)
        self._most_per_address = settings.max_connections_per_address
        self._by_address: Counter[str] = Counter()
        self._candidates: deque[tuple[float, Any]] = deque()
        self._found_none_at = -math.inf

    @property
    def crowded(self) -> bool:
        """Whether more than half of the places are taken."""
        return 2 * len(self.connections) > self.most

    @property
    def overfull(self) -> bool:
        """Whether there is not even room to tell those that come."""
        return len(self.connections) > self.most + self.most // REFUSED_SHARE

    def enter(self, client: tuple[str, int] | None) -> bool:
        """Count a connection from this address; False: its address has too many already."""
        if not self._most_per_address or client is None:
            return True
        network = _network(client[0])
        if self._by_address[network] >= self._most_per_address:
            return False
        self._by_address[network] += 1
        return True

    def leave(self, client: tuple[str, int] | None) -> None:
        """Count a connection from this address no longer."""
        if self._most_per_address and client is not None:
            network = _network(client[0])
            self._by_address[network] -= 1
            if not self._by_address[network]:
                del self._by_address[network]

    def make_room(self, newest: Held) -> bool:
        """Give up a connection for the newest one, if there are too many; False: all are in use."""
        if len(self.connections) <= self.most:
            return True
        return self._give_one_up() or (self._find_candidates(newest) and self._give_one_up())

    def _give_one_up(self) -> bool:
        while self._candidates:
            since, each = self._candidates.popleft()
            if each in self.connections and _since(each) == since and each.give_up():
                return True
        return False

    def _find_candidates(self, newest: Held) -> bool:
        """Look for several at once, and not too often: it takes a call for each connection."""
        now_s = time.monotonic()
        if now_s < self._found_none_at + _PAUSE_S:
            return False
        waiting = []
        for each in self.connections:
            since = None if each is newest else each.waits_since  # type: ignore[union-attr]
            if since is not None:
                waiting.append((since, id(each), each))
        waiting.sort()
        most = 1 + len(self.connections) // _BATCH_SHARE
        self._candidates.extend((since, each) for (_, since), _, each in waiting[:most])
        if not waiting:
            self._found_none_at = now_s
        return bool(waiting)


def _since(connection: Held) -> float | None:
    waiting = connection.waits_since
    return waiting and waiting[1]


def _network(address: str) -> str:
    """Return what counts as one address: of IPv6 the network of 64 bits that one client has."""
    if ":" not in address:
        return address
    parsed = ipaddress.IPv6Address(address.partition("%")[0])
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, _IPV6_NETWORK_BITS), strict=False))
