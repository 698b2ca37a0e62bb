"""The steps of the demo, in order. Each does its part for real, and raises when what it promises doesn't hold."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import recant
from recant import installation
from recant.cli.output import amounts
from recant.cli.plans import show_blast_radius, show_certificate
from recant.demo.airflow_client import AirflowClient, Question
from recant.demo.narrator import Narrator
from recant.demo.poison import poisoned_records, write_records
from recant.demo.report import DemoReport, Step
from recant.errors import RecantError, VerificationFailed
from recant.knowledge_base import KnowledgeBase
from recant.oplog import Operation, Selector
from recant.settings import Settings

ROGUE = "rogue"
SESSIONS = "demo-"
QUESTIONS = (
    "How do I install Apache Airflow?",
    "How do I keep passwords and connections safe in Airflow?",
    "How can I search for similar vectors in PostgreSQL?",
)
"""The first is shown; all of them must be answered alike before and after."""
HITS = 5
VICTIMS = 3
READING_SECONDS = 2.0


class StepFailed(VerificationFailed):
    """A step ran, but what it promises did not come true."""


@dataclass
class Story:
    """What the steps hand on to each other."""

    settings: Settings
    narrator: Narrator
    report: DemoReport = field(default_factory=DemoReport)
    session: str = field(default_factory=lambda: f"{SESSIONS}{datetime.now(UTC):%Y%m%dT%H%M%S}")
    place: installation.Installation | None = None
    rogue_run: str = ""
    rogue_operation: int = 0
    before: list[dict[str, Any]] = field(default_factory=list)
    """For each question its hits, before the poison."""

    def kb(self) -> KnowledgeBase:
        """The knowledge base; use it as a context manager."""
        return recant.connect(settings=self.settings)

    def airflow(self) -> AirflowClient:
        """Airflow as its admin; use it as a context manager. Raises StepFailed before the start."""
        place = self.place
        if place is None or not place.airflow_url or not place.airflow_user:
            raise StepFailed("Airflow is not running.")
        return AirflowClient(place.airflow_url, place.airflow_user, place.airflow_password or "")


def come_up(story: Story) -> dict[str, Any]:
    """PostgreSQL, the embedder, the lineage relay and Airflow run."""
    story.narrator.say(
        "An embedded PostgreSQL 18 with pgvector, and Airflow beside it. They listen on this machine only, with "
        "passwords that were generated for it. What runs already stays."
    )
    with story.narrator.steps_of("Starting …") as progress:
        story.place = installation.up(story.settings, progress=progress)
    story.narrator.say(f"PostgreSQL at {story.place.postgres_address}, Airflow at {story.place.airflow_url}.")
    withdraw_leftovers(story)
    return {"postgres": story.place.postgres_address, "airflow": story.place.airflow_url}


def withdraw_leftovers(story: Story) -> None:
    """Takes back what an interrupted demo left visible."""
    with story.kb() as kb:
        rogues = kb.log(Selector(agents=(ROGUE,)), limit=1000)
        left = [o.operation_id for o in rogues if o.state == "published" and (o.session or "").startswith(SESSIONS)]
        if left:
            kb.rollback(Selector(operations=tuple(left)), policy="cascade", message="left by an interrupted demo")
            story.narrator.say(f"An earlier demo was interrupted: what it left ({left}) is taken back first.")


def bootstrap(story: Story) -> dict[str, Any]:
    """The DAG bootstrap_knowledge has ingested what every installation has."""
    story.narrator.say(
        "The DAG bootstrap_knowledge reads the documentation of every Python package installed here, this project's "
        "own, and its DAGs; cuts it into passages; embeds them; and publishes all of it as one operation."
    )
    run_id, operation = _ingest(story, "bootstrap_knowledge", {"message": "the demo's beginning"})
    counts = {k: v for k, v in operation.counts.items() if isinstance(v, int)}
    if not counts.get("documents", 0) + counts.get("unchanged", 0):
        raise StepFailed("bootstrap_knowledge found no documents.")
    story.narrator.say(f"Operation {operation.operation_id} by {operation.agent}: {amounts(counts)}.")
    return {"run_id": run_id, "operation_id": operation.operation_id, "position": operation.position, "counts": counts}


def ask(story: Story) -> dict[str, Any]:
    """Search answers."""
    story.before = _answers(story)
    story.narrator.say(f"“{QUESTIONS[0]}”", style="bold")
    story.narrator.hits(story.before[0]["hits"])
    if not all(answer["hits"] for answer in story.before):
        raise StepFailed("A question was not answered.")
    story.report.story |= {
        "question": QUESTIONS[0],
        "questions": list(QUESTIONS),
        "hits_before": story.before[0]["hits"],
    }
    return {"position": story.before[0]["position"], "digests": [_digest(answer) for answer in story.before]}


def poison(story: Story) -> dict[str, Any]:
    """A second agent's documents are in, and search returns them."""
    story.narrator.say(
        f"Now an agent called {ROGUE} ingests false versions of the documents that answered, and two new ones, through "
        "the DAG ingest_documents. It has every right to: nothing about the writing gives it away."
    )
    victims = {hit["source"]: hit["title"] for hit in story.before[0]["hits"]}
    records = poisoned_records(list(victims.items())[:VICTIMS])
    path = write_records(story.settings.home / "demo" / "corrections.jsonl", records)
    conf = {"sources": [str(path)], "agent": ROGUE, "session": story.session, "message": "urgent corrections"}
    story.rogue_run, operation = _ingest(story, "ingest_documents", conf)
    story.rogue_operation = operation.operation_id
    answer = _answers(story)[0]
    story.narrator.say(f"“{QUESTIONS[0]}”", style="bold")
    story.narrator.hits(answer["hits"], marked=[story.rogue_operation])
    poisoned = [hit["rank"] for hit in answer["hits"] if hit["operation_id"] == story.rogue_operation]
    if not poisoned:
        raise StepFailed("Search does not return what the rogue agent wrote.")
    story.narrator.say(f"{len(poisoned)} of {len(answer['hits'])} hits are poison.", style="red")
    story.report.story["hits_poisoned"] = answer["hits"]
    return {"run_id": story.rogue_run, "operation_id": story.rogue_operation, "poisoned_ranks": poisoned}


