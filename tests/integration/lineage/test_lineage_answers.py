"""What was built on what, and who reads and writes which dataset: answered from the log."""

from __future__ import annotations

import pytest

from recant.errors import UnknownOperation, UsageError
from recant.lineage import Start
from recant.lineage.graph import LineageGraph
from recant.lineage.pictures import picture_of
from recant.oplog import Attribution, Selector
from tests.integration.library import Library
from tests.integration.lineage.lineage_histories import begin, export, lineage_of, of_dag, publish

BY = Attribution("somebody")


def hops(graph: LineageGraph) -> dict[int, int]:
    """Operations and how far each is."""
    return {node.operation_id: node.distance for node in graph.operations}


def ends(graph: LineageGraph) -> set[tuple[str, str, str]]:
    """The edges without their counts."""
    return {(edge.source, edge.target, edge.relation) for edge in graph.edges}


@pytest.fixture
def chain(library: Library) -> list[int]:
    """Four operations, each built on the one before; two more on the first, by another class."""
    found = [publish(library, {"d0": "one"}, reads=["/srv/docs"])]
    for n in range(1, 4):
        found += [publish(library, {f"d{n}": f"from {n - 1}"}, {f"d{n - 1}": "derived"}, reads=[library.name])]
    found += [publish(library, {}, {"d0": "affirmed"}, reads=["/srv/docs"]) for _ in range(2)]
    return found


def test_downstream_is_what_was_built_on_it_hop_by_hop(library: Library, chain: list[int]):
    """Nearest first, with the class of each dependency; depth limits the hops."""
    lineage = lineage_of(library)
    first, second, third, fourth, *affirmed = chain
    found = lineage.downstream(Start(operation=first))
    assert hops(found) == {first: 0, second: 1, affirmed[0]: 1, affirmed[1]: 1, third: 2, fourth: 3}
    assert [node.operation_id for node in found.operations] == [first, second, *affirmed, third, fourth]
    assert (f"operation:{first}", f"operation:{second}", "derived") in ends(found)
    assert (f"operation:{first}", f"operation:{affirmed[0]}", "affirmed") in ends(found)
    assert hops(lineage.downstream(Start(operation=first), depth=1)) == {
        first: 0,
        second: 1,
        affirmed[0]: 1,
        affirmed[1]: 1,
    }
    assert not found.truncated


def test_upstream_is_what_it_was_built_on(library: Library, chain: list[int]):
    """With negative distances, and the datasets that were read; nothing of what comes after."""
    found = lineage_of(library).upstream(Start(operation=chain[3]))
    assert hops(found) == {chain[3]: 0, chain[2]: -1, chain[1]: -2, chain[0]: -3}
    assert ("dataset:file:/srv/docs", f"operation:{chain[0]}", "read") in ends(found)
    assert {edge.relation for edge in found.edges} == {"derived", "read"}


def test_both_ways_at_once(library: Library, chain: list[int]):
    """What an operation stands between."""
    found = lineage_of(library).trace(Start(position=2))
    assert hops(found) == {chain[1]: 0, chain[0]: -1, chain[2]: 1, chain[3]: 2}
    assert found.start == {"position": 2}
    assert found.start_nodes == [f"operation:{chain[1]}"]


def test_a_limit_keeps_the_nearest_and_says_so(library: Library, chain: list[int]):
    """No answer is longer than asked for."""
    found = lineage_of(library).downstream(Start(operation=chain[0]), limit=3)
    assert found.truncated
    assert len(found.operations) == 3
    assert max(hops(found).values()) == 1


