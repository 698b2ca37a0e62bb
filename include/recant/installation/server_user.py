"""The operating-system user that PostgreSQL runs as, and what that user must be able to reach.

PostgreSQL refuses to run as root, so root starts it as a system user of its own. An ordinary user starts it as himself,
and nothing here does anything.
"""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recant.errors import ConfigurationError

SERVER_USER = "pgserver"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Who the server's processes belong to; `identity` is None when that is ourselves."""

    identity: tuple[int, int] | None

    def popen_arguments(self) -> dict[str, Any]:
        """What `subprocess` needs to run a program as this user."""
        if self.identity is None:
            return {}
        return {"user": self.identity[0], "group": self.identity[1], "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give the path to this user."""
        if self.identity is not None:
            os.chown(path, *self.identity)

    def reach(self, folders: Iterable[Path], contents: Iterable[Path] = ()) -> None:
        """Let this user pass through the folders' ancestors, and read what lies under `contents`.

        Only execute (traverse) permission is added to ancestors: nobody can list or read more than before.
        """
        if self.identity is None:
            return
        opened = [str(path) for folder in folders for path in _closed_ancestors(folder)]
        opened += [str(path) for folder in contents for path in _make_readable(folder)]
        if opened:
            shown = ", ".join(opened[:3]) + (f" and {len(opened) - 3} more" if len(opened) > 3 else "")
            log.warning("Let the operating-system user %d of PostgreSQL pass: %s", self.identity[0], shown)


def server_user(data_dir: Path) -> ServerUser:
    """Ourselves; as root the owner of an existing data directory, or the system user `pgserver`, made when missing."""
    if os.geteuid() != 0:
        return ServerUser(None)
    if data_dir.exists() and (owner := data_dir.stat()).st_uid != 0:
        return ServerUser((owner.st_uid, owner.st_gid))
    entry = _entry() or _create()
    return ServerUser((entry.pw_uid, entry.pw_gid))


def _entry() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(SERVER_USER)
    except KeyError:
        return None


def _create() -> pwd.struct_passwd:
    useradd = shutil.which("useradd") or shutil.which("useradd", path="/usr/sbin:/sbin")
    said = "useradd is not installed"
    if useradd:
        command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVER_USER]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = done.stderr.strip()
    entry = _entry()
    if entry is None:
        raise ConfigurationError(
            f"PostgreSQL can't run as root, and the user {SERVER_USER!r} could not be made ({said}): "
            f"make it by hand (useradd --system {SERVER_USER}) or run as an ordinary user"
        )
    log.warning("Made the operating-system user %r: PostgreSQL refuses to run as root", SERVER_USER)
    return entry


def _closed_ancestors(folder: Path) -> list[Path]:
    closed = [p for p in [folder.resolve(), *folder.resolve().parents] if not p.stat().st_mode & stat.S_IXOTH]
    for path in closed:
        path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IXOTH)
    return closed


def _make_readable(folder: Path) -> list[Path]:
    opened = []
    for path in [folder, *folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)
            opened.append(path)
    return opened
