"""One request every 5 s over connections that nginx and HAProxy keep; counts failed requests.

`python -m tests.benchmarks.pooled`

Both are Debian's packages. They keep idle connections for 60 s and repeat no request: a server that
closes an idle connection earlier loses the request that the proxy sends at that moment.
"""

import argparse
import contextlib
import http.client
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tqdm import tqdm

from tests.support.processes import ROOT, clean_environ, free_port, serving, wait_until_accepting

KEPT_S = 60
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream server {{
        server 127.0.0.1:{server};
        keepalive 8;
        keepalive_timeout {kept_s}s;
    }}
    server {{
        listen 127.0.0.1:{port};
        keepalive_timeout {kept_s}s;
        location / {{
            proxy_pass http://server;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream off;
        }}
    }}
}}
"""
HAPROXY = """
defaults
    mode http
    retries 0
    timeout connect 5s
    timeout client {kept_s}s
    timeout server {kept_s}s
    timeout http-keep-alive {kept_s}s
frontend http
    bind 127.0.0.1:{port}
    default_backend server
backend server
    http-reuse always
    server one 127.0.0.1:{server} pool-purge-delay {kept_s}s
"""
PROGRAMS = {
    "nginx": (NGINX, ["nginx", "-e", "stderr", "-c"]),
    "haproxy": (HAPROXY, ["haproxy", "-db", "-f"]),
}


@contextlib.contextmanager
def proxy(name, folder, server):
    """The port of a proxy in front of the server on the port `server`."""
    template, command = PROGRAMS[name]
    port = free_port()
    config = Path(folder) / f"{name}.conf"
    config.write_text(template.format(folder=folder, server=server, port=port, kept_s=KEPT_S))
    process = subprocess.Popen([*command, config], env=clean_environ())
    try:
        wait_until_accepting(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def ask(connection):
    """The status of one request, or what went wrong."""
    body = json.dumps({"texts": ["A warm, funny and moving film."]})
    try:
        connection.request("POST", "/v1/classify", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return repr(error)
    return response.status


def client(port, every_s, count, found, progress):
    """Send `count` requests over one connection, one every `every_s`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    start = time.monotonic()
    for turn in range(count):
        time.sleep(max(0, start + turn * every_s - time.monotonic()))
        found.append(ask(connection))
        progress.update()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registry", type=Path, default=ROOT / "models/registry")
    parser.add_argument("--every-s", type=float, default=5.0)
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    for program in PROGRAMS:
        if not shutil.which(program):
            parser.exit(2, f"{program} is missing: apt-get install {program}\n")
    count = round(arguments.minutes * 60 / arguments.every_s)
    found = {name: [] for name in PROGRAMS}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(serving(arguments.registry))
        progress = stack.enter_context(tqdm(total=count * len(found), unit="request"))
        threads = []
        for name, statuses in found.items():
            port = stack.enter_context(proxy(name, folder, server.url.rpartition(":")[2]))
            told = (port, arguments.every_s, count, statuses, progress)
            threads.append(threading.Thread(target=client, args=told))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    failed = {name: [each for each in statuses if each != 200] for name, statuses in found.items()}
    for name, bad in failed.items():
        print(
            f"{name}: {len(found[name])} requests, {len(bad)} failed {sorted(set(map(str, bad)))}"
        )
    return int(any(failed.values()))


if __name__ == "__main__":
    sys.exit(main())
