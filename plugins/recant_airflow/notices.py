"""Telling people: by e-mail and Slack, with the notifiers of Airflow's own providers.

To whom is said by the DAG's form, or else by the Airflow Variables `recant_alert_emails` (addresses, comma-separated) and
`recant_alert_slack_channel`; how by the Airflow connections `smtp_default` and `slack_api_default`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import Variable

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Context

EMAILS_VARIABLE = "recant_alert_emails"
SLACK_VARIABLE = "recant_alert_slack_channel"


@dataclass(frozen=True, slots=True)
class Notice:
    """A subject and lines of plain text."""

    subject: str
    lines: Sequence[str]

    @property
    def context(self) -> dict[str, str]:
        """What the notifiers' templates print. Texts go in as values, so that nothing in them is read as a template."""
        text = "\n".join([self.subject, "", *self.lines])
        items = "".join(f"<li>{html.escape(line)}</li>" for line in self.lines)
        page = f"<p>{html.escape(self.subject)}</p><ul>{items}</ul>"
        return {"recant_subject": self.subject, "recant_text": text, "recant_html": page}


def alert_notice(report: dict[str, Any]) -> Notice | None:
    """What is new in a health report; None when nothing is."""
    fired, resolved = report["fired"], report["resolved"]
    if not fired and not resolved:
        return None
    counts = [f"{len(fired)} firing"] * bool(fired) + [f"{len(resolved)} resolved"] * bool(resolved)
    lines = [f"FIRING ({a['severity']}) {_alert_line(a)}" for a in fired]
    lines += [f"RESOLVED {_alert_line(a)}" for a in resolved]
    return Notice(f"Recant: {', '.join(counts)}", lines)


def notifiers(emails: Iterable[str] | None = None, slack_channel: str | None = None) -> list[BaseNotifier]:
    """One for each way that is set up; none where neither the form nor a Variable names anybody."""
    to = [address.strip() for address in emails or _variable(EMAILS_VARIABLE).split(",") if address.strip()]
    channel = slack_channel or _variable(SLACK_VARIABLE)
    found: list[BaseNotifier] = []
    if to:
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        found.append(SmtpNotifier(to=to, subject="{{ recant_subject }}", html_content="{{ recant_html }}"))
    if channel:
        from airflow.providers.slack.notifications.slack import SlackNotifier

        found.append(SlackNotifier(channel=channel, text="{{ recant_text }}", username="Recant"))
    return found


def tell(notice: Notice, ways: Iterable[BaseNotifier], context: Context) -> list[str]:
    """Sends a notice every way; returns what went wrong, a line for each that failed. The others still get it."""
    failed = []
    for way in ways:
        try:
            way({**context, **notice.context})  # type: ignore[typeddict-item]
        except Exception as error:
            failed.append(f"{type(way).__name__}: {type(error).__name__}: {error}")
    return failed


def tell_of_missed_deadline(context: Context | None = None, **_: Any) -> None:
    """What a DAG's deadline alert calls: the run has not ended by then. Raises when nobody could be told."""
    run = (context or {}).get("dag_run")
    name = f"{_of(run, 'dag_id')} {_of(run, 'dag_run_id') or _of(run, 'run_id')}".strip()
    notice = Notice(f"Recant: {name or 'a run'} is late", ["It has not ended by its deadline; see it in Airflow."])
    if failed := tell(notice, notifiers(), context or {}):  # type: ignore[arg-type]
        raise RuntimeError("; ".join(failed))


def _of(run: Any, name: str) -> str:
    found = run.get(name) if isinstance(run, dict) else getattr(run, name, None)
    return str(found or "")


def _variable(name: str) -> str:
    return str(Variable.get(name, default="") or "")


def _alert_line(alert: dict[str, Any]) -> str:
    return f"{alert['rule']}: {alert['summary']} ({alert['series']} = {alert['value']:g}, threshold {alert['threshold']:g})"
