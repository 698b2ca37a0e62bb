"""Data Docs: an audit's result as a page that Great Expectations' own site builder makes.

The builder's pages load styles, scripts, fonts and logos from half a dozen hosts; here they are told their own, so that they
look the same without a network, and nobody learns that somebody looks. No page holds a value of a row: what fails is named
by chunk and source.
"""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from filelock import FileLock

from recant.quality.audit import AuditReport
from recant.quality.gate import FailingRow, Gate, great_expectations, is_about_all
from recant.quality.suite import Expectation, Suite

FOLDER = "data-docs"
SITE = "site"
KEPT = 30
"""Pages of a collection, by default."""
SHOWN_ROWS = 20
LOCK_SECONDS = 600
_REMOTE = re.compile(
    r'<link\b[^>]*href="https?://[^>]*>|<script\b[^>]*src="https?://[^>]*>\s*</script>|<img\b[^>]*src="https?://[^>]*>',
    re.DOTALL,
)
_REMOTE_STYLE = re.compile(r"url\(\s*['\"]?https?://[^)]*\)")
_ADVERTISEMENTS = re.compile(r"<footer\b.*?</footer>", re.DOTALL)
_MARK = "<!-- recant -->"


class DataDocs:
    """The site under a folder. Safe to use from several processes: they wait for each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def site(self) -> Path:
        """Where the pages are."""
        return self.folder / SITE

    @property
    def index(self) -> Path:
        """The page that lists them."""
        return self.site / "index.html"

    def page(self, collection: str, audit_id: int, started_at: datetime) -> str:
        """An audit's page, as a path below `site`."""
        return f"validations/{collection}/audit-{audit_id}/{_moment(started_at)}/{collection}.html"

    def has(self, page: str) -> bool:
        """Whether the page is there, and neither left out nor retired yet."""
        return (self.site / page).is_file()

    def build(self, report: AuditReport, suite: Suite, *, keep: int = KEPT) -> str:
        """Makes the page of an audit that is in the history, renews the index, and retires the collection's pages past `keep`."""
        assert report.audit_id is not None, "only what is in the history has a page"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock", timeout=LOCK_SECONDS):
            context = self._context()
            identifier = _store(context, report, suite)
            self._retire(context, report.collection, keep)
            context.build_data_docs(
                resource_identifiers=[identifier, identifier.expectation_suite_identifier], build_index=True
            )
            for page in self._rendered(report.collection):
                _make_self_contained(page)
        return self.page(report.collection, report.audit_id, report.started_at)

    def _context(self) -> Any:
        context = great_expectations().get_context(mode="file", project_root_dir=str(self.folder))
        context.variables.progress_bars = {"globally": False}
        if "recant" not in context.get_site_names():
            backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(self.site.absolute())}
            settings = {"class_name": "SiteBuilder", "show_how_to_buttons": False, "store_backend": backend}
            index = {"site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}}
            context.add_data_docs_site("recant", {**settings, **index})
            context.delete_data_docs_site("local_site")
        return context

    def _retire(self, context: Any, collection: str, keep: int) -> None:
        store = context.validation_results_store
        known = [key for key in store.list_keys() if key.expectation_suite_identifier.name == collection]
        for key in sorted(known, key=lambda key: key.run_id.run_time, reverse=True)[keep:]:
            store.remove_key(key)
            shutil.rmtree(self.site / "validations" / collection / key.run_id.run_name, ignore_errors=True)

    def _rendered(self, collection: str) -> Iterator[Path]:
        yield self.index
        yield from (self.site / "validations" / collection).rglob("*.html")
        yield from (self.site / "expectations").glob("*.html")


def _store(context: Any, report: AuditReport, suite: Suite) -> Any:
    """The suite under the collection's name, and what it said; gives the result's identifier."""
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types import resource_identifiers as identifiers

    gx = great_expectations()
    described = replace(suite, expectations=tuple(_described(e) for e in suite.expectations))
    built = Gate(described).built
    context.suites.add_or_update(gx.ExpectationSuite(name=report.collection, expectations=list(built.values())))
    results = [_result(report, e, built[e.name]) for e in suite.expectations if _outcome(report, e) is not None]
    run = RunIdentifier(run_name=f"audit-{report.audit_id}", run_time=report.started_at)
    told = ExpectationSuiteValidationResult(
        success=report.success, results=results, suite_name=report.collection, suite_parameters={},
        statistics=_statistics([bool(result.success) for result in results]),
        meta={
            "great_expectations_version": gx.__version__, "expectation_suite_name": report.collection, "run_id": run,
            "batch_spec": {"collection": report.collection, "position": report.position},
            "active_batch_definition": {"datasource_name": "recant", "data_asset_name": report.collection},
        },
    )  # fmt: skip
    named = identifiers.ExpectationSuiteIdentifier(report.collection)
    identifier = identifiers.ValidationResultIdentifier(named, run, report.collection)
    context.validation_results_store.set(identifier, told)
    return identifier


def _described(expectation: Expectation) -> Expectation:
    """With its name and severity in words, and its column said outright: pages are ordered by columns."""
    words = f"{expectation.severity.upper()} · {expectation.name}: {expectation.description or expectation.kind}"
    arguments = dict(expectation.arguments)
    if len(expectation.columns) == 1:
        arguments.setdefault("column", expectation.columns[0])
    return replace(expectation, description=_harmless(words), arguments=arguments)


def _result(report: AuditReport, expectation: Expectation, built: Any) -> Any:
    from great_expectations.core import ExpectationValidationResult

    outcome = _outcome(report, expectation)
    assert outcome is not None, "asked for before"
    told: dict[str, Any] = {}
    if is_about_all(expectation):
        value = report.summary.get(expectation.columns[0])
        told = {"observed_value": "can't be told" if value is None else value}
    else:
        told = _counts(report.rows, int(outcome["checked"]), int(outcome["unexpected"]))
        told["partial_unexpected_list"] = [
            _place(row) for row in report.failing_rows.get(expectation.name, [])[:SHOWN_ROWS]
        ]
    return ExpectationValidationResult(
        success=bool(outcome["success"]), expectation_config=built.configuration, result=told, meta={}
    )


def _counts(rows: int, checked: int, unexpected: int) -> dict[str, Any]:
    missing = max(rows - checked, 0)
    share = 100 * unexpected / checked if checked else 0.0
    return {
        "element_count": rows, "missing_count": missing, "missing_percent": 100 * missing / rows if rows else 0.0,
        "unexpected_count": unexpected, "unexpected_percent": share, "unexpected_percent_nonmissing": share,
        "unexpected_percent_total": 100 * unexpected / rows if rows else 0.0,
    }  # fmt: skip


def _place(row: FailingRow) -> str:
    chunk = "no chunk" if row.chunk_id is None else f"chunk {row.chunk_id} (number {row.chunk_index})"
    return _harmless(f"{chunk} of {row.source}")


def _harmless(text: str) -> str:
    """The builder's templates print texts as they are."""
    return html.escape(text).replace("$", "&#36;")


def _outcome(report: AuditReport, expectation: Expectation) -> Any:
    return next((one for one in report.expectations if one["name"] == expectation.name), None)


def _statistics(successes: list[bool]) -> dict[str, Any]:
    held = sum(successes)
    return {
        "evaluated_expectations": len(successes), "successful_expectations": held,
        "unsuccessful_expectations": len(successes) - held,
        "success_percent": 100 * held / len(successes) if successes else None,
    }  # fmt: skip


def _moment(started_at: datetime) -> str:
    return started_at.strftime("%Y%m%dT%H%M%S.%fZ")


def _make_self_contained(page: Path) -> None:
    told = page.read_text("utf-8")
    if _MARK in told:
        return
    told = _REMOTE_STYLE.sub("none", _ADVERTISEMENTS.sub("", _REMOTE.sub("", told)))
    own = f"{_MARK}<style>{_asset('data_docs.css')}</style><script>{_asset('data_docs.js')}</script>"
    written = page.with_suffix(".new")
    written.write_text(told.replace("</head>", f"{own}</head>", 1), "utf-8")
    written.replace(page)


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
