"""Measuring how the knowledge base is doing, and telling people when a threshold is passed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from recant_airflow.notices import alert_notice, notifiers, tell
from recant_airflow.operators.base import KnowledgeBaseOperator

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Context

    from recant.knowledge_base import KnowledgeBase


class KnowledgeBaseHealthOperator(KnowledgeBaseOperator):
    """Measures, keeps the sample in the history, and holds it against the thresholds.

    Gives the report: taken_at, metrics (values by series), and the alerts that are firing, pending, fired (new) and resolved.

    :param rules: file of thresholds on the worker; None: `alerts.yml` in RECANT_HOME, if it is there.
    :param window_minutes: what rates and latencies are over.
    :param keep_days: how long the history is kept.
    """

    template_fields: Sequence[str] = ("rules", "window_minutes", "keep_days")

    def __init__(
        self, *, rules: str | None = None, window_minutes: int = 60, keep_days: int = 30, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rules = rules
        self.window_minutes = window_minutes
        self.keep_days = keep_days

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """One check."""
        report = kb.health.check(
            rules=self.rules or None, window_seconds=self.window_minutes * 60, keep_days=self.keep_days
        )
        for alert in report.firing:
            self.log.warning("%s: %s (%s = %g)", alert.rule, alert.summary, alert.series, alert.value)
        return report.to_dict()


class KnowledgeBaseNotifyOperator(BaseOperator):
    """Tells people of the alerts that began to fire, or were resolved, with a check. Skipped where there is none.

    A way that fails fails the task, after the others were tried; a retry sends to all of them again.

    :param report: what KnowledgeBaseHealthOperator gave.
    :param emails: addresses; None: those of the Airflow Variable `recant_alert_emails`.
    :param slack_channel: None: that of the Airflow Variable `recant_alert_slack_channel`.
    :param others: further notifiers; their templates may print recant_subject, recant_text and recant_html.
    """

    template_fields: Sequence[str] = ("report", "emails", "slack_channel")

    def __init__(
        self,
        *,
        report: Any,
        emails: Any = None,
        slack_channel: str | None = None,
        others: Sequence[BaseNotifier] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.report = report
        self.emails = emails
        self.slack_channel = slack_channel
        self.others = others

    def execute(self, context: Context) -> list[str]:
        """Sends; gives the names of the ways that it went."""
        notice = alert_notice(self.report)
        if notice is None:
            raise AirflowSkipException("No alert began to fire or was resolved.")
        ways = [*notifiers(self.emails, self.slack_channel), *self.others]
        for line in notice.lines:
            self.log.warning("%s", line)
        if failed := tell(notice, ways, context):
            raise AirflowException("; ".join(failed))
        return [type(way).__name__ for way in ways]
