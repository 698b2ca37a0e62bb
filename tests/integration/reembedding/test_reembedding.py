"""Building, comparing, changing over and going back, with real models of different lengths."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import h5py
import pyarrow.parquet as parquet
import pytest

import recant
from recant.corpus import BatchTarget
from recant.embedding.lean import LeanEmbedder
from recant.errors import ConfigurationError, GateFailed, Refused, UsageError, VectorsMissing, WriteConflict
from recant.evaluation import JudgedQueries, JudgedQuery
from recant.export import ExportRequest
from recant.ingestion.request import IngestRequest
from recant.ingestion.source import SourceItem
from recant.ingestion.writer import BatchWriter
from recant.oplog import Attribution, Selector
from recant.settings import read_settings
from tests.shorter_model import shorter_model

BOB = Attribution("bob")
TEXTS = {
    "tea.md": "# Tea\n\nGreen tea is brewed at seventy degrees, for two minutes.\n",
    "swallows.md": "# Swallows\n\nSwallows build their nests of mud under roofs.\n",
    "keys.md": "# Keys\n\nSigning keys are rotated each quarter, by the security team.\n",
    "bread.md": "# Bread\n\nDough rests overnight in the fridge before it is baked.\n",
}
QUERIES = JudgedQueries(
    "four.jsonl",
    tuple(
        JudgedQuery(source, text, {source: 1.0})
        for source, text in {
            "tea.md": "how hot should water for tea be?",
            "swallows.md": "where do birds nest?",
            "keys.md": "when do we change signing keys?",
            "bread.md": "how long does dough rest?",
        }.items()
    ),
)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A good one of 128 dimensions; one of a single layer and four dimensions, which finds little."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "good": shorter_model(folder, dimensions=128),
        "poor": shorter_model(folder, dimensions=4, layers=1),
    }


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How many texts were embedded, by the length of their vectors."""
    counted: Counter[int] = Counter()
    embed = LeanEmbedder.embed

    def counting(self: LeanEmbedder, texts: list[str], **options: object) -> object:
        if self.purpose == "documents":
            counted[self.card.dimensions] += len(texts)
        return embed(self, texts, **options)

    monkeypatch.setattr(LeanEmbedder, "embed", counting)
    return counted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four documents about four things."""
    place = tmp_path / "docs"
    place.mkdir()
    for name, text in TEXTS.items():
        (place / name).write_text(text)
    return place


@pytest.fixture
def kb(database: str, tmp_path: Path, models: dict[str, Path], folder: Path) -> Iterator[recant.KnowledgeBase]:
    """The four documents, published; both models are named, and nothing is resident."""
    given = {
        "RECANT_AGENT": "tester",
        "RECANT_EMBEDDER": "local",
        "RECANT_MODELS": f"{models['good']}, {models['poor']}",
    }
    settings = replace(read_settings(given), home=tmp_path / "home", dsn=database)
    with recant.connect(settings=settings) as found:
        found.ingest([str(folder)])
        yield found


def answers(kb: recant.KnowledgeBase, **options: object) -> list[list[tuple[int, float]]]:
    results = [kb.search(query.text, **options) for query in QUERIES.queries]
    return [[(hit.chunk_id, hit.score) for hit in result.hits] for result in results]


def test_changing_over_and_back_computes_nothing(kb: recant.KnowledgeBase, models: dict, computed: Counter) -> None:
    """After the rollback answers and digest are what they were, after the redo what they were before it; as of each position
    they stay what they were then.
    """
    old, digest, before = answers(kb), kb.verify().digest, kb.position()
    built = kb.reembedding.build(str(models["good"]))
    assert (built.texts, built.embedded, built.dimensions, built.cut) == (4, 4, 128, 0)
    assert answers(kb) == old, "building changes nothing"
    done = kb.reembedding.switch("minilm-6-128", BOB, queries=QUERIES, max_drop=0.2)
    new, after = answers(kb), kb.position()
    assert new != old
    assert (done.position, done.embedded, done.previous_model) == (after, 0, "sentence-transformers/all-MiniLM-L6-v2")
    assert done.evaluation is not None
    assert done.evaluation["after"]["ndcg"] == 1.0
    computed.clear()
    report = kb.rollback(Selector(operations=(done.operation_id,)))
    assert (answers(kb), kb.verify().digest) == (old, digest)
    kb.redo(report.rollback_operation_id)
    assert answers(kb) == new
    assert answers(kb, as_of=before) == old
    assert answers(kb, as_of=after) == new
    assert answers(kb, as_of=after + 1) == old
    assert sum(computed.values()) == 0
    assert kb.verify().ok


def test_a_model_that_finds_less_is_refused(kb: recant.KnowledgeBase, models: dict) -> None:
    """The operation is aborted, the measures are in the refusal, and nothing has changed; it may be allowed."""
    old = answers(kb)
    kb.reembedding.build(str(models["poor"]))
    compared = kb.reembedding.compare("minilm-1-4", QUERIES)
    assert compared.before.measures["ndcg"] == 1.0 > compared.after.measures["ndcg"]
    with pytest.raises(GateFailed, match="less is allowed") as refused:
        kb.reembedding.switch("minilm-1-4", BOB, queries=QUERIES)
    assert refused.value.details["evaluation"]["before"]["ndcg"] == 1.0
    (last,) = kb.log(limit=1)
    assert (last.kind, last.state) == ("reembed", "aborted")
    assert answers(kb) == old
    assert kb.reembedding.switch("minilm-1-4", BOB, queries=QUERIES, max_drop=1.0).model == "minilm-1-4"


def test_an_ingest_in_the_soak_is_embedded_with_both(
    kb: recant.KnowledgeBase, models: dict, folder: Path, computed: Counter
) -> None:
    """So that a rollback finds all vectors; once the soak is over it is refused, until they are filled in."""
    operation = kb.reembedding.switch(str(models["good"]), BOB).operation_id
    computed.clear()
    (folder / "rain.md").write_text("# Rain\n\nIt rains in April.\n")
    kb.ingest([str(folder)])
    assert computed == {384: 1, 128: 1}
    assert kb.search("when does it rain?").hits[0].source.endswith("rain.md")
    report = kb.rollback(Selector(operations=(operation,)))
    assert kb.search("when does it rain?").hits[0].source.endswith("rain.md")
    kb.redo(report.rollback_operation_id)
    settled = kb.reembedding.settle(BOB)
    assert settled.model == "minilm-6-128"
    computed.clear()
    (folder / "snow.md").write_text("# Snow\n\nIt snows in January.\n")
    kb.ingest([str(folder)])
    assert computed == {128: 1}
    with pytest.raises(VectorsMissing, match="recant reembed fill") as refused:
        kb.rollback(Selector(kinds=("reembed",)))
    assert refused.value.details["missing"] == 1
    assert kb.reembedding.fill("sentence-transformers/all-MiniLM-L6-v2").embedded == 1
    kb.rollback(Selector(kinds=("reembed",)))
    assert kb.search("when does it snow?").hits[0].source.endswith("snow.md")


def test_an_ingest_that_a_change_over_overtook(kb: recant.KnowledgeBase, models: dict, folder: Path) -> None:
    """It is refused at publishing, and named what it lacks; filled, it is published and found."""
    (folder / "rain.md").write_text("# Rain\n\nIt rains in April.\n")
    request = IngestRequest((str(folder / "rain.md"),), "knowledge")
    ingestion = kb.ingestion
    operation = ingestion.open(request, BOB)
    ((item,),) = ingestion.list_batches(operation, request)
    target = BatchTarget(1, operation, ingestion.log.begin_batch(operation, "batch-0"))
    writer = BatchWriter(ingestion, target, request)
    kb.reembedding.switch(str(models["good"]), BOB, soak=timedelta(0))
    ingestion.log.finish_batch(target.batch_id, writer.write([SourceItem.from_dict(item)]))
    with pytest.raises(GateFailed, match="vector"):
        ingestion.gate(operation, request)
    ingestion.retire(operation, request)
    with pytest.raises(VectorsMissing):
        ingestion.publish(operation)
    assert kb.reembedding.fill().embedded == 1
    assert ingestion.gate(operation, request).success
    ingestion.publish(operation)
    assert kb.search("when does it rain?").hits[0].source.endswith("rain.md")


def test_dropping_the_old_model_frees_its_vectors(kb: recant.KnowledgeBase, models: dict, folder: Path) -> None:
    """Not while it is in use, in its soak, or what a position that can be asked about used; then the vectors are gone, and
    going back would embed anew.
    """
    default = "sentence-transformers/all-MiniLM-L6-v2"
    kb.reembedding.switch(str(models["good"]), BOB)
    with pytest.raises(Refused, match="soak goes on"):
        kb.reembedding.drop(default)
    kb.reembedding.settle(BOB)
    with pytest.raises(Refused, match="can still be asked about"):
        kb.reembedding.drop(default)
    (folder / "tea.md").write_text("# Tea\n\nBlack tea is brewed with boiling water.\n")
    kb.ingest([str(folder)])
    kb.storage.reclaim(BOB, horizon=kb.position())
    found = answers(kb)
    assert kb.reembedding.drop(default) == 3
    assert answers(kb) == found
    assert [space.model for space in kb.reembedding.status()] == ["minilm-6-128"]
    with pytest.raises(UsageError, match="Nothing of knowledge was embedded"):
        kb.reembedding.fill(default)
    with pytest.raises(VectorsMissing):
        kb.rollback(Selector(kinds=("reembed",)))
    assert kb.verify().ok


def test_a_candidate_can_be_dropped(kb: recant.KnowledgeBase, models: dict) -> None:
    """A model that was built and not taken leaves nothing."""
    kb.reembedding.build(str(models["poor"]))
    assert [(s.state, s.missing) for s in kb.reembedding.status()] == [("in use", 0), ("built", 0)]
    assert kb.reembedding.drop("minilm-1-4") == 4
    with kb.database.transaction() as connection:
        assert connection.execute("SELECT count(*) AS n FROM embedding").fetchone() == {"n": 4}


def test_an_erased_text_leaves_no_vector_in_any_space(kb: recant.KnowledgeBase, models: dict, folder: Path) -> None:
    """What other models made of it goes, too."""
    kb.reembedding.switch(str(models["good"]), BOB)
    kb.storage.erase(str(folder / "tea.md"), replace(BOB, message="asked to"))
    with kb.database.transaction() as connection:
        rows = connection.execute("SELECT space_id, count(*) AS n FROM embedding GROUP BY 1 ORDER BY 1").fetchall()
    assert [row["n"] for row in rows] == [3, 3]


def test_what_nobody_could_search_by_is_refused(kb: recant.KnowledgeBase, models: dict, tmp_path: Path) -> None:
    """A model that isn't listed; the one in use; a session; a drop or a soak that makes no sense; a comparison before the build."""
    unlisted = shorter_model(tmp_path / "more", dimensions=16, layers=2)
    kb.reembedding.build(str(unlisted))
    with pytest.raises(ConfigurationError, match="RECANT_MODELS"):
        kb.reembedding.switch(str(unlisted), BOB)
    for refused in (
        lambda: kb.reembedding.build("all-MiniLM-L6-v2"),
        lambda: kb.reembedding.settle(BOB),
        lambda: kb.reembedding.compare("minilm-6-128", QUERIES),
        lambda: kb.reembedding.switch("minilm-6-128", replace(BOB, session="s")),
        lambda: kb.reembedding.switch("minilm-6-128", BOB, max_drop=2),
        lambda: kb.reembedding.switch("minilm-6-128", BOB, soak=timedelta(days=-1)),
    ):
        with pytest.raises(UsageError):
            refused()


