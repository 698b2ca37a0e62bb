"""Questions asked of a Parquet export with DuckDB: views, ready reports as tables, plots and pages, and one's own SQL.

Reads files that are there already: nothing here asks the knowledge base's database, and no question can write or read any
other file.
"""

from recant.analytics.analytics import Analytics
from recant.analytics.pages import page
from recant.analytics.plots import plot
from recant.analytics.reports import REPORTS, Answer, Report, ReportAnswer

__all__ = ["REPORTS", "Analytics", "Answer", "Report", "ReportAnswer", "page", "plot"]
