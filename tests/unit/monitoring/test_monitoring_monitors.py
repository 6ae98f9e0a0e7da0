"""What each monitor counts, what it leaves out, and when it speaks up."""

from __future__ import annotations

import itertools
import json
import math
import random
from typing import Any

import pytest

from monitoring_data import LetterEmbedder, baseline, interaction, measure
from tuneloop.modelfile import MonitorSettings
from tuneloop.modelfile.sections.monitoring import MONITOR_NAMES
from tuneloop.monitoring import capture_drops
from tuneloop.monitoring.answers_by_topic import OwnAnswers, answers_by_topic
from tuneloop.monitoring.drift.reference import DriftReference, OwnPrompts, drift_reference
from tuneloop.monitoring.monitors import prompts, table
from tuneloop.monitoring.monitors.answers import Errors, FormatCompliance, Refusals
from tuneloop.monitoring.monitors.drift import EmbeddingDrift
from tuneloop.monitoring.monitors.people import Accuracy, EditRate, Escalations, JudgeQuality
from tuneloop.monitoring.monitors.prompts import Novelty
from tuneloop.monitoring.monitors.usage import (
    Confidence,
    Cost,
    LatencyP95,
    OutputLength,
    VocabularyDiversity,
)
from tuneloop.monitoring.novelty import novelty_reference
from tuneloop.monitoring.phrases import own_phrases
from tuneloop.online_evaluation import golden
from tuneloop.retraining import new_data

SCHEMA = {
    "type": "object",
    "properties": {"intent": {"enum": ["billing", "fault"]}},
    "required": ["intent"],
    "additionalProperties": False,
}
GOOD = '{"intent": "billing"}'


def test_format_counts_what_a_client_program_could_not_read() -> None:
    misfits = [
        f"Sure! {GOOD}",  # JSON inside a sentence
        '{"intent": "poetry"}',
        '{"intent": "billing"',
        "",
        '{"intent": NaN}',
        "[" * 100_000,
    ]
    rows = [interaction(response=f"\n{GOOD} ")] * 94 + [interaction(response=m) for m in misfits]
    found = measure(FormatCompliance, rows, task={"output_schema": SCHEMA})
    assert (found.value, found.n, found.verdict) == (0.94, 100, "ok")
    assert [e["answer"][:20] for e in found.detail["examples"]] == [m[:20] for m in misfits[:5]]


def test_format_alerts_below_93_per_cent() -> None:
    rows = [interaction(response="yes")] * 80 + [interaction(response="maybe")] * 20
    found = measure(FormatCompliance, rows, task={"output_pattern": "yes|no"})
    assert (found.verdict, found.value) == ("alert", 0.8)


def test_format_of_a_task_without_a_form_is_that_answers_are_not_empty() -> None:
    rows = [interaction()] * 30 + [interaction(response=" ")] * 10
    assert measure(FormatCompliance, rows).value == 0.75


def test_format_leaves_failed_requests_and_tool_calls_out() -> None:
    rows = [
        interaction(response=GOOD),
        interaction(response='{"int', status=200, error="upstream_broke_off"),
        interaction(response="", status=502, error="upstream_unreachable"),
        interaction(response="", status=499),
        interaction(response="", tool_calls='[{"type": "function"}]'),
    ]
    found = measure(FormatCompliance, rows, task={"output_schema": SCHEMA})
    assert (found.value, found.n) == (1.0, 1)


def test_latency_alerts_above_twice_the_baseline() -> None:
    before = baseline(100)
    fast, slow = [interaction(latency_ms=200.0)] * 40, [interaction(latency_ms=201.0)] * 40
    assert measure(LatencyP95, fast, before=before).verdict == "ok"
    found = measure(LatencyP95, slow, before=before)
    assert found.verdict == "alert"
    assert "201 ms" in found.message
    assert "limit of 200 ms" in found.message
    assert "its evaluation" in found.message


def test_latency_without_a_baseline_says_so_and_alerts_nobody() -> None:
    found = measure(LatencyP95, [interaction(latency_ms=9_000.0)] * 40)
    assert (found.verdict, found.value) == ("ok", 9_000.0)
    assert "first window" in found.message
    few = measure(LatencyP95, [interaction()] * 29)
    assert few.verdict == "not_enough_data"


