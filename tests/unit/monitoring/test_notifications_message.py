"""What people read."""

from __future__ import annotations

from datetime import timedelta

from alert_data import NOON, waiting
from tuneloop.monitoring.examples import quotable
from tuneloop.monitoring.notifications import message


def test_a_message_has_all_that_it_takes_to_look_further() -> None:
    one = waiting(
        message="novel: 31.0 % (95 % interval 24.0 % to 39.0 %, n = 200), above the limit of 20 %",
        bundle="5f2b9a10c4de" + "0" * 52,
        examples=("what is the solar tariff", "solar panel"),
        seen=3,
    )
    told = message.compose([one])
    assert told.title == "tuneloop: desk: novelty opened"
    assert told.body.splitlines() == [
        "Model desk",
        "",
        "novelty opened: novel: 31.0 % (95 % interval 24.0 % to 39.0 %, n = 200), "
        "above the limit of 20 %",
        "alert a1, since 2026-03-02 12:00 UTC, seen 3 ×, bundle 5f2b9a10c4de",
        "for example: what is the solar tariff | solar panel",
        "look further: tuneloop alert show a1",
    ]


def test_what_is_over_by_now_says_so() -> None:
    over = waiting(resolved_at=NOON + timedelta(hours=1))
    assert "over since 2026-03-02 13:00 UTC" in message.compose([over]).body


def test_one_message_is_grouped_by_model() -> None:
    told = message.compose([waiting(1), waiting(2, model="shop"), waiting(3, monitor="errors")])
    assert told.title == "tuneloop: desk, shop: 3 alerts"
    order = [told.body.index(text) for text in ("Model desk", "a1", "a3", "Model shop", "a2")]
    assert order == sorted(order) and told.body.count("Model ") == 2


def test_of_an_alert_the_newest_event_is_told() -> None:
    told = message.compose([waiting(1), waiting(2), waiting(3, alert="a1", event="repeated")])
    assert told.title == "tuneloop: desk: 2 alerts"
    assert "novelty still there" in told.body and told.body.count("alert a1,") == 1


def test_a_long_message_ends_with_the_number_of_the_rest() -> None:
    told = message.compose([waiting(number) for number in range(25)])
    assert told.body.count("look further: tuneloop alert show") == message.MOST_TOLD
    assert told.body.endswith("And 5 more. Look further: tuneloop alert list --all")


def test_examples_are_few_short_and_neither_personal_nor_markup() -> None:
    detail = {
        "examples": [
            {"interaction": "1", "prompt": "write to ana@example.org\nplease", "similarity": 0.1},
            {"interaction": "2", "answer": "<!channel> @here see https://evil.example"},
            {"interaction": "3"},
            "x" * 200,
            "one too many",
        ]
    }
    assert quotable(detail) == [
        "write to [EMAIL] please",
        "‹!channel› ＠here see https:/ /evil.example",
        "x" * 79 + "…",
    ]
    assert quotable({}) == []