def test_an_installation_that_lacks_the_model_says_so(kb: recant.KnowledgeBase, models: dict, folder: Path) -> None:
    """It neither searches nor ingests by another; where only the model before is lacking, the soak stands in the way."""
    kb.reembedding.switch(str(models["good"]), BOB)
    with recant.connect(settings=replace(kb.settings, models=())) as other:
        with pytest.raises(ConfigurationError, match="RECANT_MODELS"):
            other.search("tea")
        with pytest.raises(ConfigurationError, match="holds vectors of minilm-6-128"):
            other.ingest([str(folder)])
        assert other.search("tea", mode="keyword").hits
    (folder / "rain.md").write_text("# Rain\n\nIt rains in April.\n")
    with recant.connect(settings=replace(kb.settings, model=str(models["good"]), models=())) as other:
        with pytest.raises(ConfigurationError, match="recant reembed settle"):
            other.ingest([str(folder)])
        other.reembedding.settle(BOB)
        assert other.ingest([str(folder)]).documents == 1


def test_a_run_that_is_tried_again_changes_over_once(kb: recant.KnowledgeBase, models: dict) -> None:
    """The second attempt of a run gets the first one's answer; somebody else is told that there is nothing to do."""
    run = replace(BOB, run_id="manual__1")
    first = kb.reembedding.switch(str(models["good"]), run)
    assert kb.reembedding.switch(str(models["good"]), run) == replace(first)
    with pytest.raises(UsageError, match="already"):
        kb.reembedding.switch(str(models["good"]), BOB)