def test_an_answer_as_of_a_position_knows_nothing_later(library: Library, chain: list[int]):
    """Neither operations nor verdicts; what was seen then is shown as seen."""
    lineage = lineage_of(library)
    library.rollback.apply(library.rollback.plan(Selector(operations=(chain[1],)), policy="force", agent="x"), BY)
    assert hops(lineage.downstream(Start(operation=chain[0]), as_of=2)) == {chain[0]: 0, chain[1]: 1}
    states = {n.operation_id: n.state for n in lineage.downstream(Start(operation=chain[0]), as_of=2).operations}
    assert states == {chain[0]: "published", chain[1]: "published"}
    with pytest.raises(UnknownOperation, match="as of position 2"):
        lineage.downstream(Start(operation=chain[3]), as_of=2)
    with pytest.raises(UsageError, match="no position 99"):
        lineage.downstream(Start(operation=chain[0]), as_of=99)


def test_hidden_operations_are_shown_as_such(library: Library, chain: list[int]):
    """Reverted or quarantined, by the last word in effect as of the position; followed all the same."""
    lineage = lineage_of(library)
    hide = library.rollback.plan(Selector(operations=(chain[1],)), policy="force", agent="x")
    rolled_back = library.rollback.apply(hide, BY).position
    library.rollback.quarantine(Selector(operations=(chain[2],)), BY)

    def states(as_of: int | None = None) -> list[str]:
        found = {n.operation_id: n.state for n in lineage.downstream(Start(operation=chain[0]), as_of=as_of).operations}
        return [found[operation] for operation in chain[:4]]

    assert states() == ["published", "reverted", "quarantined", "published"]
    assert states(rolled_back) == ["published", "reverted", "published", "published"]
    assert states(rolled_back - 1) == ["published"] * 4


def test_a_document_is_followed_by_itself(library: Library):
    """What was built on another document of the same operation is not downstream of it."""
    first = publish(library, {"a": "one", "b": "two"})
    on_a = publish(library, {"c": "from a"}, {"a": "derived"})
    on_b = publish(library, {"d": "from b"}, {"b": "derived"})
    kept = publish(library, {"e": "other"}, {"a": "affirmed"})
    on_e = publish(library, {"f": "from e"}, {"e": "derived"})
    found = lineage_of(library).downstream(Start(document="a"))
    assert hops(found) == {first: 0, on_a: 1, kept: 1}
    assert next(n.records for n in found.operations if n.operation_id == kept) == ("a",)
    assert hops(lineage_of(library).downstream(Start(document="b"))) == {first: 0, on_b: 1}
    assert hops(lineage_of(library).upstream(Start(document="f"))) == {on_e: 0, kept: -1}
    with pytest.raises(UsageError, match="no document 'z'"):
        lineage_of(library).trace(Start(document="z"))


def test_a_file_that_one_wrote_and_another_read_ties_them(library: Library):
    """To the one that wrote it last before it was read, whoever wrote it earlier."""
    wrote = publish(library, {}, kind="export", reads=[library.name], writes=["/out/all.csv"], changes_library=False)
    again = publish(library, {}, kind="export", reads=[library.name], writes=["/out/all.csv"], changes_library=False)
    early = begin(library, reads=["/out/all.csv"])
    later = publish(library, {}, kind="export", writes=["/out/all.csv"], changes_library=False)
    library.write(early, {"x": "read"})
    library.log.publish(early)
    lineage = lineage_of(library)
    assert hops(lineage.downstream(Start(operation=again))) == {again: 0, early: 1}
    assert hops(lineage.downstream(Start(operation=wrote))) == {wrote: 0}
    assert hops(lineage.downstream(Start(operation=later))) == {later: 0}
    assert hops(lineage.upstream(Start(operation=early))) == {early: 0, again: -1}
    assert (f"operation:{again}", "dataset:file:/out/all.csv", "wrote") in ends(
        lineage.upstream(Start(operation=early))
    )
    jobs = ends(lineage.jobs(Start(operation=again), direction="down"))
    assert ("dataset:file:/out/all.csv", "job:ingest.library", "read") in jobs


