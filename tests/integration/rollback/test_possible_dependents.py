"""Whose session was shown what is taken back, and wrote then, may have built on it: named, and counted only when asked for."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from recant.corpus import find_cited
from recant.errors import HasDependents, PlanStale, UsageError
from recant.oplog import Attribution, Selector
from recant.rollback import Plan
from recant.search import Searcher
from tests.integration.library import Library

WHO = Attribution("warden")


def read(library: Library, session: str | None, *sources: str, agent: str = "bob", as_of: int | None = None):
    """A search in a session that shows these documents, all of them if none is named."""
    searcher = Searcher(library.database, library.model.vector)
    filters = {"source": list(sources)} if sources else None
    return searcher.search(
        "what is known?", collection="library", session=session, agent=agent, filters=filters, as_of=as_of
    ).hits


def cite(library: Library, operation: int, *sources: str) -> list[tuple[int, int]]:
    """Says that all of the operation was made from these documents as they are seen."""
    target = library.begin(operation, "based-on")
    with library.database.transaction() as connection:
        cited = find_cited(connection, "library", {source: [source] for source in sources})
        library.corpus.cite(connection, target, cited)
    library.log.finish_batch(target.batch_id, {"cited": len(cited)})
    return [(found.operation_id, found.record_id) for found in cited]


def written(library: Library, documents: dict[str, str | None], *, cites: Iterable[str] = (), **attribution) -> int:
    """A published operation that was made from what it cites."""
    operation = library.open(**attribution)
    if cites:
        cite(library, operation, *cites)
    library.write(operation, documents)
    library.log.publish(operation)
    return operation


def plan(library: Library, policy: str = "refuse", include: bool = False, hops: int = 1, **conditions) -> Plan:
    return library.rollback.plan(
        Selector(**conditions), policy=policy, include_possible=include, possible_hops=hops, agent="warden"
    )


def listed(library: Library, hops: int = 1, **conditions) -> dict[int, tuple[str, str, int | None]]:
    """Relation, certainty and via of what is in a blast radius, by operation."""
    radius = library.rollback.blast_radius(Selector(**conditions), possible_hops=hops)
    return {o.operation_id: (o.relation, o.certainty, o.via) for o in radius.operations if o.relation != "selected"}


def test_who_read_the_poison_and_then_wrote_is_found(library: Library):
    """Agent B was shown what agent A wrote, and wrote: a possible dependent, with the search as evidence."""
    poison = library.publish({"a": "poison"}, agent="rogue")
    read(library, "b's", "a")
    built = library.publish({"b": "built on it?"}, agent="bob", session="b's")
    radius = library.rollback.blast_radius(Selector(operations=(poison,)))
    (found,) = [o for o in radius.operations if o.relation != "selected"]
    assert (found.operation_id, found.relation, found.certainty, found.via) == (built, "read", "possible", poison)
    (search,) = found.evidence
    assert (search["query"], search["agent"], search["position"]) == ("what is known?", "bob", 1)
    assert search["source"] == "a"
    assert (radius.agents, radius.possible_agents) == (["rogue"], ["bob"])
    assert (radius.sessions, radius.possible_sessions) == ([], ["b's"])
    assert radius.records == {"document": 1, "chunk": 1}


def test_naming_the_source_makes_it_definite(library: Library):
    """Who says what it was based on is no mere possibility, whatever else it read."""
    poison = library.publish({"a": "poison"})
    read(library, "s", "a")
    built = written(library, {"b": "built on it"}, cites=["a"], session="s")
    assert listed(library, operations=(poison,)) == {built: ("cited", "definite", poison)}


def test_a_read_counts_for_the_next_write_only(library: Library):
    """Neither for a write before it, nor for a second one after it, nor for another session's, nor for none."""
    poison = library.publish({"a": "poison"})
    library.publish({"before": "x"}, session="s")
    read(library, "s", "a")
    read(library, None, "a")
    library.publish({"other": "x"}, session="other")
    library.publish({"none": "x"})
    first = library.publish({"first": "x"}, session="s")
    library.publish({"second": "x"}, session="s")
    assert listed(library, operations=(poison,)) == {first: ("read", "possible", poison)}