def test_two_who_change_over_at_once(kb: recant.KnowledgeBase, models: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one to publish is refused: it saw another model in use."""
    reembedding = kb.reembedding
    publish = reembedding._publish

    def overtaken(operation_id: int, filler: object) -> int:
        monkeypatch.setattr(reembedding, "_publish", publish)
        reembedding.switch(str(models["poor"]), Attribution("carol"))
        return publish(operation_id, filler)

    monkeypatch.setattr(reembedding, "_publish", overtaken)
    with pytest.raises(WriteConflict):
        reembedding.switch(str(models["good"]), BOB)
    assert [space.model for space in reembedding.status() if space.state == "in use"] == ["minilm-1-4"]


def test_files_hold_the_vectors_of_their_position(kb: recant.KnowledgeBase, models: dict, tmp_path: Path) -> None:
    """Archives and exports, now and as of before."""
    before = kb.position()
    kb.reembedding.switch(str(models["good"]), BOB)
    for position, length, model in (
        (before, 384, "sentence-transformers/all-MiniLM-L6-v2"),
        (None, 128, "minilm-6-128"),
    ):
        path = tmp_path / f"{length}.h5"
        kb.archives.create(path, BOB, at=position)
        with h5py.File(path) as file:
            assert (file["vectors/vector"].shape[1], file.attrs["model"]) == (length, model)
        place = tmp_path / f"export-{length}"
        given = {"tables": ("chunks",), "format": "parquet", "vectors": True, "as_of": position}
        kb.exports.write(ExportRequest(str(place), **given), BOB)
        (chunks,) = place.glob("**/chunks*.parquet")
        assert {len(row) for row in parquet.read_table(chunks)["vector"].to_pylist()} == {length}


def test_lineage_tells_of_the_change_over(kb: recant.KnowledgeBase, models: dict) -> None:
    """An event of each operation has the length of its time; the change-over says what the vectors are made from."""
    done = kb.reembedding.switch(str(models["good"]), BOB)
    kb.rollback(Selector(operations=(done.operation_id,)))
    events = [json.loads(line) for line in kb.deliveries.export()]
    complete = [event for event in events if event["eventType"] == "COMPLETE"]
    vectors = [event["outputs"][0]["facets"]["schema"]["fields"][-1]["type"] for event in complete]
    assert vectors == ["halfvec(384)", "halfvec(128)", "halfvec(384)"]
    facets = complete[1]["outputs"][0]["facets"]
    assert [f["field"] for f in facets["columnLineage"]["fields"]["vector"]["inputFields"]] == [
        "parent_headers",
        "text",
    ]
    assert facets["lifecycleStateChange"]["lifecycleStateChange"] == "ALTER"