def test_a_dataset_run_by_run(library: Library, chain: list[int]):
    """Downstream those that read it and what was built on these, upstream those that wrote it."""
    lineage = lineage_of(library)
    found = lineage.downstream(Start(dataset="/srv/docs"))
    assert hops(found) == {chain[0]: 1, chain[4]: 1, chain[5]: 1, chain[1]: 2, chain[2]: 3, chain[3]: 4}
    assert found.start_nodes == ["dataset:file:/srv/docs"]
    assert set(hops(lineage.upstream(Start(dataset=library.name), depth=1))) == set(chain)
    assert lineage.downstream(Start(dataset="/srv/docs"), limit=2).truncated


@pytest.mark.parametrize(
    "given",
    [
        "library",
        "recant.recant.library",
        ("postgres://recant", "recant.recant.library"),
        "postgres://recant:recant.recant.library",
    ],
)
def test_a_dataset_goes_by_many_names(library: Library, chain: list[int], given: str | tuple[str, str]):
    """A collection's name, the dataset's own, and with its namespace."""
    found = lineage_of(library).get_dataset_lineage(given, direction="up", depth=1)
    assert found.start == {"dataset": {"namespace": "postgres://recant", "name": "recant.recant.library"}}


def test_a_dataset_that_nobody_touched_is_an_error(library: Library, chain: list[int]):
    """It says where all of them are listed; so is a name that two of them have."""
    with pytest.raises(UsageError, match="recant lineage show"):
        lineage_of(library).get_dataset_lineage("elsewhere")
    with pytest.raises(UsageError, match="in 'file'"):
        lineage_of(library).get_dataset_lineage(("file", "elsewhere"))
    publish(library, {}, reads=["http://one.example/data", "http://two.example/data"])
    with pytest.raises(UsageError, match="Several datasets"):
        lineage_of(library).get_dataset_lineage("/data")


def test_a_dataset_job_by_job_counts_every_run(library: Library, chain: list[int]):
    """Of the jobs that read it: how many runs, how many hidden, how many never published."""
    failed = begin(library, reads=["/srv/docs"])
    library.log.abort(failed, "no", failed=True)
    library.rollback.quarantine(Selector(operations=(chain[4],)), BY)
    found = lineage_of(library).get_dataset_lineage("/srv/docs", direction="down")
    (ingest, quarantine) = found.jobs
    assert (ingest.job, ingest.runs, ingest.hidden, ingest.unpublished) == ("ingest.library", 7, 1, 1)
    assert ingest.last_operation == failed
    assert quarantine.kind == "quarantine"
    counts = {(e.source, e.target): e.count for e in found.edges}
    assert counts["dataset:file:/srv/docs", "job:ingest.library"] == 4
    page = "http://marquez.example:3000/lineage/dataset/postgres%3A%2F%2Frecant/recant.recant.library"
    assert page in [node.marquez_url for node in found.datasets]
    assert ingest.marquez_url == "http://marquez.example:3000/lineage/job/recant/ingest.library"
    earlier = lineage_of(library).get_dataset_lineage("/srv/docs", direction="down", as_of=5)
    assert [(j.runs, j.hidden, j.unpublished) for j in earlier.jobs] == [(5, 0, 0)]


def test_a_dag_with_what_is_up_and_down_from_it(library: Library):
    """Its jobs first; the DAGs whose operations its own were built on, and that built on them."""
    publish(library, {"a": "one"}, by=of_dag("load"), reads=["/srv/docs"])
    publish(library, {"b": "from a"}, {"a": "derived"}, by=of_dag("summarise"), reads=[library.name])
    publish(library, {"c": "from b"}, {"b": "derived"}, by=of_dag("translate"), reads=[library.name])
    publish(library, {"z": "by itself"}, by=of_dag("other"))
    found = lineage_of(library).get_dag_lineage("summarise")
    assert [job.dag_id for job in found.jobs] == ["summarise", "load", "translate"]
    assert found.start_nodes == ["job:summarise.publish.ingest.library"]
    assert ("job:load.publish.ingest.library", "job:summarise.publish.ingest.library", "derived") in ends(found)
    assert ("dataset:file:/srv/docs", "job:load.publish.ingest.library", "read") in ends(found)
    assert [job.dag_id for job in lineage_of(library).get_dag_lineage("summarise", direction="up").jobs] == [
        "summarise",
        "load",
    ]
    with pytest.raises(UnknownOperation, match="dag 'absent'"):
        lineage_of(library).get_dag_lineage("absent")