def test_what_is_built_on_a_possible_dependent_is_possible_too(library: Library):
    """And who read what was built on the selected, for certain, is one read away from it."""
    poison = library.publish({"a": "poison"})
    definite = written(library, {"b": "summary"}, cites=["a"])
    read(library, "s", "b")
    reader = library.publish({"c": "x"}, session="s")
    after = written(library, {"d": "y"}, cites=["c"])
    assert listed(library, operations=(poison,)) == {
        definite: ("cited", "definite", poison),
        reader: ("read", "possible", definite),
        after: ("cited", "possible", reader),
    }


def test_one_read_is_followed_unless_more_are_asked_for(library: Library):
    """Whoever read what a reader wrote is two reads away."""
    poison = library.publish({"a": "poison"})
    read(library, "s", "a")
    first = library.publish({"b": "x"}, session="s")
    read(library, "t", "b")
    second = library.publish({"c": "y"}, session="t")
    assert listed(library, operations=(poison,)).keys() == {first}
    assert listed(library, hops=2, operations=(poison,)) == {
        first: ("read", "possible", poison),
        second: ("read", "possible", first),
    }
    for hops in (0, 11, True):
        with pytest.raises(UsageError, match="possible_hops"):
            listed(library, hops=hops, operations=(poison,))


def test_the_trace_goes_through_what_is_hidden(library: Library):
    """A reader that was taken back is not named; what was built on it is."""
    poison = library.publish({"a": "poison"})
    read(library, "s", "a")
    reader = library.publish({"b": "x"}, session="s")
    after = written(library, {"c": "y"}, cites=["b"])
    library.rollback.run(plan(library, "force", operations=(reader,)), WHO)
    assert listed(library, operations=(poison,)) == {after: ("cited", "possible", reader)}


def test_reads_of_the_past_and_of_ones_own_count(library: Library):
    """A version that was superseded by then; and an earlier write of the same session. Of itself nobody is a dependent."""
    poison = library.publish({"a": "poison"})
    library.publish({"a": "mended"})
    read(library, "s", as_of=1)
    first = library.publish({"b": "x"}, session="s")
    operation = library.open(session="s")
    library.write(operation, {"c": "draft"})
    read(library, "s", "b", "c")
    library.write(operation, {"d": "more"})
    library.log.publish(operation)
    assert listed(library, operations=(poison,)) == {first: ("read", "possible", poison)}
    assert listed(library, operations=(first,)) == {operation: ("read", "possible", first)}
    assert listed(library, operations=(operation,)) == {}


def test_possible_dependents_stay_and_are_named_unless_included(library: Library):
    """Under every policy; nothing refuses because of them."""
    poison = library.publish({"a": "poison"})
    read(library, "s", "a")
    built = library.publish({"b": "x"}, session="s")
    for policy in ("refuse", "safe_only", "cascade", "force"):
        made = plan(library, policy, operations=(poison,))
        assert (made.withdraw, made.left, made.kept) == ((poison,), (), ())
        assert [o["operation_id"] for o in made.blast_radius["operations"]] == [poison, built]
    assert library.rollback.run(made, WHO).certificate.verified
    assert library.view() == {"b": "x"}


def test_included_they_are_dependents_like_any_other(library: Library):
    """refuse counts them, cascade takes them with what was built on them, safe_only keeps what they read, force leaves them."""
    poison, other = library.publish({"a": "poison"}), library.publish({"o": "other"})
    read(library, "s", "a")
    built = library.publish({"b": "x"}, session="s")
    after = written(library, {"c": "y"}, cites=["b"])
    with pytest.raises(HasDependents, match=rf"2 operations .*may have been.*{built} \(read from {poison}\)"):
        plan(library, include=True, operations=(poison,))
    both = (poison, other)
    safe = plan(library, "safe_only", include=True, operations=both)
    assert (safe.withdraw, safe.kept, safe.left) == ((other,), (poison,), (built, after))
    forced = plan(library, "force", include=True, operations=(poison,))
    assert (forced.withdraw, forced.left) == ((poison,), (built, after))
    made = plan(library, "cascade", include=True, operations=(poison,))
    assert made.withdraw == (poison, built, after)
    stored = library.rollback.load_plan(made.plan_id)
    assert (stored.answer, stored.include_possible, stored.possible_hops) == (made.answer, True, 1)
    report = library.rollback.run(stored, WHO)
    assert report.certificate.verified
    assert library.view() == {"o": "other"}
    said = library.log.get(report.rollback_operation_id).parameters
    assert (said["include_possible"], said["possible_hops"]) == (True, 1)


