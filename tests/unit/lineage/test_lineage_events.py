"""An OpenLineage event rendered from a row of the log."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from recant.archive.layout import TABLES
from recant.export.tables import TABLES as EXPORTED
from recant.lineage.column_facets import FIELDS, IN_FILES
from recant.lineage.dependency_facet import DEPENDENCIES_SCHEMA
from recant.lineage.events import render_event
from recant.lineage.facets import OPERATION_SCHEMA, STATES, web_address
from recant.settings import read_settings
from tests.openlineage_reader import read_event

RUN = "01932b5e-8a5c-7d4e-9c7a-1f2e3d4c5b6a"
PARENT = "01932b5e-8a5c-7d4e-9c7a-000000000001"
ROOT = "01932b5e-8a5c-7d4e-9c7a-000000000002"
AIRFLOW = {
    "parent_run_id": PARENT,
    "parent_job_name": "ingest_documents.write",
    "parent_job_namespace": "recant",
    "root_run_id": ROOT,
    "root_job_name": "ingest_documents",
    "root_job_namespace": "recant",
}
GIT = {"git_commit": "abc123", "git_branch": "main", "repository": "https://me:pass@git.example.org/a/recant.git"}


def logged(**changes: Any) -> dict[str, Any]:
    """A row of the query read_events: a published ingest of a folder, unless changed."""
    row: dict[str, Any] = {
        "event_id": 7,
        "event_type": "COMPLETE",
        "event_time": datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2))),
        "operation_id": 3,
        "position": 2,
        "kind": "ingest",
        "control": False,
        "agent": "alice",
        "session": "s1",
        "run_id": "manual__1",
        "lineage_run_id": RUN,
        "message": "first load",
        "reason": None,
        "counts": {"documents": 4, "chunks": 40},
        "context": {},
        "parameters": {},
        "collection": "docs",
        "first_of_collection": False,
        "datasets": [
            {"direction": "input", "namespace": "file", "name": "/srv/docs", "dimensions": None},
            {
                "direction": "output",
                "namespace": "postgres://recant",
                "name": "recant.recant.docs",
                "dimensions": 384,
            },
        ],
        "quality": [],
        "verdicts": [],
        "record_verdicts": [],
        "plan": None,
        "made_from": None,
    }
    return row | changes


def found(name: str, success: bool, checked: int, unexpected: int, severity: str = "critical") -> dict[str, Any]:
    """One expectation's outcome as the gate stores it."""
    return {
        "name": name,
        "expectation": "expect_column_values_to_be_between",
        "column": "vector_norm",
        "field": "vector",
        "severity": severity,
        "success": success,
        "checked": checked,
        "unexpected": unexpected,
    }


def render(**changes: Any) -> dict[str, Any]:
    """The event of such a row; OpenLineage's own classes can read it."""
    event = render_event(logged(**changes), namespace="recant")
    read_event(event)
    return event


def operation(event: dict[str, Any]) -> dict[str, Any]:
    """The recant_operation facet."""
    return event["run"]["facets"]["recant_operation"]  # type: ignore[no-any-return]