def test_latency_counts_only_whole_answers() -> None:
    rows = [interaction(latency_ms=100.0)] * 30 + [
        interaction(latency_ms=60_000.0, status=504)
    ] * 30
    assert measure(LatencyP95, rows).value == 100.0


def test_edit_rate_below_the_minimum_sample_alerts_nobody() -> None:
    edits = [(number, "edit", "better") for number in range(30)]
    few = measure(EditRate, [interaction()] * 29, said=edits)
    enough = measure(EditRate, [interaction()] * 30, said=edits)
    assert (few.verdict, few.value, few.n) == ("not_enough_data", 1.0, 29)
    assert enough.verdict == "alert"


@pytest.mark.parametrize(
    ("value", "edited"),
    [
        ('{"intent": "billing"}', True),
        ('{"intent": "fault"}', False),
        (' {"intent":"fault"}\n', False),  # only written differently
        ({"text": '{"intent": "fault"}'}, False),
        ({"text": "billing"}, True),
        (42, True),
    ],
)
def test_an_answer_is_edited_when_its_edit_says_something_else(value: object, edited: bool) -> None:
    rows = [interaction(response='{"intent": "fault"}')]
    assert measure(EditRate, rows, said=[(0, "edit", value)]).value == edited


def test_no_edit_is_no_good_sign_before_anybody_has_looked() -> None:
    rows = [interaction()] * 40
    silent = measure(EditRate, rows)
    assert (silent.verdict, silent.value) == ("not_enough_data", None)
    assert "whether one of 40 was to be changed" in silent.message
    for kind, value in (("rating", 1.0), ("edit", "fine")):
        looked = measure(EditRate, rows, said=[(3, kind, value)])
        assert (looked.verdict, looked.value, looked.n) == ("ok", 0, 40)
    # Somebody looks, and found nothing to change this time: so an alert can end.
    quiet = measure(EditRate, rows, heard_before=["rating"])
    assert (quiet.verdict, quiet.value, quiet.n) == ("ok", 0, 40)


def test_the_size_of_edits_is_told_and_ratings_are_none() -> None:
    rows = [interaction(response="abcd")] * 40
    said = [(0, "edit", "abcx"), (1, "edit", "xyzw"), (2, "rating", 0.5), (3, "edit", "abcd")]
    found = measure(EditRate, rows, said=said)
    assert (found.value, found.detail["mean_edit_size"][0]) == (2 / 40, (0.25 + 1) / 2)
    assert "62% of the characters" in found.message


def test_the_size_of_edits_of_prose_is_a_share_of_its_words() -> None:
    rows = [interaction(response="Please restart the modem, then wait.")] * 40
    said = [(number, "edit", "Please unplug the modem, then wait.") for number in range(2)]
    found = measure(EditRate, rows, said=said, task={"kind": "prose"})
    assert found.detail["mean_edit_size"][0] == pytest.approx(1 / 6)
    assert "17% of the words" in found.message


def test_errors_are_the_servers_failures_with_their_reasons() -> None:
    rows = [
        *[interaction()] * 82,
        *[interaction(status=502, error="upstream_unreachable")] * 13,
        interaction(status=200, error="upstream_broke_off"),
        interaction(status=400, error="invalid_value"),
        *[interaction(status=499, error="client_left")] * 3,
    ]
    found = measure(Errors, rows)
    assert (found.value, found.n, found.verdict) == (0.14, 100, "alert")
    assert found.detail["reasons"] == {"upstream_unreachable": 13, "upstream_broke_off": 1}
    assert found.detail["clients_left"] == 3
    usual = measure(Errors, rows, before=baseline(0.1, 0.09, 0.11))
    assert usual.verdict == "ok"
    assert "baseline 10.0 %" in usual.message


