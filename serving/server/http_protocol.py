"""HTTP/1.1 on a connection: bounded heads, problem+json for malformed HTTP, a graceful close."""

import asyncio
import urllib.parse
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from serving.observability.recorder import RefusalReason
from serving.protocols.request_body import MOST_DIGITS
from serving.server.connection import MAX_HEAD_S, Connection
from serving.server.http_cycle import NO_EVENT, BadHeadError, Cycle, is_host, refusal, without_offer
from serving.server.lingering import Remainder
from serving.server.pipelined import MOST_AT_ONCE, VERSION, Pipelined

_MAX_HEAD_BYTES = 65_536


class HttpProtocol(Connection):
    """HTTP/1.1 with a bounded head and problem+json refusals."""

    _head_bytes = 0
    _framing_bytes = 0
    """How much came since the last content of a body; -1: content came with what came last."""
    _hosts = 0
    """Host fields of the head that has begun."""
    _offer: bytes | None = None
    """The request line of a head that offers to upgrade to another protocol."""
    _parsing = False
    _held_back = False
    """The next request begins once the client has read most of the answers before it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first request's head."""
        super().connection_made(transport)
        if not self.transport.is_closing():
            self._limit_head()

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse a head that is too large or does not come in time."""
        if data.count(VERSION) > MOST_AT_ONCE:
            self._parse_later(data)
            return
        self._idle.since = None
        cycle: Cycle | None = self.cycle
        self._parsing = True
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._recover(error, data):
                self._parsing = False
                return
        self._parsing = False
        # uvicorn makes a scope when a head begins; the method is added when it is complete.
        scope: dict[str, Any] | None = self.scope  # type: ignore[assignment]
        if scope is None or "method" not in scope:
            self._follow_head(scope, data)
            return
        self._head = None
        is_new = self.cycle is not cycle
        if is_new and (self._head_timer or self._remainder):
            self._end_head_timer()
            self._end_remainder()
        if not is_new and self.cycle.more_body and self._exceeds_framing(len(data)):
            return
        if self.cycle.response_complete and self._idle.since is None:
            self._follow_answered(len(data), is_new=is_new)

    def _parse_later(self, data: bytes) -> None:
        pipelined = Pipelined(data, self.server_state.turns, self._parse_part)
        self.flow.parse_on = pipelined.go_on
        self.flow.pause_reading()
        pipelined.go_on()

    def _parse_part(self, pipelined: Pipelined) -> None:
        """Parse a part, unless requests wait: the answer to the last of them goes on here."""
        if self.pipeline:
            return
        if not self.transport.is_closing():
            self.data_received(pipelined.next_part())
        if self.transport.is_closing():
            self.flow.parse_on = None
        elif self._malformed or not pipelined.more:
            self.flow.parse_on = None
            self.flow.resume_reading()
        else:
            self._end_head_timer()  # the rest of a head has come
            if not self.pipeline:
                pipelined.go_on()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of a head; one behind a chunked body is not the head's, and is dropped."""
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        if "method" in scope:
            return
        name = name.lower()
        if name == b"host":
            self._hosts += 1
            if not is_host(value):
                raise BadHeadError("Host is not a host with an optional port.")
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise BadHeadError("Transfer-Encoding is not chunked.")
        elif name == b"content-length" and len(value) > MOST_DIGITS:
            raise BadHeadError("Content-Length has too many digits.")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the request, or let it wait for those before it.

        One that offers to upgrade is parsed anew without the offer, which a server may ignore (RFC
        9110 section 7.8): the parser takes all that follows for the other protocol.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version()
        hosts, self._hosts = self._hosts, 0
        if method == b"CONNECT" or version not in ("1.0", "1.1"):
            raise BadHeadError("The method or the version is not supported.")
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise BadHeadError("There must be exactly one Host.")
        if self.parser.should_upgrade():
            self._offer = b"%b %b HTTP/%b" % (method, self.url, version.encode())
            return
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        url = httptools.parse_url(self.url)
        raw_path = url.path or b"/"
        path = raw_path.decode("ascii")
        scope["method"], scope["http_version"] = method.decode("ascii"), version
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"], scope["query_string"] = raw_path, url.query or b""
        before: Cycle | None = self.cycle
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,  # type: ignore[arg-type]
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=NO_EVENT,
            expect_100_continue=self.expect_100_continue,
            keep_alive=version == "1.1" and self.parser.should_keep_alive() and not self._leaving,
            on_response=self.on_response_complete,
        )
        self.cycle.kept = self._kept_headers
        is_next = before is None or before.response_complete
        if is_next and not self.flow.write_paused:
            self.answering = self.cycle
            self._start_asgi_task(self.cycle, self.app)
        else:
            self._held_back = self._held_back or is_next
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body; as uvicorn does, but for what it does for WebSockets."""
        self._framing_bytes = -1
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        if (event := cycle.message_event) is not NO_EVENT:
            event.set()

    def on_message_complete(self) -> None:
        """Note that the request has arrived whole."""
        if self._offer is None:
            self.cycle.more_body = False
            self.cycle.scope["state"]["has_arrived"] = True
            if (event := self.cycle.message_event) is not NO_EVENT:
                event.set()

    def on_response_complete(self) -> None:
        """Go on to the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            if self.flow.write_paused:
                self._held_back = True
            else:
                self._start_next()
        elif self._malformed:
            self.send_400_response(self._malformed)
        elif not self.cycle.more_body:
            self._idle.begin()
        elif not self._parsing:
            self._remainder = Remainder(self.loop, self._end_slow_body)

    def resume_writing(self) -> None:
        """Go on writing, and answer the request that was held back meanwhile."""
        super().resume_writing()
        if self._held_back and not self.transport.is_closing():
            self._held_back = False
            self._start_next()

    def _start_next(self) -> None:
        cycle, app = self.pipeline.pop()
        if self._malformed and cycle.more_body:
            self.send_400_response(self._malformed)
        else:
            self.answering = cast(Cycle, cycle)
            self._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Answer malformed HTTP with 400, and close the connection."""
        if self.transport.is_closing():
            return
        self._malformed = msg
        self.transport.write(refusal(msg, self.server_state.default_headers))
        self.transport.close()
        self._notify_disconnect()

    def _recover(self, error: Exception, data: bytes) -> bool:
        """Parse on without the offer to upgrade that ended the parsing; False: it was refused."""
        while isinstance(error, httptools.HttpParserUpgrade):
            data = self._without_offer(data[error.args[0] :])
            try:
                self.parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as other:
                error = other
            else:
                return True
        cause = error.__context__
        said = str(cause) if isinstance(cause, BadHeadError) else "Invalid HTTP request received."
        self._refuse_next(said)
        return False

    def _refuse_next(self, said: str, reason: RefusalReason = "malformed") -> None:
        """Answer with 400, after the requests that came before what is malformed."""
        self.server_state.refused.count(reason)
        cycle: Cycle | None = self.cycle
        if cycle and not cycle.response_complete and (self.pipeline or not cycle.more_body):
            self._malformed = said
            self.flow.pause_reading()
        else:
            self.send_400_response(said)

    def _exceeds_framing(self, size: int) -> bool:
        """Limit a chunked body's extensions and trailers: each part of one is copied anew."""
        self._framing_bytes = 0 if self._framing_bytes < 0 else self._framing_bytes + size
        if self._framing_bytes <= _MAX_HEAD_BYTES:
            return False
        if self.cycle.response_complete:
            self.transport.close()
        else:
            self._refuse_next(f"Chunk extensions or trailers exceed {_MAX_HEAD_BYTES} bytes.")
        return True

    def _without_offer(self, rest: bytes) -> bytes:
        """Return the head that offers to upgrade without the offer, and what followed it."""
        assert self._offer is not None
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        head = without_offer(self._offer, self.headers)
        self._offer = None
        return head + rest

    def _follow_head(self, scope: dict[str, Any] | None, data: bytes) -> None:
        """Limit the size and the time of a head that has begun, or of what comes before one."""
        if scope is not self._head:
            self._head = scope
            self._head_bytes = 0
            self._end_remainder()
            if self.cycle:
                # The rest of what came is another request's, up to one read.
                self._end_head_timer()
                data = b""
        self._head_bytes += len(data)
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse_next(f"The head exceeds {_MAX_HEAD_BYTES} bytes.")
        elif self._head_timer is None:
            self._limit_head()

    def _follow_answered(self, size: int, *, is_new: bool) -> None:
        """Wait for the rest of a request that was answered before its end, or for another one."""
        if self.cycle.more_body:
            if self._remainder is None:
                self._remainder = Remainder(self.loop, self._end_slow_body)
            self._remainder.count(size)
        elif is_new or self._remainder:
            self._end_remainder()
            self._idle.begin()
        elif self._head_timer is None:
            # What came was no head, and ended the keep-alive timer; more of it changes nothing.
            self._head_timer = self.loop.call_later(MAX_HEAD_S, self._end_slow_head)

    def _limit_head(self) -> None:
        self._head_timer = self.loop.call_later(
            MAX_HEAD_S, self._refuse_next, f"The head did not come in {MAX_HEAD_S} s.", "slow_head"
        )
