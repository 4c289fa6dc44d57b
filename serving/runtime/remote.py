"""A runtime in another process: both ends of the channel between an HTTP process and the engines.

The first item of a message is its kind.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing, suppress
from itertools import count
from typing import Any

from serving.access.api_keys import Caller
from serving.batching.admission import not_ready
from serving.batching.interface import InferenceResult
from serving.batching.queue import Backlog, Terms
from serving.bundles.bundle import VariantKey
from serving.bundles.traffic import Deployments
from serving.errors import EngineFailed, ServedError
from serving.inference.inputs import Item
from serving.inference.tokenizer import Tokenizer, open_tokenizer
from serving.runtime.interface import Running, Runtime
from serving.runtime.ipc import Channel
from serving.runtime.remote_recorder import RemoteRecorder, RemoteRecorders

_STATE_EVERY_S = 0.05
_MOST_SILENCE_S = 10.0
_CLOSE_S = 1.0
_GONE = "the engine process is gone: send to another replica"


class RuntimeServer:
    """The engine process's end: serves a runtime to one HTTP process."""

    def __init__(self, channel: Channel, runtime: Runtime, recorders: RemoteRecorders) -> None:
        """`recorders` are those of all HTTP processes."""
        self._channel = channel
        self._runtime = runtime
        self._recorders = recorders
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._entered: Counter[Caller] = Counter()
        """Requests in progress in the HTTP process whose caller has limits."""
        self._using = -1
        self._used = asyncio.Event()

    async def serve(self) -> None:
        """Serve until the HTTP process has gone, then drop its outstanding requests."""
        sending = [
            asyncio.create_task(work) for work in (self._send_state(), self._send_deployments())
        ]
        async for kind, *rest in self._channel.messages():
            if kind in {"submit", "enter", "page"}:
                number, *arguments = rest
                work = self._work(kind, *arguments)
                self._tasks[number] = asyncio.create_task(self._answer(number, work))
            else:
                self._note(kind, *rest)
        self._recorders.remove(self._channel)
        for task in sending:
            task.cancel()
        for number in list(self._tasks):
            self._withdraw(number)
        for caller in self._entered.elements():
            self._runtime.leave(caller)
        self._channel.close()

    def _note(self, kind: str, *rest: Any) -> None:
        """Handle a message that needs no answer."""
        if kind == "sums":
            self._recorders.add(self._channel, *rest)
        elif kind == "flushed":
            self._recorders.flushed(self._channel)
        elif kind == "withdraw":
            self._withdraw(*rest)
        elif kind == "wake":
            self._runtime.wake(*rest)
        elif kind == "using":
            self._using = rest[0]
            self._used.set()
        else:
            self._limit(kind, *rest)

    def _work(self, kind: str, *arguments: Any) -> Awaitable[object]:
        if kind == "page":
            return self._page(ready=arguments[0])
        if kind == "enter":
            return self._enter(arguments[0])
        return self._submit(*arguments)

    async def _submit(
        self, variant: VariantKey, items: Sequence[Item], terms: Terms
    ) -> list[InferenceResult]:
        return await self._runtime.submit(variant, items, terms)

    async def _page(self, *, ready: bool) -> tuple[bytes, str]:
        """Render the metrics page once every HTTP process has sent what it has counted."""
        await self._recorders.flush()
        return await self._runtime.page(ready=ready)

    async def _enter(self, caller: Caller) -> None:
        await self._runtime.enter(caller)
        self._entered[caller] += 1

    def _limit(self, kind: str, caller: Caller, *texts: int) -> None:
        if kind == "charge":
            self._runtime.charge(caller, *texts)
        else:
            self._entered[caller] -= 1
            self._runtime.leave(caller)

    async def _answer(self, number: int, work: Awaitable[object]) -> None:
        try:
            self._channel.send("answer", number, await work)
        except ServedError as error:
            self._channel.send("error", number, error)
        except Exception as error:  # noqa: BLE001  every request needs an answer
            self._channel.send("error", number, EngineFailed(f"{error!r}"))
        finally:
            self._tasks.pop(number, None)

    def _withdraw(self, number: int) -> None:
        if task := self._tasks.pop(number, None):
            task.cancel()

    async def _send_state(self) -> None:
        runtime = self._runtime
        while True:
            self._channel.send("state", runtime.alive, runtime.backlog())
            await asyncio.sleep(_STATE_EVERY_S)

    async def _send_deployments(self) -> None:
        async with aclosing(self._runtime.follow()) as changes:
            async for deployments in changes:
                self._channel.send("deployments", deployments, dict(self._runtime.running))
                while self._using < deployments.revision:
                    self._used.clear()
                    await self._used.wait()


