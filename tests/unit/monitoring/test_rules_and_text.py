"""Metrics as text, thresholds as YAML, quantiles of a histogram."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from recant.errors import ConfigurationError
from recant.monitoring import Metric, Point, load_rules, prometheus_text
from recant.monitoring.activity import BOUNDS, quantile


def test_a_third_party_reads_the_text() -> None:
    """Names, labels with quotes and newlines in them, large and small values arrive as they were."""
    label = 'a "quoted"\\ \n line'
    buckets = (Point(1, {"le": "0.5"}, "_bucket"), Point(2, {"le": "+Inf"}, "_bucket"))
    metrics = [
        Metric("recant_one", "A\nnewline.", (Point(1.5, {"collection": label}), Point(2**40, {"collection": "b"}))),
        Metric("recant_none", "Without a value it is left out.", ()),
        Metric("recant_count", "Sums up.", (Point(3),), "counter"),
        Metric("recant_seconds", "H.", (*buckets, Point(2, suffix="_count"), Point(0.7, suffix="_sum")), "histogram"),
    ]
    found = {family.name: family for family in text_string_to_metric_families(prometheus_text(metrics))}
    assert sorted(found) == ["recant_count", "recant_one", "recant_seconds"]
    assert [(s.labels["collection"], s.value) for s in found["recant_one"].samples] == [(label, 1.5), ("b", 2**40)]
    assert found["recant_seconds"].type == "histogram"


def test_the_built_in_rules_stand() -> None:
    """Each names one of our metrics, a threshold, and what it means."""
    rules = load_rules()
    assert len(rules) >= 10
    for rule in rules:
        assert rule.metric.startswith("recant_")
        assert (rule.above is None) != (rule.below is None)
        assert len(rule.summary) > 20


def test_a_users_file_changes_adds_and_turns_off(tmp_path: Path) -> None:
    """By name; what it doesn't say of a rule stays as it was, but for the other bound."""
    own = tmp_path / "alerts.yml"
    own.write_text(
        """alerts:
  search_slow: {above: 0.5}
  disk_nearly_full: {enabled: false}
  recall_low: {above: 2}
  handbook_stale:
    metric: recant_collection_age_seconds
    labels: {collection: handbook}
    above: 86400
    for: 1h30m
    severity: critical
"""
    )
    rules = {rule.name: rule for rule in load_rules(own)}
    assert (rules["search_slow"].above, rules["search_slow"].for_seconds) == (0.5, 900)
    assert (rules["recall_low"].above, rules["recall_low"].below) == (2, None)
    assert "disk_nearly_full" not in rules
    stale = rules["handbook_stale"]
    assert (stale.for_seconds, stale.summary, stale.labels) == (5400, "handbook stale", {"collection": "handbook"})
    ages = Metric(
        "recant_collection_age_seconds",
        "",
        (Point(1e6, {"collection": "other"}), Point(1e6, {"collection": "handbook"})),
    )
    assert [b["series"] for b in stale.breaches([ages])] == ['recant_collection_age_seconds{collection="handbook"}']


@pytest.mark.parametrize(
    "text",
    [
        "alerts: [",
        "alerts: 3",
        "- a",
        "alerts: {a: 1}",
        "alerts: {a: {metric: recant_x, above: 1, abvoe: 2}}",
        "alerts: {a: {above: 1}}",
        "alerts: {a: {metric: recant_x}}",
        "alerts: {a: {metric: recant_x, above: 1, below: 2}}",
        "alerts: {a: {metric: recant_x, above: much}}",
        "alerts: {a: {metric: recant_x, above: 1, for: soon}}",
        "alerts: {a: {metric: recant_x, above: 1, severity: grave}}",
        "alerts: {a: {metric: recant_x, above: 1, labels: [a]}}",
    ],
)
def test_a_file_that_can_not_be_understood_is_refused(tmp_path: Path, text: str) -> None:
    """Instead of alerts that never fire."""
    own = tmp_path / "alerts.yml"
    own.write_text(text)
    with pytest.raises(ConfigurationError):
        load_rules(own)
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_rules(tmp_path / "missing.yml")


@given(st.lists(st.floats(0.0001, 20), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(times: list[float], share: float) -> None:
    """As far as the histogram's bounds can tell."""
    buckets = [
        sum(1 for t in times if lower < t <= upper)
        for lower, upper in zip((0.0, *BOUNDS), (*BOUNDS, float("inf")), strict=True)
    ]
    found = quantile(buckets, share)
    rank = share * len(times)
    true = sorted(times)[max(0, -(-int(rank * 1000) // 1000) - 1 if rank != int(rank) else int(rank) - 1)]
    bounds = (0.0, *BOUNDS)
    lower = max(b for b in bounds if b < true)
    upper = min((b for b in BOUNDS if b >= true), default=BOUNDS[-1])
    assert found is not None
    assert min(lower, BOUNDS[-1]) <= found <= upper + 1e-9


def test_there_is_no_quantile_of_nothing() -> None:
    """None rather than zero."""
    assert quantile([0] * (len(BOUNDS) + 1), 0.95) is None
    assert quantile([], 0.5) is None