@pytest.mark.parametrize("include", [False, True])
def test_a_new_reader_makes_a_plan_stale_only_where_it_counts(library: Library, include: bool):
    """What a plan would do is what must not change, not what it names."""
    poison = library.publish({"a": "poison"})
    read(library, "s", "a")
    made = plan(library, "cascade", include=include, operations=(poison,))
    library.publish({"b": "x"}, session="s")
    if include:
        with pytest.raises(PlanStale):
            library.rollback.apply(made, WHO)
    else:
        assert library.rollback.apply(made, WHO).withdrawn == (poison,)


def test_a_rollback_by_document_asks_who_was_shown_that_document(library: Library):
    """A reader of the operation's other documents isn't named; one of that document is, as a whole."""
    poison = library.publish({"a": "poison", "b": "good"})
    read(library, "s", "a")
    concerned = library.publish({"c": "x", "d": "y"}, session="s")
    read(library, "t", "b")
    library.publish({"e": "z"}, session="t")
    assert listed(library, sources=("a",)) == {concerned: ("read", "possible", poison)}
    made = plan(library, "cascade", include=True, sources=("a",))
    assert made.withdraw == (concerned,)
    assert [(r.operation_id, r.source) for r in made.withdraw_records] == [(poison, "a")]
    library.rollback.run(made, WHO)
    assert library.view() == {"b": "good", "e": "z"}


def test_what_affirms_a_document_and_read_it_goes_as_a_whole_when_reads_count(library: Library):
    """For certain only its having affirmed the document is concerned; possibly all that it wrote."""
    library.publish({"a": "poison", "b": "good"})
    read(library, "s", "a")
    nightly = library.open(session="s")
    library.affirm(nightly, "a")
    library.write(nightly, {"n": "news"})
    library.log.publish(nightly)
    known = plan(library, "cascade", sources=("a",))
    assert (known.withdraw, len(known.withdraw_records)) == ((), 2)
    entries = [o for o in known.blast_radius["operations"] if o["operation_id"] == nightly]
    assert [(o["relation"], o["certainty"], o["narrowed_to"]) for o in entries] == [
        ("selected", "definite", ("a",)),
        ("read", "possible", ()),
    ]
    included = plan(library, "cascade", include=True, sources=("a",))
    assert included.withdraw == (nightly,)


def test_a_quarantine_names_possible_dependents(library: Library):
    """It hides what is selected, and says who stays: for certain, or possibly, built on it."""
    poison = library.publish({"a": "poison", "b": "good"})
    read(library, "s", "a")
    built = library.publish({"c": "x"}, session="s")
    report = library.rollback.quarantine(Selector(sources=("a",)), WHO)
    assert report.plan.left == ()
    assert [o["operation_id"] for o in report.plan.blast_radius["operations"]] == [poison, built]
    library.rollback.release(Selector(sources=("a",)), WHO)
    report = library.rollback.quarantine(Selector(operations=(poison,)), WHO)
    assert [o["operation_id"] for o in report.plan.blast_radius["operations"]] == [poison, built]


def test_the_first_five_searches_are_the_evidence(library: Library):
    """The others would add nothing."""
    poison = library.publish({"a": "poison"})
    for _ in range(7):
        read(library, "s", "a")
    library.publish({"b": "x"}, session="s")
    radius = library.rollback.blast_radius(Selector(operations=(poison,)))
    ids = [search["search_id"] for search in radius.operations[-1].evidence]
    assert ids == sorted(ids)
    assert len(ids) == 5


Said = tuple[int, str | None]
"""A document of an operation; None: all of it."""


@dataclass
class Told:
    """What one operation is known to be made from, and was shown before."""

    wrote: set[str] = field(default_factory=set)
    cites: set[Said] = field(default_factory=set)
    shown: set[Said] = field(default_factory=set)
    visible: bool = True


