"""`make bench`: runs every benchmark, prints a table, writes bench-report.json.

    python -m tests.benchmarks [--only NAME ...] [--quick] [--output FILE] [--docs]

Ends with 1 when a target was missed. `--quick` takes small sizes; their numbers are no evidence. `--docs` puts the
results into docs/reference/benchmarks.md, in place of those of the same benchmarks that stand there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from tests.benchmarks.measure import Measure
from tests.benchmarks.report import table, write_results

DOCUMENT = Path("docs/reference/benchmarks.md")
BENCHMARKS = (
    "rollback",
    "search",
    "vectors",
    "quantisation",
    "writing",
    "memory",
    "cold_search",
    "embedding",
    "scale",
    "peers",
    "archive",
    "filters",
    "cache",
    "quality",
    "export",
    "lineage",
    "lineage_graph",
    "keyword",
    "relevance",
    "audit",
)
QUICK: dict[str, dict[str, Any]] = {
    "rollback": {"sizes": (100, 1_000, 5_000), "rounds": 10, "rows": 500},
    "search": {"documents": 2_500, "queries": 100},
    "vectors": {"sizes": (2_000,), "queries": 60, "with_peers": False},
    "quantisation": {"rows": 2_000, "queries": 30},
    "writing": {"chunks": 20_000, "documents": 20},
    "memory": {"documents": 50},
    "cold_search": {"rounds": 2},
    "scale": {"chunks": 20_000, "operations": 20_000, "careless": 3_100, "records": 2_000},
    "lineage_graph": {"operations": 20_000, "jobs": 60},
    "archive": {"chunks": 4_000, "rounds": 1},
    "lineage": {"writes": 10, "events": 60, "marquez_events": 40},
    "peers": {"rows": 1_000, "queries": 20},
    "filters": {"documents": 3_000, "queries": 20},
    "cache": {"documents": 10, "draws": 400, "chunks": 2_000},
    "quality": {"chunks": 20_000, "documents": 500, "spoken": 100, "queries": 20},
    "export": {"chunks": 5_000},
    "keyword": {"chunks": 5_000, "queries": 50},
    "audit": {"chunks": 4_000},
    "relevance": {"functions": 60, "sections": 40, "translations": 30, "queries": 10},
}


def main(arguments: list[str]) -> int:
    """Runs what is asked for; 1 when a target was missed or a benchmark failed."""
    options = _parsed(arguments)
    logging.getLogger("recant").setLevel(logging.ERROR)
    console = Console()
    report: dict[str, Any] = {"at": datetime.now(UTC).isoformat(), "machine": _machine(), "benchmarks": {}}
    for name in options.only:
        console.print(f"[bold]{name}[/bold] …")
        report["benchmarks"][name] = _run(name, _sizes(name, options))
        console.print(table(name, report["benchmarks"][name]))
        options.output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    console.print(f"Written to {options.output}")
    if options.docs:
        write_results(DOCUMENT, report)
    return 0 if all(_held(outcome) for outcome in report["benchmarks"].values()) else 1


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure Recant.")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that the benchmarks run")
    parser.add_argument(
        "--million", action="store_true", help="vectors up to a million; a quarter of an hour and 16 GB"
    )
    parser.add_argument("--output", type=Path, default=Path("bench-report.json"))
    parser.add_argument("--docs", action="store_true", help=f"put the results into {DOCUMENT}")
    return parser.parse_args(arguments)


def _sizes(name: str, options: argparse.Namespace) -> dict[str, Any]:
    if options.million and name == "vectors":
        return {"sizes": (10_000, 100_000, 1_000_000), "queries": 200}
    return QUICK.get(name, {}) if options.quick else {}


def _run(name: str, sizes: dict[str, Any]) -> dict[str, Any]:
    module = importlib.import_module(f"tests.benchmarks.bench_{name}")
    started = time.perf_counter()
    measures: list[Measure] = module.run(**sizes)
    lines = [measure.to_dict() for measure in measures]
    return {"seconds": round(time.perf_counter() - started, 1), "load": os.getloadavg()[0], "measures": lines}


def _held(outcome: dict[str, Any]) -> bool:
    return all(line["met"] is not False for line in outcome["measures"])


def _machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in cpuinfo.read_text("utf-8").splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
