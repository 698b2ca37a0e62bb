"""Fetches pages over http and https: few redirects, a size limit kept while it streams, one deadline for all of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from recant.ingestion.document import LeftOut
from recant.ingestion.readers.addresses import without_credentials
from recant.ingestion.readers.files import too_large

MAX_REDIRECTS = 5
HEADERS = {"User-Agent": "recant (knowledge base ingestion)", "Accept": "text/markdown, text/html;q=0.9, */*;q=0.5"}
_RETRIED_LATER = (408, 425, 429)


def _without_credentials(record: logging.LogRecord) -> bool:
    """httpx tells every address that it fetches, and a task's log keeps that."""
    if isinstance(record.args, tuple):
        record.args = tuple(without_credentials(str(arg)) if isinstance(arg, httpx.URL) else arg for arg in record.args)
    return True


logging.getLogger("httpx").addFilter(_without_credentials)


@dataclass(frozen=True, slots=True)
class Page:
    """A web page as it came."""

    data: bytes
    url: str
    """Where the redirects ended, without credentials."""
    media_type: str
    charset: str | None
    etag: str | None
    last_modified: str | None


def fetch(url: str, *, max_bytes: int, timeout_seconds: float) -> Page:
    """The page at an address, within `timeout_seconds` in all.

    Raises LeftOut `unsupported`, `unreachable`, `http_status` or `too_large`.
    """
    deadline = time.monotonic() + timeout_seconds
    with (
        _explained(timeout_seconds),
        httpx.Client(
            follow_redirects=True, max_redirects=MAX_REDIRECTS, timeout=timeout_seconds, headers=HEADERS
        ) as client,
        client.stream("GET", url) as response,
    ):
        _require_success(response)
        return Page(
            data=_body(response, max_bytes, deadline, timeout_seconds),
            url=without_credentials(str(response.url)),
            media_type=response.headers.get("content-type", "").partition(";")[0].strip().lower(),
            charset=response.charset_encoding,
            etag=response.headers.get("etag"),
            last_modified=response.headers.get("last-modified"),
        )


@contextmanager
def _explained(timeout_seconds: float) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise _too_slow(timeout_seconds) from error
    except httpx.TooManyRedirects as error:
        raise LeftOut("unreachable", f"more than {MAX_REDIRECTS} redirects: give the address it leads to") from error
    except httpx.UnsupportedProtocol as error:
        raise LeftOut("unsupported", "it redirects to something other than http or https") from error
    except (httpx.InvalidURL, UnicodeError) as error:
        raise LeftOut("unsupported", f"it is not an address ({error}): check its spelling") from error
    except (httpx.HTTPError, OSError) as error:
        reason = f"the server can't be reached ({error or type(error).__name__}): check address, network and proxy"
        raise LeftOut("unreachable", reason) from error


def _require_success(response: httpx.Response) -> None:
    if response.is_success:
        return
    status = f"the server answered {response.status_code} {response.reason_phrase}".rstrip()
    if response.status_code >= 500 or response.status_code in _RETRIED_LATER:
        raise LeftOut("http_status", f"{status}: try again later")
    raise LeftOut("http_status", f"{status}: check the address, and whether it needs a login")


def _body(response: httpx.Response, max_bytes: int, deadline: float, timeout_seconds: float) -> bytes:
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise too_large(int(announced), max_bytes)
    body = bytearray()
    for part in response.iter_bytes():
        body += part
        if len(body) > max_bytes:
            raise too_large(len(body), max_bytes, at_least=True)
        if time.monotonic() > deadline:
            raise _too_slow(timeout_seconds)
    return bytes(body)


def _too_slow(timeout_seconds: float) -> LeftOut:
    return LeftOut("unreachable", f"no whole answer within {timeout_seconds:g} seconds: try again later")