def test_the_servers_own_refusals_and_who_gave_up_on_a_slow_answer_are_failures() -> None:
    rows = [
        *[interaction()] * 83,
        interaction(status=400, error="context_length_exceeded"),
        interaction(status=413, error="upstream_error"),
        interaction(status=429, error="upstream_error"),
        *[interaction(status=499, error="client_left", latency_ms=30_000.0)] * 13,
        interaction(status=499, error="client_left", latency_ms=400.0),
    ]
    found = measure(Errors, rows, patience_ms=500.0)
    assert (found.value, found.n, found.verdict) == (0.16, 100, "alert")
    assert found.detail["reasons"] == {
        "client_left": 13,
        "upstream_error": 2,
        "context_length_exceeded": 1,
    }
    assert measure(Errors, rows).value == 0.03, "nothing says what is slow"


def test_the_drop_of_confidence_is_that_of_the_typical_token_probability() -> None:
    rows = [interaction(mean_logprob=-0.02 - 0.001 * (i % 2)) for i in range(200)]
    # From 0.99 to 0.98: the logarithm has doubled, the probability lost one per cent.
    assert measure(Confidence, rows, before=baseline(-0.0100, -0.0101, -0.0099)).verdict == "ok"
    limit = math.log(0.9)
    found = measure(Confidence, rows, before=baseline(-0.019 - limit))
    assert found.verdict == "alert"
    assert found.limit is not None
    assert math.isclose(found.limit.threshold, -0.019)
    unknown = measure(Confidence, [interaction()] * 200)
    assert unknown.verdict == "not_enough_data"
    assert "none of 200 answers has log-probabilities" in unknown.message


def test_a_large_but_uncertain_shift_is_told_and_alerts_nobody() -> None:
    rows = [interaction(completion_tokens=n) for n in [1] * 28 + [400] * 2]
    found = measure(OutputLength, rows, before=baseline(10, 9, 11))
    assert found.verdict == "ok"
    assert not found.cleared
    assert "may be chance" in found.message


def test_a_certain_but_small_shift_alerts_nobody_however_many_rows() -> None:
    rows = [interaction(completion_tokens=12 - i % 2) for i in range(5_000)]
    found = measure(OutputLength, rows, before=baseline(10, 9.9, 10.1))
    assert found.verdict == "ok"
    assert found.detail["difference"][1] > 0
    assert found.cleared


@pytest.mark.parametrize(
    ("tokens", "verdict"), [(7, "alert"), (8, "ok"), (12, "ok"), (13, "alert")]
)
def test_output_length_may_move_by_a_quarter_either_way(tokens: int, verdict: str) -> None:
    rows = [interaction(completion_tokens=tokens)] * 40
    assert measure(OutputLength, rows, before=baseline(10)).verdict == verdict


def test_vocabulary_is_that_of_equally_frequent_words_whatever_the_amount_of_text() -> None:
    def answers(n: int) -> list[dict[str, object]]:
        drawn = random.Random(3)
        return [
            interaction(response=f"word{drawn.randrange(50)} other{drawn.randrange(50)}")
            for _ in range(n)
        ]

    few, many = (
        measure(VocabularyDiversity, answers(500)),
        measure(VocabularyDiversity, answers(5_000)),
    )
    assert few.value is not None
    assert many.value is not None
    assert math.isclose(few.value, 100, rel_tol=0.15)
    assert math.isclose(many.value, 100, rel_tol=0.02)
    assert few.low is not None
    assert few.high is not None
    assert few.low < 100 < few.high
    repeated = [interaction(response="the same words")] * 40
    assert measure(VocabularyDiversity, repeated).value == pytest.approx(3)
    assert measure(VocabularyDiversity, repeated, before=baseline(100)).verdict == "alert"


@pytest.mark.parametrize(
    ("response", "words"),
    [("नमस्ते दुनिया", 2), ("தமிழ் அம்மா இங்கே", 3), ("我想退货", 3), ("น้ำดี", 1), ("荷物はどこ", 4)],
)
def test_vocabulary_has_the_words_of_every_script(response: str, words: int) -> None:
    repeated = [interaction(response=response)] * 40
    assert measure(VocabularyDiversity, repeated).value == pytest.approx(words)


