"""Flags that users of earlier self-play trainers know mean what they meant there."""

from __future__ import annotations

import pytest

from clew.cli.runs.train import parse
from clew.core.errors import UsageError
from clew.recipes import load
from clew.training.schedules import factor

ALL = (
    "--db d.db --model-dir m --stats s.json --steps 700 --batch-size 32 --lr 0.01 --weight-decay 0.001 --grad-clip 2.0 "
    "--checkpoint-interval 50 --stats-interval 5 --log-interval 20 --max-checkpoints 4 --device cpu "
    "--lr-min-ratio 0.2 --lr-warmup-steps 10 --lr-warmup-start-ratio 0.3 --lr-total-steps 2000 --wait-interval 1 "
    "--max-wait 30 --env-id connect4 --replay-window 9 --replay-cleanup-interval 8 --clear-replay --start-step 100 "
    "--eval-interval 70 --eval-games 10 --log-level WARNING"
)


def recipe(arguments: str):
    return parse("alphazero", arguments.split())[0]


def test_every_flag_of_the_contract_reaches_its_field():
    made = recipe(ALL)
    training, data, outputs = made.training, made.data, made.outputs
    assert (training.max_steps, training.batch_size, training.learning_rate) == (700, 32, 0.01)
    assert (training.weight_decay, training.clip, training.checkpoint_every, training.log_every) == (0.001, 2.0, 50, 20)
    assert training.min_learning_rate == pytest.approx(0.002)
    assert (training.warmup_steps, training.warmup_start_ratio, training.schedule_steps) == (10, 0.3, 2000)
    assert (training.schedule_start, training.evaluate_every) == (100, 70)
    assert (data.db, data.env_id, data.replay_window, data.replay_cleanup_interval) == ("d.db", "connect4", 9, 8)
    assert data.clear_replay
    assert (data.wait_interval, data.max_wait) == (1.0, 30.0)
    assert (outputs.model_dir, outputs.stats, outputs.max_checkpoints, outputs.stats_interval) == ("m", "s.json", 4, 5)
    assert (outputs.start_step, outputs.log_level, made.games.eval_games) == (100, "WARNING", 10)


def test_the_defaults_are_those_that_users_know():
    made = recipe("")
    training = made.training
    assert (training.max_steps, training.batch_size, training.learning_rate) == (1000, 64, 0.001)
    assert (training.weight_decay, training.clip, training.checkpoint_every) == (0.0001, 1.0, 100)
    assert (made.data.db, made.outputs.model_dir, made.outputs.stats) == (
        "data/replay.db",
        "data/models",
        "data/stats.json",
    )
    assert (made.outputs.max_checkpoints, made.data.max_wait, made.games.eval_games) == (10, 300.0, 50)
    assert factor(training, 0, 1000) == pytest.approx(0.109)
    assert factor(training, 99, 1000) == 1.0
    assert factor(training, 999, 1000) == pytest.approx(0.1)


def test_a_constant_rate_and_the_share_of_another_peak():
    assert recipe("--no-lr-schedule").training.schedule == "constant"
    assert recipe("--lr=0.01").training.min_learning_rate == pytest.approx(0.001)
    assert recipe("--lr-min-ratio=0.5").training.min_learning_rate == pytest.approx(0.0005)
    assert recipe("--lr 0.01 --min-learning-rate 0.004").training.min_learning_rate == 0.004


def test_a_resumed_run_continues_its_decay():
    whole = recipe("--steps 1000").training
    second_half = recipe("--steps 500 --start-step 500 --lr-total-steps 1000").training
    for step in (0, 250, 499):
        assert factor(second_half, step, 500) == factor(whole, step + 500, 1000)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--lr-min-ratio", "--lr-min-ratio needs a value"),
        ("--lr-min-ratio lots", "--lr-min-ratio lots: a number is due"),
        ("--start-step", "--start-step needs a value"),
        ("--lr lots", "lots"),
        ("--eval-games 7", "multiple of 2"),
        ("--stepz 7", "--stepz"),
    ],
)
def test_a_wrong_value_gets_a_sentence(arguments, says):
    with pytest.raises(UsageError) as caught:
        recipe(arguments)
    assert says in str(caught.value)


def test_a_recipe_in_the_words_of_an_earlier_tool_is_read_as_its_flags_are(tmp_path):
    words = ALL.split()
    flags = {name: words[place + 1] for place, name in enumerate(words) if name.startswith("--")}
    flags["--clear-replay"] = "true"
    lines = [f"{name[2:].replace('-', '_')}: {value}" for name, value in flags.items()]
    path = tmp_path / "earlier.yaml"
    path.write_text("\n".join(["objective: alphazero", *lines]))
    assert load(str(path)) == recipe(ALL)
    path.write_text("objective: alphazero\nno_lr_schedule: true\nlr: 0.01\n")
    assert load(str(path)) == recipe("--no-lr-schedule --lr 0.01")


def test_a_key_at_the_top_that_no_section_has_is_unknown_and_one_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "flat.yaml"
    path.write_text("objective: next_token\nd_model: 64\ncontext_length: 32\nmax_epochs: 3\n")
    made = load(str(path))
    assert (made.model.d_model, made.model.context_length, made.training.max_epochs) == (64, 32, 3.0)
    path.write_text("objective: next_token\nd_modle: 64\n")
    with pytest.raises(UsageError, match="unknown key 'd_modle'"):
        load(str(path))
    path.write_text("objective: next_token\nd_model: 64\nmodel: {d_model: 32}\n")
    with pytest.raises(UsageError, match=r"'d_model' stands twice: at the top, and as 'model\.d_model'"):
        load(str(path))


@pytest.mark.parametrize("flag", ["--training.learning-rate", "--learning-rate", "--training.learning-rate=0.5"])
def test_a_flag_may_have_its_section_in_front(flag):
    words = flag if "=" in flag else f"{flag} 0.5"
    assert recipe(words).training.learning_rate == 0.5
    with pytest.raises(UsageError, match=rf"{flag.partition('=')[0]} is -1"):
        recipe(f"{flag.partition('=')[0]}=-1")


def test_that_normalised_batches_do_not_accumulate_alike_is_said():
    said = recipe("").training.__class__.model_fields["accumulation"].description
    assert "normalises over its batch" in said
