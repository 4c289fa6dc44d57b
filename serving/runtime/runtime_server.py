"""The engine process's end of a channel: the runtime of this process, for one HTTP process."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from serving.access.api_keys import Caller
from serving.background import start
from serving.batching.admission import missed
from serving.batching.coalescing import PendingRequest
from serving.batching.interface import InferenceResult
from serving.batching.queue import Terms
from serving.bundles.bundle import VariantKey
from serving.errors import EngineFailed, ServedError
from serving.inference.inputs import Item
from serving.logs import log
from serving.runtime.feedback import feedback_handlers
from serving.runtime.frames import (
    REQUESTS,
    Answer,
    answer_frame,
    message,
    read_requests,
    read_withdrawals,
)
from serving.runtime.ipc import Channel
from serving.runtime.local import LocalRuntime
from serving.runtime.remote_recorder import RemoteRecorders
from serving.runtime.silence import Silence

_STATE_EVERY_S = 0.05
_TICK_S = 1.0


class _Asker:
    """Waits for one request's results, on behalf of the HTTP process; see coalescing.Waiter."""

    __slots__ = ("number", "server")

    def __init__(self, server: "RuntimeServer", number: int) -> None:
        self.server = server
        self.number = number

    def done(self) -> bool:
        """Return False: a request that is withdrawn has no waiter any more."""
        return False

    def set_result(self, results: list[InferenceResult], /) -> None:
        """Answer in the frame of this turn."""
        server = self.server
        if not server.answers:
            server.channel.flush_soon()
        server.answers.append((self.number, results))

    def set_exception(self, error: ServedError, /) -> None:
        """Answer with an error."""
        self.server.refuse(self.number, error)


