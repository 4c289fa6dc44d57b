"""Connections that are refused, or ended before their client is done: counted, and logged."""

import asyncio

from serving.logs import log
from serving.observability.recorder import Recorder, RefusalReason

_LOG_EVERY_S = 1.0


class RefusedConnections:
    """Counts the connections to a port by reason, and logs each reason at most once a second."""

    def __init__(self, recorder: Recorder, port: int) -> None:
        self._recorder = recorder
        self._port = port
        self._unlogged: dict[RefusalReason, int] = {}
        """By reason, of those that were logged within the last second."""

    def count(self, reason: RefusalReason) -> None:
        """Count a connection."""
        self._recorder.record_refused_connection(reason)
        if reason in self._unlogged:
            self._unlogged[reason] += 1
        else:
            self._log(reason, 1)

    def _log(self, reason: RefusalReason, connections: int) -> None:
        log("connections refused", reason=reason, port=self._port, connections=connections)
        self._unlogged[reason] = 0
        asyncio.get_running_loop().call_later(_LOG_EVERY_S, self._log_more, reason)

    def _log_more(self, reason: RefusalReason) -> None:
        if connections := self._unlogged.pop(reason):
            self._log(reason, connections)
