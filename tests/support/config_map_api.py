"""The part of a Kubernetes API that serves one ConfigMap, over TLS on 127.0.0.1."""

import contextlib
import datetime as dt
import ipaddress
import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

NAMESPACE, NAME, TOKEN = "models", "shop-sizewise-tuning", "header.payload.signature"
PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{NAME}"
MOST_BYTES = 1_048_576


@dataclass
class Api:
    """What it holds, what it was asked, and how it misbehaves."""

    account: Path
    data: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], object]] = field(default_factory=list)
    """(method, path, headers, body), the oldest first."""
    refusals: list[tuple[str, int]] = field(default_factory=list)
    """(method, status) of the next requests of that method."""
    hang: threading.Event = field(default_factory=threading.Event)
    """Set: requests are answered."""
    port: int = 0

    @property
    def environment(self):
        return {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.port),
        }

    def answer(self, method, path, headers, body):
        """(status, object) as the API server answers."""
        self.asked.append((method, path, headers, body))
        if self.refusals and self.refusals[0][0] == method:
            return refused(self.refusals.pop(0)[1])
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return refused(401)
        if path.partition("?")[0] != PATH:
            return refused(404)
        if method == "PATCH":
            if headers.get("Content-Type") != "application/merge-patch+json":
                return refused(415)
            merged = self.data | body["data"]
            merged = {name: text for name, text in merged.items() if text is not None}
            if sum(map(len, merged.values())) > MOST_BYTES:
                return refused(422)
            self.data = merged
        content = {"kind": "ConfigMap", "metadata": {"name": NAME, "namespace": NAMESPACE}}
        return 200, content | ({"data": self.data} if self.data else {})


@contextlib.contextmanager
def api(folder):
    """A running one, and in `folder` what a pod's service account finds."""
    account = folder / "serviceaccount"
    account.mkdir()
    (account / "token").write_text(TOKEN)
    (account / "namespace").write_text(NAMESPACE)
    (account / "ca.crt").write_bytes(certificates(folder))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    it = Api(account)
    it.hang.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.reply("GET")

        def do_PATCH(self):
            self.reply("PATCH")

        def reply(self, method):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            it.hang.wait(30)
            status, content = it.answer(
                method, self.path, dict(self.headers), json.loads(body) if body else None
            )
            answer = json.dumps(content).encode()
            with contextlib.suppress(OSError):  # the client may have left
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                if 300 <= status < 400:
                    self.send_header("Location", "https://127.0.0.1:9/")
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # a client that trusts another CA
    it.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield it
    finally:
        it.hang.set()
        server.shutdown()
        thread.join()
        server.server_close()


def refused(status):
    return status, {"kind": "Status", "message": f"{NAME} is refused\nwith {status}"}


def certificates(folder):
    """Write the server's key and certificate; return its CA's, which has no key identifiers."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = certificate("kubernetes", ca_key, "kubernetes", ca_key, is_ca=True)
    leaf = certificate("kube-apiserver", key, "kubernetes", ca_key, is_ca=False)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(private + leaf.public_bytes(Encoding.PEM))
    return ca.public_bytes(Encoding.PEM)


def certificate(name, key, issuer, issuer_key, *, is_ca):
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(common_name(name))
        .issuer_name(common_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if not is_ca:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def common_name(name):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
