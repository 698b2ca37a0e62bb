"""monitor_health: what is measured is kept, and people are told of what is new."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import structlog

pytestmark = pytest.mark.airflow
RULES = """alerts:
  disk_nearly_full: {enabled: false}
  connections_nearly_all: {enabled: false}
  empty: {metric: recant_log_position, below: 1, severity: critical, summary: "nothing {{ here }} <yet>"}
"""


class _Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as a client needs to hand in one message."""

    def handle(self) -> None:
        self._say("220 mailbox")
        while line := self.rfile.readline().decode().strip():
            word = line[:4].upper()
            if word == "DATA":
                self._say("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
                self.server.messages.append(message)  # type: ignore[attr-defined]
            self._say("221 bye" if word == "QUIT" else "250 mailbox")
            if word == "QUIT":
                return

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class _Slack(BaseHTTPRequestHandler):
    """Takes chat.postMessage, as Slack's API does."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.messages.append((self.path, self.headers["Authorization"], body))  # type: ignore[attr-defined]
        answer = json.dumps({"ok": True}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serving(server: Any) -> Iterator[Any]:
    """The server in a thread, with an empty list of messages."""
    server.messages = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A mail server; Airflow's connection `smtp_default` leads to it."""
    for server in serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mailbox)):
        options = {"disable_ssl": True, "disable_tls": True, "from_email": "recant@example.org"}
        given = {"conn_type": "smtp", "host": "127.0.0.1", "port": server.server_address[1], "extra": options}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(given))
        yield server


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server that answers as Slack; Airflow's connection `slack_api_default` leads to it."""
    for server in serving(HTTPServer(("127.0.0.1", 0), _Slack)):
        base = f"http://127.0.0.1:{server.server_address[1]}/api/"
        given = {"conn_type": "slack", "password": "xoxb-test", "extra": {"base_url": base}}
        monkeypatch.setenv("AIRFLOW_CONN_SLACK_API_DEFAULT", json.dumps(given))
        yield server


@pytest.fixture
def rules(tmp_path: Path) -> str:
    """A threshold that an empty database is past."""
    path = tmp_path / "rules.yml"
    path.write_text(RULES)
    return str(path)


@pytest.fixture
def monitor(run_dag):
    """Runs the DAG. Without its deadline: `dag.test` stores that as a definition where a run looks for its id."""
    return lambda conf: run_dag("monitor_health", conf, lambda dag: setattr(dag, "deadline", None))


def test_people_are_told_once(monitor, kb, mailbox, slack, rules, monkeypatch):
    """By e-mail and in Slack, when an alert begins to fire; not again while it fires; and when it is over."""
    conf = {"rules": rules, "emails": ["ops@example.org", ""], "slack_channel": "#ops"}
    run = monitor(conf)
    assert run.state == "success"
    assert run.xcom("tell") == ["SmtpNotifier", "SlackNotifier"]
    (message,) = mailbox.messages
    assert (message["Subject"], message["To"]) == ("Recant: 1 firing", "ops@example.org")
    body = message.get_body(("html",)).get_content()
    assert "nothing {{ here }} &lt;yet&gt;" in body
    ((path, token, sent),) = slack.messages
    assert (path, token) == ("/api/chat.postMessage", "Bearer xoxb-test")
    assert "FIRING" in sent
    assert monitor(conf).state_of("tell") == "skipped"
    Path(rules).write_text(RULES.replace("below: 1", "below: 0"))
    monkeypatch.setenv("AIRFLOW_VAR_RECANT_ALERT_EMAILS", "a@example.org, b@example.org")
    over = monitor({"rules": rules})
    assert over.xcom("tell") == ["SmtpNotifier"]
    assert mailbox.messages[-1]["Subject"] == "Recant: 1 resolved"
    assert "a@example.org" in mailbox.messages[-1]["To"]
    assert [a.state for a in kb.health.alerts(include_resolved=True)] == ["resolved"]