def test_a_run_goes_by_airflows_and_by_openlineages_ids(library: Library):
    """Of the operation, of its task and of its DAG run; narrowed to a DAG or a task where ids repeat."""
    one = publish(library, {"a": "one"}, by=of_dag("load", "scheduled__1"))
    two = publish(library, {"b": "two"}, by=of_dag("other", "scheduled__1", root_run_id=None, parent_run_id=None))
    lineage, log = lineage_of(library), library.log
    ids = {start: {n.operation_id for n in lineage.trace(start).operations} for start in (
        Start(run="scheduled__1"), Start(run="scheduled__1", dag="other"), Start(run="scheduled__1", task="load.publish"),
        Start(dag="load", task="publish"), Start(run=log.get(one).lineage_run_id),
        Start(run="01900000-0000-7000-8000-000000000001"), Start(run="01900000-0000-7000-8000-000000000002"),
    )}  # fmt: skip
    assert list(ids.values()) == [{one, two}, {two}, {one}, {one}, {one}, {one}, {one}]


def test_a_failed_run_has_readers_and_no_dependents(library: Library):
    """It published nothing; the jobs that read its collection are named, by DAG."""
    publish(library, {"a": "one"}, by=of_dag("load", "r1"), reads=["/srv/docs"])
    publish(library, {"b": "from a"}, {"a": "derived"}, by=of_dag("summarise", "s1"), reads=[library.name])
    failed = begin(library, by=of_dag("load", "r2"), reads=["/srv/docs"])
    library.log.abort(failed, "broken", failed=True)
    found = lineage_of(library).get_failure_blast_radius(run="r2")
    assert (found.own_states, found.operations, found.dags) == ({"aborted": 1}, 0, [])
    assert [job.dag_id for job in found.readers] == ["summarise"]
    assert [(d["name"], d["written_by"]) for d in found.datasets] == [("recant.recant.library", "it")]
    assert found.records == {}


def test_a_bad_run_reaches_what_was_built_on_it(library: Library):
    """Operations, DAGs, records that are still seen, datasets; hidden ones counted as such."""
    publish(library, {"a": "one", "b": "two"}, by=of_dag("load", "r1"))
    below = publish(library, {"c": "from a"}, {"a": "derived"}, by=of_dag("summarise", "s1"))
    publish(library, {"a": "a new one"}, by=of_dag("load", "r3"))
    hidden = publish(library, {"d": "from c"}, {"c": "derived"}, by=of_dag("translate", "t1"))
    library.rollback.quarantine(Selector(operations=(hidden,)), BY)
    found = lineage_of(library).get_failure_blast_radius(run="r1")
    assert (found.own_operations, found.operations, found.states) == (1, 2, {"published": 1, "hidden": 1})
    assert [node.operation_id for node in found.nearest] == [below, hidden]
    assert [(d["dag_id"], d["operations"], d["hidden"]) for d in found.dags] == [
        ("summarise", 1, 0),
        ("translate", 1, 1),
    ]
    assert found.records == {"document": 2, "chunk": 2}
    assert found.artifacts == []
    assert found.to_dict()["graph"]["level"] == "jobs"
    whole = lineage_of(library).get_failure_blast_radius(dag="load", limit=1)
    assert (whole.own_operations, whole.operations, len(whole.nearest)) == (2, 2, 1)
    assert lineage_of(library).get_failure_blast_radius(task="load.publish", as_of=1).records == {
        "document": 2,
        "chunk": 2,
    }