def test_a_published_operation_is_a_completed_run() -> None:
    """Run, type, time in UTC, job and datasets are the operation's."""
    event = render()
    assert (event["run"]["runId"], event["eventType"]) == (RUN, "COMPLETE")
    assert event["eventTime"] == "2026-11-20T10:00:00.123456Z"
    assert (event["job"]["namespace"], event["job"]["name"]) == ("recant", "ingest.docs")
    assert [d["name"] for d in event["inputs"]] == ["/srv/docs"]
    assert [d["name"] for d in event["outputs"]] == ["recant.recant.docs"]
    assert event["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"


def test_the_facet_says_what_the_log_says() -> None:
    """Who, where, what and how much are in recant_operation."""
    facet = operation(render())
    assert {k: v for k, v in facet.items() if not k.startswith("_")} == {
        "operation_id": 3,
        "position": 2,
        "kind": "ingest",
        "state": "published",
        "agent": "alice",
        "session": "s1",
        "run_id": "manual__1",
        "message": "first load",
        "collection": "docs",
        "counts": {"documents": 4, "chunks": 40},
    }
    assert facet["_schemaURL"] == OPERATION_SCHEMA


def test_the_job_is_a_batch_of_recant_owned_by_the_agent() -> None:
    """The job's type and its owner are named."""
    facets = render()["job"]["facets"]
    assert (facets["jobType"]["processingType"], facets["jobType"]["integration"]) == ("BATCH", "RECANT")
    assert facets["jobType"]["jobType"] == "OPERATION"
    assert facets["ownership"]["owners"] == [{"name": "agent:alice", "type": "AGENT"}]


def test_a_collections_version_is_the_position() -> None:
    """The output's version is the position, its rows are the chunks, its columns are those a reader sees."""
    (output,) = render()["outputs"]
    assert output["facets"]["version"]["datasetVersion"] == "2"
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 40
    assert output["facets"]["schema"]["fields"][-1]["type"] == "halfvec(384)"


@pytest.mark.parametrize("event_type", ["START", "ABORT", "FAIL"])
def test_what_is_not_published_has_no_position(event_type: str) -> None:
    """Only a COMPLETE carries a version and row counts, whatever became of the operation until it is delivered."""
    event = render(event_type=event_type)
    assert "position" not in operation(event)
    assert "version" not in event["outputs"][0]["facets"]
    assert [*event["outputs"][0]["outputFacets"]] == ["subset"]
    assert operation(event)["state"] == STATES[event_type]


@pytest.mark.parametrize("event_type", ["COMPLETE", "ABORT", "FAIL"])
def test_a_run_ends_with_the_datasets_it_began_with(event_type: str) -> None:
    """Inputs and outputs are the same on START and on every end, as Marquez forgets edges that the end leaves out."""

    def edges(event: dict[str, Any]) -> list[tuple[str, str]]:
        return [(d["namespace"], d["name"]) for d in event["inputs"] + event["outputs"]]

    assert edges(render(event_type="START")) == edges(render(event_type=event_type))


@pytest.mark.parametrize("event_type", ["ABORT", "FAIL"])
def test_an_aborted_operation_says_why(event_type: str) -> None:
    """The reason of the abort is the run's error message; without one it says that."""
    message = render(event_type=event_type, reason="the gate failed")["run"]["facets"]["errorMessage"]
    assert (message["message"], message["programmingLanguage"]) == ("the gate failed", "PYTHON")
    silent = render(event_type=event_type)["run"]["facets"]["errorMessage"]
    assert silent["message"] == "no reason given"
    assert "errorMessage" not in render()["run"]["facets"]


def test_a_rollback_names_what_it_withdrew() -> None:
    """A control operation's verdicts are in its facet: hidden operations with their runs, and shown ones."""
    verdicts = [
        {"operation_id": 1, "run_id": PARENT, "shows": False},
        {"operation_id": 2, "run_id": ROOT, "shows": True},
    ]
    event = render(kind="rollback", control=True, collection=None, counts={}, verdicts=verdicts)
    facet = operation(event)
    assert (facet["withdrew"], facet["withdrew_runs"], facet["brought_back"]) == ([1], [PARENT], [2])
    assert event["job"]["name"] == "rollback"
    assert "outputStatistics" not in event["outputs"][0]["outputFacets"]
    assert "withdrew" not in operation(render(kind="rollback", control=True, event_type="START", verdicts=verdicts))


def test_a_run_under_airflow_names_its_parent_and_root() -> None:
    """Parent and root come from the operation's context, and the job stands under its parent's name."""
    event = render(context=AIRFLOW)
    parent = event["run"]["facets"]["parent"]
    assert (parent["run"]["runId"], parent["job"]["name"]) == (PARENT, "ingest_documents.write")
    assert (parent["root"]["run"]["runId"], parent["root"]["job"]["name"]) == (ROOT, "ingest_documents")
    assert event["job"]["name"] == "ingest_documents.write.ingest.docs"


@pytest.mark.parametrize("missing", ["parent_run_id", "parent_job_name", "parent_job_namespace"])
def test_half_a_parent_is_none(missing: str) -> None:
    """A parent without id, name or namespace is left out rather than sent as an invalid facet."""
    event = render(context={k: v for k, v in AIRFLOW.items() if k != missing})
    assert "parent" not in event["run"]["facets"]
    assert event["job"]["name"] == "ingest.docs"


def test_a_parent_whose_id_is_no_uuid_is_left_out() -> None:
    """OpenLineage's run ids are UUIDs: an Airflow run id in its place is no parent; a root may be missing alone."""
    assert "parent" not in render(context={**AIRFLOW, "parent_run_id": "manual__1"})["run"]["facets"]
    rootless = render(context={**AIRFLOW, "root_run_id": "scheduled__1"})["run"]["facets"]["parent"]
    assert "root" not in rootless


def test_the_code_that_wrote_is_named_without_passwords() -> None:
    """Commit, branch and a repository that a browser can open; its user and password are nowhere in the event."""
    event = render(context=GIT)
    source = event["job"]["facets"]["sourceCodeLocation"]
    assert source["url"] == "https://git.example.org/a/recant/tree/abc123"
    assert (source["type"], source["version"], source["branch"]) == ("git", "abc123", "main")
    assert operation(event)["git"]["commit"] == "abc123"
    assert "pass" not in json.dumps(event)


def test_a_commit_without_a_remote_is_kept_in_our_own_facet() -> None:
    """sourceCodeLocation needs an address; without one the commit is in recant_operation only."""
    event = render(context={"git_commit": "abc123"})
    assert operation(event)["git"] == {"commit": "abc123"}
    assert "sourceCodeLocation" not in event["job"]["facets"]


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("git@github.com:recant/recant.git", "https://github.com/recant/recant"),
        ("ssh://git@example.org:22/a/b.git", "https://example.org/a/b"),
        ("http://user:pw@localhost:3000/a/b/", "http://localhost:3000/a/b"),
        ("https://github.com/recant/recant", "https://github.com/recant/recant"),
        ("/srv/git/recant", None),
        ("file:///srv/git/recant", None),
        ("", None),
        (None, None),
    ],
)
def test_a_remote_becomes_an_address(remote: str | None, address: str | None) -> None:
    """Every usual form of a git remote leads to the page of the repository, or to nothing."""
    assert web_address(remote) == address


