"""Settings: defaults in force, impossible values refused, unusual ones explained."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop.errors import UsageError
from tuneloop.modelfile import TrainingSettings
from tuneloop.training.config import TrainingConfig, unusual_values


def test_every_setting_of_the_model_file_is_understood() -> None:
    settings = TrainingSettings().model_dump(mode="json")
    config = TrainingConfig.from_settings(settings)
    assert config.settings().items() >= settings.items()
    assert config == TrainingConfig()


def test_defaults_are_usual() -> None:
    assert unusual_values(TrainingConfig(), rows=300) == []
    assert TrainingConfig().lora_alpha == 32


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"rank": 128}, "rank"),
        ({"rank": 4}, "rank"),
        ({"alpha": 160.0}, "alpha"),
        ({"epochs": 20.0}, "epochs"),
        ({"learning_rate": 0.1}, "learning rate"),
        ({"method": "full", "learning_rate": 1e-3}, "learning rate"),
        ({"batch_size": 200}, "batch_size"),
        ({"dropout": 0.5}, "dropout"),
    ],
)
def test_unusual_values_are_warned_of_with_a_reason(settings: dict[str, Any], word: str) -> None:
    warnings = unusual_values(TrainingConfig(**settings), rows=1000)
    assert len(warnings) == 1
    assert word in warnings[0]
    assert "usual" in warnings[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "magic"},
        {"rank": 0},
        {"epochs": 0},
        {"learning_rate": -1.0},
        {"warmup_share": 1.0},
        {"precision": "fp8"},
        {"gradient_checkpointing": "maybe"},
        {"colour": "red"},
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        TrainingConfig.from_settings(settings)


def test_the_digest_follows_the_result_not_the_speed() -> None:
    config = TrainingConfig()
    assert config.digest() == TrainingConfig(threads=1, tokens_per_pack=77).digest()
    assert config.digest() != TrainingConfig(seed=1).digest()


def test_wider_models_and_full_training_get_lower_learning_rates() -> None:
    lora, full = TrainingConfig(), TrainingConfig(method="full")
    assert lora.peak_learning_rate(576) > lora.peak_learning_rate(4096)
    assert full.peak_learning_rate(576) == pytest.approx(lora.peak_learning_rate(576) / 10)
    assert TrainingConfig(learning_rate=3e-4).peak_learning_rate(576) == 3e-4


@pytest.mark.parametrize(
    ("section", "digest"),
    [
        ({}, "336ddc3dad08056c7387f4a85f39abee24609781b6e7100555b1ff2c14969352"),
        ({"epochs": 3}, "336ddc3dad08056c7387f4a85f39abee24609781b6e7100555b1ff2c14969352"),
        (
            {"alpha": 32, "trackers": ["mlflow"], "threads": 1},
            "5b81663ba9201a7f974c1e3bd13c3d5a0e7ef0e2de6c06260a9f8fdf56b4233b",
        ),
        ({"precision": "fp32"}, "01e363353d59c753e30bd9e2a0dc801546ca25e9a331ba1fd4047f7c2468dac6"),
        ({"precision": "bf16"}, "6742844bdb75d946e4092227edb37ebaf1e2a271178769dd3bd29b23a402087f"),
        (
            {"method": "full", "learning_rate": 0.0001},
            "a95ab905f41a08832fa148533ca412819404d740bc353c5ffa6769f01e760ab6",
        ),
        (
            {"method": "dpo", "dpo_epochs": 2},
            "64575936a77b3f0157d4cec39b620c2019b97672fe7722b3b9a1d0bb63759f2e",
        ),
    ],
)
def test_a_run_is_recognised_by_the_digest_of_earlier_releases(
    section: dict[str, Any], digest: str
) -> None:
    settings = TrainingSettings.model_validate(section).model_dump(mode="json")
    assert TrainingConfig.from_settings(settings).digest() == digest
