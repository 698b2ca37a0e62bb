"""A plan as Markdown: what stands in it, and that nobody's name can write anything else into it."""

from __future__ import annotations

from typing import Any

import pytest
from markdown_it import MarkdownIt

from recant.rollback.rendering import (
    certificate_markdown,
    code,
    dependents_markdown,
    operations_table,
    path,
    plan_document,
    plan_markdown,
    possible_table,
)

HOSTILE = "x`](http://evil.example) <img src=x>\n# heading | cell @all **bold** \u202e"
SEARCH = {"query": HOSTILE, "searched_at": "2026-11-20T19:22:01+00:00", "source": HOSTILE}
TIMES = ("created_at", "expires_at", "approved_at", "applied_at", "verified_at", "aborted_at")


def operation(number: int, **fields: Any) -> dict[str, Any]:
    """One of a blast radius."""
    known = {"operation_id": number, "position": number, "relation": "selected", "certainty": "definite"}
    known |= {"kind": "ingest", "agent": "a", "session": None, "collection": "c", "visible": True, "via": None}
    known |= {"narrowed_to": (), "evidence": ()}
    return known | fields


def plan(**fields: Any) -> dict[str, Any]:
    """An open plan that withdraws operation 2, as `Plan.to_dict()` has it."""
    known = {"plan_id": "p-1", "kind": "rollback", "policy": "refuse", "position": 7, "agent": "ada", "state": "open"}
    known |= {"include_possible": False, "possible_agents": [], "possible_sessions": []}
    known |= {"selector": {"agents": ["rogue"]}, "withdraw": [2], "bring_back": [], "left": [], "kept": [], "shows": []}
    known |= {"operations": [operation(2)], "agents": ["rogue"], "sessions": [], "datasets": [], "artifacts": []}
    known |= dict.fromkeys(("withdraw_records", "bring_back_records", "left_records", "kept_records"), ())
    known |= {"records": {"document": 2}, "revived": {"document": 1}, "vanishing": {}, "sample": [], "message": ""}
    known |= dict.fromkeys(TIMES) | {"created_at": "2026-11-20T19:21:35.469209+00:00", "certificate": None}
    known |= {"approved_by": None, "applied_as": None, "aborted_by": None, "abort_reason": ""}
    return known | fields


def certificate(**fields: Any) -> dict[str, Any]:
    """One that holds."""
    known = {"operation_id": 7, "position": 7, "verified": True, "withdrawn": [2], "approved_by": "nora"}
    known |= {"kinds": {"document": {"before": 2, "after": 1, "expected": 1}}, "residue": "Payloads stay on disk."}
    known["withdrawn_records"] = []
    return known | {"digest_before": "aa", "digest_after": "bb", "digest_expected": "bb"} | fields


