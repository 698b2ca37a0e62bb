"""`blast-radius`, `rollback`, `redo`, `verify`: what would be taken back, taking it back, and proof.

Setting aside without a plan (`quarantine`, `release`) and `restore` are in `recant.cli.holds`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.flags import JsonFlag
from recant.cli.output import Output
from recant.cli.pictures import Drawing
from recant.cli.plans import show_blast_radius, show_plan, show_rollback
from recant.cli.selectors import Selection
from recant.cli.services import settings
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.rollback import RollbackReport


class Policy(StrEnum):
    """What becomes of dependents that were not selected."""

    refuse = "refuse"
    safe_only = "safe_only"
    cascade = "cascade"
    force = "force"


@dataclass(frozen=True, slots=True)
class Undoing:
    """Who takes something back, and why. (`--agent` selects what is taken back.)"""

    by: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Who takes it back. Default: RECANT_AGENT, or the login name."),
    ] = None
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Why, for the log.")] = ""


POLICY_HELP = (
    "With dependents outside: change nothing (refuse), withdraw only what has none (safe_only), withdraw them too "
    "(cascade), or leave them standing (force)."
)
PolicyFlag = Annotated[Policy, typer.Option(help=POLICY_HELP)]


HopsFlag = Annotated[
    int,
    typer.Option(
        "--possible-hops", metavar="N", min=1, max=10, help="How many reads may lead from it to a possible dependent."
    ),
]


def blast_radius(selection: Selection, drawing: Drawing, possible_hops: HopsFlag = 1, json: JsonFlag = False) -> None:
    """Show what taking these operations back would touch. Changes nothing."""
    import recant

    output, selector, form = Output(json), selection.required(), drawing.form(as_json=json)
    remark(output, selection)
    with recant.connect(settings=settings()) as kb:
        radius = kb.blast_radius(selector, possible_hops=possible_hops)
    if json:
        output.document(radius.to_dict())
    elif form:
        from recant.rollback.picture import blast_radius_picture

        drawing.write(output, blast_radius_picture(radius), form)
    else:
        show_blast_radius(output, radius.to_dict())


def rollback(
    selection: Selection,
    undoing: Undoing,
    policy: PolicyFlag = Policy.refuse,
    include_possible: Annotated[
        bool,
        typer.Option(
            "--include-possible",
            help="Count those as dependents, too, whose session was only shown it before they wrote.",
        ),
    ] = False,
    possible_hops: HopsFlag = 1,
    plan: Annotated[
        str | None, typer.Option(metavar="ID", help="Apply the plan that --dry-run showed, instead of selecting anew.")
    ] = None,
    block: Annotated[
        bool,
        typer.Option(
            "--block",
            help="Remember that what is selected isn't wanted: no ingest brings it back. Not what was built on it.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Store and show the plan, and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    json: JsonFlag = False,
) -> None:
    """Take operations back, exactly: what is seen is as if they had never been."""
    import recant

    output, selector = Output(json), selection.required() if plan is None else selection.selector()
    remark(output, selection)
    if plan is not None and block:
        raise UsageError("Whether a plan blocks is part of it: make a new one with --block --dry-run.")
    if plan is not None and not selector.is_empty:
        raise UsageError("--plan says which operations: leave the other flags out.")
    if not (yes or dry_run or plan):
        _require_terminal()
    with recant.connect(settings=settings()) as kb:
        made = (
            kb.rollbacks.load_plan(plan)
            if plan
            else kb.plan_rollback(
                selector,
                policy=policy.value,
                include_possible=include_possible,
                possible_hops=possible_hops,
                block=block,
                agent=undoing.by,
            )
        )
        if dry_run:
            _print_plan(output, made.to_dict())
            return
        if not (yes or made.is_empty) and made.state == "open":
            _require_terminal()
            _confirm(made.to_dict())
            kb.rollbacks.approve(made.plan_id, by=undoing.by or kb.settings.agent)
        report = kb.rollback(plan_id=made.plan_id, agent=undoing.by, message=undoing.message)
    print_report(output, report)


def redo(
    operation: Annotated[int, typer.Argument(metavar="OP", help="The rollback.")],
    undoing: Undoing,
    policy: PolicyFlag = Policy.refuse,
    json: JsonFlag = False,
) -> None:
    """Take a rollback back: what it withdrew is seen again, where it was."""
    import recant

    with recant.connect(settings=settings()) as kb:
        report = kb.redo(operation, policy=policy.value, agent=undoing.by, message=undoing.message)
    print_report(Output(json), report)


def verify(json: JsonFlag = False) -> None:
    """Check that what is stored agrees with its own log; ends with 1 when it doesn't."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        report = kb.verify().to_dict()
    if json:
        output.document(report)
    else:
        rows = [["ok" if check["ok"] else "failed", check["name"], check["detail"]] for check in report["checks"]]
        output.table(["state", "check", "found"], rows)
        output.print(
            f"At position {report['position']:,}: " + ("all of it holds." if report["ok"] else "it does not hold.")
        )
    if not report["ok"]:
        raise typer.Exit(1)


def remark(output: Output, selection: Selection) -> None:
    """Says which times were taken as UTC."""
    for remark in selection.zoneless:
        output.note(remark)


def _require_terminal() -> None:
    if not sys.stdin.isatty():
        raise UsageError("There is no terminal to confirm on: add --yes, or --dry-run to see the plan only.")


def _confirm(plan: dict[str, Any]) -> None:
    show_plan(Output(stream=sys.stderr), plan)
    whole, records = len(plan["withdraw"]), len({r["record_id"] for r in plan["withdraw_records"]})
    parts = [(whole, "operation")] * bool(whole) + [(records, "document")] * bool(records)
    what = " and ".join(f"{count} {word}{'s' if count != 1 else ''}" for count, word in parts)
    if not typer.confirm(f"Withdraw {what}?", err=True):
        raise UsageError("Not confirmed: nothing was changed.")


def _print_plan(output: Output, plan: dict[str, Any]) -> None:
    if output.as_json:
        output.document(plan)
    else:
        show_plan(output, plan)


def print_report(output: Output, report: RollbackReport) -> None:
    """What a plan came to; ends with 1 when its certificate doesn't verify."""
    document = report.to_dict()
    if output.as_json:
        output.document(document)
    else:
        show_rollback(output, document)
    certificate = document.get("certificate")
    if certificate and not certificate.get("verified"):
        raise typer.Exit(1)
