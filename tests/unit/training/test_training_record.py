from typing import Any

import pytest

from tuneloop.training.record import losses, losses_of

LOG: list[dict[str, Any]] = [
    {"step": 1, "epoch": 0.5, "loss": 3.0, "learning_rate": 0.1},
    {"step": 2, "epoch": 1.0, "loss": 2.0, "learning_rate": 0.1},
    {"step": 2, "epoch": 1.0, "eval_loss": 2.1},
    {"step": 3, "epoch": 1.5, "loss": 1.0, "learning_rate": 0.1},
    {"step": 4, "epoch": 2.0, "loss": 1.5, "learning_rate": 0.1},
    {"step": 4, "epoch": 2.0, "eval_loss": 2.4},
    {"step": 4, "epoch": 2.0, "train_loss": 1.25},
]


def test_a_run_is_told_by_its_last_step_and_its_best_epoch() -> None:
    assert losses_of(LOG) == {
        "final_loss": 1.5,
        "final_eval_loss": 2.4,
        "best_eval_loss": 2.1,
        "best_eval_step": 2,
        "best_eval_epoch": 1.0,
    }
    assert str(losses(losses_of(LOG))) == (
        "last loss 1.5000, best evaluation loss 2.1000 after epoch 1"
    )


@pytest.mark.parametrize(
    ("resumed", "said"),
    [
        (0, "last loss 1.5000, best evaluation loss 2.1000 after epoch 1.67"),
        (
            5,
            "last loss 1.5000, best evaluation loss 2.1000 after epoch 1.67 (an earlier version "
            "measured it where the run was interrupted, too)",
        ),
    ],
)
def test_the_record_of_an_earlier_version_keeps_its_figures_and_is_told_apart(
    resumed: int, said: str
) -> None:
    points = [{"step": 5, "epoch": 1.6667, "loss": 2.1}, {"step": 6, "epoch": 2.0, "loss": 2.4}]
    record = {
        "final_loss": 1.5,
        "best_eval_loss": 2.1,
        "loss_curves": {"train": [], "eval": points},
        "resumed_from_step": resumed,
    }
    assert str(losses(record)) == said


def test_a_run_without_figures_says_so() -> None:
    assert str(losses({})) == str(losses({"error": "No row is left."})) == "no loss yet"
    assert str(losses({"final_loss": 1.0, "loss_curves": {"train": [], "eval": []}})) == (
        "last loss 1.0000"
    )
