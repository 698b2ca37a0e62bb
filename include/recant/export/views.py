"""Views over the tables of a Parquet export, as DuckDB takes them; written beside the files as `views.sql`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from recant.export.manifest import WrittenFile, WrittenTable
from recant.store import load

VIEWS_FILE = "views.sql"
_SQL = load(__package__, "views.sql")
_PARTS = re.compile(r"-- needs: ([a-z_]+)\n-- (.+?)\n(SELECT .+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class View:
    """A question asked of an export, by name."""

    name: str
    table: str
    meaning: str
    select: str

    def fits(self, tables: Collection[str]) -> bool:
        """Whether an export with these tables can answer it."""
        return self.table in tables


def _view(name: str, text: str) -> View:
    found = _PARTS.fullmatch(text)
    assert found is not None, f"{name} says what it needs"
    return View(name, found[1], found[2], found[3])


VIEWS: Mapping[str, View] = {name: _view(name, text) for name, text in _SQL.items()}


def write_views(folder: Path, tables: list[WrittenTable]) -> WrittenFile:
    """`duckdb -init views.sql` in the folder has every table and view by name."""
    present = {table.name for table in tables}
    lines = ["-- DuckDB: run in the folder of the export, `duckdb -init views.sql`.", "SET TimeZone = 'UTC';"]
    for table in tables:
        names = ", ".join(f"'{file.path}'" for file in table.files)
        lines.append(f"CREATE OR REPLACE VIEW {table.name} AS FROM read_parquet([{names}]);")
    fitting = [view for view in VIEWS.values() if view.fits(present)]
    lines += [f"\n-- {v.meaning}\nCREATE OR REPLACE VIEW {v.name} AS\n{v.select};" for v in fitting]
    data = ("\n".join(lines) + "\n").encode()
    (folder / VIEWS_FILE).write_bytes(data)
    return WrittenFile(VIEWS_FILE, None, len(data), hashlib.sha256(data).hexdigest())