def kinds_of_markup(text: str) -> set[str]:
    """What a Markdown reader makes of it, beyond text."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    return {t.type for token in tokens for t in [token, *(token.children or [])]}


def test_a_plan_says_what_it_would_do_and_for_whom():
    """Policy, position, selector, who asks, records by kind, what stays though built on it, and what was kept."""
    sample = [{"kind": "document", "key": "/docs/a.md", "before_operation": 2, "after_operation": None}]
    sample[0] |= {"absent_before": False, "absent_after": True}
    datasets = [{"name": "recant.knowledge", "direction": "output", "namespace": "n"}]
    text = plan_markdown(plan(left=[5], kept=[3], sample=sample, datasets=datasets), "it is wrong")
    for shown in (
        "**Withdraws 1 operation**: 2. Policy `refuse`, worked out at position 7, plan `p-1`.",
        "Asked for: agents `rogue`; by `ada`.",
        "Reason given: `it is wrong`",
        "- withdrawn: 2 documents",
        "- comes back: 1 document",
        "- datasets: `recant.knowledge`",
        "- stay, though built on what goes: 5",
        "- selected, but kept as others were built on them: 3",
        "`/docs/a.md`",
        "| absent",
    ):
        assert shown in text


def test_a_dependent_is_shown_with_the_path_that_leads_to_it():
    """Back to what was selected, through as many operations as there are in between."""
    steps = {n: operation(n, relation="affirmed", via=n - 1) for n in range(3, 20)} | {2: operation(2)}
    assert path(steps[2], steps) == "selected"
    assert path(steps[4], steps) == "affirmed from 3, affirmed from 2"
    assert path(steps[19], steps).endswith("affirmed from 13, …")
    assert path(operation(9, relation="derived", via=8), {}) == "derived from 8"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "waits for approval"),
        ({"state": "expired", "expires_at": "2026-11-23T19:21:35+00:00"}, "expired 2026-11-23 19:21+00:00"),
        ({"expires_at": "2026-11-23T19:21:35+00:00"}, "can be applied until 2026-11-23 19:21+00:00"),
        (
            {"state": "approved", "approved_by": "nora", "approved_at": "2026-11-20T20:00:00+00:00"},
            "approved 2026-11-20 20:00+00:00 by `nora`",
        ),
        (
            {"state": "aborted", "aborted_by": "ned", "aborted_at": "2026-11-20T20:00:00+00:00", "abort_reason": "no"},
            "aborted 2026-11-20 20:00+00:00 by `ned`: `no`",
        ),
        (
            {"state": "applied", "applied_as": 9, "applied_at": "2026-11-20T20:00:00+00:00"},
            "applied 2026-11-20 20:00+00:00 as operation 9",
        ),
        (
            {"state": "verified", "applied_as": 9, "verified_at": "2026-11-20T20:01:00+00:00"},
            "verified 2026-11-20 20:01",
        ),
    ],
)
def test_the_document_tells_the_plans_life(fields: dict[str, Any], told: str):
    """The state in the heading, and who did what when, in a list."""
    text = plan_document(plan(**fields))
    assert text.startswith(f"## Rollback plan `p-1`: {fields.get('state', 'open')}\n")
    assert f"- {told}" in text


def test_the_document_tells_how_old_the_answer_is():
    """When the log has moved on since, its last position stands beside the plan's."""
    assert "worked out at position 7, the log is at 12 now, plan" in plan_document(plan(), position=12)
    assert "the log is at" not in plan_document(plan(), position=7)


def test_the_document_ends_with_the_certificate():
    """And a redo is named as the way back."""
    applied = plan(state="verified", applied_as=7, certificate=certificate())
    text = plan_document(applied)
    assert "A redo of operation 7 takes this back." in text
    assert "### Certificate\n\nOperation 7 at position 7: verified." in text
    assert "NOT VERIFIED" in certificate_markdown(certificate(verified=False))


def test_what_comes_back_is_named():
    """A redo, a release and a restore bring operations back; a plan that does nothing says why."""
    assert "Seen again: 2, 3." in plan_markdown(plan(withdraw=[7], shows=[2, 3]))
    assert plan_markdown(plan(withdraw=[], bring_back=[4, 5])).startswith("**Brings back 2 operations**: 4, 5.")
    assert "**Does nothing.** All of it is withdrawn already." in plan_markdown(
        plan(withdraw=[], message="All of it is withdrawn already.")
    )


def test_documents_of_an_operation_are_told_from_whole_ones():
    """A narrowed plan names each document with its operation, in the certificate too, and so what is left and kept."""
    records = [{"operation_id": 2, "record_id": 11, "source": "/a.md"}]
    narrow = plan(withdraw=[], withdraw_records=records, left_records=records, kept_records=records)
    narrow["operations"] = [operation(2, narrowed_to=["/a.md", "/b.md", "/c.md", "/d.md"])]
    text = plan_markdown(narrow)
    assert text.startswith("**Withdraws 1 document**: `/a.md` of 2. Policy")
    assert "- stay, though built on what goes: `/a.md` of 2\n- selected, but kept" in text
    assert "selected, only `/a.md`, `/b.md`, `/c.md` and 1 more" in text
    proof = certificate_markdown(certificate(withdrawn=[], withdrawn_records=records))
    assert "Withdrawn: `/a.md` of 2. Approved" in proof


