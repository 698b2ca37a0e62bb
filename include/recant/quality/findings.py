"""What no row says by itself: which texts were there before, in which language they are, where vectors and rejects go.

Offers `Gathering` (read texts once, in pages, and keep some 300 bytes of each) and `Findings` (the columns that come of it,
and the summary's row). Texts and vectors are read here and dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recant.json_types import JSON
from recant.quality.drift import LEAST_SAMPLE, SAMPLE, drift
from recant.quality.frame import SUMMARY_COLUMNS
from recant.quality.near_duplicates import LEAST_SIMILARITY, near_duplicates, signatures
from recant.quality.suite import BadSuite, Suite
from recant.quality.texts import known_languages, language_of, languages_among, mojibake_share
from recant.store import Connection, Database, Row, load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

TEXT_COLUMNS = frozenset({"duplicate_of", "near_duplicate_of", "language", "in_language", "mojibake_share"})
PROBES = 4_000
_SQL = load(__package__, "findings.sql")


@dataclass(frozen=True, slots=True)
class Findings:
    """Columns by chunk, and one row about all of them."""

    summary: Mapping[str, JSON] = field(default_factory=dict)
    """SUMMARY_COLUMNS; None for what can't be told."""
    languages: frozenset[str] = frozenset()
    """The collection's."""
    _places: Mapping[int, int] = field(default_factory=dict)
    _columns: Mapping[str, Any] = field(default_factory=dict)

    def complete(self, rows: Iterable[Row]) -> None:
        """Adds its columns to rows of chunks. One that wasn't there when texts were read is left as it is."""
        for row in rows:
            place = self._places.get(row["chunk_id"])
            if place is not None:
                row.update({name: _plain(values[place]) for name, values in self._columns.items()})


class Gathering:
    """Takes texts in pages, in the order that decides which of two equal ones was there before."""

    def __init__(self, database: Database, suite: Suite) -> None:
        self.database = database
        self.wanted = suite.columns & TEXT_COLUMNS
        self.least, self.given_languages = least_similarity(suite), given_languages(suite)
        self._ids: list[int] = []
        self._hashes: list[int] = []
        self._minima: list[Any] = []
        self._languages: list[str | None] = []
        self._damage: list[float] = []

    def add(self, versions: Sequence[int]) -> None:
        """The chunks of these document versions."""
        if not self.wanted:
            return
        with self.database.snapshot() as connection:
            rows = connection.execute(_SQL["texts_of_versions"], {"versions": list(versions)}).fetchall()
        self._ids += [row["chunk_id"] for row in rows]
        self._hashes += [row["text_hash"] for row in rows]
        texts = [row["text"] for row in rows]
        if "near_duplicate_of" in self.wanted:
            self._minima.append(signatures(texts))
        if self.wanted & {"language", "in_language"}:
            self._languages += [language_of(row["text"], row["chunk_type"]) for row in rows]
        if "mojibake_share" in self.wanted:
            self._damage += [mojibake_share(text) for text in texts]

    def findings(self, summary: Mapping[str, JSON], languages: frozenset[str] | None = None) -> Findings:
        """What came of it. `languages`: the collection's, where they aren't told from these very texts."""
        columns: dict[str, Any] = {}
        if languages is None:
            languages = languages_among(Counter(one for one in self._languages if one))
        languages = self.given_languages or languages
        if self._ids and self.wanted & {"duplicate_of", "near_duplicate_of"}:
            columns |= self._repeated()
        if self._languages:
            columns["language"] = self._languages
            columns["in_language"] = [_within(one, languages) for one in self._languages]
        if self._damage:
            columns["mojibake_share"] = self._damage
        places = {chunk_id: place for place, chunk_id in enumerate(self._ids)}
        return Findings(summary, languages, places, columns)

    def _repeated(self) -> dict[str, Any]:
        import numpy as np

        ids, hashes = np.asarray(self._ids), np.asarray(self._hashes)
        _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
        earliest = first[which]
        own = np.arange(len(ids))
        columns: dict[str, Any] = {"duplicate_of": np.where(earliest == own, -1, ids[earliest])}
        if self._minima:
            near = np.full(len(ids), -1)
            unique = np.flatnonzero(earliest == own)
            minima = np.concatenate(self._minima)[unique]
            for other, one in near_duplicates(
                minima, lambda places: self._texts(ids[unique], places), self.least
            ).items():
                near[unique[other]] = ids[unique[one]]
            columns["near_duplicate_of"] = near
        return columns

    def _texts(self, ids: Ids, places: Sequence[int]) -> dict[int, str]:
        wanted = {int(ids[place]): place for place in places}
        with self.database.snapshot() as connection:
            rows = connection.execute(_SQL["texts_by_id"], {"chunks": list(wanted)}).fetchall()
        return {wanted[row["chunk_id"]]: row["text"] for row in rows}


