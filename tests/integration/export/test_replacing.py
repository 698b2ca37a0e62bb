"""An export takes the place of an earlier one in one step, whatever interrupts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recant.errors import Refused, UsageError
from recant.export import ExportRequest, verify_manifest
from recant.export import folder as folders


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def left_behind(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path != target)


WRITER = """
import os, sys
from dataclasses import replace
import recant
from recant.export import ExportRequest
from recant.settings import read_settings

settings = replace(read_settings({"RECANT_AGENT": "killed"}), home=sys.argv[3], dsn=sys.argv[1])

def stop(table, rows):
    print("writing", flush=True)
    sys.stdin.readline()

with recant.connect(settings=settings) as kb:
    kb.exports.write(ExportRequest(sys.argv[2], ("chunks",), "library", rows_per_file=1), kb.attribution(), progress=stop)
"""


def test_a_killed_export_leaves_the_old_one_whole_and_the_next_one_tidies_up(
    kb, library, export, target, database, tmp_path
):
    """Killed with no warning between two files: the folder is the old one to the last byte, nothing is published."""
    library.publish({"a": "one", "b": "two"})
    export()
    before, position = content(target), kb.position()
    arguments = [sys.executable, "-c", WRITER, database, str(target), str(tmp_path / "home")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "writing\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert content(target) == before
    assert (kb.position(), len(left_behind(target))) == (position, 1)
    assert [e.state for e in kb.exports.find()] == ["current"]
    export()
    assert left_behind(target) == []
    assert verify_manifest(target).ok


LIMITED = """
import resource, signal, sys
from dataclasses import replace
import recant
from recant.errors import OutOfSpace
from recant.export import ExportRequest
from recant.settings import read_settings

settings = replace(read_settings({"RECANT_AGENT": "limited"}), home=sys.argv[3], dsn=sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with recant.connect(settings=settings) as kb:
    try:
        kb.exports.write(ExportRequest(sys.argv[2], ("chunks",), "library", format=sys.argv[4]), kb.attribution())
    except OutOfSpace as error:
        print(error)
"""


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_a_full_disk_is_said_and_leaves_the_old_one_whole(kb, library, export, target, database, tmp_path, format):
    """A file may not grow beyond what fits: the export is aborted in the log, and nothing of it stays on the disk."""
    library.publish({"a": "one"})
    export()
    before = content(target)
    library.publish({"b": os.urandom(150_000).hex()})
    arguments = [sys.executable, "-c", LIMITED, database, str(target), str(tmp_path / "home"), format]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert "no room for the export" in ended.stdout
    assert (content(target), left_behind(target)) == (before, [])
    last = kb.operations.find(limit=1)[0]
    assert (last.kind, last.agent, last.state) == ("export", "limited", "aborted")


def test_readers_see_all_of_the_old_or_all_of_the_new(library, export, target):
    """While it is replaced again and again, every look at the folder finds a manifest and the files it names."""
    library.publish({"a": "one"})
    export()
    over, looks, missing = threading.Event(), 0, []

    def look() -> None:
        nonlocal looks
        while not over.is_set():
            held = os.open(target, os.O_RDONLY)
            names = set(os.listdir(held))
            os.close(held)
            looks += 1
            if names and not {"manifest.json", "chunks.csv", "documents.csv"} <= names:
                missing.append(names)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(5):
        export()
    over.set()
    reader.join()
    assert looks > 0
    assert not [names for names in missing if "manifest.json" in names]


def test_of_several_at_once_one_stands_and_is_whole(kb, library, export, target):
    """None of them fails, and nothing is left beside it."""
    library.publish({f"{n}": f"text {n}" for n in range(20)})
    failures: list[BaseException] = []

    def attempt(rows_per_file: int) -> None:
        try:
            for _ in range(3):
                export(rows_per_file=rows_per_file)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=attempt, args=[rows]) for rows in (3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert verify_manifest(target).ok
    assert left_behind(target) == []
    assert len(kb.exports.find(all_states=True)) == 9


def test_what_is_put_there_meanwhile_is_not_touched(kb, library, target):
    """It is looked at once more right before the change, and the export is aborted."""
    library.publish({"a": "one"})

    def meanwhile(table: str, rows: int) -> None:
        target.mkdir(exist_ok=True)
        (target / "mine.txt").write_text("mine")

    with pytest.raises(Refused, match="no export"):
        kb.exports.write(ExportRequest(str(target), collection="library"), kb.attribution(), progress=meanwhile)
    assert [path.name for path in target.iterdir()] == ["mine.txt"]
    assert left_behind(target) == []


def test_where_names_cannot_be_exchanged_it_is_done_in_two_steps(library, export, target, monkeypatch):
    """And a crash between the two is mended by the next export."""
    library.publish({"a": "one"})
    export()
    monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    library.publish({"b": "two"})
    export()
    assert (target / "chunks.csv").read_bytes().count(b"\r\n") == 3
    target.rename(target.parent / f".{target.name}.previous-recant")
    export()
    assert left_behind(target) == []
    assert verify_manifest(target).ok


def test_a_folder_with_anything_else_in_it_is_not_touched(library, export, target):
    """Nor is a file: it says what stands in the way."""
    library.publish({"a": "one"})
    target.mkdir(parents=True)
    export()
    (target / "notes.txt").write_text("mine")
    with pytest.raises(Refused, match=r"notes\.txt"):
        export()
    (target / "notes.txt").unlink()
    (target / "manifest.json").unlink()
    with pytest.raises(Refused, match="no export"):
        export()
    assert (target / "chunks.csv").exists()
    with pytest.raises(Refused, match="no export"):
        export(target=str(target / "chunks.csv"))
    with pytest.raises(UsageError, match="can't be written"):
        export(target=str(target / "chunks.csv" / "below"))


def test_verify_names_what_was_changed_lost_or_added(kb, library, export, target):
    """By file; a manifest that is none is a usage error."""
    library.publish({"a": "one", "b": "two"})
    export(rows_per_file=1)
    assert kb.exports.verify(target).ok
    (target / "chunks-00001.csv").write_bytes((target / "chunks-00001.csv").read_bytes().replace(b"one", b"ONE"))
    (target / "chunks-00002.csv").unlink()
    (target / "documents-00001.csv").write_bytes(b"")
    (target / "other").write_text("")
    found = kb.exports.verify(target / "manifest.json")
    assert [problem.split(":")[0] for problem in found.problems] == [
        "documents-00001.csv",
        "chunks-00001.csv",
        "chunks-00002.csv",
        "other",
    ]
    for text in ("[]", "{", '{"recant_export": 99}'):
        (target / "manifest.json").write_text(text)
        with pytest.raises(UsageError):
            kb.exports.verify(target)
    with pytest.raises(UsageError, match="no export"):
        kb.exports.verify(target / "nowhere")


def test_other_failures_of_the_disk_pass_as_they_are(library, export, target, monkeypatch):
    """What isn't about room isn't called so."""
    library.publish({"a": "one"})
    monkeypatch.setattr(folders, "_sync", _broken)
    with pytest.raises(OSError, match="broken"):
        export()
    assert not target.exists()


def _broken(folder: Path) -> None:
    raise OSError(5, "broken")