def test_cost_is_tokens_in_and_out_with_their_sums() -> None:
    found = measure(Cost, [interaction()] * 40 + [interaction(prompt_tokens=None)])
    assert (found.value, found.n) == (30.0, 40)
    assert (found.detail["prompt_tokens"], found.detail["completion_tokens"]) == (800, 400)
    assert measure(Cost, [interaction()] * 40, before=baseline(23)).verdict == "alert"
    cheaper = measure(Cost, [interaction()] * 40, before=baseline(300))
    assert cheaper.verdict == "ok"


def test_refusals_are_declared_abstentions_and_the_usual_words() -> None:
    task = {"abstain": {"field": "intent", "value": "none"}}
    rows = [
        *[interaction(response=GOOD)] * 36,
        *[interaction(response='{"intent": "none"}')] * 2,
        interaction(response="I'm sorry, but I can't help with that."),
        interaction(response="[" * 100_000),
    ]
    found = measure(Refusals, rows, task=task, before=baseline(0.0, 0.0, 0.01))
    assert (found.value, found.verdict) == (3 / 40, "alert")
    assert len(found.detail["examples"]) == 2
    assert measure(Refusals, rows, task=task, before=baseline(0.06)).verdict == "ok"


def test_escalations_alert_when_they_become_more() -> None:
    said = [(number, "escalation", None) for number in range(8)]
    rows = [interaction()] * 80
    assert measure(Escalations, rows, said=said, before=baseline(0.02)).verdict == "alert"
    assert measure(Escalations, rows, said=said, before=baseline(0.06)).verdict == "ok"
    assert measure(Escalations, rows, said=said, before=baseline(0.5)).verdict == "ok"


def test_no_escalation_says_nothing_where_nobody_ever_says_anything() -> None:
    silent = measure(Escalations, [interaction()] * 80)
    assert silent.verdict == "not_enough_data" and "nobody knows" in silent.message
    heard = measure(Escalations, [interaction()] * 80, heard_before=["edit"])
    assert (heard.value, heard.verdict) == (0.0, "ok")


def test_accuracy_takes_a_persons_word_before_the_judges() -> None:
    rows = [interaction(response='{"intent": "fault"}')] * 100
    judged = [(n, "judgement", {"score": 0.5, "judge": "j"}) for n in range(40)]
    labelled = [
        (0, "label", {"intent": "billing"}),
        (1, "label", '{"intent":"fault"}'),
        (2, "label", {"intent": "fault"}),
        (3, "rating", 0.5),
        (3, "judgement", {"score": 1, "judge": "j"}),
        (4, "rating", True),  # no number
    ]
    found = measure(Accuracy, rows, said=[*judged, *labelled])
    assert found.n == 40
    assert found.value is not None
    assert math.isclose(found.value, (0 + 1 + 1 + 0.5 + 36 * 0.5) / 40)
    assert found.detail["by"] == {"label": 3, "rating": 1, "judgement": 36}
    assert found.verdict == "alert"
    fewer = measure(Accuracy, rows, said=judged[:29])
    assert fewer.verdict == "not_enough_data"


def test_an_answer_of_the_weekly_sample_counts_as_often_as_it_occurs() -> None:
    """Rare kinds are always looked at, and always wrong here; the usual one is right."""
    rows = [interaction(response="fault")] * 60
    said = [(n, "label", "fault" if n < 31 else "billing") for n in range(60)]
    weights = {n: 30.0 if n < 31 else 1.0 for n in range(60)}
    unweighted = measure(Accuracy, rows, said=said)
    assert unweighted.value == pytest.approx(31 / 60)
    found = measure(Accuracy, rows, said=said, weights=weights)
    assert found.value == pytest.approx(930 / 959)
    assert (found.n, found.detail["of_the_sample"], found.verdict) == (32, 60, "ok")
    rated = [(n, "rating", 0.0) for n in range(60, 92)]
    both = measure(Accuracy, rows + [interaction()] * 32, said=[*said, *rated], weights=weights)
    # Those that somebody chose to rate count beside it as many as they are.
    assert both.value == pytest.approx(930 / 959 / 2, abs=0.01)


