"""A Kubernetes API that holds Secrets, for Helm's `lookup`: what Helm asks of it and no more."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

KINDS = {
    "v1": ("Secret", "Service", "ServiceAccount", "Pod"),
    "apps/v1": ("Deployment",),
    "policy/v1": ("PodDisruptionBudget",),
}


@contextlib.contextmanager
def cluster(folder, secrets):
    """The path of a kubeconfig whose cluster holds `secrets`: (namespace, name) -> data."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            found = answers(path, secrets)
            body = json.dumps(found or {"kind": "Status", "code": 404}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": url}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": {}}],
    }))  # fmt: skip
    try:
        yield path
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answers(path, secrets):
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1",
                "groups": [group(name) for name in KINDS if "/" in name]}  # fmt: skip
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version in KINDS:
        resources = [
            {"name": f"{kind.lower()}s", "singularName": kind.lower(), "kind": kind,
             "namespaced": True, "verbs": ["get", "list"]} for kind in KINDS[version]
        ]  # fmt: skip
        return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
    parts = path.split("/")
    if path.startswith("/api/v1/namespaces/") and len(parts) == 7 and parts[5] == "secrets":
        data = secrets.get((parts[4], parts[6]))
        if data is not None:
            return {"apiVersion": "v1", "kind": "Secret", "data": data,
                    "metadata": {"name": parts[6], "namespace": parts[4]}}  # fmt: skip
    return None


def group(name):
    version = {"groupVersion": name, "version": name.partition("/")[2]}
    return {"name": name.partition("/")[0], "versions": [version], "preferredVersion": version}
