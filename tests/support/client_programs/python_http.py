"""HTTP clients of Python: `python_http.py LIBRARY URL KEY SIZE`; prints what it got."""

import asyncio
import atexit
import json
import sys
import urllib.error
import urllib.request

import aiohttp
import geventhttpclient
import httpx
import requests
import urllib3

library, url, key, size = sys.argv[1:]


def of_requests():
    session = requests.Session()
    return lambda data, headers: session.post(PATH, data=data, headers=headers).status_code


def of_httpx():
    client = httpx.Client(timeout=30)
    return lambda data, headers: client.post(PATH, content=data, headers=headers).status_code


def of_urllib3():
    pool = urllib3.PoolManager()
    return lambda data, headers: pool.request("POST", PATH, body=data, headers=headers).status


def of_geventhttpclient():
    client = geventhttpclient.HTTPClient.from_url(PATH, network_timeout=30)

    def ask(data, headers):
        response = client.post("/v1/classify", body=data, headers=headers)
        response.read()
        return response.status_code

    return ask


def of_urllib():
    def ask(data, headers):
        try:
            with urllib.request.urlopen(urllib.request.Request(PATH, data, headers)) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code

    return ask


def of_aiohttp():
    loop = asyncio.new_event_loop()

    async def session_of():
        return aiohttp.ClientSession()

    session = loop.run_until_complete(session_of())
    atexit.register(lambda: loop.run_until_complete(session.close()))

    async def ask(data, headers):
        async with session.post(PATH, data=data, headers=headers) as response:
            await response.read()
            return response.status

    return lambda data, headers: loop.run_until_complete(ask(data, headers))


def ask(text, bearer=key):
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {bearer}"}
    return of_library(json.dumps({"texts": [text]}).encode(), headers)


PATH = f"{url}/v1/classify"
of_library = {
    "requests": of_requests, "httpx": of_httpx, "urllib3": of_urllib3, "urllib": of_urllib,
    "aiohttp": of_aiohttp, "geventhttpclient": of_geventhttpclient,
}[library]()  # fmt: skip
found = {
    "small": [ask("good film") for _ in range(3)],
    "large": ask("x" * int(size)),
    "unauthorized": ask("x" * int(size), bearer="another"),
    "after": ask("good film"),
}
print(json.dumps(found))
