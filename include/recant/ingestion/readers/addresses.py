"""Web addresses, normalised and without passwords. Asks no server."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from recant.ingestion.document import LeftOut

_LOGIN = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")
_LOGIN_PERHAPS = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://).*@", re.DOTALL)


def normalise_url(url: str) -> str:
    """Scheme and host in lower case, without the fragment. Raises LeftOut `unsupported` for what can't be fetched."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise LeftOut("unsupported", "it is not an address: check its spelling (a / in a password is %2F)") from error
    if parts.scheme not in ("http", "https"):
        raise LeftOut("unsupported", f"{parts.scheme}:// can't be read: give an http or https address, or a path")
    if not host:
        raise LeftOut("unsupported", "it names no host: write https://HOST/PATH")
    user, at, place = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, user + at + place.lower(), parts.path or "/", parts.query, ""))


def without_password(url: str) -> str:
    """The address without user and password, fit to be stored and shown."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def redacted(spec: str) -> str:
    """A spec as it was given, but without user and password where it is an address: fit to be stored and shown.

    Of what can't be understood as an address, all before its last `@` goes: a password may hold anything.
    """
    try:
        normalise_url(spec)
    except LeftOut:
        return _LOGIN_PERHAPS.sub(r"\1", spec)
    return _LOGIN.sub(r"\1", spec)
