"""Web addresses, normalised, and fit to be stored and shown: without passwords, tokens and signatures. Asks no server."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus, urlsplit, urlunsplit

from recant.ingestion.document import LeftOut

WITHHELD = "…"
"""Stands where a credential was."""
_LOGIN = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")
_LOGIN_PERHAPS = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://).*@", re.DOTALL)
_PAIR = re.compile(r"([?&;#])([^=&;#?]*)=([^&#]*)")
_NAME = re.compile(r"(?:^|[?&;#])([^=&;#?]*)=")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_CREDENTIALS = frozenset(
    (
        *("token", "accesstoken", "idtoken", "refreshtoken", "authtoken", "sastoken", "bearer", "jwt"),
        *("key", "apikey", "accesskey", "secretkey", "sig", "signature", "sas", "secret", "clientsecret"),
        *("password", "passwd", "passphrase", "pass", "pwd", "pw", "auth", "authorization"),
        *("credential", "credentials", "sessionid", "jsessionid", "phpsessid", "sid"),
    )
)
_DECODED_AT_MOST = 5
_SIGNERS = ("x-amz-", "x-goog-", "x-ms-", "x-oss-", "awsaccesskeyid", "googleaccessid")
"""What begins so belongs to a signed address, and is as short-lived as its signature."""


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


def without_credentials(url: str) -> str:
    """The address without user and password, and with `…` for the values of its query that look like credentials."""
    parts = urlsplit(url)
    return withheld(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))


def redacted(spec: str) -> str:
    """A spec as it was given, but without credentials where it is an address: fit to be stored and shown.

    Of what can't be understood as an address, all before its last `@` goes: a password may hold anything.
    """
    if "://" not in spec:
        return spec
    try:
        normalise_url(spec)
    except LeftOut:
        return withheld(_LOGIN_PERHAPS.sub(r"\1", spec))
    return withheld(_LOGIN.sub(r"\1", spec))


def has_credentials(spec: str) -> bool:
    """Whether a spec is an address with a login, or with what looks like a credential in its query."""
    return redacted(spec) != spec


def withheld(url: str) -> str:
    """`…` for the value of every parameter that is named like a credential, in the query, the path or the fragment.

    So for one whose value holds such a parameter in turn, encoded or not, as links that lead on do.
    """
    return _PAIR.sub(lambda pair: _shown(*pair.groups()), url)


def _shown(before: str, name: str, value: str) -> str:
    secret = value and (_is_credential(name) or _holds_credential(value))
    return f"{before}{name}={WITHHELD if secret else value}"


def _holds_credential(value: str) -> bool:
    """Whether a value holds a parameter that is named like a credential; one wrapped too often is taken for one."""
    for _ in range(_DECODED_AT_MOST):
        if any(map(_is_credential, _NAME.findall(value))):
            return True
        decoded = unquote_plus(value)
        if decoded == value:
            return False
        value = decoded
    return True


def _is_credential(name: str) -> bool:
    plain = unquote_plus(name).strip()
    if plain.lower().startswith(_SIGNERS):
        return True
    words = [word.lower() for word in _WORD.findall(plain)]
    return any(word in _CREDENTIALS for word in words) or "".join(words) in _CREDENTIALS
