"""What measures of prose can tell: the right reference from others, good replies from bad ones.

    python benchmarks/bench_prose_measures.py

`likeness`: the probability that a text is more like its own reference than like another's (AUC,
ties half), for each measure on texts of which it is known what belongs together:

- `mts_dialogues`: dialogues against their back-translations (row i and i + 1,201). The notes of
  such a pair are the same, so a note against its pair's would be told by equality.
- `mts_notes`: a dialogue, as an answer made of nothing but the prompt, against the notes that
  people wrote; `same_group` compares with notes of the same section only.
- `gsm8k_questions`: questions against their rephrasings.
- `xstest_models`: one model's answers against another's to the same prompts; many refuse.
- `hh_replies`: of two replies to a conversation the one against the other.
- `one_reply`: the same sentences to everybody but for a number that nobody can know: by chance.

`stand_in` is what `tuneloop check` says of these rows before anything was answered, and `left_out`
what other texts of a row in the place of its answer would say.

`without_reference`: on hh_rlhf, how often a measure is better for the reply that people chose; and
`false_alarms` in notes and replies that people wrote or chose. `planted` is groundedness on planted
errors, see prose_bench/planted.py. Rows a second are per CPU second, one core.

The last line is one JSON object, also written to benchmarks/results/prose-measures.json where the
public data is there.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prose_bench import texts
from prose_bench.likeness import SEED, left_out, likeness
from prose_bench.texts import Text
from prose_bench.without_reference import chosen_against_rejected, false_alarms, speed

RESULTS = Path(__file__).resolve().parent / "results" / "prose-measures.json"
_PLANTED = "prose_bench.planted"


def main() -> int:
    """Print a table and the JSON line, and write the result if it is whole."""
    result: dict[str, Any]
    if texts.DATA.is_dir():
        result = _measured()
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result) + "\n", encoding="utf-8")
    else:
        result = {"skipped": f"there is no public data at {texts.DATA}"}
        print(result["skipped"], file=sys.stderr)
    _show(result)
    print(json.dumps({"prose_measures": result}))
    return 0


def _measured() -> dict[str, Any]:
    rows, replies = texts.mts_rows(), texts.replies()
    notes = texts.notes(rows)
    sets: Mapping[str, Sequence[Text]] = {
        "mts_notes": notes,
        "mts_dialogues": texts.translated_dialogues(rows),
        "gsm8k_questions": texts.rephrased_sums(),
        "xstest_models": texts.two_models(),
        "hh_replies": replies,
        "one_reply": _one_reply(),
    }
    return {
        "likeness": {
            **likeness(sets),
            "left_out": {name: left_out(of) for name, of in sets.items()},
        },
        "without_reference": {
            "hh_chosen_against_rejected": chosen_against_rejected(replies),
            "false_alarms": {"mts_notes": false_alarms(notes), "hh_chosen": false_alarms(replies)},
            "texts_per_cpu_second": speed(notes),
        },
        **_planted(),
    }


def _one_reply() -> list[Text]:
    rng = random.Random(SEED)
    reply = (
        "Hello. Thank you for writing to us. We have received your request under the number {} and "
        "will answer within two working days. Kind regards, your service team"
    )
    return [
        Text(
            said=reply.format(rng.randint(1_000, 9_999)),
            wanted=reply.format(rng.randint(1_000, 9_999)),
            question=f"Where is the parcel that I ordered on the {day}th, please?",
        )
        for day in range(4, 404)
    ]


def _planted() -> dict[str, Any]:
    """Groundedness on planted errors, where that part is there."""
    if importlib.util.find_spec(_PLANTED) is None:
        return {}
    part = importlib.import_module(_PLANTED)
    return {"planted": {name: part.planted(rows) for name, rows in part.parts()}}


def _show(result: Mapping[str, Any]) -> None:
    for part, of in result.get("likeness", {}).items():
        for name, figures in of.items() if isinstance(of, dict) else ():
            print("likeness", part, name, figures)
    for part, of in result.get("without_reference", {}).items():
        for name, figures in of.items():
            print("without reference", part, name, figures)
    for name, figures in result.get("planted", {}).items():
        print("planted", name, figures)


if __name__ == "__main__":
    sys.exit(main())
