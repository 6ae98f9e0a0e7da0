"""Several processes give what one gives, in its order, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuneloop.datasets.filters import make_filters
from tuneloop.datasets.imported import Imported
from tuneloop.datasets.importing import Cleaning, import_sources
from tuneloop.datasets.retired_terms import RetiredTerms
from tuneloop.datasets.shared_work import shared
from tuneloop.datasets.sources import Source
from tuneloop.errors import DataError
from tuneloop.progress import Silent

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be copied here"),
    # Python warns of a fork beside threads, which other tests may have left: the copies use none.
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
]


def numbers(end: int, number: int, of: int) -> Iterator[int]:
    yield from range(number, end, of)


@pytest.mark.parametrize("end", [0, 1, 2, 3, 50])
def test_results_come_in_order(end: int) -> None:
    assert list(shared(lambda number, of: numbers(end, number, of), 3)) == list(range(end))


def test_a_fault_of_the_work_is_raised_where_it_is_used() -> None:
    def work(number: int, of: int) -> Iterator[int]:
        yield from numbers(4, number, of)
        raise DataError("The file ends in the middle.", remedy="Make it again.")

    results = shared(work, 2)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(DataError, match="ends in the middle") as raised:
        next(results)
    assert raised.value.remedy == "Make it again."


def test_a_killed_process_is_no_end_of_the_file() -> None:
    def work(number: int, of: int) -> Iterator[int]:
        yield number
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(DataError, match="ended from outside"):
        list(shared(work, 2))


def test_whoever_stops_early_leaves_no_process_behind() -> None:
    def endless(number: int, of: int) -> Iterator[int]:
        while True:
            yield os.getpid()

    results = shared(endless, 2)
    pids = {next(results), next(results)}
    results.close()  # type: ignore[attr-defined]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_file_gives_the_same_whoever_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [
        json.dumps({"prompt": f"call +49 30 123{number:04} about Tarn", "completion": str(number)})
        for number in range(2_500)
    ]
    lines[7], lines[1_500] = "{broken", '{"prompt": "no answer"}'
    path.write_text("\n".join(lines), encoding="utf-8")
    alone, together = imported(path, 1), imported(path, 3)
    assert together == alone
    assert alone.personal_rows == 2_498
    assert alone.files[0].left_out == {"bad_json": 1, "unknown_form": 1}
    assert alone.retired_terms == {"tarn": 2_498}


def imported(path: Path, workers: int) -> Imported:
    cleaning = Cleaning(
        system="Be brief.",
        filters=make_filters(min_characters=1, max_characters=1_000),
        terms=RetiredTerms({"Tarn": "Skerry"}),
        personal_data="redact",
        group_field=None,
        max_row_bytes=10_000,
    )
    return import_sources(
        [Source(path=path, name=path.name)], cleaning, progress=Silent(), workers=workers
    )