def summarise(
    connection: Connection, suite: Suite, collection_id: int, *, before: Sequence[int], new: Sequence[int],
    rejects: Mapping[str, Any], seed: int,
) -> dict[str, JSON]:  # fmt: skip
    """The summary's row. `before` and `new`: document versions; `rejects`: rejected and looked_at, and the same before."""
    told: dict[str, JSON] = dict.fromkeys(SUMMARY_COLUMNS)
    told |= {"documents_before": len(before), "documents_new": len(new)}
    told |= {"rejected": rejects["rejected"], "reject_rate": _rate(rejects["rejected"], rejects["looked_at"])}
    told["reject_rate_before"] = _rate(rejects["rejected_before"], rejects["looked_at_before"])
    if suite.columns & {"drift_p_value", "drift_distance"} and min(len(before), len(new)) >= LEAST_SAMPLE:
        old, fresh = (_vectors(connection, collection_id, sampled(some, seed)) for some in (before, new))
        if found := drift(old, fresh, seed=seed):
            told |= {"drift_distance": round(found.distance, 6), "drift_p_value": round(found.p_value, 6)}
    return told


def reference(database: Database, collection_id: int, *, seed: int) -> tuple[list[int], frozenset[str]]:
    """Document versions that are seen in a collection now, at random, and the languages of their texts.

    At most PROBES records are looked at, wherever they are: of a collection that is a small part of a large database few
    or none are found.
    """
    import numpy as np

    with database.snapshot() as connection:
        bounds = connection.execute(_SQL["record_bounds"]).fetchone()
        low, high = (bounds["low"], bounds["high"]) if bounds and bounds["low"] is not None else (1, 0)
        probes = list(range(low, min(high, low + PROBES) + 1))
        if high - low > PROBES:
            probes = np.unique(np.random.default_rng(seed).integers(low, high + 1, PROBES)).tolist()
        given = {"records": probes, "collection_id": collection_id}
        versions = [row["version_id"] for row in connection.execute(_SQL["seen_among"], given)]
        rows = connection.execute(_SQL["one_text_each"], {"versions": sampled(versions, seed)}).fetchall()
    told = Counter(language for row in rows if (language := language_of(row["text"], row["chunk_type"])))
    return versions, languages_among(told)


def sampled(versions: Sequence[int], seed: int) -> list[int]:
    """So many as are compared, at random; the same for the same seed."""
    import numpy as np

    if len(versions) <= SAMPLE:
        return list(versions)
    chosen = np.random.default_rng(seed).choice(np.asarray(sorted(versions)), SAMPLE, replace=False)
    return [int(version) for version in chosen]


def _vectors(connection: Connection, collection_id: int, versions: Sequence[int]) -> NDArray[np.float32]:
    import numpy as np

    given = {"versions": list(versions), "collection_id": collection_id}
    rows = connection.execute(_SQL["one_vector_each"], given).fetchall()
    return np.asarray([row["vector"].to_numpy() for row in rows], np.float32)


def _rate(rejected: int, looked_at: int) -> float | None:
    return round(rejected / looked_at, 6) if looked_at else None


def _within(language: str | None, languages: frozenset[str]) -> float | None:
    return None if language is None or not languages else float(language in languages)


def _plain(value: Any) -> Any:
    """Of the arrays of ids -1 stands for none."""
    if value is None or isinstance(value, (str, float)):
        return value
    return int(value) if value >= 0 else None


def least_similarity(suite: Suite) -> float:
    """From which similarity on a text is nearly another. Raises BadSuite."""
    least = suite.parameter("near_duplicate_similarity")
    if not isinstance(least, (int, float)) or not LEAST_SIMILARITY <= least <= 1:
        raise BadSuite(f"{suite.name}: near_duplicate_similarity must be from {LEAST_SIMILARITY} to 1, not {least!r}.")
    return float(least)


def given_languages(suite: Suite) -> frozenset[str]:
    """The languages that the suite names; none: they are told from texts. Raises BadSuite."""
    given = suite.parameter("languages")
    if not isinstance(given, list):
        raise BadSuite(f"{suite.name}: languages must be a list of ISO 639-1 codes, not {given!r}.")
    unknown = sorted({str(code) for code in given} - known_languages()) if given else []
    if unknown:
        raise BadSuite(f"{suite.name}: {unknown[0]} is no language that can be told: en, de, fr and 94 others can.")
    return frozenset(map(str, given))


def recent_days(suite: Suite) -> float:
    """How new is new. Raises BadSuite."""
    days = suite.parameter("recent_days")
    if isinstance(days, bool) or not isinstance(days, (int, float)) or not 0 < days <= 3650:
        raise BadSuite(f"{suite.name}: recent_days must be above 0 and at most 3650, not {days!r}.")
    return float(days)