def test_a_way_that_fails_is_tried_again_and_holds_up_no_other(monitor, installation, mailbox, rules, monkeypatch):
    """Slack isn't there: the task fails after its retries, the e-mails went out."""
    given = {"conn_type": "slack", "password": "x", "extra": {"base_url": "http://127.0.0.1:1/api/"}}
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_API_DEFAULT", json.dumps(given))
    conf = {"rules": rules, "emails": ["ops@example.org"], "slack_channel": "#ops"}
    run = monitor(conf)
    assert (run.state, run.state_of("check_health"), run.state_of("tell")) == ("failed", "success", "failed")
    assert len(mailbox.messages) >= 1


def test_nobody_named_is_no_failure(monitor, installation, rules):
    """Then the alert is in the log and in the table; bad rules fail at once."""
    run = monitor({"rules": rules, "window_minutes": 5, "keep_days": 1})
    assert (run.state, run.xcom("tell")) == ("success", [])
    assert [a["rule"] for a in run.xcom("check_health")["firing"]] == ["empty"]
    Path(rules).write_text("alerts: [")
    failed = monitor({"rules": rules})
    assert (failed.state, failed.tries["check_health", -1]) == ("failed", 1)


def test_a_run_that_is_late_is_told_of(known_dags, installation, mailbox, monkeypatch):
    """The deadline is stored with the DAG, and what it calls sends the notice."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.deadline_alert import DeadlineAlert
    from airflow.sdk.execution_time.callback_supervisor import execute_callback
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        stored = [alert for alert in session.scalars(select(DeadlineAlert)) if alert.name == "ended within ten minutes"]
    assert stored
    dag = DagBag(Path(__file__).resolve().parents[2] / "dags" / "monitor_health.py").dags["monitor_health"]
    (alert,) = dag.deadline
    monkeypatch.setenv("AIRFLOW_VAR_RECANT_ALERT_EMAILS", "ops@example.org")

    def call(given: dict[str, Any]) -> tuple[bool, str | None]:
        return execute_callback(alert.callback.path, given, Path("monitor_health.py"), None, structlog.get_logger())

    given = {"context": {"dag_run": {"dag_id": "monitor_health", "dag_run_id": "scheduled__1"}}}
    assert call(given)[0]
    assert mailbox.messages[0]["Subject"] == "Recant: monitor_health scheduled__1 is late"
    options = {"disable_ssl": True, "disable_tls": True, "from_email": "recant@example.org"}
    nobody = {"conn_type": "smtp", "host": "127.0.0.1", "port": 1, "extra": options}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(nobody))
    done, why = call({})
    assert not done
    assert "SmtpNotifier" in str(why)


@pytest.mark.parametrize("dag_id", ["monitor_health", "audit_knowledge"])
def test_airflow_itself_tells_of_a_run_past_its_deadline(dag_id, known_dags, installation, api, mailbox, monkeypatch):
    """A triggered run has a deadline; what Airflow puts down for its callback when it has passed sends the notice."""
    from datetime import timedelta

    from airflow.models import DagRun, Deadline
    from airflow.sdk.execution_time.callback_supervisor import execute_callback
    from airflow.utils.session import create_session
    from sqlalchemy import select

    monkeypatch.setenv("AIRFLOW_VAR_RECANT_ALERT_EMAILS", "ops@example.org")
    answer = api.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None})
    run_id = answer.json()["dag_run_id"]
    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        (deadline,) = session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id))
        assert timedelta(minutes=9) < deadline.deadline_time - run.queued_at < timedelta(minutes=61)
        deadline.handle_miss(session)
        called = dict(deadline.callback.data)
    done, why = execute_callback(called["path"], called["kwargs"], Path(f"{dag_id}.py"), None, structlog.get_logger())
    assert (done, why) == (True, None)
    assert mailbox.messages[0]["Subject"] == f"Recant: {dag_id} {run_id} is late"
