"""The gRPC server: every protocol that is spoken over it, on one port."""

from serving.logs import log
from serving.observability.request_log import RequestLog
from serving.protocols.ext_proc.processor import ExternalProcessor
from serving.protocols.grpc.bounds import until_drained
from serving.protocols.grpc.calls import Calls
from serving.protocols.grpc.listener import Listener
from serving.protocols.open_inference.grpc import OpenInference
from serving.runtime.service import Service


class GrpcServer:
    """Serves until it is cancelled."""

    def __init__(self, service: Service, request_log: RequestLog) -> None:
        self._service = service
        self._calls = Calls(service)
        self._protocols = [
            protocol(service, request_log, self._calls)
            for protocol in (OpenInference, ExternalProcessor)
        ]

    async def run(self) -> None:
        """Serve until cancelled; see `until_drained`. Raises StartError."""
        settings = self._service.settings
        handlers = [each for protocol in self._protocols for each in protocol.handlers()]
        server = Listener(handlers, settings, self._calls.end_drain)
        await server.start()
        log("grpc", port=settings.grpc_port)
        await until_drained(server, self._service)
