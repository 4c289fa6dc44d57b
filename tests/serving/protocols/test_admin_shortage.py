from types import SimpleNamespace

import httpx
import pytest

from serving.bundles.registry import Found
from serving.errors import BundleError
from serving.protocols.admin import create_admin
from serving.settings import Settings
from serving.shortage import Shortage


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [(Shortage("can't start new thread"), 503, "2"), (BundleError("no such version"), 422, None)],
)
async def test_traffic_that_the_machine_is_too_short_for_is_not_the_clients_fault(
    error, status, retry_after
):
    async def refuse(*_arguments):
        raise error

    reconciler = SimpleNamespace(
        found=Found(bundles={"tone": []}),
        served=SimpleNamespace(families={}, resting=(), unloaded=()),
        overrides={},
        set_traffic=refuse,
    )
    settings = Settings(admin_key="operators-only")
    app = create_admin(settings, reconciler, SimpleNamespace(bytes_of=len))
    headers = {"Authorization": "Bearer operators-only"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        path = "/admin/models/tone/traffic"
        answer = await client.put(path, json={"tiny": {}}, headers=headers)

    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry_after)
    assert error.detail in answer.json()["detail"]