def test_judge_quality_compares_a_judge_with_itself() -> None:
    rows = [interaction()] * 100
    said = [
        *[(n, "judgement", {"score": 0.8, "judge": "old"}) for n in range(60)],
        *[(n, "judgement", {"score": 0.1, "judge": "new"}) for n in range(60, 90)],
        (99, "judgement", {"score": "high", "judge": "new"}),
        (98, "judgement", "gibberish"),
    ]
    asked: list = []
    found = measure(JudgeQuality, rows, said=said, before=baseline(0.97, 0.96, 0.98), asked=asked)
    assert asked == [("judge_quality", {"judge": "old"})]
    assert found.value is not None
    assert math.isclose(found.value, 0.8)
    assert found.verdict == "alert"
    assert found.detail["judgements"] == {"old": 60, "new": 30}
    slightly = measure(JudgeQuality, rows, said=said, before=baseline(0.84))
    assert slightly.verdict == "ok"


def _drift(embedder: LetterEmbedder, training: list[str]) -> DriftReference:
    own = OwnPrompts(texts=training)
    return drift_reference(own, OwnPrompts(texts=training[:10]), embedder=embedder)


def test_drift_tells_its_own_threshold_the_textbooks_and_what_is_new() -> None:
    embedder, training = _desk()
    reference = _drift(embedder, training)
    familiar = [interaction(text) for text in training]
    far = [interaction("zzz www qqq")] * 40
    quiet = measure(EmbeddingDrift, familiar, drift=reference, embedder=embedder)
    loud = measure(EmbeddingDrift, familiar[:10] + far, drift=reference, embedder=embedder)
    assert (quiet.verdict, loud.verdict) == ("ok", "alert")
    assert loud.limit is not None
    assert loud.value is not None
    assert loud.value > loud.limit.threshold
    assert "textbook limit 0.2" in loud.message
    assert "new kinds of request: “qqq www zzz”" in loud.message
    assert "new words: " in loud.message
    assert loud.detail["examples"][0]["prompt"] == "zzz www qqq"
    assert "spherical k-means" in loud.detail["definition"]
    json.dumps(loud.detail)
    few = measure(EmbeddingDrift, far[:9], drift=reference, embedder=embedder)
    assert few.verdict == "not_enough_data"


def _desk() -> tuple[LetterEmbedder, list[str]]:
    return LetterEmbedder(), [f"my tarn battery is broken {word}" for word in "abcdefghij"] * 4


def test_novelty_finds_a_renamed_product_inside_familiar_sentences() -> None:
    embedder, training = _desk()
    reference = novelty_reference(training, [], embedder)
    texts = ["my tarn battery is broken a"] * 25 + ["my Skerry battery is broken a"] * 15
    rows = [interaction(text) for text in texts]
    found = measure(Novelty, rows, reference=reference, embedder=embedder)
    assert (found.value, found.verdict) == (15 / 40, "alert")
    assert found.detail["new_words"] == [{"word": "skerry", "prompts": 15}]
    assert "skerry" in found.message
    assert [e["prompt"] for e in found.detail["examples"]] == ["my Skerry battery is broken a"]
    json.dumps(found.detail)


def test_novelty_finds_new_requests_without_any_repeated_new_word() -> None:
    embedder, training = _desk()
    reference = novelty_reference(training, [], embedder)
    far = [f"{a}{b}{a} {b}{a}{b}" for a, b in itertools.combinations("zwxqpv", 2)]
    rows = [interaction(p) for p in [*training[:27], *far]]
    found = measure(Novelty, rows, reference=reference, embedder=embedder)
    assert (found.detail["far"], found.detail["with_new_words"]) == (15, 0)
    assert (found.value, found.verdict) == (15 / 42, "alert")
    assert len(found.detail["examples"]) == 5


def test_novelty_of_familiar_traffic_is_low_and_empty_prompts_are_not_counted() -> None:
    embedder, training = _desk()
    reference = novelty_reference(training, [], embedder)
    rows = [interaction(p) for p in training] + [interaction(messages="[]")] * 20
    found = measure(Novelty, rows, reference=reference, embedder=embedder)
    assert (found.value, found.n, found.verdict) == (0.0, 40, "ok")
    assert found.detail["without_prompt"] == 20


