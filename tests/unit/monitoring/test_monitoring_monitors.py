"""What each monitor counts, and what it leaves out."""

from __future__ import annotations

import json

from monitoring_data import LetterEmbedder, interaction, window
from tuneloop.modelfile import MonitorSettings
from tuneloop.monitoring import monitors
from tuneloop.monitoring.monitors import LatencyBaseline
from tuneloop.monitoring.novelty import novelty_reference

SETTINGS = MonitorSettings()
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
    found = monitors.format_compliance(window(rows), SETTINGS, task={"output_schema": SCHEMA})
    assert (found.value, found.n, found.verdict) == (0.94, 100, "ok")
    assert [e["answer"][:20] for e in found.detail["examples"]] == [m[:20] for m in misfits[:5]]


def test_format_alerts_below_93_per_cent() -> None:
    rows = [interaction(response="yes")] * 92 + [interaction(response="maybe")] * 8
    found = monitors.format_compliance(window(rows), SETTINGS, task={"output_pattern": "yes|no"})
    assert found.verdict == "alert"


def test_format_of_a_task_without_a_form_is_that_answers_are_not_empty() -> None:
    rows = [interaction()] * 30 + [interaction(response=" ")] * 10
    assert monitors.format_compliance(window(rows), SETTINGS, task={}).value == 0.75


def test_format_leaves_failed_requests_and_tool_calls_out() -> None:
    rows = [
        interaction(response=GOOD),
        interaction(response='{"int', status=200, error="upstream_broke_off"),
        interaction(response="", status=502, error="upstream_unreachable"),
        interaction(response="", status=499),
        interaction(response="", tool_calls='[{"type": "function"}]'),
    ]
    found = monitors.format_compliance(window(rows), SETTINGS, task={"output_schema": SCHEMA})
    assert (found.value, found.n) == (1.0, 1)


def test_latency_alerts_above_twice_the_baseline() -> None:
    baseline = LatencyBaseline(p95_ms=100, source="its evaluation")
    fast = window([interaction(latency_ms=200.0)] * 40)
    slow = window([interaction(latency_ms=201.0)] * 40)
    assert monitors.latency_p95(fast, SETTINGS, baseline=baseline).verdict == "ok"
    found = monitors.latency_p95(slow, SETTINGS, baseline=baseline)
    assert found.verdict == "alert"
    assert "201 ms" in found.message
    assert "limit of 200 ms" in found.message
    assert "its evaluation" in found.message


def test_latency_without_a_baseline_says_so_and_alerts_nobody() -> None:
    found = monitors.latency_p95(
        window([interaction(latency_ms=9_000.0)] * 40), SETTINGS, baseline=None
    )
    assert (found.verdict, found.value) == ("ok", 9_000.0)
    assert "first window" in found.message
    few = monitors.latency_p95(window([interaction()] * 29), SETTINGS, baseline=None)
    assert few.verdict == "not_enough_data"


def test_latency_counts_only_whole_answers() -> None:
    rows = [interaction(latency_ms=100.0)] * 30 + [
        interaction(latency_ms=60_000.0, status=504)
    ] * 30
    assert monitors.latency_p95(window(rows), SETTINGS, baseline=None).value == 100.0


def test_edit_rate_below_the_minimum_sample_alerts_nobody() -> None:
    few = monitors.edit_rate(window([interaction(edited=True)] * 29), SETTINGS)
    enough = monitors.edit_rate(window([interaction(edited=True)] * 30), SETTINGS)
    assert (few.verdict, few.value, few.n) == ("not_enough_data", 1.0, 29)
    assert enough.verdict == "alert"


def test_errors_are_the_servers_failures_with_their_reasons() -> None:
    rows = [
        *[interaction()] * 90,
        *[interaction(status=502, error="upstream_unreachable")] * 5,
        interaction(status=200, error="upstream_broke_off"),
        interaction(status=400, error="invalid_value"),
        *[interaction(status=499, error="client_left")] * 3,
    ]
    found = monitors.errors(window(rows), SETTINGS)
    assert (found.value, found.n, found.verdict) == (0.06, 100, "alert")
    assert found.detail["reasons"] == {"upstream_unreachable": 5, "upstream_broke_off": 1}
    assert found.detail["clients_left"] == 3


def _desk() -> tuple[LetterEmbedder, list[str]]:
    return LetterEmbedder(), [f"my tarn battery is broken {word}" for word in "abcdefghij"] * 4


def test_novelty_finds_a_renamed_product_inside_familiar_sentences() -> None:
    embedder, training = _desk()
    reference = novelty_reference(training, [], embedder)
    prompts = ["my tarn battery is broken a"] * 25 + ["my Skerry battery is broken a"] * 15
    found = monitors.novelty(
        window([interaction(p) for p in prompts]), SETTINGS, reference=reference, embedder=embedder
    )
    assert (found.value, found.verdict) == (15 / 40, "alert")
    assert found.detail["new_words"] == [{"word": "skerry", "prompts": 15}]
    assert "skerry" in found.message
    assert [e["prompt"] for e in found.detail["examples"]] == ["my Skerry battery is broken a"]
    json.dumps(found.detail)


def test_novelty_finds_new_requests_without_any_repeated_new_word() -> None:
    embedder, training = _desk()
    reference = novelty_reference(training, [], embedder)
    far = ["zzz www", "xxx www", "qqq ppp", "vvv uuu", "jjj qqq", "zzz qqq", "ooo ppp", "hhh xxx"]
    rows = [interaction(p) for p in [*training[:27], *far]]
    found = monitors.novelty(window(rows), SETTINGS, reference=reference, embedder=embedder)
    assert (found.detail["far"], found.detail["with_new_words"]) == (8, 0)
    assert (found.value, found.verdict) == (8 / 35, "alert")
    assert len(found.detail["examples"]) == 5


def test_novelty_of_familiar_traffic_is_low_and_empty_prompts_are_not_counted() -> None:
    embedder, training = _desk()
    reference = novelty_reference(training, [], embedder)
    rows = [interaction(p) for p in training] + [interaction(messages="[]")] * 20
    found = monitors.novelty(window(rows), SETTINGS, reference=reference, embedder=embedder)
    assert (found.value, found.n, found.verdict) == (0.0, 40, "ok")
    assert found.detail["without_prompt"] == 20


def test_novelty_of_a_large_window_is_measured_on_an_even_sample(monkeypatch) -> None:
    monkeypatch.setattr(monitors, "NOVELTY_SAMPLE_ROWS", 50)
    embedder, training = _desk()
    reference = novelty_reference(training, [], embedder)
    before = embedder.texts_embedded
    rows = [interaction(training[0])] * 60 + [interaction("zzz")] * 60
    found = monitors.novelty(window(rows), SETTINGS, reference=reference, embedder=embedder)
    assert embedder.texts_embedded - before == found.n == 40
    assert found.value == 0.5
    assert found.detail["sampled_from"] == 120


def test_an_empty_window_alerts_nobody() -> None:
    embedder, training = _desk()
    reference = novelty_reference(training, [], embedder)
    empty = window([])
    found = [
        monitors.format_compliance(empty, SETTINGS, task={}),
        monitors.latency_p95(empty, SETTINGS, baseline=None),
        monitors.edit_rate(empty, SETTINGS),
        monitors.errors(empty, SETTINGS),
        monitors.novelty(empty, SETTINGS, reference=reference, embedder=embedder),
    ]
    assert {(m.verdict, m.value, m.n) for m in found} == {("not_enough_data", None, 0)}
