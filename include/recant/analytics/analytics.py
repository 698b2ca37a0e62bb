"""An export opened in DuckDB, in memory: its tables and views, and nothing else of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recant.analytics.reports import REPORTS, Answer, ReportAnswer
from recant.errors import ConfigurationError, UsageError
from recant.export import VIEWS, read_manifest

MOST_ROWS = 100_000


class Analytics:
    """Answers about one Parquet export. Close it, or use it as a context manager. Not to be shared between threads."""

    def __init__(self, export: Path | str) -> None:
        """`export`: a folder, or its manifest.json. Raises UsageError where there is no Parquet export."""
        place = Path(export).expanduser().absolute()
        self._manifest = read_manifest(place)
        self.folder = place if place.is_dir() else place.parent
        if self._manifest["format"] != "parquet":
            raise UsageError(
                f"{self.folder} is an export as {self._manifest['format']}: make one with --format parquet."
            )
        self.tables = {t["name"]: tuple(c["name"] for c in t["columns"]) for t in self._manifest["tables"]}
        self.views = tuple(view.name for view in VIEWS.values() if view.fits(self.tables))
        self._connection = self._opened()

    def __enter__(self) -> Analytics:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the files."""
        self._connection.close()

    @property
    def position(self) -> int:
        """What the export holds was seen here."""
        return int(self._manifest["position"])

    @property
    def reports(self) -> list[str]:
        """Names of the reports that this export has the tables for."""
        return [report.name for report in REPORTS.values() if report.view in self.views]

    def report(self, name: str) -> ReportAnswer:
        """One of the ready reports. Raises UsageError where there is none of that name, or its table isn't in the export."""
        if name not in REPORTS:
            raise UsageError(f"There is no report {name!r}; there are {', '.join(REPORTS)}.")
        report = REPORTS[name]
        if report.view not in self.views:
            raise UsageError(f"The report {name!r} needs {VIEWS[report.view].table}, which {self.folder} doesn't have.")
        answer = self.query(f'SELECT * FROM "{report.view}"', limit=MOST_ROWS)  # noqa: S608 - a name of ours
        return ReportAnswer(report, VIEWS[report.view].meaning, answer, self.position, str(self.folder))

    def query(self, sql: str, *, limit: int = 1_000) -> Answer:
        """At most `limit` rows of one SELECT, over tables and views by name. Raises UsageError for anything else."""
        with self._asked(sql):
            result = self._connection.execute(sql)
            columns = tuple(str(column[0]) for column in result.description)
            rows = result.fetchmany(limit + 1)
        return Answer(columns, tuple(tuple(row) for row in rows[:limit]), len(rows) > limit)

    @contextmanager
    def _asked(self, sql: str) -> Iterator[None]:
        import duckdb

        try:
            statements = duckdb.extract_statements(sql)
            readable = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
            if len(statements) != 1 or statements[0].type not in readable:
                raise UsageError("Ask with one SELECT: an export is only read.")
            yield
        except duckdb.Error as error:
            raise UsageError(f"DuckDB: {error}") from error

    def _opened(self) -> Any:
        try:
            import duckdb
            from pyarrow import dataset
        except ImportError as error:
            raise ConfigurationError("Analytics need DuckDB and pyarrow: install recant[analytics].") from error
        connection = duckdb.connect(":memory:", config={"python_enable_replacements": False})
        connection.execute("SET TimeZone = 'UTC'")
        for table in self._manifest["tables"]:
            files = [str(self.folder / file["path"]) for file in table["files"]]
            connection.register(table["name"], dataset.dataset(files, format="parquet"))
        for name in self.views:
            connection.execute(f'CREATE TEMP VIEW "{name}" AS {VIEWS[name].select}')
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection
