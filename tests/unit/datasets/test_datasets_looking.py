"""Looking at a version: what is trained and asked, row by row, and the same in figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuneloop.datasets import looking, stats, versions
from tuneloop.datasets.looking import ShownRow, Wanted, place_of
from tuneloop.datasets.storing import SIDES
from tuneloop.datasets.tags import counts_in
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.errors import UsageError
from tuneloop.modelfile import ModelFile, ModelSettings
from tuneloop.modelfile.sections.data import DataSettings, TaskSettings
from tuneloop.prose.languages import language_of
from tuneloop.workspace import Workspace

WORDS = ("parcel", "invoice", "battery", "password", "radiator", "refund", "order", "warranty")
FIND = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}


def said(role: str, content: str, **further: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **further}


def question(n: int) -> str:
    return f"Where is the {WORDS[n % 8]} {n * 7919} of {chr(97 + n % 23) * 4}?"


def conversation(n: int) -> dict[str, Any]:
    """An answer that calls a tool, one in words, and one to a second question."""
    call = {"type": "function", "function": {"name": "find", "arguments": f'{{"n": {n}}}'}}
    return {
        "messages": [
            said("user", question(n)),
            said("assistant", "", tool_calls=[call], reasoning_content=f"I look {n} up."),
            said("tool", "in Brno"),
            said("assistant", f"Number {n} is in Brno.", reasoning_content=f"It found {n}."),
            said("user", f"And when will {n} be with me in {chr(97 + n % 19) * 5}?"),
            said("assistant", f"On day {n} of the year.", reasoning_content=f"{n} asks again."),
        ],
        "tools": [FIND],
        "lang": "de" if n % 4 == 0 else "en",
        "ticket": f"t{n}",
    }


def prepared(
    tmp_path: Path, rows: list[dict[str, Any]], *, thinking: bool = False
) -> tuple[Workspace, DatasetVersion]:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model_file = ModelFile(
        path=tmp_path / "tuneloop.yaml",
        settings=ModelSettings(
            name="m",
            base="b",
            task=TaskSettings(system="Be brief.", thinking=thinking),
            data=DataSettings(sources=("rows.jsonl",)),
        ),
        origins={},
        lines={},
    )
    workspace = Workspace.open(tmp_path / ".tuneloop")
    return workspace, versions.prepare(workspace, model_file)


def shown(workspace: Workspace, version: DatasetVersion) -> list[ShownRow]:
    return looking.shown_rows(
        {side: versions.read_examples(workspace, version, side) for side in SIDES},
        {side: versions.read_pairs(workspace, version, side) for side in SIDES},
    )


def test_a_conversation_is_one_row_with_its_answers_marked(tmp_path: Path) -> None:
    rows = shown(*prepared(tmp_path, [conversation(n) for n in range(30)], thinking=True))
    assert [row.line for row in rows] == sorted(row.line for row in rows), "as in the file"
    whole = next(row for row in rows if row.side == "train" and len(row.ids) == 3)
    uses = [turn.use for turn in whole.turns]
    assert uses == ["context", "context", "learnt", "context", "learnt", "context", "learnt"]
    assert whole.system == "Be brief." and whole.tools == (FIND,)
    calling = whole.turns[2].as_row()
    assert calling["use"] == "learnt" and calling["tool_calls"][0]["function"]["name"] == "find"
    assert calling["reasoning_content"] == f"I look {whole.line - 1} up."
    assert {turn.use for row in rows if row.side == "held-out" for turn in row.turns} == {
        "context",
        "asked",
    }
    assert whole.tags["ticket"] == f"t{whole.line - 1}"


def test_the_worse_answer_of_a_pair_stands_with_its_row(tmp_path: Path) -> None:
    """Also where its row was left out as a duplicate, and the pair is learnt all the same."""
    rows = [
        {"prompt": question(n), "chosen": f"at place {n}", "rejected": f"no idea {n}"}
        for n in range(20)
    ]
    rows.append({"prompt": question(3), "chosen": "at place 3", "rejected": "lost"})
    found = shown(*prepared(tmp_path, rows))
    assert sorted(row.line for row in found) == list(range(1, 22))
    assert found[3].rejected == ("no idea 3",) and found[20].rejected == ("lost",)
    assert found[20].turns[-1].message["content"] == "at place 3"


def test_rows_are_found_by_what_they_say_by_tag_and_by_line(tmp_path: Path) -> None:
    rows = shown(*prepared(tmp_path, [conversation(n) for n in range(30)], thinking=True))

    def lines(**wanted: Any) -> set[int]:
        return {row.line for row in Wanted(**wanted).of(rows)}

    assert lines(text="NUMBER 7 is") == {8}
    assert lines(text="look 7 up") == {8} and lines(text='find"') == set()
    assert lines(text='"n": 7}') == {8}, "what a tool is called with"
    assert lines(text="be brief") == set(), "every row has it"
    assert lines(tags=["lang=de"]) == set(range(1, 31, 4))
    assert lines(tags=["lang=de", "ticket=t4"]) == {5}
    assert lines(tags=["lang"]) == set(range(1, 31)) and lines(tags=["lang=fr"]) == set()
    assert lines(line="rows.jsonl:5") == lines(line="5") == {5}
    assert lines(line="other.jsonl:5") == set()


@pytest.mark.parametrize(
    ("written", "source", "fits"),
    [
        ("a.jsonl:3", "in/a.jsonl", True),
        ("./in/a.jsonl:3", "in/a.jsonl", True),
        ("in/a.jsonl:3", "in/a.jsonl", True),
        ("a.jsonl:3", "in/ba.jsonl", False),
        (":3", "anything", True),
        ("C:\\data.csv:3", "C:\\data.csv", True),
    ],
)
def test_a_file_is_named_as_people_do(written: str, source: str, fits: bool) -> None:
    assert place_of(written).is_of(source, 3) is fits
    assert not place_of(written).is_of(source, 4)


@pytest.mark.parametrize("written", ["", "rows.jsonl", "rows.jsonl:", "twelve", "rows.jsonl:-1"])
def test_what_is_no_place_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(UsageError, match=r"such as rows\.jsonl:12"):
        place_of(written)


def test_figures_add_up(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": question(n),
            "completion": json.dumps({"way": ("north", "south")[n % 2], "note": f"{n} please"}),
            "lang": ("de", "en")[n % 2],
            "ticket": f"t{n}",
            **({"note": "x"} if n < 5 else {}),
        }
        for n in range(40)
    ]
    workspace, version = prepared(tmp_path, [*rows, {**rows[0], "ticket": "again"}])
    examples = {side: versions.read_examples(workspace, version, side) for side in SIDES}
    counted = stats.count(examples, version.report)
    train, held_out = counted.sides["train"], counted.sides["held-out"]
    assert train.answers + held_out.answers == train.rows + held_out.rows == 40
    assert train.answers_a_row == {1: train.rows}
    for value in ("north", "south"):
        assert sum(counted.labels["way"][value].values()) == 20
    assert "note" not in counted.labels
    assert train.prompt is not None and train.answer is not None
    lengths = sorted(len(e.question) for e in examples["train"])
    assert (train.prompt.longest, train.prompt.median) == (
        lengths[-1],
        lengths[(len(lengths) - 1) // 2],
    )
    assert train.prompt_languages == {"en": 1.0} and train.answer_languages == {"JSON": 1.0}
    assert str(counted.tags["lang"]) == "40 rows: de 20, en 20"
    assert str(counted.tags["note"]) == "5 rows: x 5"
    assert str(counted.tags["ticket"]) == "40 values in 40 rows"
    assert counted.left_out == {"exact_duplicate": 1}
    assert counts_in(version.report) == counted.tags, "data show says the same"


def test_a_row_with_several_answers_has_its_tags_once(tmp_path: Path) -> None:
    workspace, version = prepared(tmp_path, [conversation(n) for n in range(30)], thinking=True)
    tags = counts_in(version.report)
    assert (tags["lang"].rows, tags["ticket"].values) == (30, 30)
    train = stats.count(
        {"train": versions.read_examples(workspace, version, "train")}, version.report
    ).sides["train"]
    assert sum(answers * rows for answers, rows in train.answers_a_row.items()) == train.answers
    assert train.thinks == train.answers > train.calls_tools > 0


def test_a_version_of_an_earlier_release_has_the_tags_that_it_counted() -> None:
    tags = counts_in({"tags": {"lang": {"de": 3, "en": 7}}})
    assert str(tags["lang"]) == "10 rows: en 7, de 3"
    assert str(counts_in({"tags": {"kind": {"edit": 1}}})["kind"]) == "1 row: edit 1"
    assert counts_in({}) == {}


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([], None),
        ([4], (4, 4, 4)),
        ([1, 9], (1, 9, 9)),
        (list(range(1, 101)), (50, 95, 100)),
    ],
)
def test_a_percentile_is_a_length_that_a_text_has(
    lengths: list[int], expected: tuple[int, int, int] | None
) -> None:
    found = stats.lengths(lengths)
    assert expected == (None if found is None else (found.median, found.p95, found.longest))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Where is my parcel, and when will it be here?"),
        ("de", "Wo ist mein Paket, und wann kommt es bei mir an?"),
        ("fr", "Où est mon colis, et quand est-ce que je l'aurai ?"),
        ("es", "¿Dónde está mi paquete y cuándo me llega?"),
        ("it", "Dove si trova il mio pacco e quando arriva?"),
        ("pt", "Onde está a minha encomenda e quando é que chega?"),
        ("nl", "Waar is mijn pakket en wanneer komt het aan?"),
        ("pl", "Gdzie jest moja paczka i kiedy do mnie dotrze?"),
        ("ru", "Где моя посылка и когда она у меня будет?"),
        ("uk", "Де моя посилка і коли вона у мене буде?"),
        ("hi", "मेरा पार्सल कहाँ है और मुझे कब मिलेगा"),
        ("ar", "أين طردي وما هو الوقت الذي يصل إلى هنا"),
        ("ja", "荷物はどこですか。いつ届きますか。"),
        ("zh", "我的包裹在哪里？什么时候到？"),
        ("ko", "제 소포는 어디에 있나요? 언제 오나요?"),
        ("th", "พัสดุของฉันอยู่ที่ไหน"),
        ("too short", "ok"),
        ("too short", "12345678901234"),
        ("JSON", '{"intent": "refund"}'),
        ("Latin script", "Xyzzy plugh frobnicate quux"),
    ],
)
def test_languages_are_told_by_script_and_small_words(language: str, text: str) -> None:
    assert language_of(text) == language