def test_a_nominal_time_is_passed_on() -> None:
    """The schedule's time is in the event when the context has it and it can be read."""
    start = "2026-11-20T00:00:00+00:00"
    facet = render(context={"nominal_start_time": start})["run"]["facets"]["nominalTime"]
    assert facet["nominalStartTime"] == start
    assert "nominalTime" not in render(context={"nominal_start_time": "yesterday"})["run"]["facets"]
    assert "nominalTime" not in render(context={"nominal_start_time": None})["run"]["facets"]


def test_the_gates_findings_are_assertions_on_the_collection() -> None:
    """One assertion an expectation, added up over the batches; it holds only where every batch did."""
    quality = [
        [found("unit_vector", True, 100, 0), found("title", False, 100, 3, "info")],
        [found("unit_vector", False, 50, 2), found("title", True, 50, 0, "info")],
    ]
    event = render(event_type="FAIL", quality=quality)
    norm, title = event["outputs"][0]["facets"]["dataQualityAssertions"]["assertions"]
    assert (norm["success"], norm["severity"], norm["actual"]) == (False, "error", "2 of 150 rows unexpected")
    assert (norm["column"], norm["name"]) == ("vector", "unit_vector")
    assert (title["success"], title["severity"]) == (False, "info")
    assert "dataQualityAssertions" not in render()["outputs"][0]["facets"]


def test_a_foreign_output_has_no_facets_of_a_collection() -> None:
    """An export's file gets neither our columns nor our version."""
    file = {"direction": "output", "namespace": "file", "name": "/srv/export.csv", "dimensions": None}
    (output,) = render(datasets=[file], quality=[[found("unit_vector", True, 1, 0)]])["outputs"]
    assert output["facets"] == {}


def test_a_collection_can_be_an_input() -> None:
    """What is read from a collection shows the same columns as what is written to it."""
    read = {"direction": "input", "namespace": "postgres://recant", "name": "recant.recant.docs", "dimensions": None}
    (found_input,) = render(datasets=[read])["inputs"]
    assert found_input["facets"]["schema"]["fields"][-1]["type"] == "halfvec"


COLLECTION = {"namespace": "postgres://recant", "name": "recant.recant.docs", "dimensions": 384}
BOTH = [{"direction": direction, **COLLECTION} for direction in ("input", "output")]
PLAN = {
    "planned_by": "carol",
    "approved_at": "2026-11-20T09:00:00.000000Z",
    "position": 7,
    "operations": {"selected": 1, "derived": 2},
    "blast_radius": {
        "position": 7,
        "records": {"document": 4, "chunk": 40},
        "revived": {"document": 1},
        "vanishing": {},
        "datasets": [{"namespace": "postgres://recant", "name": "recant.recant.docs"}] * 2,
        "artifacts": [],
        "agents": ["alice"],
        "sessions": [],
        "possible_agents": ["bob"],
        "possible_sessions": [],
    },
}


