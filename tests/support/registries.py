"""Registries that change under a running server."""

import time

import httpx
from prometheus_client.parser import text_string_to_metric_families


def tiny(server):
    return models(server)["models"][0]["variants"][0]


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def counted(server, name, version):
    return sum(
        sample.value
        for family in text_string_to_metric_families(server.metrics())
        for sample in family.samples
        if sample.name == name and sample.labels.get("version") == version
    )


def models(server):
    return httpx.get(f"{server.url}/v1/models", timeout=30).json()
