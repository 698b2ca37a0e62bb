"""Pages that Recant adds to Airflow's web server: Data Docs, to people who may see what plugins show.

A mounted application has no authentication of its own, so it asks Airflow's. It is made at the first request: a plugin is
imported by every component and every task, and FastAPI takes a while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

PREFIX = "/recant"
DATA_DOCS = f"{PREFIX}/data-docs"
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "frame-ancestors 'self'"
)
"""The pages load nothing but themselves."""
Message = MutableMapping[str, Any]


class Pages:
    """An ASGI application."""

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answers a request."""
        await self._application(scope, receive, send)

    @cached_property
    def _application(self) -> FastAPI:
        from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
        from airflow.api_fastapi.core_api.security import requires_access_view
        from fastapi import APIRouter, Depends, FastAPI
        from fastapi.responses import FileResponse

        router = APIRouter(dependencies=[Depends(requires_access_view(AccessView.PLUGINS))])

        @router.get("/data-docs/{page:path}", include_in_schema=False)
        def data_docs(page: str) -> FileResponse:
            return FileResponse(_file(page), headers={"Content-Security-Policy": POLICY, "X-Robots-Tag": "noindex"})

        application = FastAPI(title="Recant", openapi_url=None, docs_url=None, redoc_url=None)
        application.include_router(router)
        return application


def _file(page: str) -> Path:
    """A file of the site, which nothing outside of it is."""
    from fastapi import HTTPException

    from recant.quality.data_docs import FOLDER, SITE
    from recant.settings import read_settings

    site = (read_settings().home / FOLDER / SITE).resolve()
    found = (site / (page or "index.html")).resolve()
    if not found.is_relative_to(site) or not found.is_file():
        raise HTTPException(404, "There is no such page (any more).")
    return found
