"""A selection stays as it is: versions of equal rows are equal, and whoever makes it faster changes
nothing else. `selection.json` was made when every text was compared with every likely one."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from tuneloop.datasets.example import Example, Message
from tuneloop.datasets.selection import Earlier, Rules, Selection, select

GOLDEN = Path(__file__).with_name("selection.json")
WORDS = re.findall(
    r"\w+",
    "invoice parcel battery wall password winter garden engine letter mountain river silver pepper "
    "window orange candle basket kitten marble violin rocket puzzle lemon anchor ticket blanket "
    "harbour lantern meadow copper saddle walnut thunder feather bridge curtain needle pocket",
)


def row(line: int, question: str, answer: str) -> Example:
    return Example(
        messages=(Message(role="user", content=question),),
        completion=answer,
        source="rows.jsonl",
        line=line,
    )


def questions(draw: random.Random) -> list[tuple[str, str]]:
    """Requests with free text as answers, and what people make of a request when they repeat it."""
    made = []
    for number in range(300):
        words = [draw.choice(WORDS) for _ in range(draw.randrange(4, 30))]
        question = f"{' '.join(words)} {number}"
        answer = f"Look under {words[0]} for number {number}, which is beside the {words[1]}."
        made.append((question, answer))
        if number % 3 == 0:
            made.append((changed(question, draw), answer))
        if number % 10 == 0:
            made.append((question.upper() + "!", answer))
            made.append((changed(question, draw), f"Something else, {number} times over."))
    frame = "please tell me about the order with the number {} that i placed in {} last year"
    made += [(frame.format(7919 * n % 9973, draw.choice(WORDS)), f"It is {n}.") for n in range(40)]
    made += [("what's my pay", "income"), ("what is my pay?", "payday")]
    draw.shuffle(made)
    return made


def changed(question: str, draw: random.Random) -> str:
    at = draw.randrange(1, len(question) - 1)
    return draw.choice(
        (
            question[:at] + question[at + 1 :],
            question[:at] + question[at] + question[at:],
            f"please {question}",
            f"{question} thanks",
        )
    )


def selection() -> Selection:
    pairs = questions(random.Random(7))
    examples = [row(line, *pair) for line, pair in enumerate(pairs[20:], 1)]
    cases = [row(line, *pair) for line, pair in enumerate(pairs[:20], 1)]
    rules = Rules(similarity=0.9, holdout_share=0.1, allow_contradictions=False)
    return select(examples, rules=rules, earlier=Earlier(), cases=cases)


def test_what_is_kept_and_left_out_stays_as_it_was() -> None:
    made = selection()
    line_of = {example.id: example.line for example in (*made.train, *made.eval)}
    left_out = sorted(
        [out.line, out.reason, sorted(line_of.get(other, 0) for other in out.related)]
        for out in made.left_out
    )
    assert {
        "train": sorted(example.line for example in made.train),
        "held out": sorted(example.line for example in made.eval),
        "left out": left_out,
        "template rows": made.template_rows,
    } == json.loads(GOLDEN.read_text("utf-8"))
