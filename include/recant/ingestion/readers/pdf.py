"""PDF by page, with pypdf: the text layer only. A scan has none, and is rejected."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from dataclasses import replace

from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError, WrongPasswordError

from recant.ingestion.document import Attributes, Block, LeftOut, Reading
from recant.ingestion.readers.attributes import Repairs, document_attributes
from recant.ingestion.readers.text import paragraphs

_HYPHENATED = re.compile(r"(?<=[a-zà-ÿ])-\n(?=[a-zà-ÿ])")


def read_pdf(data: bytes) -> Reading:
    """Paragraphs with their `page` (1-based). Raises LeftOut `broken_pdf`, `encrypted` or `empty`."""
    # A damaged file makes pypdf log a line for each thing that it mends; the caller learns what can't be mended.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise _encrypted()
        reading = Reading(tuple(_blocks(reader)), *_about(reader))
    except (FileNotDecryptedError, WrongPasswordError) as error:
        raise _encrypted() from error
    except LeftOut:
        raise
    except Exception as error:  # on damaged input pypdf raises whatever its parsing stumbles over
        reason = f"it is damaged, or no PDF ({error or type(error).__name__}): write it anew"
        raise LeftOut("broken_pdf", reason) from error
    if not reading.blocks:
        raise LeftOut("empty", "there is no text in it, only pictures: run text recognition on it first")
    return reading


def _encrypted() -> LeftOut:
    return LeftOut("encrypted", "it needs a password: save it without one")


def _blocks(reader: PdfReader) -> Iterator[Block]:
    for number, page in enumerate(reader.pages, start=1):
        text = _HYPHENATED.sub("", page.extract_text())
        yield from (replace(block, attributes={"page": number}) for block in paragraphs(text))


def _about(reader: PdfReader) -> tuple[str | None, Attributes]:
    told = reader.metadata
    if told is None:
        return None, {}
    fields: dict[str, object] = {
        "author": told.author,
        "summary": told.subject,
        "topics": told.get("/Keywords"),
        "created_at": _when(told.get("/CreationDate")),
        "updated_at": _when(told.get("/ModDate")),
    }
    title = Repairs().text(str(told.title)).strip() if told.title else ""
    return title or None, document_attributes(fields, Repairs())


def _when(stamp: object) -> str | None:
    """`D:20260131120000+01'00'` as ISO 8601; None when it isn't of that form."""
    form = r"D:(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d))?(?:([+-]\d\d)'?(\d\d)'?|Z.*)?"
    found = re.fullmatch(form, str(stamp))
    if not found:
        return None
    year, month, day, hour, minute, second, zone_hours, zone_minutes = found.groups()
    time = f"T{hour}:{minute}:{second}" if hour else ""
    zone = f"{zone_hours}:{zone_minutes}" if time and zone_hours else "+00:00" if time and "Z" in str(stamp) else ""
    return f"{year}-{month}-{day}{time}{zone}"
