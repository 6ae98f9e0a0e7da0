"""The example data is what its README says: labels, rules, seeded faults, no leaks."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rapidfuzz import fuzz, utils

FOLDER = Path(__file__).parents[3] / "examples" / "support-desk"
FIELDS = ["intent", "product", "urgency"]
MONTH_ONE_INTENTS = {"billing", "delivery", "returns", "setup", "fault", "account", "cancel"}
OUT_OF_SCOPE = {"intent": "out_of_scope", "product": "none", "urgency": "low"}
URGENCIES = {"low", "normal", "high"}

PRODUCT_WORDS = {
    "perch": r"\b(perch(es)?|hubs?)\b",
    "tarn": r"\btarn\b",
    "wick": r"\b(wicks?|thermostats?|valves?)\b",
    "skerry": r"\bskerrys?\b",
}
HIGH_WORDS = re.compile(
    r"\b(smoke|smoking|burning|sparks?|leak(s|ing)?|freezing|no heat(ing)?|no power|today|tomorrow"
    r"|right now|immediately|urgent)\b",
    re.IGNORECASE,
)
LOW_WORDS = re.compile(r"\b(no rush|just curious|just wondering|not urgent)\b", re.IGNORECASE)
NEW_KIND_WORDS = re.compile(
    r"\b(solar|panels?|export(s|ed)?|tariffs?|kwh|grid|feed-in)\b", re.IGNORECASE
)

Case = tuple[str, dict[str, str]]


def lines_of(name: str) -> list[str]:
    return (FOLDER / name).read_text(encoding="utf-8").splitlines()


def readme_rows(columns: int) -> list[list[str]]:
    """Cells of every table row with so many columns in the README."""
    rows = [line.strip("|").split("|") for line in lines_of("README.md") if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if len(row) == columns]


def seeded_faults() -> list[tuple[str, int, int | None]]:
    """(fault, line, line it copies or None), read from the README's table."""
    return [
        (fault, int(line), int(copied) if copied else None)
        for fault, line, copied, _note in readme_rows(4)
        if line.isdigit()
    ]


def chat_case(line: str) -> Case:
    user, assistant = json.loads(line)["messages"]
    assert (user["role"], assistant["role"]) == ("user", "assistant")
    return user["content"], json.loads(assistant["content"])


def month_one_good_cases() -> list[Case]:
    faulty = {line for _, line, _ in seeded_faults()}
    return [
        chat_case(text) for n, text in enumerate(lines_of("month-1.jsonl"), 1) if n not in faulty
    ]


def traffic() -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of("month-2-traffic.jsonl")]


def cases_of(name: str) -> list[Case]:
    if name == "month-1.jsonl":
        return month_one_good_cases()
    if name == "month-2-traffic.jsonl":
        return [(row["message"], row["expected"]) for row in traffic()]
    return [chat_case(line) for line in lines_of(name)]


FILES = [
    "month-1.jsonl",
    "month-2-traffic.jsonl",
    "month-2.jsonl",
    "golden.jsonl",
    "golden-2.jsonl",
]


def named_products(message: str) -> set[str]:
    return {
        product
        for product, words in PRODUCT_WORDS.items()
        if re.search(words, message, re.IGNORECASE)
    }


def urgency_by_words(message: str) -> str:
    if HIGH_WORDS.search(LOW_WORDS.sub("", message)):
        return "high"
    return "low" if LOW_WORDS.search(message) else "normal"


@pytest.mark.parametrize("name", FILES)
def test_every_answer_uses_the_declared_labels(name: str) -> None:
    old_world = name in {"month-1.jsonl", "golden.jsonl"}
    intents = MONTH_ONE_INTENTS | (set() if old_world else {"solar_export"})
    products = {"perch", "tarn", "wick", "none"} | (set() if old_world else {"skerry"})
    for message, answer in cases_of(name):
        assert list(answer) == FIELDS, message
        if answer["intent"] == "out_of_scope":
            assert answer == OUT_OF_SCOPE, message
        else:
            assert answer["intent"] in intents, message
            assert answer["product"] in products, message
            assert answer["urgency"] in URGENCIES, message


@pytest.mark.parametrize("name", FILES)
def test_product_and_urgency_follow_the_rules_of_the_readme(name: str) -> None:
    wrong = [
        (message, answer)
        for message, answer in cases_of(name)
        if answer != OUT_OF_SCOPE
        and (
            named_products(message) != {answer["product"]} - {"none"}
            or urgency_by_words(message) != answer["urgency"]
        )
    ]
    assert not wrong


@pytest.mark.parametrize("name", FILES)
def test_row_counts_are_those_of_the_readme(name: str) -> None:
    stated = {row[0].strip("`"): int(row[1]) for row in readme_rows(3) if row[1].isdigit()}
    assert len(lines_of(name)) == stated[name]


