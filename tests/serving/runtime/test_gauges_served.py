import contextlib
import shutil

import httpx
import pytest

from serving.bundles.bundle import read_bundle
from tests.support.bundles import write_registry
from tests.support.cascades import write_cascade
from tests.support.metric_values import total
from tests.support.processes import serving
from tests.support.registries import wait_for

GAUGES = ("sizewise_engine_info", "sizewise_variant_bytes", "sizewise_variant_info")


@pytest.mark.parametrize("http_processes", [0, 1])
def test_gauges_are_those_of_what_is_served_and_not_of_strangers(tmp_path, http_processes):
    registry = write_registry(tmp_path / "registry", tmp_path)
    (registry / "notes" / "lost+found").mkdir(parents=True)
    settings = {"http_processes": http_processes, "scan_ms": 100}
    with serving(registry, **settings) as server:
        refused = httpx.get(f"{server.url}/v1/models").json()["refused"]
        before = server.metrics()
        shutil.rmtree(registry / "tone" / "wide")
        wait_for(lambda: 'variant="wide",version' not in infos(server))
        after = server.metrics()

    assert list(refused) == [str(registry / "notes" / "lost+found")]
    assert total(before, "sizewise_refused_bundles") == 0
    for gauge in GAUGES:
        assert total(before, gauge, variant="wide") > 0
        assert f"{gauge}{{" in after
        assert total(after, gauge, variant="wide") == 0


def infos(server):
    return "\n".join(
        line for line in server.metrics().splitlines() if line.startswith("sizewise_variant_info")
    )


@pytest.mark.parametrize("http_processes", [0, 1])
def test_what_a_server_refuses_while_it_starts_is_told_from_other_trouble(
    tiny_registry, tmp_path, http_processes
):
    statuses, hold = [], tmp_path / "hold"
    hold.touch()
    held = {"program": "tests.support.slow_serving", "environ": {"SLOW_HOLD": str(hold)}}
    with serving(tiny_registry, wait_ready=False, http_processes=http_processes, **held) as server:

        def refused():
            with contextlib.suppress(httpx.TransportError):
                statuses.append(server.classify({"texts": ["good"]}).status_code)
            return statuses

        wait_for(refused, 60)
        page = server.metrics()
        hold.unlink()

    assert statuses == [503]
    counted = {"endpoint": "/v1/classify", "code": "503", "model": ""}
    assert total(page, "sizewise_requests_total", **counted, reason="starting") == 1
    assert total(page, "sizewise_requests_total", **counted) == 1
    assert total(page, "sizewise_rejected_total", reason="starting") == 1


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize(("is_valid", "counted"), [(True, 0), (False, 1)])
def test_only_a_valid_cascade_of_which_a_variant_is_left_out_raises_no_alert(
    tmp_path, is_valid, counted, is_there
):
    registry = write_registry(tmp_path / "registry", tmp_path)
    names = ("tiny", "wide")
    write_cascade(registry, {n: read_bundle(registry / "tone" / n).manifest.version for n in names})
    path = registry / "tone" / "cascade.json"
    if not is_valid:
        path.write_text(path.read_text().replace('"batch_texts":8', '"batch_texts":0'))
    if not is_there:
        shutil.rmtree(registry / "tone" / "tiny")
    with serving(registry, variants="wide") as server:
        refused = httpx.get(f"{server.url}/v1/models").json()["refused"]
        page = server.metrics()

    assert list(refused) == [str(path)]
    assert total(page, "sizewise_refused_bundles") == counted
