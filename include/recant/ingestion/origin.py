"""The normal form of a spec, which is what a document is found under, and how it is shown. Opens and lists nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable

from recant.ingestion.document import LeftOut
from recant.ingestion.folders import is_glob
from recant.ingestion.readers.addresses import normalise_url, redacted, without_credentials
from recant.ingestion.readers.distributions import PREFIX, canonical_name


def origin_of(spec: str) -> str | None:
    """The origin that listing the spec would name; None for a spec that can't be understood."""
    if not spec.strip() or "\0" in spec or as_given(spec) != redacted(spec.strip()):
        return None
    if spec.startswith(PREFIX):
        name = spec.removeprefix(PREFIX).strip()
        return PREFIX + (name if is_glob(name) else canonical_name(name))
    if "://" in spec:
        try:
            return without_credentials(normalise_url(spec.strip()))
        except LeftOut:
            return None
    return os.path.abspath(os.path.expanduser(spec))


def origins_of(specs: Iterable[str]) -> list[str]:
    """Their origins, each once, in order."""
    return list(dict.fromkeys(origin for spec in specs if (origin := origin_of(spec))))


def as_given(spec: str) -> str:
    """The spec as it may be stored and shown: without credentials, and with bytes that are no text escaped."""
    return redacted(spec.strip()).encode(errors="backslashreplace").decode().replace("\0", "\\0")


def named_source(spec: str) -> str:
    """The source of the document that a person means: an address, a path that is there, and one that is written as a path
    (./…, ../…, ~/…), in its normal form; anything else as it is, as a record may have any name."""
    if "://" in spec or spec.startswith(("./", "../", "~/")) or os.path.lexists(os.path.expanduser(spec)):
        return origin_of(spec) or spec
    return spec
