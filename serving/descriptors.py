"""How the limit of file descriptors is shared: connections never take the last one."""

import math
import resource

from serving.errors import StartError
from serving.settings import Settings

# For the listeners, the models, the registry and the processes that try bundles.
_OTHER_FILES = 64
_OTHER_SHARE = 8
ACCEPTS = 16
"""How many connections an iteration of the loop accepts."""
REFUSED_SHARE = 16
"""Beyond the connections that a server keeps, this share is told that there is no room."""
_GRPC_SHARE = 4
_ADMIN_CONNECTIONS = 64
_ADMIN_SHARE = 16


def descriptors() -> float:
    """Return how many file descriptors the process may have."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit


def most_grpc_connections() -> int:
    """Return how many connections gRPC may have."""
    return max(1, int(min(descriptors(), 1 << 20)) // _GRPC_SHARE)


def most_connections(settings: Settings, *, admin: bool) -> float:
    """Return how many connections a server may have, below the limit of file descriptors.

    Raises StartError if that leaves none.
    """
    limit = descriptors()
    if limit == math.inf:
        return settings.max_connections or limit
    most_admin = min(_ADMIN_CONNECTIONS, limit // _ADMIN_SHARE)
    if admin:
        return max(1, most_admin)
    # With no descriptor left, libuv accepts all that wait and closes them at once, unanswered. An
    # iteration's connections are accepted before they count, and those that it ends close later.
    left = limit - max(_OTHER_FILES, limit // _OTHER_SHARE) - 2 * ACCEPTS
    if settings.grpc_port:
        left -= most_grpc_connections()
    if settings.admin_port:
        left -= most_admin
    left = left * REFUSED_SHARE // (REFUSED_SHARE + 1)
    if left < 1:
        raise StartError(
            f"the limit of file descriptors is {limit}, which leaves none for connections: "
            "raise it (`ulimit -n 1024`)"
        )
    return min(left, settings.max_connections or left)
