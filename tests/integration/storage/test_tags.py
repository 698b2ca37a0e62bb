"""A tag names a position of the whole log; positions, tags and times are understood wherever a moment is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recant.errors import Refused, UsageError
from recant.storage import Storage
from tests.integration.library import Library


def test_a_tag_names_the_last_position_or_another_one(library: Library, storage: Storage) -> None:
    """Who made it, when and why is kept with it; tags are listed by position."""
    library.publish({"a": "one"})
    library.publish({"a": "two"})
    now = storage.tag("release-2", message="as shipped")
    then = storage.tag("release/1.0", at=1, by="nora")
    assert (now.position, now.created_by, now.message) == (2, "keeper", "as shipped")
    assert datetime.now(UTC) - now.created_at < timedelta(minutes=1)
    assert (then.position, then.created_by) == (1, "nora")
    assert storage.tags() == [then, now]
    assert now.to_dict()["position"] == 2


def test_the_same_tag_again_changes_nothing(library: Library, storage: Storage) -> None:
    """So a retry is harmless; for another position the name is taken."""
    library.publish({"a": "one"})
    first = storage.tag("shipped")
    assert storage.tag("shipped", at=1, by="another") == first
    with pytest.raises(Refused, match="position 1"):
        storage.tag("shipped", at=0)
    assert storage.tags() == [first]


@pytest.mark.parametrize("name", ["", "7", "41", "-1", "2h", "1d12h", "2026-11-20", "a b", "é", "x" * 101, "a\0", "_x"])
def test_a_name_that_could_be_something_else_is_refused(storage: Storage, name: str) -> None:
    """A tag can't look like a position or a time."""
    with pytest.raises(UsageError):
        storage.tag(name)


@pytest.mark.parametrize("at", [-1, 2, "99", "nosuch", True])
def test_a_position_that_is_not_in_the_log_can_not_be_tagged(library: Library, storage: Storage, at: object) -> None:
    """Nor what is no moment at all."""
    library.publish({"a": "one"})
    with pytest.raises(UsageError):
        storage.tag("somewhere", at=at)  # type: ignore[arg-type]


def test_a_tag_is_removed_by_name(library: Library, storage: Storage) -> None:
    """Removing what isn't there is an error."""
    storage.tag("empty")
    storage.untag("empty")
    assert storage.tags() == []
    for name in ("empty", "17", "\0"):
        with pytest.raises(UsageError, match="tag list"):
            storage.untag(name)


def test_a_moment_is_a_position_a_tag_or_a_time(library: Library, storage: Storage) -> None:
    """Of a time, the last position by then; digits are always a position; without a zone a time is UTC."""
    library.publish({"a": "one"})
    second = library.publish({"a": "two"})
    storage.tag("first", at=1)
    published = library.log.get(second).published_at
    assert published is not None
    before = published - timedelta(microseconds=1)
    meant = {
        2: 2, " 2 ": 2, "first": 1, published: 2, published.isoformat(): 2, before: 1, before.isoformat(): 1,
        before.astimezone(UTC).replace(tzinfo=None): 1, "2020-01-01": 0, "1w": 0, "0s": 2, "20261120": 20261120, "-1": -1,
    }  # fmt: skip
    assert {moment: library.log.position_of(moment) for moment in meant} == meant


@pytest.mark.parametrize("moment", ["", "yesterday", "First", "a\0b", None, True, 1.5])
def test_what_is_no_moment_is_a_usage_error(library: Library, storage: Storage, moment: object) -> None:
    """Saying what is understood."""
    storage.tag("first")
    with pytest.raises(UsageError):
        library.log.position_of(moment)  # type: ignore[arg-type]