class RemoteRuntime:
    """The HTTP process's end: a Runtime whose engines are elsewhere. Lives on one event loop.

    `gone` is set when the engine process has died or has been silent for ten seconds.
    """

    def __init__(self, channel: Channel) -> None:
        self.recorder = RemoteRecorder(channel)
        self.tokenizers: dict[VariantKey, Tokenizer] = {}
        self.running: dict[VariantKey, Running] = {}
        self.gone = asyncio.Event()
        self._channel = channel
        self._alive = False
        self._backlog = Backlog()
        self._newest: Deployments | None = None
        self._changed = asyncio.Event()
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._loop = asyncio.get_running_loop()
        self._listening = asyncio.create_task(self._listen())
        self._silence = self._loop.call_later(_MOST_SILENCE_S, channel.close)

    async def _listen(self) -> None:
        async for kind, *rest in self._channel.messages():
            if kind == "state":
                self._alive, self._backlog = rest
                self.recorder.flush()
                self._silence.cancel()
                self._silence = self._loop.call_later(_MOST_SILENCE_S, self._channel.close)
            elif kind == "flush":
                self.recorder.answer_flush()
            elif kind == "deployments":
                self._newest, running = rest
                self.running |= running
                self._changed.set()
            elif (future := self._waiting.get(rest[0])) and not future.done():
                if kind == "answer":
                    future.set_result(rest[1])
                else:
                    future.set_exception(rest[1])
        self._alive = False
        self.gone.set()
        self._changed.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(EngineFailed(_GONE))

    @property
    def alive(self) -> bool:
        """See Runtime."""
        return self._alive

    async def follow(self) -> AsyncGenerator[Deployments]:
        """See Runtime."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.gone.is_set() or not self._newest:
                raise EngineFailed(_GONE)
            deployments = self._newest
            bundles = deployments.bundles()
            for name in bundles.keys() - self.tokenizers.keys():
                if tokenizer := await asyncio.to_thread(open_tokenizer, bundles[name]):
                    self.tokenizers[name] = tokenizer
            yield deployments
            self._channel.send("using", deployments.revision)
            for name in self.running.keys() - self._newest.bundles().keys():
                self.tokenizers.pop(name, None)
                del self.running[name]

    def submit(
        self,
        variant: VariantKey,
        items: Sequence[Item],
        terms: Terms,
    ) -> asyncio.Future[list[InferenceResult]]:
        """See Submits; both processes share the machine's monotonic clock."""
        return asyncio.ensure_future(self._call("submit", variant, items, terms))

    def wake(self, family: str) -> None:
        """See Runtime."""
        self._channel.send("wake", family)

    async def enter(self, caller: Caller) -> None:
        """See LimitUse; a request that is cancelled before the answer has not entered."""
        entering = asyncio.create_task(self._call("enter", caller))

        def leave(entered: asyncio.Task[None]) -> None:
            if not entered.cancelled() and not entered.exception():
                self.leave(caller)

        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            entering.add_done_callback(leave)
            raise

    def charge(self, caller: Caller, texts: int) -> None:
        """See LimitUse."""
        self._channel.send("charge", caller, texts)

    def leave(self, caller: Caller) -> None:
        """See LimitUse."""
        self._channel.send("leave", caller)

    async def _call(self, kind: str, *rest: Any) -> Any:
        if self.gone.is_set():
            raise not_ready(_GONE)
        number = next(self._numbers)
        future = self._waiting[number] = self._loop.create_future()
        self._channel.send(kind, number, *rest)
        try:
            return await future
        except asyncio.CancelledError:
            self._channel.send("withdraw", number)
            raise
        finally:
            del self._waiting[number]

    def backlog(self) -> Backlog:
        """See Runtime; up to 50 ms old."""
        return self._backlog

    async def page(self, *, ready: bool) -> tuple[bytes, str]:
        """See Runtime."""
        page: tuple[bytes, str] = await self._call("page", ready)
        return page

    def close(self) -> None:
        """See Runtime."""
        self._silence.cancel()
        self._listening.cancel()
        if not self.gone.is_set():
            self.recorder.flush()
        self._channel.close()

    async def closed(self) -> None:
        """Wait, after `close`, until everything is sent, for at most a second."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._channel.closed(), _CLOSE_S)
