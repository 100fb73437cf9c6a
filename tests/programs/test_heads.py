"""Figures of the four heads against other ways of computing them."""

import numpy as np
import pytest
from scipy import stats

from clew.bundle.guide import Scores
from clew.programs.heads import NO_ACTION, Frequencies, Labels, figures, figures_with_intervals, policy_accuracy

ACTIONS, CONTEXTS = 5, 3


def drawn(count=400, seed=0, ties=False):
    random = np.random.default_rng(seed)
    legal = random.random((count, ACTIONS)) < 0.7
    actions = random.integers(0, ACTIONS, count)
    legal[np.arange(count), actions] = True
    actions[random.random(count) < 0.2] = NO_ACTION
    guards = (random.random(count) < 0.3).astype(np.float32)
    latencies = random.normal(size=count).astype(np.float32)
    latencies[:7] = np.nan
    labels = Labels(
        actions=actions,
        legal=legal,
        values=(random.random(count) < 0.5).astype(np.float32),
        guards=guards,
        latencies=latencies,
        contexts=random.integers(0, CONTEXTS, count),
        tasks=random.integers(0, 40, count),
    )
    guard = guards + random.normal(size=count)
    said = Scores(
        random.normal(size=(count, ACTIONS)).astype(np.float32),
        random.normal(size=count).astype(np.float32),
        (np.round(guard) if ties else guard).astype(np.float32),
        (np.nan_to_num(latencies) * 0.7 + random.normal(size=count) * 0.3).astype(np.float32),
    )
    return said, labels


def frequencies(labels):
    return Frequencies.of(labels.actions, labels.contexts, (CONTEXTS, ACTIONS))


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_under_the_curve_is_the_statistic_of_mann_and_whitney(ties):
    said, labels = drawn(ties=ties)
    positive, negative = said.guard_logits[labels.guards == 1], said.guard_logits[labels.guards == 0]
    pairs = stats.mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative))
    assert figures(said, labels, frequencies(labels))["guard_auc"] == pytest.approx(pairs)


def test_accuracies_are_those_of_a_slow_count():
    said, labels = drawn()
    counts = frequencies(labels).counts
    right = {"policy": 0, "top5": 0, "majority": 0, "context": 0, "chance": 0.0}
    rows = [row for row in range(len(labels)) if labels.actions[row] != NO_ACTION]
    for row in rows:
        legal = np.flatnonzero(labels.legal[row])
        ranked = sorted(legal, key=lambda action: -said.policy_logits[row, action])
        right["policy"] += ranked[0] == labels.actions[row]
        right["top5"] += labels.actions[row] in ranked[:5]
        right["majority"] += max(legal, key=lambda action: counts.sum(axis=0)[action]) == labels.actions[row]
        in_context = counts[labels.contexts[row]]
        right["context"] += max(legal, key=lambda action: in_context[action]) == labels.actions[row]
        right["chance"] += 1 / len(legal)
    found = figures(said, labels, frequencies(labels))
    names = ("policy_accuracy", "policy_top5", "majority_accuracy", "context_majority_accuracy", "chance_accuracy")
    assert [found[name] for name in names] == pytest.approx([each / len(rows) for each in right.values()], abs=0.01)
    assert policy_accuracy(said, labels) == pytest.approx(right["policy"] / len(rows))


def test_explained_variance_is_that_of_known_labels_alone():
    said, labels = drawn()
    known = np.isfinite(labels.latencies)
    errors = said.latency[known] - labels.latencies[known]
    expected = 1 - np.mean(errors**2) / np.var(labels.latencies[known])
    assert figures(said, labels, frequencies(labels))["latency_explained_variance"] == pytest.approx(expected, rel=1e-4)


def test_who_always_says_the_mean_explains_nothing_and_the_truth_explains_all():
    said, labels = drawn()
    mean = np.full(len(labels), np.nanmean(labels.latencies), np.float32)
    name = "latency_explained_variance"
    assert figures(said._replace(latency=mean), labels, frequencies(labels))[name] == pytest.approx(0, abs=1e-5)
    truth = np.nan_to_num(labels.latencies)
    assert figures(said._replace(latency=truth), labels, frequencies(labels))[name] == 1.0


def test_intervals_hold_the_figure_and_know_that_states_of_a_task_go_together():
    said, labels = drawn()
    found = figures_with_intervals(said, labels, frequencies(labels), resamplings=200)
    for name, each in found.items():
        assert each.low <= each.value <= each.high, name
    assert found["policy_accuracy"].cases == int((labels.actions != NO_ACTION).sum())
    # Every state ten times over, within its task: no more is known.
    many = Labels(**{name: np.repeat(value, 10, axis=0) for name, value in vars(labels).items()})
    again = figures_with_intervals(
        Scores(*(np.repeat(each, 10, axis=0) for each in said)), many, frequencies(labels), resamplings=200
    )
    width, width_again = (each.high - each.low for each in (found["guard_auc"], again["guard_auc"]))
    assert width_again == pytest.approx(width, rel=0.02)


def test_a_figure_of_nothing_is_a_number():
    said, labels = drawn(20)
    nothing = Labels(**{**vars(labels), "values": np.full(20, np.nan, np.float32), "guards": np.ones(20, np.float32)})
    found = figures(said, nothing, frequencies(labels))
    assert found["value_auc"] == 0.5
    assert found["guard_auc"] == 0.5
    assert all(np.isfinite(each) for each in found.values())
