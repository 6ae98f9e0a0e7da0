"""Made `texts.tar.xz`: texts of many scripts, keyed, placed and erased by tuneloop 0.1 (81d81f3).

Run with that version's code, never with today's:

    git archive 81d81f3 src | tar x -C ../before
    PYTHONPATH=../before/src python tests/integration/yesterday/made_texts.py …/texts.tar.xz

`sides.json` beside the workspace says on which side each text was, `erased.json` which texts were
erased, `decided.json` what the item of a contradiction was called.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
import tempfile
from pathlib import Path

from tuneloop.datasets import versions
from tuneloop.datasets.example import Example
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.registry import tombstones
from tuneloop.review import queue
from tuneloop.review.conflicts import collect_contradictions
from tuneloop.task.rows import Message
from tuneloop.workspace import Workspace

PLACED = (
    "Where is my parcel?",
    "WRITE TO THE OFFICE IN THE US, NOW!",
    "Do the Finns polish silver, or do Polish people?",
    "It’s “late” — who pays the ﬁne…",
    "What is 10² and what is ½ of x₁?",
    "Ｆｕｌｌ　ｗｉｄｔｈ　ｌｅｔｔｅｒｓ",
    "Straße oder Strasse, wie schreibt man das?",
    "İstanbul'da ısı kaç derece",
    "Είστε ανοιχτά την Κυριακή;",
    "Где мой заказ № 5?",
    "हमारा पार्सल कहाँ है।",
    "என் பொதி எங்கே உள்ளது?",
    "พัสดุของฉันอยู่ที่ไหน ครับ",
    "我的包裹在哪里？我想退货，谢谢。",
    "荷物はどこですか。ラーメンもください！",
    "제 소포는 어디에 있나요?",
    "أين طردي؟ قِطَّة صغيرة",
    "איפה החבילה שלי, בבקשה?",
    "Is a < b, or is a > b?",
    "C++ or C#: which one do you speak?",
    "👍🏽 or 👎, ❤️ or 💔",
    "año nuevo, ¿dónde está el café?",
    "  two   spaces\tand\na line `quoted` ",
    "-5 degrees, >= 3 metres",
)
ERASED = (
    "Call Ines at ½ past 10²!",
    "Herr Groß wohnt in der Bußstraße…",
    "मेरा नाम अनीता है।",
    "我叫王小明。",
    "I’m “Olu” from the US?",
)
ASKED = "where do I send the form"


def main(archive: Path) -> None:
    """Make the workspace, and pack it."""
    with tempfile.TemporaryDirectory() as parent:
        desk = Path(parent) / "texts"
        desk.mkdir()
        os.chdir(desk)
        make(desk)
        with tarfile.open(archive, "w:xz", preset=9) as packed:
            packed.add(desk, "texts")


def make(desk: Path) -> None:
    """Three versions: all texts, every second one of them, a contradiction."""
    workspace = Workspace.open(desk / ".tuneloop")
    rows = [(text, f"answer {number}") for number, text in enumerate(PLACED)]
    first = prepare(workspace, desk, rows)
    sides = {
        example.question: side
        for side in ("train", "eval")
        for example in versions.read_examples(workspace, first, side)
    }
    assert set(sides.values()) == {"train", "eval"} and len(sides) == len(PLACED)
    prepare(workspace, desk, rows[::2])
    last = prepare(workspace, desk, [*rows[::2], (ASKED, "To US."), (ASKED + "?", "to them!")])
    assert collect_contradictions(workspace, last, system="", double_share=0.0) == 1
    (item,) = queue.listing(workspace, "desk")
    with workspace.records.begin() as tx:
        keys = [key(text) for text in ERASED]
        tombstones.plant(tx, keys, erasure="e1", now=workspace.now())
    (desk / "sides.json").write_text(json.dumps(sides))
    (desk / "erased.json").write_text(json.dumps(ERASED))
    (desk / "decided.json").write_text(json.dumps(item.id))
    workspace.records.close()


def prepare(
    workspace: Workspace, desk: Path, rows: list[tuple[str, str]]
) -> versions.DatasetVersion:
    """A version of these rows."""
    lines = [json.dumps({"prompt": text, "completion": answer}) + "\n" for text, answer in rows]
    (desk / "rows.jsonl").write_text("".join(lines))
    settings = ModelSettings(
        name="desk",
        base="tiny",
        data=DataSettings(sources=("rows.jsonl",), redact_personal_data="off", holdout_share=0.25),
    )
    model_file = ModelFile(path=desk / "tuneloop.yaml", settings=settings, origins={})
    return versions.prepare(workspace, model_file)


def key(text: str) -> str:
    """The key of a row with this prompt."""
    turn = Message(role="user", content=text)
    return Example(messages=(turn,), completion="", source="", line=0).input_key


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
