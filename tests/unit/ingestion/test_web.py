"""Fetching pages from a real server on loopback: what comes of good ones, and of each way to fail."""

from __future__ import annotations

import gzip
import logging
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from recant.ingestion import RawDocument, Rejected, fingerprint, list_sources, open_documents

Served = dict[str, Any]


def answer(body: bytes, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def send(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"content_length": str(len(body)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return send


def fetch(url: str, max_bytes: int = 10_000, timeout_seconds: float = 5) -> list[RawDocument | Rejected]:
    (item,) = list_sources([url]).items
    return list(open_documents(item, max_bytes=max_bytes, timeout_seconds=timeout_seconds))


def rejection(url: str, **limits: Any) -> Rejected:
    (found,) = fetch(url, **limits)
    assert isinstance(found, Rejected), found
    assert found.source == url
    return found


@pytest.mark.parametrize(
    ("path", "media_type", "kind"),
    [
        ("/a", "text/html; charset=utf-8", "html"),
        ("/a.md", "text/plain", "markdown"),
        ("/a", "text/plain", "text"),
        ("/a.rst", "", "rst"),
        ("/a.py", "application/octet-stream", "python"),
        ("/a", "text/markdown", "markdown"),
    ],
)
def test_a_pages_format_is_what_the_server_says_or_its_name(
    served: Served, path: str, media_type: str, kind: str
) -> None:
    """The media type decides, but for the ones that servers send with anything: there the name does."""
    served[path] = answer(b"<p>words</p>", content_type=media_type)
    (raw,) = fetch(served["address"] + path)
    assert isinstance(raw, RawDocument)
    assert (raw.source, raw.format) == (served["address"] + path, kind)


def test_a_page_keeps_what_tells_its_version(served: Served) -> None:
    """Address, ETag and date of change are kept, and don't count as a change of the document."""
    served["/a.md"] = answer(b"# A", etag='"1"', last_modified="Wed, 21 Oct 2026 07:28:00 GMT")
    (first,) = fetch(served["address"] + "/a.md")
    assert isinstance(first, RawDocument)
    assert first.attributes == {
        "url": served["address"] + "/a.md",
        "etag": '"1"',
        "last_modified": "Wed, 21 Oct 2026 07:28:00 GMT",
    }
    served["/a.md"] = answer(b"# A", etag='"2"')
    (second,) = fetch(served["address"] + "/a.md")
    assert isinstance(second, RawDocument)
    assert fingerprint(first) == fingerprint(second)


def test_redirects_are_followed_and_the_name_stays(served: Served) -> None:
    """A document is called what it was asked for as; where it was found is its url."""
    served["/old.md"] = answer(b"", 302, location="/new.md")
    served["/new.md"] = answer(b"# New")
    (raw,) = fetch(served["address"] + "/old.md")
    assert isinstance(raw, RawDocument)
    assert raw.source == served["address"] + "/old.md"
    assert raw.attributes["url"] == served["address"] + "/new.md"


def test_redirects_end(served: Served) -> None:
    """A circle of redirects, and one that leads away from http, are rejected."""
    served["/circle.md"] = answer(b"", 302, location="/circle.md")
    assert rejection(served["address"] + "/circle.md").code == "unreachable"
    served["/away.md"] = answer(b"", 302, location="file:///etc/passwd")
    assert rejection(served["address"] + "/away.md").code == "unsupported"


@pytest.mark.parametrize(
    ("status", "advice"), [(404, "check the address"), (403, "login"), (500, "later"), (429, "later")]
)
def test_a_refusal_names_its_status(served: Served, status: int, advice: str) -> None:
    """4xx asks to check the address, 5xx to come again."""
    served["/a.md"] = answer(b"no", status)
    found = rejection(served["address"] + "/a.md")
    assert found.code == "http_status"
    assert str(status) in found.reason
    assert advice in found.reason


def test_a_page_over_the_limit_is_not_read_to_its_end(served: Served) -> None:
    """An announced size over the limit is enough; an unannounced one, or a packed one, stops the reading."""
    served["/told.md"] = answer(b"x" * 20_000)
    assert "20,000" in rejection(served["address"] + "/told.md").reason

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(100_000):
            request.wfile.write(b"x" * 1000)

    served["/endless.md"] = endless
    assert rejection(served["address"] + "/endless.md").code == "too_large"
    served["/packed.md"] = answer(gzip.compress(b"x" * 1_000_000), content_encoding="gzip")
    assert rejection(served["address"] + "/packed.md").code == "too_large"


def test_a_server_that_dribbles_is_left_at_the_deadline(served: Served) -> None:
    """The time limit is for the whole page, not for each of its bytes."""

    def dribble(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.05)

    served["/slow.md"] = dribble
    began = time.monotonic()
    assert rejection(served["address"] + "/slow.md", timeout_seconds=0.3).code == "unreachable"
    assert time.monotonic() - began < 3


def test_a_server_that_says_nothing_is_unreachable(served: Served) -> None:
    """No answer within the time limit is a rejection that advises to try again."""
    served["/mute.md"] = lambda request: time.sleep(1.5)
    found = rejection(served["address"] + "/mute.md", timeout_seconds=0.2)
    assert (found.code, "0.2 seconds" in found.reason) == ("unreachable", True)


def test_where_nobody_listens_is_unreachable() -> None:
    """A closed port and a host without a name are rejections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert rejection(f"http://127.0.0.1:{port}/a.md").code == "unreachable"
    assert rejection("http://no-such-host.invalid/a.md").code in ("unreachable", "http_status")


@pytest.mark.parametrize(
    ("media_type", "body", "code"), [("video/mp4", b"x", "unsupported"), ("text/html", b" ", "empty")]
)
def test_what_is_no_document_is_rejected(served: Served, media_type: str, body: bytes, code: str) -> None:
    """Films and blank pages are left out."""
    served["/a"] = answer(body, content_type=media_type)
    assert rejection(served["address"] + "/a").code == code


def test_the_servers_charset_is_believed(served: Served) -> None:
    """The charset in the header decodes a page that isn't UTF-8; an unknown one is ignored."""
    served["/a.txt"] = answer("Καλημέρα".encode("iso-8859-7"), content_type="text/plain; charset=iso-8859-7")
    (raw,) = fetch(served["address"] + "/a.txt")
    assert isinstance(raw, RawDocument)
    assert (raw.content, raw.attributes["encoding"]) == ("Καλημέρα", "iso8859-7")
    served["/a.txt"] = answer("naïve café".encode("cp1252"), content_type="text/plain; charset=martian")
    (raw,) = fetch(served["address"] + "/a.txt")
    assert isinstance(raw, RawDocument)
    assert raw.content == "naïve café"


def test_records_come_over_the_web_too(served: Served) -> None:
    """JSON, JSONL and CSV from a server are records like those in a file."""
    served["/a"] = answer(b'{"text": "a"}\n{"text": \n', content_type="application/x-ndjson")
    first, second = fetch(served["address"] + "/a")
    assert isinstance(first, RawDocument)
    assert first.source == served["address"] + "/a#1"
    assert isinstance(second, Rejected)
    served["/b"] = answer(b"text\nx\n", content_type="text/csv")
    assert isinstance(fetch(served["address"] + "/b")[0], RawDocument)


def test_a_password_opens_the_page_and_is_not_kept(served: Served) -> None:
    """The server gets user and password; source, origin and attributes don't show them."""
    seen: list[str | None] = []

    def remember(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers.get("authorization"))
        answer(b"# A")(request)

    served["/a.md"] = remember
    (raw,) = fetch(served["address"].replace("://", "://me:secret@") + "/a.md")
    assert seen == ["Basic bWU6c2VjcmV0"]
    assert "secret" not in repr(raw)


def test_a_token_opens_the_page_and_is_not_kept(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the document nor in the log, in which httpx tells every address; the same where a redirect leads."""
    caplog.set_level("DEBUG", logger="httpx")
    monkeypatch.setattr(logging.getLogger("httpx"), "disabled", False)  # as whatever configures logging may leave it
    served["/a.md?token=s3cr3t"] = answer(b"", status=302, location="/b.md?X-Amz-Signature=s3cr3t&page=1")
    served["/b.md?X-Amz-Signature=s3cr3t&page=1"] = answer(b"# A")
    (raw,) = fetch(served["address"] + "/a.md?token=s3cr3t")
    assert isinstance(raw, RawDocument)
    assert raw.source == served["address"] + "/a.md?token=…"
    assert raw.attributes["url"] == served["address"] + "/b.md?X-Amz-Signature=…&page=1"
    told = "\n".join(record.getMessage() for record in caplog.records if record.name == "httpx")
    assert "/a.md?token=…" in told
    assert "s3cr3t" not in f"{told}{raw!r}"
