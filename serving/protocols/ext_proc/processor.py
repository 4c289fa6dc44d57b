"""Envoy's external processor: judges each request that Envoy lets check, in a stream of its own."""

import asyncio
import time
from typing import Any, NamedTuple, get_args

import grpc

from serving.errors import DeadlineMissed, InternalError, ServedError, UnknownModel
from serving.logs import LOGGER
from serving.observability.metrics import FAILED
from serving.observability.recorder import CLIENT_LEFT
from serving.observability.request_log import RequestLog, RequestRecord, request_id
from serving.protocols.cancellation import Cancellation
from serving.protocols.dataplane import Query, admitted, answer, deadline_s, read
from serving.protocols.ext_proc.conversation import ClientLeft, Conversation
from serving.protocols.ext_proc.user_texts import Body, check_names, user_texts
from serving.protocols.ext_proc.verdict import (
    CLIENTS_FAULTS,
    Judged,
    Verdict,
    check_kind,
    failed,
    judged,
)
from serving.protocols.grpc.bounds import arriving
from serving.protocols.grpc.calls import Calls, metadata_of
from serving.protocols.grpc.errors import abort
from serving.protocols.request_body import check_head
from serving.runtime.in_flight import out_of_time
from serving.runtime.service import Service
from serving.variants.answers import Misconfigured, Undecided

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
PATH = f"/{SERVICE}/Process"
# In Envoy's configuration, not among the headers of a request, whose client could choose.
_MODEL = b"x-sizewise-model"
_BUG = "see the server's log for the request id"
_MENDABLE = (UnknownModel, Misconfigured, Undecided)
_MOST_TOLD = 16


class _Check(NamedTuple):
    """One stream: the call's own metadata, what is said in it, and its record."""

    metadata: dict[bytes, bytes]
    conversation: Conversation
    record: RequestRecord


class ExternalProcessor:
    """Lets each request go on or refuses it, whatever happens here.

    Only of one that may not ask, or does not read, nothing is said: Envoy's own failure mode counts
    then, as if there were no server.
    """

    def __init__(self, service: Service, request_log: RequestLog, calls: Calls) -> None:
        self._service = service
        self._settings = service.settings
        self._request_log = request_log
        self._calls = calls
        self._recorder = service.runtime.recorder
        self._roles = frozenset(self._settings.ext_proc_roles.split(","))
        self._told: set[str] = set()
        """What the log has said of the configuration."""
        failure = f"failed_{self._settings.ext_proc_failure}"
        for outcome in get_args(Judged):
            self._recorder.record_check(outcome, "", 0)
        for fault in CLIENTS_FAULTS:
            self._recorder.record_check("refused", fault.code, 0)
        for reason in (*(reason for _, reason in FAILED), Misconfigured.reason, Undecided.reason):
            self._recorder.record_check(failure, reason, 0)

    def handlers(self) -> list[Any]:
        """Make the protocol's handler."""
        process = grpc.stream_stream_rpc_method_handler(self._process)
        return [grpc.method_handlers_generic_handler(SERVICE, {"Process": process})]

    async def _process(self, _messages: Any, context: Any) -> None:
        metadata = metadata_of(context)
        record = RequestRecord(request_id(metadata), time.monotonic(), is_inference=True)
        conversation = Conversation(context, self._settings.max_body_bytes)
        check = _Check(metadata, conversation, record)
        status = CLIENT_LEFT
        with self._calls.running(), self._service.in_flight:
            try:
                record.caller = self._service.callers.identify(metadata).name
                self._calls.unread.check_share(context.peer())
                verdict = await self._verdict(check)
                status = record.refuse(verdict.error) if verdict.error else 200
                record.outcome = verdict.outcome
                self._recorder.record_check(verdict.outcome, record.reason)
                self._request_log.note(record)
                async with asyncio.timeout(self._settings.body_timeout_ms / 1e3):
                    for reply in conversation.last(verdict, record.request_id):
                        self._calls.unread.add(context.peer(), reply)
                        await context.write(reply)
            except ServedError as error:
                status = record.refuse(error)
                await abort(context, error)
            except (ClientLeft, TimeoutError):
                pass
            finally:
                scope = {"method": "POST", "path": PATH}
                self._request_log.record(scope, conversation.headers, PATH, record, status)

    async def _verdict(self, check: _Check) -> Verdict:
        """Judge a request; whatever goes wrong is a verdict too. Raises ClientLeft."""
        conversation, record = check.conversation, check.record
        error: ServedError
        try:
            with arriving(self._service):
                body = await conversation.body()
            record.started_s = time.monotonic()
            return await self._judged(check, body) if body else Verdict("no_text")
        except ServedError as refused:
            error = refused
            self._tell(error)
        except asyncio.CancelledError:
            if asyncio.current_task() not in self._service.out_of_time:
                raise
            error = out_of_time()
        except ClientLeft:
            raise
        except Exception:  # noqa: BLE001  Envoy waits for a verdict
            LOGGER.exception("bug")
            error = InternalError(_BUG)
        finally:
            record.request_id = request_id(check.metadata | conversation.headers)
        opens = self._settings.ext_proc_failure == "open" and conversation.can_go_on
        return failed(error, opens=opens)

    async def _judged(self, check: _Check, body: bytes) -> Verdict:
        service, settings = self._service, self._settings
        deadline_ms = min(settings.ext_proc_deadline_ms, settings.max_deadline_ms)
        with Cancellation() as cancel:
            timer = asyncio.get_running_loop().call_later(
                deadline_ms / 1e3, lambda: cancel(_late(deadline_ms))
            )
            try:
                async with admitted(service, check.record, check.metadata) as client:
                    texts = await self._texts(check.conversation.headers, body)
                    if not texts:
                        return Verdict("no_text")
                    model = check.metadata.get(_MODEL, b"").decode("latin-1")
                    query = Query(
                        texts,
                        model or settings.ext_proc_model or None,
                        deadline_ms=deadline_ms,
                        field="user_text",
                    )
                    until_s = deadline_s(service, check.record, deadline_ms)
                    family = await service.awake(query.model, until_s)
                    check_kind(family)
                    answered = await answer(service, check.record, client, query)
            finally:
                timer.cancel()
        blocks = settings.ext_proc_flagged == "block"
        return judged(answered, family.policy.harmless, blocks=blocks)

    async def _texts(self, headers: dict[bytes, bytes], body: bytes) -> list[str]:
        if headers:  # Envoy may be told not to send them
            its = (b"content-type", b"content-encoding")
            check_head({name: headers[name] for name in its if name in headers}, self._settings)

        def meaning(sent: Body) -> list[str]:
            check_names(body)
            return user_texts(sent, self._roles)

        return await read(self._service, body, Body, meaning)

    def _tell(self, error: ServedError) -> None:
        """Say once what an operator can mend."""
        if not isinstance(error, _MENDABLE) or len(self._told) >= _MOST_TOLD:
            return
        if (sentence := error.sentence()) not in self._told:
            self._told.add(sentence)
            LOGGER.warning("the external processor cannot judge: %s", sentence)


def _late(deadline_ms: int) -> DeadlineMissed:
    return DeadlineMissed(
        "the request was not judged in time", field="ext_proc_deadline_ms", limit=deadline_ms
    )