def trace(story: Story) -> dict[str, Any]:
    """The blast radius of the rogue agent's run names its operation and what would come back."""
    story.narrator.say(
        f"What did that run reach? All we need is its run id, {story.rogue_run}; an operation, agent, session or time "
        "window would do as well. Nothing is changed by asking."
    )
    with story.kb() as kb:
        radius = kb.blast_radius(Selector(runs=(story.rogue_run,))).to_dict()
    show_blast_radius(story.narrator, radius)
    if story.rogue_operation not in [operation["operation_id"] for operation in radius["operations"]]:
        raise StepFailed("The blast radius lacks the rogue agent's operation.")
    if not radius["revived"].get("document"):
        raise StepFailed("The blast radius names no document that would come back.")
    story.report.story["blast_radius"] = radius
    return {name: radius[name] for name in ("agents", "sessions", "records", "revived")}


def roll_back(story: Story) -> dict[str, Any]:
    """The DAG rollback_knowledge has planned, was approved, has applied and verified."""
    story.narrator.say(
        "The DAG rollback_knowledge plans, then waits for a person. Here the demo answers through Airflow's REST API, as "
        "you would in its UI under “Required Actions”."
    )
    dag_id, conf = "rollback_knowledge", {"runs": [story.rogue_run], "message": "poison"}
    with story.airflow() as airflow:
        airflow.wait_for_dag(dag_id)
        run_id = airflow.trigger(dag_id, conf)
        story.narrator.say(airflow.page_of(dag_id, run_id), style="dim")
        with story.narrator.tasks_of() as watch:
            question = airflow.wait_for_question(dag_id, run_id, watch)
        if question is None:
            raise StepFailed("rollback_knowledge ended without asking: it found nothing to withdraw.")
        story.narrator.say(question.subject, style="bold")
        story.narrator.markdown("\n\n".join(question.body.split("\n\n")[:3]))
        who: str = ""
        asked: Question | None = question
        with story.narrator.tasks_of(told=["plan_rollback"]) as watch:
            while asked is not None:
                who = _approve(story, airflow, dag_id, run_id, asked)
                asked = airflow.wait_for_question(dag_id, run_id, watch, timeout_seconds=1800)
        certificate = airflow.result(dag_id, run_id, "verify_rollback")
    story.report.story |= {"plan": {"subject": question.subject, "body": question.body}, "certificate": certificate}
    if not certificate["verified"]:
        raise StepFailed("The certificate does not verify.")
    return {"run_id": run_id, "rollback_operation_id": certificate["operation_id"], "approved_by": who}


def _approve(story: Story, airflow: AirflowClient, dag_id: str, run_id: str, question: Question) -> str:
    """Answers after a moment, as a person does; returns who answered.

    Within the same instant the scheduler still takes the parked task for a running one, calls the answered one lost and
    tries again: it asks anew then, and is answered anew.
    """
    time.sleep(READING_SECONDS)
    who = str(airflow.answer(dag_id, run_id, question, "Approve")["responded_by"]["name"])
    story.narrator.say(f"Approved by {who}.", style="green")
    return who


