"""Exports: what is seen at a position, as CSV or Parquet files with a manifest, replaced in one step and kept in the log.

Keeps out archives, which can be restored from, and the analytics over an export.
"""

from recant.export.exports import ExportReport, Exports, Refreshed
from recant.export.manifest import MANIFEST, Verification, listed_files, read_manifest, verify_manifest
from recant.export.request import COMPRESSIONS, FORMATS, ExportRequest
from recant.export.tables import DEFAULT_TABLES, TABLES, Column, Table, unprotected
from recant.export.views import VIEWS, View

__all__ = [
    "COMPRESSIONS",
    "DEFAULT_TABLES",
    "FORMATS",
    "MANIFEST",
    "TABLES",
    "VIEWS",
    "Column",
    "ExportReport",
    "ExportRequest",
    "Exports",
    "Refreshed",
    "Table",
    "Verification",
    "View",
    "listed_files",
    "read_manifest",
    "unprotected",
    "verify_manifest",
]
