"""Serves the playground's files, with headers that let them reach nothing but this server."""

from fastapi import FastAPI, Request, Response
from starlette.routing import Route

from serving.playground.files import Page, pages

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def serve_playground(app: FastAPI) -> None:
    """Add a route for each of the files, which are read once."""
    for path, page in pages().items():
        app.router.routes.append(_route(path, page))


def _route(path: str, page: Page) -> Route:
    headers = HEADERS | {"ETag": page.etag}

    async def answer(request: Request) -> Response:
        known = request.headers.get("if-none-match", "")
        if page.etag in known.replace("W/", "").replace(" ", "").split(","):
            return Response(status_code=304, headers=headers)
        return Response(page.content, media_type=page.media_type, headers=headers)

    return Route(path, answer, include_in_schema=False)