def test_everything_at_a_glance(library: Library, chain: list[int]):
    """Every dataset and every job; an empty log has none."""
    found = lineage_of(library).overview()
    assert [job.job for job in found.jobs] == ["ingest.library"]
    assert {node.name for node in found.datasets} == {"/srv/docs", "recant.recant.library"}
    empty = lineage_of(library).overview(as_of=0)
    assert (empty.jobs, empty.datasets, empty.edges) == ([], [], [])


@pytest.mark.parametrize(
    "given", [{}, {"operation": 1, "run": "x"}, {"dataset": "a", "document": "b"}, {"task": "no_dag"}, {"task": ".x"}]
)
def test_a_start_is_one_thing(given: dict[str, object]):
    """Anything else is refused, with what is understood."""
    with pytest.raises(UsageError):
        Start(**given)


@pytest.mark.parametrize("wrong", [{"direction": "sideways"}, {"depth": 0}, {"limit": 0}, {"limit": 10**7}])
def test_impossible_options_are_refused(library: Library, wrong: dict[str, object]):
    """Before anything is asked."""
    with pytest.raises(UsageError):
        lineage_of(library).trace(Start(operation=1), **wrong)


def test_files_that_hold_it_are_downstream(library: Library):
    """Tied to the nearest operation that they hold; as of a position only those made by then."""
    first = publish(library, {"a": "one"})
    early = export(library, "/out/early.csv")
    second = publish(library, {"b": "from a"}, {"a": "derived"})
    late = export(library, "/out/late.csv")
    lineage = lineage_of(library)
    found = lineage.trace(Start(operation=first))
    assert [(a["artifact_id"], a["holds"], a["state"]) for a in found.artifacts] == [
        (late, [first, second], "current"), (early, [first], "current"),
    ]  # fmt: skip
    assert {e for e in ends(found) if e[2] == "holds"} == {
        (f"operation:{first}", f"artifact:{artifact}", "holds") for artifact in (early, late)
    }
    assert [a["artifact_id"] for a in lineage.downstream(Start(operation=second)).artifacts] == [late]
    assert [a["artifact_id"] for a in lineage.trace(Start(operation=first), as_of=3).artifacts] == [early]
    assert lineage.upstream(Start(operation=first)).artifacts == []
    jobs = lineage.jobs(Start(operation=first))
    assert ("dataset:postgres://recant:recant.recant.library", f"artifact:{late}", "holds") in ends(jobs)
    library.rollback.apply(library.rollback.plan(Selector(operations=(second,)), agent="x"), BY)
    assert [a["state"] for a in lineage.trace(Start(operation=first)).artifacts] == ["stale", "current"]


def test_a_failure_reaches_files(library: Library):
    """Those that hold what the run wrote, or what was built on it."""
    publish(library, {"a": "one"}, by=of_dag("load", "r1"))
    held = export(library, "/out/all.csv")
    found = lineage_of(library).get_failure_blast_radius(run="r1")
    assert [(a["artifact_id"], a["path"]) for a in found.artifacts] == [(held, "/out/all.csv")]


def show(library: Library, session: str, operation: int, source: str) -> None:
    """A search in the session that shows a document of an operation."""
    with library.database.transaction() as connection:
        connection.execute(
            "SELECT record_search(%s, 'reader', %s, 'what?', log_position(), ARRAY[%s::bigint], ARRAY[r.id]) "
            "FROM record r WHERE r.key = %s AND r.collection_id = %s",
            [session, library.collection.id, operation, source, library.collection.id],
        )


@pytest.fixture
def shown(library: Library) -> dict[str, int]:
    """A poisoned operation, what was built on it, who was shown it and wrote, what was built on that, who was shown that."""
    found = {"poison": publish(library, {"a": "one", "b": "two"})}
    found["built"] = publish(library, {"c": "from a"}, {"a": "derived"})
    show(library, "s", found["poison"], "a")
    show(library, "t", found["built"], "c")
    found["reader"] = publish(library, {"d": "after a"}, by=Attribution("reader", "s"))
    found["other"] = publish(library, {"e": "after c"}, by=Attribution("reader", "t"))
    found["on reader"] = publish(library, {"f": "from d"}, {"d": "derived"})
    show(library, "u", found["reader"], "d")
    found["two reads away"] = publish(library, {"g": "after d"}, by=Attribution("reader", "u"))
    return found