def test_novelty_of_a_large_window_is_measured_on_a_random_sample(monkeypatch) -> None:
    monkeypatch.setattr(prompts, "SAMPLE_ROWS", 100)
    embedder, training = _desk()
    reference = novelty_reference(training, [], embedder)
    rows = [interaction(training[0])] * 300 + [interaction("zzz")] * 300
    found = measure(Novelty, rows, reference=reference, embedder=embedder)
    assert (found.n, found.detail["sampled_from"]) == (100, 600)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high


ROWS = [
    interaction(
        f"my tarn battery is broken {'abcdefghij'[i % 10]}",
        response=f'{{"intent": "fault {i % 17}"}}' if i % 9 else "I cannot help with that",
        status=200 if i % 7 else 502,
        error=None if i % 7 else "upstream_unreachable",
        latency_ms=50.0 + i,
        completion_tokens=5 + i % 11,
        mean_logprob=-0.01 * (i % 5),
    )
    for i in range(300)
]
SAID = [
    *[(n, "edit", "better") for n in range(0, 300, 4)],
    *[(n, "escalation", "angry") for n in range(0, 300, 6)],
    *[(n, "label", '{"intent": "fault 1"}') for n in range(0, 300, 5)],
    *[(n, "judgement", {"score": n % 3 / 2, "judge": f"j{n % 2}"}) for n in range(300)],
]


def _references(embedder: LetterEmbedder, training: list[str]) -> dict[str, Any]:
    """All that a monitor may compare with, made of prompts that were answered with themselves."""
    drift = _drift(embedder, training)
    own = OwnAnswers(prompts=OwnPrompts(texts=training), answers=training)
    return {
        "reference": novelty_reference(training, [], embedder),
        "drift": drift,
        "answer_drift": drift,
        "by_topic": answers_by_topic(own, own, drift, embedder),
        "phrases": own_phrases(training),
    }


@pytest.mark.parametrize("monitor", [one.tally for one in table.MONITORS if one.tally.reads_window])
def test_tallies_of_parts_make_the_tally_of_the_whole(monitor) -> None:
    embedder, training = _desk()
    watched = {
        "task": {"output_schema": SCHEMA},
        "said": SAID,
        **_references(embedder, training),
        "before": baseline(0.4, 0.3, 0.5),
    }
    whole = measure(monitor, ROWS, embedder=embedder, **watched)
    parted = measure(monitor, ROWS, embedder=embedder, parts=3, **watched)
    assert whole.verdict in ("ok", "alert")
    assert (parted.n, parted.verdict) == (whole.n, whole.verdict)
    assert (parted.value, parted.low, parted.high) == pytest.approx(
        (whole.value, whole.low, whole.high), rel=1e-9
    )
    assert parted.detail.keys() == whole.detail.keys()


@pytest.mark.parametrize("monitor", [one.tally for one in table.MONITORS])
def test_an_empty_window_alerts_nobody(monitor) -> None:
    embedder, training = _desk()
    found = measure(monitor, [], embedder=embedder, **_references(embedder, training))
    assert (found.verdict, found.value, found.n) == ("not_enough_data", None, 0)


def test_the_table_says_how_often_and_when() -> None:
    names = {one.name for one in table.MONITORS}
    assert names == set(table.MONITORS.names())
    weekly = set(table.due("week"))
    assert {"accuracy", "edit_rate", "novelty"} == weekly
    hourly = set(table.due("hour"))
    assert {"silence", "refused"} == hourly
    assert names == weekly | hourly | set(table.due("day"))
    limits = {one.name: one.limit(MonitorSettings()) for one in table.MONITORS}
    assert limits["accuracy"] == "below 88%"
    assert limits["latency_p95"] == "above 2 × baseline"


def test_the_model_file_knows_every_name_that_can_alert() -> None:
    others = {golden.MONITOR, capture_drops.MONITOR, new_data.RULE}
    assert {monitor.name for monitor in table.MONITORS} | others == set(MONITOR_NAMES)
