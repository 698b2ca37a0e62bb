"""Random histories with tags, erasures and reclaims on Postgres and on the reference model: the same answers, the same refusals."""

from __future__ import annotations

from copy import deepcopy

import pytest

from recant.errors import PastHorizon as DatabasePastHorizon
from recant.oplog import Attribution
from recant.oplog.positions import require_answerable
from recant.rollback import verify_log
from recant.settings import read_settings
from recant.storage import Storage
from tests.integration.library import Library
from tests.integration.rollback.test_against_the_model import RECORDS, REFUSALS, VERBS, Twins
from tests.semantics_model import ERASED, TOMB, Model, PastHorizon

REFUSALS.setdefault(PastHorizon, "PastHorizon")
STORAGE_VERBS = "erase reclaim reclaim reclaim tag untag".split()
KEEPER = Attribution("keeper", message="asked for")


class StorageTwins(Twins):
    """One history, told to both; what is destroyed is destroyed in both."""

    def __init__(self, library: Library, seed: int) -> None:
        super().__init__(library, seed)
        self.storage = Storage(library.database, read_settings({"RECANT_COLLECTION": "library"}))
        self.bases: dict[int, int] = {}
        self.tags: dict[str, int] = {}

    def step(self) -> None:
        verb = self.rng.choice([*VERBS, *STORAGE_VERBS])
        getattr(self, f"do_{verb}")()
        self.compare()
        self.compare_position(self.rng.randint(0, self.model.position))

    def do_open(self) -> None:
        super().do_open()
        self.bases[max(self.model.ops)] = self.model.position

    def do_restore(self) -> None:
        if self.rng.random() < 0.5 and self.model.position:
            position = self.rng.randint(0, self.model.position)
            self.control(
                f"restore {position}",
                lambda: self.model.restore(position),
                lambda: self.library.rollback.restore("library", position, Attribution("x")),
            )

    def do_erase(self) -> None:
        record = self.rng.choice(RECORDS)
        versions = [o.versions[record] for o in self.model.ops.values() if record in o.versions]
        if not versions or self.rng.random() < 0.6:
            return
        erasure = self.storage.erase(record, KEEPER)
        self.trace.append(f"erase {record}")
        left = [v for v in versions if v.value not in (TOMB, ERASED) and not v.reclaimed]
        assert (erasure.applied, erasure.versions) == (bool(left), len(left)), self.trace
        if erasure.applied:
            self.model.erase(record)
            self.ids[max(self.model.ops)] = erasure.operation_id

    def do_reclaim(self) -> None:
        asked = self.rng.randint(self.model.horizon, self.model.position)
        open_bases = [self.bases[n] for n in self.some("open")]
        reached = max(self.model.horizon, min([asked, *open_bases]))
        wanted = deepcopy(self.model)
        wanted.reclaim(reached)
        count = reclaimed(wanted) - reclaimed(self.model)
        self.trace.append(f"reclaim {asked}: {reached}, {count} versions")
        before = self.storage.reclaim(KEEPER, horizon=asked, dry_run=True)
        report = self.storage.reclaim(KEEPER, horizon=asked)
        assert (before.versions, before.chunks) == (report.versions, report.chunks), self.trace
        assert (report.versions, report.operation_id is not None) == (count, count > 0), self.trace
        if report.operation_id is not None:
            self.model = wanted
            assert report.horizon == reached, self.trace
            number = self.model._control("reclaim", {})
            self.ids[number] = report.operation_id

    def do_tag(self) -> None:
        position, name = self.rng.randint(0, self.model.position), f"t{len(self.trace)}"
        self.both(
            f"tag {position}",
            lambda: self.model._check_horizon(position),
            lambda: self.storage.tag(name, at=position),
        )
        if name in [tag.name for tag in self.storage.tags()]:
            self.tags[name] = position
            self.model.pins = set(self.tags.values())

    def do_untag(self) -> None:
        if self.tags:
            name = self.rng.choice(sorted(self.tags))
            self.storage.untag(name)
            self.trace.append(f"untag {self.tags.pop(name)}")
            self.model.pins = set(self.tags.values())

    def compare_position(self, position: int) -> None:
        """What was seen then, or that it is past the horizon."""
        try:
            wanted = self.model.view(position)
        except PastHorizon:
            wanted = None
        try:
            with self.library.database.transaction() as connection:
                require_answerable(connection, position)
            found = self.library.view(position)
        except DatabasePastHorizon:
            found = None
        assert found == wanted, f"{self.trace}: position {position}"


def reclaimed(model: Model) -> int:
    return sum(v.reclaimed for o in model.ops.values() for v in o.versions.values())


def loose_ends(library: Library) -> dict[str, int]:
    """Chunks of destroyed payloads, versions without theirs, and work that is left."""
    with library.database.transaction() as connection:
        row = connection.execute(
            """
            SELECT (SELECT count(*) FROM chunk JOIN version USING (version_id) WHERE payload <> 'kept') AS destroyed_chunks,
                   (SELECT count(*) FROM version v WHERE payload = 'kept' AND NOT tombstone
                    AND NOT EXISTS (SELECT FROM chunk c WHERE c.version_id = v.version_id)) AS empty_versions,
                   (SELECT count(*) FROM document_version JOIN version USING (version_id) WHERE payload = 'reclaimed') AS titles,
                   (SELECT count(*) FROM reclaim_work) AS work
            """
        ).fetchone()
    assert row is not None
    return dict(row)


@pytest.mark.parametrize("seed", range(30))
def test_random_histories_with_destruction_agree_with_the_model(library: Library, seed: int) -> None:
    """After every step what is seen now, in sessions and at a random position is the model's; the log verifies at the end."""
    twins = StorageTwins(library, seed)
    for _ in range(50):
        twins.step()
    for position in range(twins.model.position + 1):
        twins.compare_position(position)
    assert verify_log(library.database).ok
    assert set(loose_ends(library).values()) == {0}