def certain(graph: LineageGraph) -> dict[int, tuple[int, str]]:
    """Operations, how far each is, and how certainly."""
    return {node.operation_id: (node.distance, node.certainty) for node in graph.operations}


def test_what_a_session_was_shown_before_it_wrote_leads_on(library: Library, shown: dict[str, int]):
    """As possible, one read on any way; what was built on it in turn is possible, too. `possible=False` leaves all of it out."""
    lineage = lineage_of(library)
    down = lineage.downstream(Start(operation=shown["poison"]))
    assert certain(down) == {
        shown["poison"]: (0, "definite"),
        shown["built"]: (1, "definite"),
        shown["reader"]: (1, "possible"),
        shown["other"]: (2, "possible"),
        shown["on reader"]: (2, "possible"),
    }
    read = next(edge for edge in down.edges if edge.target == f"operation:{shown['reader']}")
    assert read.to_dict() == {
        "source": f"operation:{shown['poison']}",
        "target": f"operation:{shown['reader']}",
        "relation": "shown",
        "certainty": "possible",
        "count": 1,
    }
    sure = lineage.downstream(Start(operation=shown["poison"]), possible=False)
    assert certain(sure) == {shown["poison"]: (0, "definite"), shown["built"]: (1, "definite")}
    up = lineage.upstream(Start(operation=shown["on reader"]))
    assert certain(up) == {
        shown["on reader"]: (0, "definite"),
        shown["reader"]: (-1, "definite"),
        shown["poison"]: (-2, "possible"),
    }


def test_reads_keep_to_depth_limit_document_and_position(library: Library, shown: dict[str, int]):
    """Nearest first; definite ones before possible ones; of a document only who was shown that one; nothing later."""
    lineage, start = lineage_of(library), Start(operation=shown["poison"])
    assert set(certain(lineage.downstream(start, depth=1))) == {shown["poison"], shown["built"], shown["reader"]}
    short = lineage.downstream(start, limit=3)
    assert short.truncated
    assert set(certain(short)) == {shown["poison"], shown["built"], shown["reader"]}
    assert set(certain(lineage.downstream(Start(document="b")))) == {shown["poison"]}
    assert shown["reader"] in certain(lineage.downstream(Start(document="a")))
    assert set(certain(lineage.downstream(start, as_of=2))) == {shown["poison"], shown["built"]}


@pytest.mark.parametrize(("depth", "runs", "possible"), [(None, 5, 3), (1, 3, 1), (2, 5, 3)])
def test_jobs_count_what_was_only_read(
    library: Library, shown: dict[str, int], depth: int | None, runs: int, possible: int
):
    """Each run once, those that only a read leads to counted by themselves."""
    found = lineage_of(library).jobs(Start(operation=shown["poison"]), direction="down", depth=depth)
    assert [(job.runs, job.possible) for job in found.jobs] == [(runs, possible)]
    assert [(edge.relation, edge.certainty) for edge in found.edges if edge.source == edge.target][-1] == (
        "shown",
        "possible",
    )


def test_possible_is_told_apart_in_pictures(library: Library, shown: dict[str, int]):
    """On dashed arrows, in words, and as a warning."""
    picture = picture_of(lineage_of(library).downstream(Start(operation=shown["poison"])))
    dashed = {(arrow.target, arrow.label) for arrow in picture.arrows if arrow.dashed}
    assert (f"operation:{shown['reader']}", "shown") in dashed
    details = {box.id: box.detail for box in picture.boxes}
    assert details[f"operation:{shown['on reader']}"].endswith(", possible")
    assert not details[f"operation:{shown['built']}"].endswith(", possible")
