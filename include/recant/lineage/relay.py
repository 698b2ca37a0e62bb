"""The relay: a process that delivers the outbox's events to every destination, at least once and in order.

A thread a destination, and more to send where it takes several connections, so that a slow or dead one delays no
other. One relay a database: a second waits until the first has gone. Kept out: when an event is due (the database),
what it says (`events`), how it is sent (`destinations`).

Run as `python -m recant.lineage.relay [--dsn-file PATH]`; the database is RECANT_DSN unless a file names it.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

from recant.errors import ConfigurationError, RecantError, SchemaOutdated
from recant.lineage.courier import POLL_SECONDS, Courier, one_line
from recant.lineage.destinations import Destination, FileDestination, MarquezDestination
from recant.lineage.outbox import attach_destination, detach_destinations, pause_seconds, take_the_relays_lock
from recant.settings import Settings, read_settings
from recant.store import Connection, Database, load

log = logging.getLogger("recant.lineage")

NEWS_TIMEOUT_SECONDS = 0.25
GATHERING_SECONDS = 0.1
"""From news until anything is done about it: a short write is over then, and tells its start and its end together."""
SECOND_RELAY_SECONDS = 1.0
FAREWELL_SECONDS = 0.5
OWN_MARQUEZ = "the installation's own"
"""Its identity: its port may be another one tomorrow, and it still has what it was given."""


def destinations_of(settings: Settings) -> list[Destination]:
    """The file under the installation's home and, where MARQUEZ_URL is set, Marquez."""
    found: list[Destination] = [FileDestination(settings.home / "lineage" / "events.ndjson")]
    if settings.marquez_url:
        own = OWN_MARQUEZ if settings.marquez_jar else None
        found.append(MarquezDestination(settings.marquez_url, identity=own))
    return found


class Relay:
    """All couriers of one installation, and the lock that makes them the only ones."""

    def __init__(
        self, database: Database, settings: Settings, destinations: Sequence[Destination] | None = None
    ) -> None:
        self._database = database
        self._destinations = destinations_of(settings) if destinations is None else destinations
        self._namespace = settings.lineage_namespace
        self._stopped = False

    def stop(self) -> None:
        """Ask `run` to end. Safe in a signal handler (no lock is taken) and from any thread."""
        self._stopped = True

    def run(self) -> None:
        """Deliver until `stop`, waiting out a database that is away or not migrated yet.

        Raises AuthenticationFailed or ConfigurationError when waiting wouldn't help.
        """
        failures = 0
        told = ""
        while not self._stopped:
            started = monotonic()
            try:
                with self._database.connection() as connection:
                    self._serve(connection)
            except Exception as error:  # whatever a restart of the server looks like from here
                if isinstance(error, ConfigurationError) and not isinstance(error, SchemaOutdated):
                    raise
                if monotonic() - started > 2 * POLL_SECONDS:
                    failures, told = 0, ""
                if told != (told := one_line(error)):
                    log.warning("waiting for the database: %s", told)
                self._rest(min(pause_seconds(failures), POLL_SECONDS))
                failures += 1

    def _serve(self, connection: Connection) -> None:
        """One life of the connection that holds the lock. When it breaks the couriers stop: another relay may start."""
        while not take_the_relays_lock(connection):
            self._rest(SECOND_RELAY_SECONDS)
            if self._stopped:
                return
        connection.execute(load(__package__, "lineage.sql")["listen"])
        halt = Event()
        couriers = _couriers(self._database, self._destinations, self._namespace, halt)
        detach_destinations(self._database, [courier.outbox.destination for courier in couriers])
        threads = [Thread(target=courier.run, name=courier.outbox.destination, daemon=True) for courier in couriers]
        for thread in threads:
            thread.start()
        log.info("delivering to %s", ", ".join(thread.name for thread in threads))
        try:
            self._pass_on_news(connection, couriers)
        finally:
            halt.set()
            _dismiss(couriers, threads)

    def _pass_on_news(self, connection: Connection, couriers: Sequence[Courier]) -> None:
        while not self._stopped:
            if list(connection.notifies(timeout=NEWS_TIMEOUT_SECONDS, stop_after=1)):
                self._rest(GATHERING_SECONDS)
                for courier in couriers:
                    courier.wake.set()

    def _rest(self, seconds: float) -> None:
        end = monotonic() + seconds
        while not self._stopped and (left := end - monotonic()) > 0:
            sleep(min(left, 0.1))


def deliver_pending(
    database: Database, settings: Settings, destinations: Sequence[Destination] | None = None
) -> dict[str, int]:
    """One pass over everything that is due, in this process. Returns the events delivered, by destination.

    Empty when a relay is at work on this database: then that one delivers them. Raises DatabaseUnreachable.
    """
    with ExitStack() as until_done:
        chosen = destinations
        if chosen is None:
            chosen = destinations_of(settings)
            for destination in chosen:
                until_done.callback(destination.close)
        if not take_the_relays_lock(until_done.enter_context(database.connection())):
            return {}
        couriers = _couriers(database, chosen, settings.lineage_namespace, Event())
        return {courier.outbox.destination: courier.deliver() for courier in couriers}


def _couriers(database: Database, destinations: Sequence[Destination], namespace: str, halt: Event) -> list[Courier]:
    """One a destination, which is known from now on."""
    return [
        Courier(
            database,
            destination,
            namespace,
            halt,
            known_as=attach_destination(database, destination.name, destination.identity),
        )
        for destination in destinations
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The process. Ends with 0 on SIGTERM or SIGINT, with a RecantError's exit code when it can't work."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = read_settings()
        with Database(_dsn(arguments, settings)) as database:
            relay = Relay(database, settings)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: relay.stop())
            relay.run()
    except (RecantError, ValueError) as error:
        log.error("%s", error)
        return error.exit_code if isinstance(error, RecantError) else ConfigurationError.exit_code
    return 0


def _dsn(arguments: Sequence[str] | None, settings: Settings) -> str:
    parser = argparse.ArgumentParser(prog="python -m recant.lineage.relay", description="Delivers lineage events.")
    parser.add_argument("--dsn-file", type=Path, help="a file that holds the database's DSN (default: RECANT_DSN)")
    path: Path | None = parser.parse_args(arguments).dsn_file
    if path is None:
        if settings.dsn is None:
            raise ConfigurationError("No database is named: set RECANT_DSN, or give --dsn-file.")
        return settings.dsn
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from error


def _dismiss(couriers: Sequence[Courier], threads: Sequence[Thread]) -> None:
    """Wait a moment for what is being sent; a courier that waits for a slow answer ends with the process."""
    for courier in couriers:
        courier.wake.set()
    deadline = monotonic() + FAREWELL_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))


if __name__ == "__main__":
    sys.exit(main())
