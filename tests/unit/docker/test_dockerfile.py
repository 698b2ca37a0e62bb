"""The Dockerfile, read line by line: what can be known of it without an engine."""

from __future__ import annotations

import fnmatch
import re

from recant.settings import PROJECT_ROOT as ROOT

TEXT = (ROOT / "Dockerfile").read_text("utf-8")
ALLOWED = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
STAGES = TEXT.split("\nFROM ")


def copied() -> list[str]:
    """What is copied from the project, stage by stage."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", TEXT, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_everything_copied_is_there_and_let_through() -> None:
    """Each exists in the project and is admitted by .dockerignore."""
    assert copied()
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in ALLOWED), source


def test_nothing_is_let_through_in_vain() -> None:
    """What .dockerignore admits is what the image gets."""
    assert sorted(ALLOWED) == sorted(set(copied()))


def test_it_runs_on_the_python_of_the_constraints() -> None:
    """The versions were tried together on that one."""
    tried = re.search(r"Python (\d\.\d+)", (ROOT / "constraints.txt").read_text("utf-8"))
    assert tried is not None
    assert f"ARG PYTHON_IMAGE=python:{tried[1]}-slim" in TEXT


def test_every_package_is_pinned() -> None:
    """Each installation is held to constraints.txt, build tools included, and no index is named."""
    installations = re.findall(r"uv pip install .+", TEXT)
    assert len(installations) == 2
    assert all("--constraints constraints.txt --build-constraints constraints.txt" in line for line in installations)
    assert "https://" not in TEXT


def test_it_does_not_run_as_root() -> None:
    """The last word on the user is a number, so that a cluster can check it; its folders belong to it."""
    users = re.findall(r"^USER (.+)$", STAGES[-1], re.MULTILINE)
    assert users == ["50000:50000"]
    assert "useradd --uid 50000 " in STAGES[-1]


def test_no_secret_is_built_in() -> None:
    """Neither as an argument of the build nor in the environment."""
    names = re.findall(r"^(?:ARG|ENV|\s+)\s*([A-Z_]+)=", TEXT, re.MULTILINE)
    assert "RECANT_HOME" in names
    assert not [name for name in names if re.search(r"PASSWORD|SECRET|_KEY|DSN", name)]


def test_the_quiet_of_an_installation_is_kept() -> None:
    """What `recant up` tells its programs about calling home, the image tells them too."""
    from recant.installation.environment import QUIET

    for name, value in QUIET.items():
        assert f"{name}={value}" in TEXT
