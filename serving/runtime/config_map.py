"""A ConfigMap, read and patched through the Kubernetes API from inside a pod."""

import json
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

from pydantic import BaseModel, ValidationError

from serving.bundles.files import read_text
from serving.errors import StartError, own_words, printable
from serving.shortening import cut

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts a service account's token, its namespace and the API's CA."""
MOST_BYTES = 1 << 20
"""Size limit of a ConfigMap's values, which Kubernetes sets."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_MOST_ANSWER_BYTES = 8 << 20  # JSON may write a byte as six
_MOST_ACCOUNT_BYTES = 1 << 20
_MOST_WORDS = 300
_LIMIT_S = 10.0
_WAITS_S = (1.0, 2.0, 4.0, 8.0)
_OK = 200
_PASSING = {409, 429, 500, 502, 503, 504}
_REMEDIES = {
    401: "the token of the service account is not accepted",
    403: "the service account must be allowed to get and patch it",
    404: "create it first, empty",
}


class _Content(BaseModel):
    """What is read of a ConfigMap."""

    data: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """One ConfigMap in the pod's namespace.

    Requests are sent to the address that every pod is given, and to no other: no proxy, no
    redirect. What may pass, a conflict or an API that does not answer, is tried again after each of
    `waits_s`.
    """

    namespace: str
    name: str
    host: str
    port: int
    account: Path
    waits_s: tuple[float, ...] = _WAITS_S

    def read(self) -> dict[str, str]:
        """Return the files in it by name. Raises StartError."""
        answer = self._asked("GET")
        try:
            return _Content.model_validate_json(answer).data or {}
        except ValidationError as error:
            raise StartError(f"{self}: the Kubernetes API answered no ConfigMap") from error

    def change(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Write and remove files, so that it holds `after` where it held `before`.

        What others write meanwhile stays. Raises StartError.
        """
        size = sum(len(content.encode()) for content in after.values())
        if size > MOST_BYTES:
            raise StartError(
                f"{self} would hold {len(after):,} files of {size:,} bytes, but a ConfigMap takes "
                f"{MOST_BYTES:,}: serve fewer variants (SIZEWISE_VARIANTS), or share a folder of "
                "the node (the chart's tuning.hostPath)"
            )
        changed = {name: after.get(name) for name in before.keys() | after.keys()
            if before.get(name) != after.get(name)}  # fmt: skip
        if changed:
            self._asked("PATCH", json.dumps({"data": changed}))

    def _asked(self, method: str, body: str | None = None) -> bytes:
        reason = ""
        for wait_s in (*self.waits_s, None):
            try:
                status, answer = self._answered(method, body)
            except (OSError, HTTPException) as error:
                reason = f"https://{self.host}:{self.port}: {own_words(error)}"
            else:
                if status == _OK:
                    return answer
                reason = _words(status, answer)
                if status not in _PASSING:
                    break
            if wait_s is not None:
                time.sleep(wait_s)
        does = "read" if method == "GET" else "written"
        raise StartError(f"{self} cannot be {does}: {reason}")

    def _answered(self, method: str, body: str | None) -> tuple[int, bytes]:
        # Read each time: Kubernetes renews the token.
        token = read_text(self.account / "token", limit=_MOST_ACCOUNT_BYTES).strip()
        if not _TOKEN.fullmatch(token):
            raise OSError(f"{self.account / 'token'} holds no token")
        context = ssl.create_default_context(cafile=self.account / "ca.crt")
        # The CAs of many clusters lack the key identifiers that Python 3.13 demands.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        connection = HTTPSConnection(self.host, self.port, timeout=_LIMIT_S, context=context)
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/{self.name}"
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        if body is not None:
            path += "?fieldManager=sizewise-tune"
            headers["Content-Type"] = "application/merge-patch+json"
        try:
            connection.request(method, path, body and body.encode(), headers)
            response = connection.getresponse()
            answer = response.read(_MOST_ANSWER_BYTES + 1)
        finally:
            connection.close()
        if len(answer) > _MOST_ANSWER_BYTES:
            raise OSError(f"the answer is larger than {_MOST_ANSWER_BYTES:,} bytes")
        return response.status, answer

    def __str__(self) -> str:
        return f"the ConfigMap {self.namespace}/{self.name}"


def config_map(name: str, environment: Mapping[str, str], account: Path) -> ConfigMap:
    """Return a ConfigMap of the pod that this process runs in.

    Raises StartError if the name is none, or this is not a pod with a service account's token.
    """
    if not _NAME.fullmatch(name):
        raise StartError(
            f"--config-map: {cut(printable(name), _MOST_WORDS)} is not the name of a ConfigMap: "
            "lower-case letters, digits, hyphens and dots, at most 253"
        )
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "")
    try:
        namespace = read_text(account / "namespace", limit=_MOST_ACCOUNT_BYTES).strip()
    except (OSError, ValueError):
        namespace = ""
    if not host or not _NAME.fullmatch(namespace) or not (port.isdecimal() and len(port) <= 5):
        raise StartError(
            "--config-map needs a pod of Kubernetes: KUBERNETES_SERVICE_HOST, "
            f"KUBERNETES_SERVICE_PORT, and a service account's token in {account}"
        )
    return ConfigMap(namespace, name, host, int(port), account)


def _words(status: int, answer: bytes) -> str:
    """Return what the API says of a request that it refuses, and what to do."""
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    message = str(found.get("message", "")) if isinstance(found, dict) else ""
    said = cut(" ".join(printable(message).split()), _MOST_WORDS)
    parts = [f"the Kubernetes API answered {status}", said, _REMEDIES.get(status, "")]
    return ": ".join(filter(None, parts))