def rolled_back(**changes: Any) -> dict[str, Any]:
    """A rollback that came from a plan, of one operation as a whole and of two documents of another."""
    row: dict[str, Any] = {
        "kind": "rollback",
        "control": True,
        "position": 9,
        "collection": None,
        "datasets": BOTH,
        "counts": {"operations": 2},
        "parameters": {"plan_id": RUN, "policy": "cascade", "selector": {"runs": ["manual__1"]}, "approved_by": "dora"},
        "verdicts": [{"operation_id": 1, "run_id": PARENT, "shows": False}],
        "record_verdicts": [{"operation_id": 2, "run_id": ROOT, "shows": False, "records": 2}],
        "plan": PLAN,
    }
    return render(**(row | changes))


def test_a_rollback_says_by_which_plan_and_who_approved_it() -> None:
    """recant_rollback: plan, policy, selector, who planned and who approved, and what was withdrawn, whole or in part."""
    facet = rolled_back()["run"]["facets"]["recant_rollback"]
    assert {k: v for k, v in facet.items() if not k.startswith("_")} == {
        "withdrawn": [{"operation_id": 1, "run_id": PARENT}, {"operation_id": 2, "run_id": ROOT, "records": 2}],
        "brought_back": [],
        "plan_id": RUN,
        "policy": "cascade",
        "selector": {"runs": ["manual__1"]},
        "planned_by": "carol",
        "approved_by": "dora",
        "approved_at": "2026-11-20T09:00:00.000000Z",
    }


def test_a_rollback_says_what_was_at_stake() -> None:
    """recant_blast_radius: operations by relation, whose they are, records by kind, each dataset once."""
    facet = rolled_back()["run"]["facets"]["recant_blast_radius"]
    assert {k: v for k, v in facet.items() if not k.startswith("_")} == {
        "position": 7,
        "operations": {"selected": 1, "derived": 2},
        "agents": ["alice"],
        "sessions": [],
        "possible_agents": ["bob"],
        "records": {"document": 4, "chunk": 40},
        "revived": {"document": 1},
        "datasets": [{"namespace": "postgres://recant", "name": "recant.recant.docs"}],
        "artifacts": 0,
    }


def test_a_start_knows_no_verdicts() -> None:
    """Neither facet is on a START, nor on an operation that isn't a rollback."""
    for event in (rolled_back(event_type="START"), render()):
        assert not {"recant_rollback", "recant_blast_radius"} & event["run"]["facets"].keys()


def test_an_operation_writes_its_own_rows() -> None:
    """The subset of the collection is what bears the operation's number, from START on; a file has none."""
    written = {
        "type": "compare",
        "left": {"type": "field", "field": "operation_id"},
        "right": {"type": "literal", "value": "3"},
        "comparison": "EQUAL",
    }
    for event in (render(), render(event_type="START")):
        assert event["outputs"][0]["outputFacets"]["subset"]["outputCondition"] == written
    file = {"direction": "output", "namespace": "file", "name": "/srv/export.csv", "dimensions": None}
    assert render(datasets=[file])["outputs"][0]["outputFacets"].keys() == {"outputStatistics"}


def test_a_rollback_changes_the_rows_of_what_it_judged() -> None:
    """One condition an operation, joined by OR; none where documents are judged, or more operations than one can read."""
    verdicts = [{"operation_id": number, "run_id": PARENT, "shows": False} for number in (1, 2)]
    event = rolled_back(verdicts=verdicts, record_verdicts=[])
    for dataset, part, name in (
        (event["inputs"][0], "inputFacets", "inputCondition"),
        (event["outputs"][0], "outputFacets", "outputCondition"),
    ):
        condition = dataset[part]["subset"][name]
        assert (condition["type"], condition["operator"]) == ("binary", "OR")
        assert [condition[side]["right"]["value"] for side in ("left", "right")] == ["1", "2"]
    many = [{"operation_id": number, "run_id": PARENT, "shows": False} for number in range(1, 30)]
    for judged in (rolled_back(), rolled_back(verdicts=many, record_verdicts=[])):
        assert "subset" not in judged["outputs"][0]["outputFacets"]


def test_what_is_read_has_no_version() -> None:
    """Marquez would put it in the place of the version's own."""
    assert rolled_back()["inputs"][0]["facets"].keys() == {"schema"}