class RuntimeServer:
    """Serves the runtime to one HTTP process. A request costs no task, future or pickled object."""

    def __init__(
        self,
        channel: Channel,
        runtime: LocalRuntime,
        recorders: RemoteRecorders,
        *,
        on_started: Callable[[], None] = lambda: None,
        on_following: Callable[[], None] = lambda: None,
        on_hung: Callable[[], None] = lambda: None,
        tick_s: float = _TICK_S,
    ) -> None:
        """`recorders` are those of all HTTP processes; before `on_hung` the channel is closed."""
        self.channel = channel
        self._runtime = runtime
        self._recorders = recorders
        self._on_started = on_started
        self._on_following = on_following
        self._on_hung = on_hung
        self._tick_s = tick_s
        self._silence: Silence | None = None
        """Since the first sign of life: a process that starts takes as long as it takes."""
        self.answers: list[Answer] = []
        """Those of this turn."""
        self._requests: dict[int, PendingRequest] = {}
        """Those that may be withdrawn."""
        self._names: dict[int, Any] = {}
        """Variants and flows, by the number that the HTTP process gave them."""
        self._pages: dict[int, asyncio.Task[None]] = {}
        self._entered: Counter[Caller] = Counter()
        """Requests in progress in the HTTP process whose caller has limits."""
        self.started = False
        """Whether the HTTP process has begun to accept connections."""
        self.failure = ""
        """Why it cannot start."""
        self._using = -1
        self._used = asyncio.Event()
        self._handlers: dict[str, Callable[..., None]] = {
            "name": self._names.__setitem__,
            "submit": self._enqueue,
            "enter": self._enter,
            "charge": runtime.charge,
            "leave": self._leave,
            "wake": runtime.wake,
            "page": self._open_page,
            "using": self._use,
            "recall": self._recall,
            "sums": partial(recorders.add, channel),
            "flushed": partial(recorders.flushed, channel),
            "alive": self._note_life,
            "started": self._note_start,
            "failed": partial(setattr, self, "failure"),
            **feedback_handlers(channel, runtime.feedback),
        }
        """By kind of message."""
        self._lost = asyncio.Event()

    async def serve(self) -> None:
        """Serve until the HTTP process has gone, then drop its outstanding requests."""
        self.channel.send("greeting", self._runtime.served)
        sending = [
            start(self._send_state(), "sending the state"),
            start(self._send_deployments(), "sending the deployments"),
        ]
        self.channel.open(self)
        lost = asyncio.create_task(self._lost.wait())
        await asyncio.wait((lost, *sending), return_when=asyncio.FIRST_COMPLETED)
        if not lost.done():
            self.channel.abort()  # the HTTP process ends and is replaced
            await lost
        for task in (*sending, *self._pages.values()):
            task.cancel()

    def drain(self) -> None:
        """Ask the HTTP process to be unready, and to go on answering."""
        self.channel.send("drain")

    def stop(self) -> None:
        """Ask it to accept the rest of the listener's backlog, and to end."""
        self.channel.send("stop")

    def on_lost(self) -> None:
        """See Receiver."""
        self._lost.set()
        if self._silence:
            self._silence.end()
        self._recorders.remove(self.channel)
        for number in list(self._requests):
            self._withdraw(number)
        for caller in self._entered.elements():
            self._runtime.leave(caller)
        self._entered.clear()

    def on_frame(self, kind: int, body: memoryview) -> None:
        """See Receiver."""
        if kind == REQUESTS:
            self._enqueue_all(body)
        else:
            for number in read_withdrawals(body):
                self._withdraw(number)

    def _enqueue_all(self, body: memoryview) -> None:
        names, requests = self._names, self._requests
        used = None
        for number, variant, flow, items, reuse, deadline_s, start_tag_s in read_requests(body):
            try:
                if variant != used:
                    wanted = names[variant]
                    enqueue = self._runtime.use(wanted).enqueue
                    used, key = variant, wanted
                terms = Terms(deadline_s, names[flow], reuse, start_tag_s)
                request = enqueue(key, items, terms, _Asker(self, number))
            except Exception as error:  # noqa: BLE001  every request needs an answer
                self.refuse(number, error)
            else:
                if request.waiter:  # it has no answer yet
                    requests[number] = request

    def on_message(self, kind: str, *rest: Any) -> None:
        """See Receiver."""
        self._handlers[kind](*rest)

    def _use(self, revision: int) -> None:
        self._using = revision
        self._used.set()
        self._on_following()

    def _note_life(self) -> None:
        if self._silence is None:
            self._silence = Silence(
                self._tick_s,
                on_silent=lambda: log("an HTTP process is silent"),
                on_gone=self._give_up,
            )
        elif self._silence.heard():
            log("an HTTP process is heard again")

    def _give_up(self) -> None:
        self.channel.abort()
        self._on_hung()

    def _note_start(self) -> None:
        self.started = True
        self._on_started()

    def turn(self) -> Sequence[bytes]:
        """See Receiver."""
        if not self.answers:
            return ()
        for number, _ in self.answers:
            self._requests.pop(number, None)
        frame, refused = answer_frame(self.answers)
        self.answers.clear()
        return (frame, *(message("error", number, _served(error)) for number, error in refused))

    def _enqueue(
        self, number: int, variant: VariantKey, items: Sequence[Item], terms: Terms
    ) -> None:
        try:
            batcher = self._runtime.use(variant)
            request = batcher.enqueue(variant, items, terms, _Asker(self, number))
        except Exception as error:  # noqa: BLE001  every request needs an answer
            self.refuse(number, error)
        else:
            if request.waiter:
                self._requests[number] = request

    def refuse(self, number: int, error: Exception) -> None:
        """Answer a request with an error, at the end of this turn."""
        self._requests.pop(number, None)
        self.channel.send("error", number, _served(error))

    def _withdraw(self, number: int) -> None:
        if request := self._requests.pop(number, None):
            self._runtime.withdraw(request)
        elif page := self._pages.get(number):
            page.cancel()

    def _recall(self, number: int) -> None:
        """Look after a request whose answer is overdue."""
        request = self._requests.get(number)
        if request is None:
            if number not in self._pages:
                self.channel.send("unknown", number)
        elif any(text.queued for text in request.texts):
            log("a request has outlived its deadline", number=number)
            self._withdraw(number)
            self.channel.send("error", number, missed(0.0, 0.0))

    def _enter(self, number: int, caller: Caller) -> None:
        try:
            self._runtime.limit_use.enter(caller.name, caller.limits)
        except Exception as error:  # noqa: BLE001  every request needs an answer
            self.channel.send("error", number, _served(error))
        else:
            self._entered[caller] += 1
            self.channel.send("answer", number, None)

    def _leave(self, caller: Caller) -> None:
        self._entered[caller] -= 1
        if not self._entered[caller]:
            del self._entered[caller]
        self._runtime.leave(caller)

    def _open_page(self, number: int, ready: bool) -> None:
        page = self._pages[number] = asyncio.create_task(self._page(number, ready=ready))
        page.add_done_callback(lambda _page: self._pages.pop(number, None))

    async def _page(self, number: int, *, ready: bool) -> None:
        try:
            # Once every HTTP process has sent what it has counted.
            await self._recorders.flush()
            self.channel.send("answer", number, await self._runtime.page(ready=ready))
        except Exception as error:  # noqa: BLE001  every request needs an answer
            self.channel.send("error", number, _served(error))

    async def _send_state(self) -> None:
        runtime = self._runtime
        while True:
            if not self.channel.full:
                self.channel.send("state", runtime.trouble, runtime.backlog())
            await asyncio.sleep(_STATE_EVERY_S)

    async def _send_deployments(self) -> None:
        async with aclosing(self._runtime.follow()) as changes:
            async for deployments in changes:
                self.channel.send("deployments", deployments, dict(self._runtime.running))
                while self._using < deployments.revision:
                    self._used.clear()
                    await self._used.wait()


def _served(error: Exception) -> ServedError:
    return error if isinstance(error, ServedError) else EngineFailed(f"{error!r}")
