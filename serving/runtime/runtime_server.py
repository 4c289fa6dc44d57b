"""The engine process's end of a channel: the runtime of this process, for one HTTP process."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from serving.access.api_keys import Caller
from serving.batching.coalescing import PendingRequest
from serving.batching.interface import InferenceResult
from serving.batching.queue import Terms
from serving.bundles.bundle import VariantKey
from serving.errors import EngineFailed, ServedError
from serving.inference.inputs import Item
from serving.observability.counters import Sums
from serving.runtime.frames import REQUESTS, AnswerFrame, read_requests, read_withdrawals
from serving.runtime.ipc import Channel
from serving.runtime.local import LocalRuntime
from serving.runtime.remote_recorder import RemoteRecorders

_STATE_EVERY_S = 0.05


class _Asker:
    """Waits for one request's results, on behalf of the HTTP process; see coalescing.Waiter."""

    __slots__ = ("number", "request", "server")

    def __init__(self, server: "RuntimeServer", number: int) -> None:
        self.server = server
        self.number = number
        self.request: PendingRequest | None = None

    def done(self) -> bool:
        """Return False: a withdrawn request has no waiter any more."""
        return False

    def set_result(self, results: list[InferenceResult], /) -> None:
        """Answer in the frame of this turn."""
        self.server.answer(self.number, results)

    def set_exception(self, error: ServedError, /) -> None:
        """Answer with an error."""
        self.server.refuse(self.number, error)


class RuntimeServer:
    """Serves the runtime to one HTTP process. A request costs no task, future or pickled object."""

    def __init__(self, channel: Channel, runtime: LocalRuntime, recorders: RemoteRecorders) -> None:
        """`recorders` are those of all HTTP processes."""
        self._channel = channel
        self._runtime = runtime
        self._recorders = recorders
        self._askers: dict[int, _Asker] = {}
        self._answers = AnswerFrame()
        self._names: list[Any] = []
        """Variants and flows, by the number that the HTTP process gave them."""
        self._pages: dict[int, asyncio.Task[None]] = {}
        self._entered: Counter[Caller] = Counter()
        """Requests in progress in the HTTP process whose caller has limits."""
        self._using = -1
        self._used = asyncio.Event()
        self._handlers: dict[str, Callable[..., None]] = {
            "name": self._names.append,
            "submit": self._enqueue,
            "enter": self._enter,
            "charge": runtime.charge,
            "leave": self._leave,
            "wake": runtime.wake,
            "page": self._open_page,
            "using": self._use,
            "sums": self._add_sums,
            "flushed": self._note_flushed,
        }
        """By kind of message."""
        self._lost = asyncio.Event()

    async def serve(self) -> None:
        """Serve until the HTTP process has gone, then drop its outstanding requests."""
        sending = [
            asyncio.create_task(work) for work in (self._send_state(), self._send_deployments())
        ]
        self._channel.open(self)
        await self._lost.wait()
        for task in (*sending, *self._pages.values()):
            task.cancel()

    def on_lost(self) -> None:
        """See Receiver."""
        self._lost.set()
        self._recorders.remove(self._channel)
        for number in list(self._askers):
            self._withdraw(number)
        for caller in self._entered.elements():
            self._runtime.leave(caller)
        self._entered.clear()

    def on_frame(self, kind: int, body: memoryview) -> None:
        """See Receiver."""
        if kind == REQUESTS:
            names = self._names
            for number, variant, flow, items, reuse, deadline_s, start_tag_s in read_requests(body):
                terms = Terms(deadline_s, names[flow], reuse, start_tag_s)
                self._enqueue(number, names[variant], items, terms)
        else:
            for number in read_withdrawals(body):
                self._withdraw(number)

    def on_message(self, kind: str, *rest: Any) -> None:
        """See Receiver."""
        self._handlers[kind](*rest)

    def _use(self, revision: int) -> None:
        self._using = revision
        self._used.set()

    def _add_sums(self, sums: Sums) -> None:
        self._recorders.add(self._channel, sums)

    def _note_flushed(self) -> None:
        self._recorders.flushed(self._channel)

    def turn(self) -> Iterable[bytes]:
        """See Receiver."""
        return (self._answers.take(),)

    def _enqueue(
        self, number: int, variant: VariantKey, items: Sequence[Item], terms: Terms
    ) -> None:
        asker = self._askers[number] = _Asker(self, number)
        try:
            asker.request = self._runtime.enqueue(variant, items, terms, asker)
        except Exception as error:  # noqa: BLE001  every request needs an answer
            self.refuse(number, error)

    def answer(self, number: int, results: list[InferenceResult]) -> None:
        """Answer a request at the end of this turn."""
        if number not in self._askers:
            return
        try:
            self._answers.add(number, results)
        except Exception as error:  # noqa: BLE001  every request needs an answer
            self.refuse(number, error)
            return
        del self._askers[number]
        self._channel.flush_soon()

    def refuse(self, number: int, error: Exception) -> None:
        """Answer a request with an error, at the end of this turn."""
        if self._askers.pop(number, None):
            self._send_error(number, error)

    def _send_error(self, number: int, error: Exception) -> None:
        served = error if isinstance(error, ServedError) else EngineFailed(f"{error!r}")
        self._channel.send("error", number, served)

    def _withdraw(self, number: int) -> None:
        asker = self._askers.pop(number, None)
        if asker and asker.request:
            self._runtime.withdraw(asker.request)
        elif page := self._pages.get(number):
            page.cancel()

    def _enter(self, number: int, caller: Caller) -> None:
        try:
            self._runtime.limit_use.enter(caller.name, caller.limits)
        except Exception as error:  # noqa: BLE001  every request needs an answer
            self._send_error(number, error)
        else:
            self._entered[caller] += 1
            self._channel.send("answer", number, None)

    def _leave(self, caller: Caller) -> None:
        self._entered[caller] -= 1
        self._runtime.leave(caller)

    def _open_page(self, number: int, ready: bool) -> None:
        self._pages[number] = asyncio.create_task(self._page(number, ready=ready))

    async def _page(self, number: int, *, ready: bool) -> None:
        try:
            # Once every HTTP process has sent what it has counted.
            await self._recorders.flush()
            self._channel.send("answer", number, await self._runtime.page(ready=ready))
        except Exception as error:  # noqa: BLE001  every request needs an answer
            self._send_error(number, error)
        finally:
            del self._pages[number]

    async def _send_state(self) -> None:
        runtime = self._runtime
        while True:
            if not self._channel.full:
                self._channel.send("state", runtime.alive, runtime.backlog())
            await asyncio.sleep(_STATE_EVERY_S)

    async def _send_deployments(self) -> None:
        async with aclosing(self._runtime.follow()) as changes:
            async for deployments in changes:
                self._channel.send("deployments", deployments, dict(self._runtime.running))
                while self._using < deployments.revision:
                    self._used.clear()
                    await self._used.wait()
