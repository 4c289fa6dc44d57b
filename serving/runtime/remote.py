"""The HTTP process's end of a channel: a runtime whose engines are in another process."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, cast

from serving.access.api_keys import Caller
from serving.background import patiently, short_work
from serving.batching.admission import LOADING, not_ready
from serving.batching.interface import InferenceResult
from serving.batching.queue import Backlog, Flow, Terms
from serving.bundles.bundle import VariantKey
from serving.bundles.traffic import Deployments, without
from serving.errors import BundleError, EngineFailed, ServedError
from serving.inference.inputs import Encoding, Item
from serving.inference.tokenizer import Tokenizer
from serving.logs import log
from serving.runtime.call import Call
from serving.runtime.feedback import RemoteFeedback
from serving.runtime.frames import RequestFrame, read_answers, withdrawals
from serving.runtime.integrity import open_verified
from serving.runtime.interface import Running
from serving.runtime.ipc import Channel
from serving.runtime.memory import return_freed
from serving.runtime.numbers import MOST_NAMES, Numbers
from serving.runtime.remote_recorder import RemoteRecorder
from serving.runtime.silence import Silence

_TICK_S = 1.0
_LOAD_TIMEOUT_S = 120.0
_AGAIN_S = 30.0  # the engine process serves what could not be opened here
_LATE_TICKS = 2  # for an answer that is on its way at the deadline
_USUAL_DEADLINE_S = 10.0  # of what has no deadline of its own
_CLOSE_S = 1.0
_GONE = "the engine process is gone: send to another replica"
_SILENT = "the engine process is silent: retry after the Retry-After delay"
_BEHIND = "the engine process does not read its requests: retry after the Retry-After delay"
_LOST = "the answer was lost between two processes: send the request again"


class RemoteRuntime:
    """The HTTP process's end: a Runtime whose engines are elsewhere. Lives on one event loop.

    While the engine process is silent, it is not alive and every request fails. `gone` is set when
    the engine process has died, or stays silent. `draining` and `stopping` are set when it says so.
    """

    def __init__(
        self, channel: Channel, tick_s: float = _TICK_S, load_timeout_s: float = _LOAD_TIMEOUT_S
    ) -> None:
        self.recorder = RemoteRecorder(channel)
        self.feedback = RemoteFeedback(channel, self._call)
        self.tokenizers: dict[VariantKey, Tokenizer] = {}
        self.running: dict[VariantKey, Running] = {}
        self.gone = asyncio.Event()
        self.draining = asyncio.Event()
        self.stopping = asyncio.Event()
        self.greeting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether models were served before this process started."""
        self.trouble = LOADING
        self._channel = channel
        self._alive = False
        self._backlog = Backlog()
        self._newest: Deployments | None = None
        self._changed = asyncio.Event()
        self._numbers = count()
        self._waiting: dict[int, Call[Any]] = {}
        self._requests = RequestFrame()
        self._entering: dict[int, Caller] = {}
        """Whose requests enter; when the answer comes, nobody may wait for it any more."""
        self._withdrawn: list[int] = []
        self._names = Numbers[VariantKey | Flow](partial(channel.send, "name"))
        """Those of variants and flows that the engine process knows."""
        self._handlers: dict[str, Callable[..., None]] = {
            "greeting": self.greeting.set_result,
            "state": self._set_state,
            "flush": self.recorder.answer_flush,
            "deployments": self._deploy,
            "drain": self.draining.set,
            "stop": self.stopping.set,
        }
        """By kind of message that answers no call."""
        self._load_timeout_s = load_timeout_s
        self._silence = Silence(
            tick_s, on_silent=self._note_silence, on_gone=channel.abort, on_tick=self._tick
        )
        channel.open(self)

    def on_message(self, kind: str, *rest: Any) -> None:
        """See Receiver."""
        if handle := self._handlers.get(kind):
            handle(*rest)
            return
        entered = self._entering.pop(rest[0], None)
        if call := self._waiting.pop(rest[0], None):
            if kind == "answer":
                call.set_result(rest[1])
            elif kind == "unknown":
                log("a request was lost between the processes", number=rest[0])
                call.set_exception(EngineFailed(_LOST))
            else:
                call.set_exception(rest[1])
        elif entered and kind == "answer":
            self.leave(entered)

    def _set_state(self, trouble: str, backlog: Backlog) -> None:
        self.trouble, self._backlog, self._alive = trouble, backlog, not trouble
        if self._silence.heard():
            log("the engine process is heard again")
        if not self._channel.full:
            self.recorder.flush()

    def _deploy(self, newest: Deployments, running: Mapping[VariantKey, Running]) -> None:
        self._newest = newest
        self.running |= running
        self._changed.set()

    def _note_silence(self) -> None:
        log("the engine process is silent", outstanding=len(self._waiting))
        self._alive, self.trouble = False, _SILENT
        self._withdrawn += self._waiting
        self._channel.flush_soon()
        self._fail_all(lambda: not_ready(_SILENT))

    def _tick(self) -> None:
        if not self._channel.full:
            self._channel.send("alive")
        self._recall_late()

    def _recall_late(self) -> None:
        """Ask for the calls whose answer is overdue."""
        now_s = time.monotonic()
        for number, call in self._waiting.items():
            if call.deadline_s < now_s:
                call.late_ticks += 1
                if call.late_ticks > _LATE_TICKS:
                    self._channel.send("recall", number)

    def _fail_all(self, error: Callable[[], ServedError]) -> None:
        while self._waiting:
            self._waiting.popitem()[1].set_exception(error())

    def on_frame(self, kind: int, body: memoryview) -> None:  # noqa: ARG002  only answers come
        """See Receiver."""
        for number, results in read_answers(body):
            if future := self._waiting.pop(number, None):
                future.set_result(results)

    def turn(self) -> Sequence[bytes]:
        """See Receiver."""
        frames = [self._requests.take()]
        if len(self._names) > MOST_NAMES:
            self._names.forget_all(Flow)
        if self._withdrawn:
            frames.append(withdrawals(self._withdrawn))
            self._withdrawn.clear()
        return frames

    def on_lost(self) -> None:
        """See Receiver."""
        self._alive, self.trouble = False, _GONE
        self._silence.end()
        self.gone.set()
        self._changed.set()
        self._fail_all(lambda: not_ready(_GONE))

    @property
    def alive(self) -> bool:
        """See Runtime."""
        return self._alive

    async def follow(self) -> AsyncGenerator[Deployments]:
        """See Runtime."""
        lacking = False
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _AGAIN_S if lacking else None)
            self._changed.clear()
            if self.gone.is_set() or not self._newest:
                raise EngineFailed(_GONE)
            deployments = self._newest
            bundles = deployments.bundles()
            for name in bundles.keys() - self.tokenizers.keys():
                opening = partial(open_verified, bundles[name])
                what = f"opening the tokenizer of {bundles[name].folder}"
                try:
                    tokenizer = await patiently(opening, what, self._load_timeout_s)
                except BundleError as error:
                    log("refused in this HTTP process", reason=error.detail)
                    deployments = without(deployments, bundles[name])
                    continue
                if tokenizer:
                    self.tokenizers[name] = tokenizer
            lacking = deployments is not self._newest
            yield deployments
            self._channel.send("using", deployments.revision)
            used = deployments.bundles() | self._newest.bundles()
            if unused := self.running.keys() - used.keys():
                for name in unused:
                    self.tokenizers.pop(name, None)
                    del self.running[name]
                    self._names.forget(name)
                await short_work(return_freed)

    def submit(
        self, variant: VariantKey, items: Sequence[Item], terms: Terms
    ) -> asyncio.Future[list[InferenceResult]]:
        """See Submits; both processes share the machine's monotonic clock."""
        call = self._open_call()
        call.deadline_s = terms.deadline_s
        if isinstance(items[0], Encoding):
            texts = cast("Sequence[Encoding]", items)
            flow = self._names.of(terms.flow)
            self._requests.add(call.number, self._names.of(variant), flow, texts, terms)
            self._channel.flush_soon()
        else:
            self._channel.send("submit", call.number, variant, items, terms)
        self._waiting[call.number] = call
        return call

    def wake(self, family: str) -> None:
        """See Runtime."""
        self._channel.send("wake", family)

    async def enter(self, caller: Caller) -> None:
        """See LimitUse; a request that is cancelled before the answer has not entered."""
        entering: Call[None] = self._call("enter", caller)
        self._entering[entering.number] = caller

        def leave(entered: asyncio.Future[None]) -> None:
            if not entered.cancelled() and not entered.exception():
                self.leave(caller)

        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            entering.add_done_callback(leave)
            raise
        finally:
            del entering  # its error refers to this frame

    def charge(self, caller: Caller, texts: int) -> None:
        """See LimitUse."""
        self._channel.send("charge", caller, texts)

    def leave(self, caller: Caller) -> None:
        """See LimitUse."""
        self._channel.send("leave", caller)

    def _call(self, kind: str, *rest: Any) -> Call[Any]:
        call = self._open_call()
        call.deadline_s = time.monotonic() + _USUAL_DEADLINE_S
        self._channel.send(kind, call.number, *rest)
        self._waiting[call.number] = call
        return call

    def _open_call(self) -> Call[Any]:
        """Begin a call, unless the engine process has gone, is silent or reads no more."""
        if self.gone.is_set():
            raise not_ready(_GONE)
        if self._silence.silent:
            raise not_ready(_SILENT)
        if self._channel.full:
            raise not_ready(_BEHIND)
        return Call(next(self._numbers), self._withdraw)

    def _withdraw(self, number: int) -> None:
        """Tell the engine process at the end of this turn that nobody waits for a call."""
        if self._waiting.pop(number, None):
            self._withdrawn.append(number)
            self._channel.flush_soon()

    def queue_wait_s(self, flow: Flow) -> float:
        """See Runtime; up to 50 ms old."""
        return self._backlog.queue_wait_s(flow)

    def backlog(self) -> Backlog:
        """See Runtime; up to 50 ms old."""
        return self._backlog

    async def page(self, *, ready: bool) -> tuple[bytes, str]:
        """See Runtime."""
        return await cast("Call[tuple[bytes, str]]", self._call("page", ready))

    def close(self) -> None:
        """See Runtime."""
        self._silence.end()
        if not self.gone.is_set():
            self.recorder.flush()
        self._channel.close()

    async def closed(self) -> None:
        """Wait, after `close`, until everything is sent, for at most a second."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._channel.closed(), _CLOSE_S)