def test_month_one_is_balanced() -> None:
    cases = month_one_good_cases()
    intents = Counter(answer["intent"] for _, answer in cases)
    in_scope = [answer for _, answer in cases if answer != OUT_OF_SCOPE]
    assert set(intents) == MONTH_ONE_INTENTS | {"out_of_scope"}
    assert min(intents.values()) >= 18
    assert 0.18 <= intents["out_of_scope"] / len(cases) <= 0.25
    assert min(Counter(answer["product"] for answer in in_scope).values()) >= 25
    assert min(Counter(answer["urgency"] for answer in in_scope).values()) >= 30


def test_month_two_traffic_has_the_new_name_and_the_new_kind() -> None:
    def kind(expected: dict[str, str]) -> str:
        if expected["intent"] == "solar_export":
            return "new kind"
        return "new name" if expected["product"] == "skerry" else "usual"

    rows = traffic()
    assert all(set(row) == {"message", "expected", "edited"} for row in rows)
    assert Counter(kind(row["expected"]) for row in rows) == {
        "usual": 50,
        "new name": 27,
        "new kind": 33,
    }
    edited = Counter(kind(row["expected"]) for row in rows if row["edited"])
    assert edited["usual"] == 0
    assert edited["new name"] + edited["new kind"] == 55


def test_month_one_does_not_know_month_two() -> None:
    for message, _ in month_one_good_cases() + cases_of("golden.jsonl"):
        assert "skerry" not in message.lower()
        assert not NEW_KIND_WORDS.search(message), message
    new_kind = [m for m, a in cases_of("month-2-traffic.jsonl") if a["intent"] == "solar_export"]
    assert sum(bool(NEW_KIND_WORDS.search(m)) for m in new_kind) / len(new_kind) > 0.8


def test_no_message_is_in_two_files_or_nearly_so() -> None:
    messages = [
        (name, utils.default_process(message)) for name in FILES for message, _ in cases_of(name)
    ]
    alike = [
        (one, other)
        for index, one in enumerate(messages)
        for other in messages[:index]
        if fuzz.ratio(one[1], other[1]) >= 80
    ]
    assert not alike


def test_repeated_rows_stand_where_the_readme_says() -> None:
    lines = lines_of("month-1.jsonl")
    found = Counter(fault for fault, _, _ in seeded_faults())
    assert found["exact duplicate"] == 3
    assert found["near-duplicate"] == 5
    assert found["contradiction"] == 1
    for fault, line, copied in seeded_faults():
        if copied is None:
            continue
        (message, answer), (original, original_answer) = (
            chat_case(lines[line - 1]),
            chat_case(lines[copied - 1]),
        )
        assert copied < line
        if fault == "exact duplicate":
            assert lines[line - 1] == lines[copied - 1]
        elif fault == "near-duplicate":
            assert message != original
            assert answer == original_answer
            similarity = fuzz.ratio(utils.default_process(message), utils.default_process(original))
            assert similarity >= 90
        else:
            assert message == original
            assert answer != original_answer


def parsed_answer(line: str) -> Any:
    return json.loads(json.loads(line)["messages"][1]["content"])


def test_broken_rows_stand_where_the_readme_says() -> None:
    lines = lines_of("month-1.jsonl")
    at = {fault: lines[line - 1] for fault, line, copied in seeded_faults() if copied is None}

    with pytest.raises(json.JSONDecodeError):
        json.loads(at.pop("not JSON"))
    rows = {fault: json.loads(text)["messages"] for fault, text in at.items()}
    assert [turn["role"] for turn in rows.pop("no assistant message")] == ["user"]
    assert rows.pop("empty answer")[1]["content"] == ""
    assert rows.pop("empty message")[0]["content"].strip() == ""
    assert json.loads(rows.pop("value outside the schema")[1]["content"])["intent"] == "complaint"
    assert "urgency" not in json.loads(rows.pop("missing field")[1]["content"])
    assert "{{customer_name}}" in rows.pop("leftover template text")[0]["content"]
    assert rows.pop("refusal as answer")[1]["content"].startswith("I'm sorry, I can't")
    for fault in ("text around the JSON", "truncated answer"):
        rows.pop(fault)
        with pytest.raises(json.JSONDecodeError):
            parsed_answer(at[fault])
    assert not rows, "a fault of the README's table that this test does not know"


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("e-mail", r"[\w.]+@[\w.]*(example\.com|\.test)\b"),
        ("telephone", r"\b555-01\d\d\b"),
        ("bank account", r"\bZZ\d\d( \w{1,4})+"),
    ],
)
def test_personal_data_stands_where_the_readme_says_and_only_there(kind: str, pattern: str) -> None:
    stated = next(row[1] for row in readme_rows(2) if row[0].startswith(kind))
    found = [n for n, text in enumerate(lines_of("month-1.jsonl"), 1) if re.search(pattern, text)]
    assert found == [int(number) for number in stated.split(",")]


def test_customers_have_several_rows() -> None:
    customers: Counter[str] = Counter()
    for text in lines_of("month-1.jsonl"):
        found = re.search(r'"customer": "(c-\d{4})"', text)
        customers.update([found.group(1)] if found else [])
    assert len(customers) >= 10
    assert sum(count >= 2 for count in customers.values()) >= 10