def test_the_first_write_creates_the_collection() -> None:
    """lifecycleStateChange is on the COMPLETE of a collection's first operation, and on no other."""
    created = render(first_of_collection=True)["outputs"][0]["facets"]["lifecycleStateChange"]
    assert created["lifecycleStateChange"] == "CREATE"
    for event in (render(), render(event_type="START", first_of_collection=True)):
        assert "lifecycleStateChange" not in event["outputs"][0]["facets"]


def test_vectors_made_anew_come_from_the_texts() -> None:
    """Re-embedding alters the collection, and its vectors are derived from headings and text: the only columns that are known."""
    facets = render(kind="reembed", datasets=BOTH)["outputs"][0]["facets"]
    assert facets["lifecycleStateChange"]["lifecycleStateChange"] == "ALTER"
    inputs = facets["columnLineage"]["fields"]["vector"]["inputFields"]
    assert [(i["name"], i["field"]) for i in inputs] == [("recant.recant.docs", f) for f in ("parent_headers", "text")]
    assert "columnLineage" not in render()["outputs"][0]["facets"]
    assert "columnLineage" not in render(kind="reembed")["outputs"][0]["facets"]


COLLECTION = {"direction": "input", "namespace": "postgres://recant", "name": "recant.recant.docs", "dimensions": 384}
FILE = {"direction": "output", "namespace": "file", "name": "/srv/out", "dimensions": None}


def sources(dataset: dict[str, Any]) -> dict[str, list[tuple[str, str, str]]]:
    """Of each column: dataset, column and how."""
    return {
        name: [(i["name"], i["field"], i["transformations"][0]["subtype"]) for i in field["inputFields"]]
        for name, field in dataset["facets"]["columnLineage"]["fields"].items()
    }


def test_an_exports_columns_come_from_its_collections() -> None:
    """Those that hold a column of one, from each collection that was read; its schema has the others, too."""
    parameters = {
        "format": "parquet",
        "file_columns": {"chunks": {"chunk_id": "integer", "text": "text", "chunk_index": "integer"}},
    }
    other = COLLECTION | {"name": "recant.recant.more"}
    event = render(kind="export", datasets=[COLLECTION, other, FILE], parameters=parameters)
    (output,) = event["outputs"]
    assert [(f["name"], f["type"]) for f in output["facets"]["schema"]["fields"]] == [
        ("chunks.chunk_id", "integer"),
        ("chunks.text", "text"),
        ("chunks.chunk_index", "integer"),
    ]
    both = ("recant.recant.docs", "recant.recant.more")
    assert sources(output) == {
        "chunks.text": [(name, "text", "IDENTITY") for name in both],
        "chunks.chunk_index": [(name, "index", "IDENTITY") for name in both],
    }
    as_csv = render(kind="export", datasets=[COLLECTION, FILE], parameters=parameters | {"format": "csv"})
    assert sources(as_csv["outputs"][0])["chunks.text"] == [("recant.recant.docs", "text", "TRANSFORMATION")]


def test_what_is_restored_comes_from_the_archives_columns() -> None:
    """The other way round; the archive's columns are told of the input."""
    read, wrote = FILE | {"direction": "input"}, COLLECTION | {"direction": "output"}
    event = render(kind="restore_archive", datasets=[read, wrote], parameters={"file_columns": dict(TABLES)})
    assert sources(event["outputs"][0])["vector"] == [("/srv/out", "vectors.vector", "TRANSFORMATION")]
    assert sources(event["outputs"][0])["text"] == [("/srv/out", "chunks.text", "IDENTITY")]
    declared = {field["name"] for field in event["inputs"][0]["facets"]["schema"]["fields"]}
    assert declared >= {
        i["field"] for f in event["outputs"][0]["facets"]["columnLineage"]["fields"].values() for i in f["inputFields"]
    }


def test_columns_that_come_from_a_collections_are_there() -> None:
    """Every one that lineage knows of is a column of the archive's format, or of an export's tables; and of a collection."""
    files = {
        "archive": {f"{table}.{column}" for table, columns in TABLES.items() for column in columns},
        "export": {f"{table.name}.{column.name}" for table in EXPORTED.values() for column in table.columns},
    }
    for kind, columns in IN_FILES.items():
        assert columns.keys() <= files[kind]
        assert set(columns.values()) <= {*(name for name, _, _ in FIELDS), "vector"}


def test_no_columns_are_made_up() -> None:
    """Folders have none, nor have files of operations that noted none; control operations write no column."""
    assert "columnLineage" not in render()["outputs"][0]["facets"]
    assert render(kind="export", datasets=[COLLECTION, FILE])["outputs"][0]["facets"] == {}
    assert "columnLineage" not in render(kind="rollback", control=True, datasets=BOTH)["outputs"][0]["facets"]


