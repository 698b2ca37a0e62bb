"""Checking that what is stored agrees with its own log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recant_airflow.operators.base import KnowledgeBaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase


class KnowledgeBaseVerifyOperator(KnowledgeBaseOperator):
    """Replays the log and compares it with what is seen; the checks are a table in the task's log.

    Gives a summary: ok, position, digest, records by kind, and `failed`, the names of the checks that don't hold. Where
    there are any, the task fails at once; the summary is there all the same.
    """

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Verifies; raises VerificationFailed."""
        from recant.errors import VerificationFailed
        from recant.rollback.rendering import table

        report = kb.verify()
        rows = [("ok" if check.ok else "FAILED", check.name, check.detail) for check in report.checks]
        for line in table(("state", "check", "found"), rows).splitlines():
            self.log.info("%s", line)
        failed = [check.name for check in report.checks if not check.ok]
        summary = {"ok": report.ok, "position": report.position, "digest": report.digest, "records": report.records}
        summary["failed"] = failed
        if not report.ok:
            context["ti"].xcom_push(key="return_value", value=summary)
            raise VerificationFailed(
                f"At position {report.position}, what is stored contradicts its own log: {', '.join(failed)}. The table in "
                "this log says where, and so does `recant verify`. Don't write before the cause is known."
            )
        return summary
