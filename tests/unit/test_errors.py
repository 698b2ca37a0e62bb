"""The exception tree tells who may try again, and what the command line ends with."""

from __future__ import annotations

import inspect

from recant import errors


def every_error() -> list[type[errors.RecantError]]:
    return [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.RecantError)]


def test_every_error_says_whether_trying_again_can_help():
    """Each but the root is either transient or terminal, never both."""
    for kind in every_error():
        if kind is not errors.RecantError:
            assert issubclass(kind, errors.TransientError) != issubclass(kind, errors.TerminalError), kind


def test_exit_codes_mean_something():
    """1 refused or conflict, 2 usage, 3 not reachable."""
    assert errors.WriteConflict("x").exit_code == errors.GateFailed("x").exit_code == 1
    assert errors.UnknownCollection("x").exit_code == errors.EmptySelector("x").exit_code == 2
    assert errors.DatabaseUnreachable("x").exit_code == errors.AuthenticationFailed("x").exit_code == 3


def test_details_are_kept():
    """What the caller needs to react is data, not text."""
    assert errors.WriteConflict("x", expected=1, actual=2).details == {"expected": 1, "actual": 2}


def test_the_tree_at_the_top_of_the_file_is_complete():
    """Every class is drawn there."""
    drawn = errors.__doc__ or ""
    assert [c.__name__ for c in every_error() if c.__name__ not in drawn] == []
