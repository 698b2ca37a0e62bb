"""Quality scores: recalculating those of a million chunks, feedback until it is found, and what they cost a search.

Documents of ten chunks, generated on the server, as if published 400 days ago, under a half-life of a year. Recalculated
when nothing has a score, when nothing changes, as of a day on which every score is another, and taken back. Then 25,000
chunks with an index, a thousand of them with feedback, searched in turns with quality and without, and as of the position.
Feedback is measured from the call to a search of which the answer shows it.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from recant.feedback import VERDICTS, submit_feedback
from recant.oplog import Attribution, Selector
from recant.rollback import Rollback
from recant.scores import Policy, Scores
from recant.search import Searcher
from recant.settings import Settings, read_settings
from recant.store import Connection, Database
from tests.benchmarks.bench_scale import _published
from tests.benchmarks.measure import Measure, at_most, median, milliseconds, percentile_95, stopwatch
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import COLLECTION, Clusters, Writer, drafts

BENCH = Attribution("bench")


def run(
    chunks: int = 1_000_000, documents: int = 2_500, spoken: int = 1_000, queries: int = 200, seed: int = 7
) -> list[Measure]:
    """Measures with `chunks` chunks to recalculate, and searches in `documents` documents, `spoken` chunks with feedback."""
    settings = read_settings({"RECANT_COLLECTION": COLLECTION})
    with measured_server() as (database, dsn), Database(dsn, role="postgres").connection() as superuser:
        measures = recalculating(database, superuser, settings, chunks)
    with measured_server() as (database, _):
        return measures + searching(
            database, settings, Clusters(seed, max(10, documents // 20)), documents, spoken, queries
        )


def recalculating(database: Database, superuser: Connection, settings: Settings, chunks: int) -> list[Measure]:
    """A whole collection, and feedback beside it."""
    writer, scores = Writer(database), Scores(database, settings)
    _published(writer, superuser, chunks)
    superuser.execute("UPDATE recant.operation SET closed_at = closed_at - interval '400 days'")
    superuser.execute("VACUUM ANALYZE")
    scores.set_policy(Policy("", 365, floor=20), BENCH)
    with stopwatch() as first_all:
        first = scores.recalculate(BENCH)
    if first.changed != chunks:
        raise AssertionError(f"all {chunks} scores were to be written, not {first.changed}")
    still = scores.recalculate(BENCH)
    waits, done = _feedback_beside(database, settings, scores)
    with stopwatch() as taken_back:
        plan = Rollback(database, settings).plan(Selector(operations=(done,)), agent="bench")
        Rollback(database, settings).apply(plan, BENCH)
    with stopwatch() as checking:
        if wrong := scores.check():
            raise AssertionError(f"scores are not what the log says: {wrong}")
    size = f"{chunks:,} chunks"
    return [
        at_most(f"{size} recalculated, every score new", first.seconds, "s", 60),
        Measure(f"{size} recalculated, every score new, and stored in its place", first_all.seconds, "s"),
        at_most(f"{size} recalculated, no score changed", still.seconds, "s", 60),
        Measure("feedback beside a recalculation that changes every score, median", median(waits), "ms"),
        Measure("feedback beside it, longest", max(waits), "ms"),
        Measure(f"recalculation of {size} taken back, every score changed", taken_back.seconds, "s"),
        Measure(f"{size} checked against the log", checking.seconds, "s"),
    ]


def _feedback_beside(database: Database, settings: Settings, scores: Scores) -> tuple[list[float], int]:
    """Milliseconds of each feedback given while the recalculation runs; and its operation."""
    found: list[int] = []
    past = datetime.now(UTC) - timedelta(days=100)
    worker = threading.Thread(target=lambda: found.append(scores.recalculate(BENCH, at=past).operation_id))
    worker.start()
    waits, chunk = [], 0
    while worker.is_alive():
        chunk += 1
        waits.append(milliseconds(submit_feedback, database, settings, chunk, "helpful", BENCH))
        time.sleep(0.05)
    worker.join()
    return waits, found[0]


def searching(
    database: Database, settings: Settings, clusters: Clusters, documents: int, spoken: int, queries: int
) -> list[Measure]:
    """With scores and without."""
    writer = Writer(database)
    writer.publish(drafts(clusters, documents, label="first"))
    writer.build_index()
    step = documents * 10 // spoken
    given = [
        milliseconds(submit_feedback, database, settings, 1 + n * step, VERDICTS[n % 5], Attribution(f"agent {n % 7}"))
        for n in range(spoken)
    ]
    searcher, times = (
        Searcher(database, lambda _: clusters.draw(1)[0]),
        {name: [] for name in ("with", "without", "as of")},
    )
    position = writer.log.position()
    for vector in clusters.draw(queries):
        for name, options in (("with", {}), ("without", {"by_quality": False}), ("as of", {"as_of": position})):
            times[name].append(
                milliseconds(lambda o=options, v=vector: searcher.search(None, vector=v, collection=COLLECTION, **o))
            )
    seen = [_until_found(database, searcher, settings, clusters) for _ in range(50)]
    usual, plain = median(times["with"]), median(times["without"])
    return [
        at_most("feedback until a search shows it, 95th percentile", percentile_95(seen), "ms", 1_000),
        Measure("feedback given and its score stored, median", median(given), "ms"),
        Measure("search without quality, median", plain, "ms"),
        Measure("search with quality, median", usual, "ms"),
        Measure("search: with quality / without", usual / plain, "x"),
        Measure("search as of a position, with the quality of then, median", median(times["as of"]), "ms"),
    ]


def _until_found(database: Database, searcher: Searcher, settings: Settings, clusters: Clusters) -> float:
    """Milliseconds from giving feedback on a hit to a search that shows another quality of it."""
    vector = clusters.draw(1)[0]
    before = searcher.search(None, vector=vector, collection=COLLECTION, limit=50).hits[0]
    with stopwatch() as waiting:
        submit_feedback(database, settings, before.chunk_id, "incorrect", Attribution(f"reader {before.chunk_id}"))
        hits = searcher.search(None, vector=vector, collection=COLLECTION, limit=50).hits
    if [hit.quality for hit in hits if hit.chunk_id == before.chunk_id] == [before.quality]:
        raise AssertionError("the feedback wasn't reflected at once")
    return waiting.seconds * 1000