def test_files_are_counted_as_their_operation_counted_them() -> None:
    """Rows, bytes and files of an export; nothing where nothing was counted."""
    file = {"direction": "output", "namespace": "file", "name": "/srv/export", "dimensions": None}
    counted = render(datasets=[file], counts={"rows": 5, "bytes": 1000, "files": 2})
    statistics = counted["outputs"][0]["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"], statistics["fileCount"]) == (5, 1000, 2)
    assert render(datasets=[file], counts={"documents": 5})["outputs"][0]["outputFacets"] == {}


@pytest.mark.parametrize("name", ["recant_rollback", "recant_blast_radius"])
def test_a_rollbacks_facets_keep_to_their_published_schemas(name: str) -> None:
    """Each validates against the schema that its _schemaURL points at, and an empty one doesn't."""
    facet = rolled_back()["run"]["facets"][name]
    validator = schema_validator(name, facet["_schemaURL"])
    validator.validate({name: facet})
    assert not validator.is_valid({name: {key: facet[key] for key in ("_producer", "_schemaURL")}})


def test_dependencies_keep_to_their_published_schema() -> None:
    """In every event that tells of them; an empty facet isn't valid."""
    made_from = {
        "total": 2,
        "first": 1,
        "rows": [
            {"operation_id": 1, "run_id": PARENT, "class": "derived", "records": 3},
            {"operation_id": 2, "run_id": ROOT, "class": "read", "records": 1},
        ],
    }
    validator = schema_validator("recant_dependencies", DEPENDENCIES_SCHEMA)
    for event_type in ("RUNNING", "COMPLETE"):
        facet = render(event_type=event_type, made_from=made_from)["run"]["facets"]["recant_dependencies"]
        assert [each["certainty"] for each in facet["built_on"]] == ["definite", "possible"]
        validator.validate({"recant_dependencies": facet})
    assert not validator.is_valid({"recant_dependencies": {key: facet[key] for key in ("_producer", "_schemaURL")}})


rows = st.builds(
    logged,
    event_type=st.sampled_from(sorted(STATES)),
    kind=st.sampled_from(["ingest", "rollback", "store_knowledge"]),
    agent=st.text(min_size=1, max_size=20),
    session=st.none() | st.text(min_size=1),
    message=st.text(),
    reason=st.none() | st.text(),
    position=st.integers(1, 2**62),
    counts=st.dictionaries(
        st.text(min_size=1), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.none()
    ),
    context=st.dictionaries(st.sampled_from([*AIRFLOW, *GIT, "nominal_start_time"]), st.text() | st.none()),
    event_time=st.datetimes(min_value=datetime(2020, 1, 1), timezones=st.just(UTC)),
)


@given(rows)
def test_any_row_gives_a_valid_event_and_always_the_same(row: dict[str, Any]) -> None:
    """Whatever stands in messages, agents and contexts, the event is OpenLineage, and equal when redelivered."""
    event = render_event(row, namespace="recant")
    read_event(event)
    assert json.loads(json.dumps(event, allow_nan=False)) == render_event(row, namespace="recant")


@given(rows)
def test_our_facet_keeps_to_its_published_schema(row: dict[str, Any]) -> None:
    """recant_operation validates against the schema that its _schemaURL points at."""
    facet = operation(render_event(row, namespace="recant"))
    validator = schema_validator("recant_operation", OPERATION_SCHEMA)
    assert not list(validator.iter_errors({"recant_operation": facet}))
    del facet["operation_id"]
    assert not validator.is_valid({"recant_operation": facet}), "the schema asks for something"


def schema_validator(name: str, url: str) -> Draft202012Validator:
    """The schema of docs/reference, with what it takes from OpenLineage's core written out here."""
    path = read_settings({}).project_root / "docs" / "reference" / "schemas" / f"{name}-1-0-0.json"
    required = {"type": "object", "required": ["_producer", "_schemaURL"]}
    core = {"$id": "https://openlineage.io/spec/2-0-2/OpenLineage.json", "$defs": {"RunFacet": required}}
    schema = json.loads(path.read_text("utf-8"))
    assert schema["$id"] == url.partition("#")[0]
    known: Registry[Any] = Registry().with_resource(
        core["$id"], Resource.from_contents({"$schema": schema["$schema"], **core})
    )
    return Draft202012Validator({**schema, "required": [name]}, registry=known)