def test_possible_dependents_are_told_apart():
    """In a table of their own, with what their session had searched for as code; none where there are none."""
    search = {"query": "# who|said`so", "searched_at": "2026-11-20T19:22:01+00:00", "source": "/docs/a.md"}
    doubtful = operation(2, relation="read", certainty="possible", via=1, evidence=(search,))
    after = operation(3, relation="cited", certainty="possible", via=2)
    operations = [operation(1), doubtful, after]
    assert "read" not in operations_table(operations)
    text = possible_table(operations)
    assert "They stay:" in text
    assert "`# who¦said'so`" in text
    assert "cited from 2, read from 1" in text
    assert "They count" in possible_table(operations, counted=True)
    assert possible_table([operation(1)]) == ""
    asked = plan(operations=operations, include_possible=True, possible_agents=["mara"])
    assert "They count" in plan_markdown(asked)
    assert "- possibly also agents: `mara`" in plan_markdown(asked)
    assert "They stay" in dependents_markdown("Built on it.", {"blast_radius": asked})


def test_nobodys_name_becomes_markup():
    """Agents, sessions, sources, reasons, selectors: no link, image, HTML, heading or cell of theirs is in the result."""
    sample = [{"kind": "document", "key": HOSTILE, "before_operation": 2, "after_operation": 1}]
    sample[0] |= {"absent_before": False, "absent_after": False}
    hostile = plan(
        agent=HOSTILE,
        selector={"agents": [HOSTILE], "since": HOSTILE},
        operations=[
            operation(2, agent=HOSTILE, session=HOSTILE, collection=HOSTILE, narrowed_to=[HOSTILE]),
            operation(3, certainty="possible", agent=HOSTILE, session=HOSTILE, evidence=[SEARCH]),
        ],
        possible_agents=[HOSTILE],
        possible_sessions=[HOSTILE],
        withdraw_records=[{"operation_id": 2, "record_id": 1, "source": HOSTILE}],
        agents=[HOSTILE],
        sessions=[HOSTILE],
        datasets=[{"name": HOSTILE, "direction": "input", "namespace": HOSTILE}],
        artifacts=[{"path": HOSTILE}],
        sample=sample,
        approved_by=HOSTILE,
        approved_at="2026-11-20T20:00:00+00:00",
        aborted_by=HOSTILE,
        aborted_at="2026-11-20T20:00:00+00:00",
        abort_reason=HOSTILE,
        certificate=certificate(approved_by=HOSTILE),
    )
    harmless = plan(
        operations=[operation(2), operation(3, certainty="possible")],
        sample=[sample[0] | {"key": "a"}],
        approved_by="n",
        certificate=certificate(),
    )
    texts = [
        (plan_document(hostile), plan_document(harmless)),
        (plan_markdown(hostile, HOSTILE), plan_markdown(harmless, "m")),
        (dependents_markdown("2 were built on it.", {"blast_radius": hostile}), plan_markdown(harmless)),
    ]
    for bad, good in texts:
        assert kinds_of_markup(bad) <= kinds_of_markup(good) | {"code_inline"}
        assert bad.count("\n#") == good.count("\n#") or bad.startswith("2 were")
        assert "\u202e" not in bad


def test_foreign_names_are_shown_as_code():
    """A name can't end the code it is shown as, nor the table's cell, nor the line, nor fill the page."""
    assert code("a`b|c\n# d\u202e") == "`a'b¦c # d`"
    assert code("x" * 50 + "/the/end.md").endswith("the/end.md`")
    assert len(code("y" * 500)) == 82
    assert code(None) == code("") == "–"


def test_a_long_plan_is_cut_with_the_number_of_what_is_not_shown():
    """The first fifty operations are listed, and the rest is counted."""
    shown = operations_table([operation(number) for number in range(60)])
    assert shown.endswith("\n\nand 10 more")
    assert len(shown.splitlines()) == 54
    assert "and 150 more" in plan_markdown(plan(withdraw=list(range(200))))


def test_a_refusal_without_a_report_is_its_message():
    """Nothing is made up."""
    assert dependents_markdown("No.", {}) == "No."