def ask_again(story: Story) -> dict[str, Any]:
    """Every question is answered as before the poison, byte for byte."""
    after = _answers(story)
    story.narrator.say(f"“{QUESTIONS[0]}”", style="bold")
    story.narrator.hits(after[0]["hits"])
    digests = [(_digest(one), _digest(other)) for one, other in zip(story.before, after, strict=True)]
    rows = [
        ["ok" if one == other else "failed", question, one[:16], other[:16]]
        for question, (one, other) in zip(QUESTIONS, digests, strict=True)
    ]
    story.narrator.table(["same", "question", "sha256 before", "sha256 after"], rows)
    story.report.story["hits_after"] = after[0]["hits"]
    show_certificate(story.narrator, story.report.story["certificate"])
    if any(one != other for one, other in digests):
        raise StepFailed("The hits are not what they were before the poison.")
    story.narrator.say("The same ids, scores and text, byte for byte, for all questions.", style="green")
    return {"identical": True, "digests": [other for _, other in digests]}


def tell_what_next(story: Story) -> dict[str, Any]:
    """Where to look, what to try, and how long all of it took."""
    place, narrator = story.place, story.narrator
    if place is None or place.airflow_url is None:
        raise StepFailed("Airflow is not running.")
    login: list[list[object]] = [
        ["Airflow", place.airflow_url],
        ["user", place.airflow_user],
        ["password", place.airflow_password],
    ]
    narrator.table(["", "where to look"], [*login, ["kept in", str(place.airflow_passwords_file)]])
    narrator.table(["try next", ""], list(_suggestions(story)))
    seconds = [["ok", step.name, f"{step.seconds:.1f}"] for step in story.report.steps if step.ok]
    narrator.table(["state", "step", "seconds#"], seconds)
    narrator.say("`make down` stops everything, `make demo` tells the story again, `make clean` removes it.")
    return {
        "airflow": place.airflow_url,
        "user": place.airflow_user,
        "passwords_file": str(place.airflow_passwords_file),
    }


STEPS: tuple[tuple[str, Callable[[Story], dict[str, Any]]], ...] = (
    ("Everything comes up", come_up),
    ("A knowledge base from what is here", bootstrap),
    ("A question", ask),
    ("A rogue agent poisons it", poison),
    ("The blast radius", trace),
    ("Taking it back", roll_back),
    ("The same question again", ask_again),
    ("What next", tell_what_next),
)


def tell(story: Story) -> DemoReport:
    """All steps; those after one that failed are skipped. What it came to is in the report, also when interrupted."""
    steps = [Step(name, skipped=True) for name, _ in STEPS]
    story.report.steps.extend(steps)
    for number, (step, (name, do)) in enumerate(zip(steps, STEPS, strict=True), start=1):
        if any(not earlier.ok for earlier in steps[: number - 1]):
            continue
        story.narrator.heading(number, len(STEPS), name)
        _do(story, step, do)
    return story.report


def _do(story: Story, step: Step, do: Callable[[Story], dict[str, Any]]) -> None:
    began, step.skipped = time.monotonic(), False
    try:
        step.facts = do(story)
        step.ok = True
    except (RecantError, OSError) as error:
        step.error = f"{type(error).__name__}: {error}"
        story.narrator.broke(str(error))
    except BaseException as error:
        step.error = f"{type(error).__name__}: {error}".rstrip(": ")
        raise
    finally:
        step.seconds = time.monotonic() - began
    if step.ok:
        story.narrator.held(step.seconds)


def _ingest(story: Story, dag_id: str, conf: dict[str, Any]) -> tuple[str, Operation]:
    """Runs an ingesting DAG to its end; the run's id and the operation that it published."""
    with story.airflow() as airflow:
        airflow.wait_for_dag(dag_id)
        run_id = airflow.trigger(dag_id, conf)
        story.narrator.say(airflow.page_of(dag_id, run_id), style="dim")
        with story.narrator.tasks_of() as watch:
            airflow.wait(dag_id, run_id, watch)
    with story.kb() as kb:
        published = [o for o in kb.log(Selector(runs=(run_id,))) if o.position is not None]
    if len(published) != 1:
        raise StepFailed(f"The run {run_id} of {dag_id} published {len(published)} operations instead of one.")
    return run_id, published[0]


def _answers(story: Story) -> list[dict[str, Any]]:
    with story.kb() as kb:
        return [kb.search(question, mode="semantic", limit=HITS).to_dict() for question in QUESTIONS]


def _digest(answer: dict[str, Any]) -> str:
    canonical = json.dumps(answer["hits"], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _suggestions(story: Story) -> list[list[str]]:
    certificate = story.report.story["certificate"]
    command = _command()
    return [
        [f"{command} log", "who wrote what, and what became of it"],
        [f"{command} search '{QUESTIONS[0]}' --as-of {certificate['position'] - 1}", "the poison, as it was"],
        [f"{command} blast-radius --agent {ROGUE}", "what the rogue agent has reached so far"],
        [f"{command} redo {certificate['operation_id']}", "take the rollback back"],
        [f"{command} verify", "does what is seen follow from the log?"],
    ]


def _command() -> str:
    """How to call `recant` from here."""
    program = Path(sys.executable).with_name("recant")
    with suppress(ValueError):
        program = program.relative_to(Path.cwd())
    return shlex.quote(str(program))