@dataclass
class Story:
    """The rule, told slowly: paths of citations without limit and of reads up to a number, through hidden ones too."""

    told: dict[int, Told] = field(default_factory=dict)

    def reached(self, selected: set[Said], hops: int) -> dict[Said, int]:
        """The least number of reads on the way to each target."""
        least: dict[Said, int] = {}
        todo = [(0, target) for target in selected]
        while todo:
            reads, target = todo.pop(0)
            if least.get(target, hops + 1) <= reads:
                continue
            least[target] = reads
            for other, told in self.told.items():
                if self.names(told.cites, target):
                    todo.append((reads, (other, None)))
                if self.names(told.shown - {(other, s) for s in told.wrote}, target):
                    todo.append((reads + 1, (other, None)))
        return least

    def names(self, said: set[Said], target: Said) -> bool:
        return any(number == target[0] and target[1] in (None, source) for number, source in said)

    def dependents(self, selected: set[Said], hops: int) -> tuple[set[int], set[int]]:
        """The definite ones, and the possible ones besides."""
        found = {t: n for t, n in self.reached(selected, hops).items() if t not in selected and self.told[t[0]].visible}
        definite = {number for (number, _), reads in found.items() if reads == 0}
        return definite, {number for number, _ in found} - definite

    def picked(self, source: str) -> set[Said]:
        """What a rollback of one document picks: whole operations where they wrote nothing else."""
        return {(n, None if t.wrote == {source} else source) for n, t in self.told.items() if source in t.wrote}


def tell(library: Library, rng: random.Random, steps: int) -> Story:
    """A random history: sessions search, cite, write and publish; some operations are hidden."""
    story, sessions = Story(), {"one": set(), "two": set()}
    names: dict[int, str] = {}
    for step in range(steps):
        session = rng.choice([None, "one", "two"])
        if rng.random() < 0.4:
            for hit in read(library, session, *rng.sample("abcdef", 2)) if story.told else ():
                names[hit.document_id] = hit.source
                if session:
                    sessions[session].add((hit.operation_id, hit.source))
        elif rng.random() < 0.2 and story.told:
            number = rng.choice(sorted(story.told))
            library.rollback.run(plan(library, "force", operations=(number,)), WHO)
            story.told[number].visible = False
        else:
            operation, told = library.open(session=session), Told()
            seen = sorted(library.view())
            for source in rng.sample(seen, min(len(seen), rng.choice([0, 0, 1]))):
                told.cites |= {(number, source) for number, _ in cite(library, operation, source)}
            told.wrote = set(rng.sample("abcdef", rng.choice([1, 1, 2])))
            library.write(operation, {source: f"{source} {step}" for source in told.wrote})
            library.log.publish(operation)
            told.shown = sessions[session] if session else set()
            sessions |= {session: set()} if session else {}
            story.told[operation] = told
    return story


@pytest.mark.parametrize("seed", range(15))
def test_random_histories_agree_with_the_rule(library: Library, seed: int):
    """For any selection: who is named and how, and what each policy makes of it, possible dependents included or not."""
    rng = random.Random(seed)
    story = tell(library, rng, 40)
    for number in rng.sample(sorted(story.told), 6):
        chosen = tuple(sorted({number, rng.choice(sorted(story.told))}))
        hops = rng.choice([1, 1, 2, 3])
        selected = {(n, None) for n in chosen}
        definite, possible = story.dependents(selected, hops)
        found = listed(library, hops, operations=chosen)
        assert {n for n, (_, certainty, _) in found.items() if certainty == "definite"} == definite, (seed, chosen)
        assert {n for n, (_, certainty, _) in found.items() if certainty == "possible"} == possible, (seed, chosen)
        if any(story.told[n].visible for n in chosen):
            for include in (False, True):
                check_policies(library, story, chosen, hops, include)
    for source in "abc":
        definite, possible = story.dependents(story.picked(source), 1)
        found = listed(library, sources=(source,))
        assert {n for n, (_, certainty, _) in found.items() if certainty == "definite"} == definite, (seed, source)
        assert {n for n, (_, certainty, _) in found.items() if certainty == "possible"} == possible, (seed, source)


def check_policies(library: Library, story: Story, chosen: tuple[int, ...], hops: int, include: bool) -> None:
    """refuse, safe_only and cascade against the rule."""

    def outside(numbers: Iterable[int]) -> set[int]:
        definite, possible = story.dependents({(n, None) for n in numbers}, hops)
        return (definite | possible if include else definite) - set(chosen)

    if outside(chosen):
        with pytest.raises(HasDependents):
            plan(library, "refuse", include, hops, operations=chosen)
    else:
        assert plan(library, "refuse", include, hops, operations=chosen).withdraw == chosen
    safe = plan(library, "safe_only", include, hops, operations=chosen)
    free = {n for n in chosen if not outside([n])}
    assert set(safe.withdraw) == (free if any(story.told[n].visible for n in free) else set())
    assert set(plan(library, "cascade", include, hops, operations=chosen).withdraw) == {*chosen, *outside(chosen)}
