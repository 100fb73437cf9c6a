"""The objective `imitation`: its loss by hand, batches by step alone, what it learns, and what it refuses."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from clew.core.errors import EvidenceError, UsageError
from clew.objectives.imitation import Imitation, guide_config
from clew.programs import features
from clew.programs.grammar import FULL, SMALL
from clew.recipes.imitation import ImitationRecipe
from clew.training.devices import Placement
from clew.training.objective import Shard
from clew.training.optimizers import Optimizer
from clew.training.step import train_step
from small_guides import SmallStates, small_rows, small_states

CPU = Placement(device=torch.device("cpu"), dtype=torch.float32)
WHOLE = Shard(0, 1)


def objective_of(prepared: SmallStates) -> Imitation:
    return Imitation(prepared, Path("unused"), CPU)


def test_the_loss_is_what_the_contract_says_computed_slowly():
    objective = objective_of(small_states(weights={"policy": 2.0, "value": 3.0, "guard": 5.0, "latency": 7.0}))
    for head in (objective.model.policy, objective.model.value, objective.model.guard, objective.model.latency):
        torch.nn.init.normal_(head.weight)
    batch = objective.batch(3, WHOLE)
    said = [each.detach().double().numpy() for each in objective.model(batch.features)]
    sums = np.zeros(4)
    weights = batch.weights.double().numpy()
    for row in range(len(batch.actions)):
        legal = [action for action in range(8) if not batch.illegal[row, action]]
        logits = said[0][row]
        crossed = math.log(sum(math.exp(logits[each]) for each in legal)) - logits[int(batch.actions[row])]
        value, guard, latency = batch.targets[:, row].tolist()
        sums[0] += weights[0, row] * crossed
        sums[1] += weights[1, row] * (said[1][row] - value) ** 2
        sums[2] += weights[2, row] * (math.log1p(math.exp(said[2][row])) - guard * said[2][row])
        sums[3] += weights[3, row] * (said[3][row] - latency) ** 2
    expected = sums / len(batch.actions)
    loss = objective.loss(batch)
    np.testing.assert_allclose([each.item() for each in loss.parts.values()], expected, rtol=1e-5)
    assert loss.total.item() == pytest.approx(float(expected @ [2, 3, 5, 7]), rel=1e-5)
    assert list(loss.parts) == ["policy_loss", "value_loss", "guard_loss", "latency_loss"]


def test_guard_and_latency_have_targets_of_their_own():
    """What a fault of earlier systems was: one target for both."""
    rows = small_rows(512, 0)
    batch = objective_of(small_states()).batch(0, WHOLE)
    value, guard, latency = batch.targets.numpy()
    for one, other in ((value, guard), (guard, latency), (value, latency)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.5
    assert set(np.unique(rows.guards)) == {0.0, 1.0}


def test_labels_that_are_not_known_teach_nothing():
    prepared = small_states(weights={"task_alone": 0.0})
    rows = prepared.train
    batch = objective_of(prepared).batch(0, WHOLE)
    order = objective_of(prepared)._order(0)[:64]
    assert np.array_equal(batch.weights[0].numpy() > 0, rows.actions[order] >= 0)
    assert np.array_equal(batch.weights[3].numpy() > 0, np.isfinite(rows.latencies[order]))
    assert torch.isfinite(batch.targets).all()


def test_each_head_weighs_the_same_in_the_mean_however_many_rows_have_its_label():
    for share in (0.0, 0.5):
        objective = objective_of(small_states(weights={"task_alone": share}, count=4096))
        weights = torch.cat([objective.batch(step, WHOLE).weights for step in range(64)], dim=1)
        np.testing.assert_allclose(weights.mean(dim=1).numpy(), np.ones(4), atol=0.1)


def test_rows_shown_by_the_task_alone_are_those_of_grammar_mode():
    """The same row as the compiled search asks about: `features.of_contexts`."""
    prepared = small_states(weights={"task_alone": 1.0})
    objective, rows = objective_of(prepared), prepared.train
    order = objective._order(0)[:64]
    shown = objective.batch(0, WHOLE).features.numpy()
    for place, row in enumerate(order):
        asked = features.of_contexts(rows.task_features[rows.tasks[row]], SMALL)[rows.contexts[row]]
        whole = rows.features(np.array([row]))[0]
        assert np.array_equal(shown[place], asked if rows.actions[row] >= 0 else whole)


def test_a_batch_is_a_function_of_the_step_alone():
    one, other = objective_of(small_states()), objective_of(small_states())
    for step in (9, 0, 7):
        for ours, theirs in zip(one.batch(step, WHOLE), other.batch(step, WHOLE), strict=True):
            assert torch.equal(ours, theirs)


def test_a_pass_shows_every_row_once():
    objective = objective_of(small_states(weights={"task_alone": 0.0}))
    shown = torch.cat([objective.batch(step, WHOLE).features for step in range(8)])
    rows = objective._train.features(np.arange(512))
    assert sorted(map(tuple, shown.numpy().tolist())) == sorted(map(tuple, rows.tolist()))


def test_micro_batches_sum_to_the_whole_batch():
    objective = objective_of(small_states())
    whole = objective.loss(objective.batch(2, WHOLE))
    parts = [objective.loss(objective.batch(2, Shard(index, 4))) for index in range(4)]
    mean = sum(part.total * part.weight for part in parts) / sum(part.weight for part in parts)
    assert mean.item() == pytest.approx(whole.total.item(), rel=1e-5)


def test_every_head_learns_what_it_can_be_taught():
    prepared = small_states(count=2048, training={"max_steps": 150, "batch_size": 256})
    objective = objective_of(prepared)
    before = objective.evaluate(0).figures
    optimizer = Optimizer(objective.model, prepared.recipe.training)
    for step in range(150):
        train_step(objective, optimizer, prepared.recipe.training, CPU, step)
    after = objective.evaluate(150).figures
    assert after["policy_accuracy"] > 0.8 > 2 * before["policy_accuracy"] - 0.2
    assert after["policy_accuracy"] > after["majority_accuracy"] + 0.2
    assert after["policy_accuracy_task_alone"] > after["chance_accuracy"] + 0.2
    assert after["guard_auc"] > 0.95
    assert after["latency_explained_variance"] > 0.6
    assert after["validation_loss"] < before["validation_loss"]


def test_noise_is_told_from_signal():
    """A guide of labels that nothing explains is at chance held out, and the figures say so."""
    prepared = small_states(count=1024)
    random = np.random.default_rng(5)
    shuffled = [
        dataclasses.replace(
            rows,
            guards=random.permutation(rows.guards),
            latencies=random.permutation(rows.latencies),
            values=random.permutation(rows.values),
        )
        for rows in (prepared.train, prepared.held_out)
    ]
    objective = objective_of(SmallStates(prepared.recipe, *shuffled))
    optimizer = Optimizer(objective.model, prepared.recipe.training)
    for step in range(30):
        train_step(objective, optimizer, prepared.recipe.training, CPU, step)
    found = objective.evaluate(30).figures
    assert abs(found["guard_auc"] - 0.5) < 0.1
    assert found["value_explained_variance"] < 0.1
    assert found["latency_explained_variance"] < 0.1


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        (
            "input_dim",
            48,
            "model.input_dim is 48, but demonstrations in the grammar 'small' have 32 numbers in a state",
        ),
        ("action_dim", 9, "model.action_dim is 9, but demonstrations in the grammar 'small' have 8 actions"),
    ],
)
def test_dimensions_that_do_not_fit_the_data_are_told_in_a_sentence(name, given, said):
    with pytest.raises(UsageError, match=said):
        objective_of(small_states(model={name: given}))


def test_the_reference_sizes_are_those_of_the_small_grammar():
    config = guide_config(ImitationRecipe(), SMALL)
    assert (config.input_dim, config.action_dim) == (32, 8)
    assert guide_config(ImitationRecipe(), FULL).action_dim == 54


def test_evidence_without_anything_held_out_is_refused():
    prepared = small_states()
    nothing = small_rows(8, 0)
    for field in dataclasses.fields(nothing):
        if field.name not in ("grammar", "task_features", "task_types", "legal_of"):
            nothing = dataclasses.replace(nothing, **{field.name: getattr(nothing, field.name)[:0]})
    with pytest.raises(EvidenceError, match="0 held out"):
        objective_of(SmallStates(prepared.recipe, prepared.train, nothing))
