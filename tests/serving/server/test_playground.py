"""The playground's files as the server sends them."""

import re

import pytest

from serving.playground.files import pages
from tests.support.bundles import write_registry
from tests.support.in_process import client_of


@pytest.fixture
def registry(tmp_path):
    return write_registry(tmp_path / "registry", tmp_path)


@pytest.mark.parametrize("path", sorted(pages()))
async def test_a_file_is_sent_whole_once_and_lets_the_page_reach_only_this_server(registry, path):
    async with client_of(registry) as client:
        first = await client.get(path)
        again = await client.get(path, headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})
        other = await client.get(path, headers={"If-None-Match": '"x"'})

    assert (first.status_code, first.content) == (200, pages()[path].content)
    assert (again.status_code, again.content) == (304, b"")
    assert other.content == first.content
    policy = first.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "connect-src 'self'"} <= set(policy)
    assert not any("unsafe" in each for each in policy)
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["referrer-policy"] == "no-referrer"


async def test_the_pages_need_no_key_and_what_they_ask_does(registry):
    async with client_of(registry, api_key="a-long-secret") as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/v1/models")).status_code == 401


async def test_a_server_without_the_playground_has_none_of_its_paths(registry):
    async with client_of(registry, playground=False) as client:
        for path in pages():
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "path_not_found")


@pytest.mark.parametrize("path", [path for path in pages() if "vendor" not in path])
def test_a_file_names_no_other_host_and_writes_no_markup(path):
    content = pages()[path].content.decode()

    assert not re.search(r"(src|href|from)[=\s]*[\"'](https?:)?//", content)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", content)
    assert not re.search(r"<script>|\son\w+=|\sstyle=", content)
