"""CSV and TSV as spreadsheets, pandas and people write them, whole and damaged."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tuneloop.errors import DataError
from tuneloop.readers import BadRow, RawRow, read_rows

LIMIT = 1_000_000
NASTY = st.text(st.sampled_from('ab",;|\t\n é'), max_size=8)
"""Texts of everything that means something to a writer of CSV."""
PROSE = st.lists(
    st.sampled_from(
        ["Dear", "Tom,", 'the 5" pipe', '"leaks"', "why?\n", "a; b", "(see | x)", "été."]
    ),
    min_size=1,
    max_size=8,
).map(" ".join)


def read(path: Path) -> list[RawRow | BadRow]:
    return list(read_rows(path, max_row_bytes=LIMIT))


def rows_of(text: str | bytes, folder: Path, name: str = "rows.csv") -> list[RawRow | BadRow]:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path)


def good(rows: list[RawRow | BadRow]) -> list[dict[str, object]]:
    return [row.value for row in rows if isinstance(row, RawRow)]


def bad(rows: list[RawRow | BadRow]) -> dict[int, str]:
    return {row.line: row.reason for row in rows if isinstance(row, BadRow)}


def written(records: list[list[str]], delimiter: str, quoting: int) -> tuple[list[str], list[int]]:
    """The text of each record and the lines on which they start, below a header."""
    texts, lines, line = [], [], 1
    for record in [["text", "label"], *records]:
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerow(
            record
        )
        texts.append(buffer.getvalue())
        lines.append(line)
        line += texts[-1].count("\n")
    return texts, lines[1:]


def compare(
    found: list[RawRow | BadRow], records: list[list[str]], lines: list[int]
) -> tuple[int, set[int]]:
    """Rows as they were written, and the lines that were named; any other row fails."""
    by_line = dict(zip(lines, records, strict=True))
    same = 0
    for row in found:
        if isinstance(row, RawRow):
            assert [value or "" for value in row.value.values()] == by_line[row.line]
            same += 1
    return same, {row.line for row in found if isinstance(row, BadRow)}


@given(
    st.lists(st.lists(NASTY, min_size=2, max_size=2), max_size=6),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@settings(max_examples=400, deadline=None)
def test_whatever_is_written_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[list[str]],
    delimiter: str,
    quoting: int,
) -> None:
    assume(all(any(field.strip() for field in record) for record in records))
    texts, lines = written(records, delimiter, quoting)
    found = rows_of("".join(texts), tmp_path_factory.mktemp("csv"))
    same, named = compare(found, records, lines)
    spans = [range(at, at + text.count("\n")) for at, text in zip(lines, texts[1:], strict=True)]
    assert same + sum(any(line in named for line in span) for span in spans) == len(records)
    if quoting == csv.QUOTE_ALL:
        assert same == len(records)


@given(
    st.lists(st.tuples(PROSE, PROSE).map(list), min_size=1, max_size=8),
    st.sampled_from(",;\t|"),
)
@settings(max_examples=200, deadline=None)
def test_prose_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, records: list[list[str]], delimiter: str
) -> None:
    texts, lines = written(records, delimiter, csv.QUOTE_MINIMAL)
    found = rows_of("".join(texts), tmp_path_factory.mktemp("csv"))
    assert compare(found, records, lines) == (len(records), set())


@given(
    st.lists(st.tuples(PROSE, PROSE).map(list), min_size=2, max_size=8),
    st.sampled_from(",;\t|"),
    st.data(),
)
@settings(max_examples=400, deadline=None)
def test_a_damaged_record_changes_no_other(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[list[str]],
    delimiter: str,
    data: st.DataObject,
) -> None:
    texts, lines = written(records, delimiter, csv.QUOTE_MINIMAL)
    which = data.draw(st.integers(1, len(records)))
    text = texts[which].rstrip("\n")
    at = data.draw(st.integers(0, len(text)))
    damage = data.draw(st.sampled_from(["cut", "lost", "quote"]))
    damaged = {
        "cut": text[:at],
        "lost": text[:at] + text[at + 1 :],
        "quote": f'{text[:at]}"{text[at:]}',
    }
    new = damaged[damage]
    assume(new.count("\n") == text.count("\n"))
    found = rows_of(
        "".join([*texts[:which], new + "\n", *texts[which + 1 :]]), tmp_path_factory.mktemp("csv")
    )
    its_lines = range(lines[which - 1], lines[which - 1] + text.count("\n") + 1)
    others = {
        line: record for line, record in zip(lines, records, strict=True) if line not in its_lines
    }
    for row in found:
        if isinstance(row, RawRow) and row.line not in its_lines:
            assert [value or "" for value in row.value.values()] == others[row.line]
    seen = {row.line for row in found}
    assert seen >= set(others)


@pytest.mark.parametrize(
    "text",
    [
        'sep=;\nprompt;completion\n"a, b";x\n',
        '"sep=;"\r\nprompt;completion\r\na, b;x\r\n',
        ',prompt,completion\n0,"a, b",x\n',
        "Unnamed: 0\tprompt\tcompletion\nrow-17\ta, b\tx\n",
        'Unnamed: 0.1,Unnamed: 0,prompt,completion\n0,0,"a, b",x\n',
        "prompt;completion;\na, b;x;\n",
        "prompt;completion;;\na, b;x\n",
        "prompt;completion\na, b;x;;\n",
        'prompt, completion\n"a, b", "x"\n',
        "prompt;completion\ra, b;x\r",
        "\n\nprompt|completion\n\na, b|x\n\n",
    ],
)
def test_what_spreadsheets_and_pandas_put_around_the_columns_is_no_column(
    text: str, tmp_path: Path
) -> None:
    rows = rows_of(text, tmp_path)
    assert good(rows) == [{"prompt": "a, b", "completion": "x"}] and not bad(rows)


def test_a_separator_within_a_name_separates_nothing(tmp_path: Path) -> None:
    text = '"what, when, where";answer\nfirst, of all;a\nsecond;b\n'
    assert good(rows_of(text, tmp_path)) == [
        {"what, when, where": "first, of all", "answer": "a"},
        {"what, when, where": "second", "answer": "b"},
    ]


def test_a_column_without_a_name_is_refused_where_it_holds_something(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a column has no name in the header"):
        rows_of("prompt,,completion\na,b,c\n", tmp_path)
    late = "prompt,completion,\n" + "a,b,\n" * 100 + "a,b,c\na,b,\n"
    rows = rows_of(late, tmp_path)
    assert bad(rows) == {102: "wrong_column_count"} and len(good(rows)) == 101


def test_pandas_reads_back_what_it_wrote(tmp_path: Path) -> None:
    texts = ['the 5" pipe', '"leaks", he said', "two\nlines, here", "a\tb", "naïve; 10 €", ""]
    frame = pd.DataFrame({"prompt": texts, "completion": list("abcdef"), "n": range(6)})
    for name, separator in (("rows.csv", ","), ("rows.tsv", "\t"), ("semi.csv", ";")):
        for index in (True, False):
            frame.to_csv(tmp_path / name, sep=separator, index=index)
            rows = read(tmp_path / name)
            assert [row.line for row in rows] == [2, 3, 4, 6, 7, 8]
            assert good(rows) == [
                {"prompt": text or None, "completion": letter, "n": str(number)}
                for number, (text, letter) in enumerate(zip(texts, "abcdef", strict=True))
            ]


def test_an_empty_field_is_absent_and_an_empty_text_is_there(tmp_path: Path) -> None:
    assert good(rows_of('prompt,system,completion\na,,""\n', tmp_path)) == [
        {"prompt": "a", "system": None, "completion": ""}
    ]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_quotes_that_quote_nothing_are_text(separator: str, tmp_path: Path) -> None:
    texts = ['"quiet as a mouse', "a lamp", 'open the lid first"', '"Never again" was all she said']
    text = "".join(f"{text}{separator}label\n" for text in ["text", *texts])
    rows = rows_of(text, tmp_path)
    assert [row["text"] for row in good(rows)] == texts and not bad(rows)


def test_lines_that_may_be_one_record_or_several_are_named(tmp_path: Path) -> None:
    text = 'text,label\nfine,a\n"quiet,b\nfiner,c\nlid",d\nfinest,e\n'
    rows = rows_of(text, tmp_path)
    assert bad(rows) == {3: "bad_csv", 4: "bad_csv", 5: "bad_csv"}
    assert [row["text"] for row in good(rows)] == ["fine", "finest"]
    details = [row.detail for row in rows if isinstance(row, BadRow)]
    assert "a quote spans lines 3–5" in details[0]


def test_an_end_of_a_quoted_field_far_below_is_not_its_end(tmp_path: Path) -> None:
    """Today's neighbours are read, whatever the record that a stray quote would make of them."""
    text = 'text,label\n"never closed,b\nthird,c\nfourth,d\nthe 5",d,e\nlast,f\n'
    rows = rows_of(text, tmp_path)
    assert bad(rows) == {2: "bad_csv", 5: "wrong_column_count"}
    assert [row["text"] for row in good(rows)] == ["third", "fourth", "last"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig", "utf-8"])
def test_what_spreadsheets_save_is_read_as_it_was_seen(
    encoding: str, name: str, tmp_path: Path
) -> None:
    texts = [
        "Das Gerät für 5 € ist kaputt",
        "Où est mon colis ?",
        "¿Dónde está?",
        "plain",
        "café – “ja”",
    ]
    text = "prüfung\tlabel\r\n" + "".join(f"{text}\tö\r\n" for text in texts)
    rows = rows_of(text.encode(encoding), tmp_path, name)
    assert good(rows) == [{"prüfung": text, "label": "ö"} for text in texts]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Где моя посылка?"),
        ("cp1250", "żółta paczka, proszę"),
        ("cp1253", "Πού είναι το δέμα μου;"),
        ("shift_jis", "荷物はどこですか"),
        ("gbk", "我的包裹在哪里"),
        ("mac_roman", "das Gerät ist schön"),
        ("cp850", "das Gerät ist schön"),
    ],
)
def test_another_encoding_is_named_and_not_misread(
    encoding: str, text: str, tmp_path: Path
) -> None:
    content = f"text\tlabel\n{text}\tx\nplain\ty\n".encode(encoding)
    rows = rows_of(content, tmp_path)
    assert bad(rows) == {2: "not_utf8"} and good(rows) == [{"text": "plain", "label": "y"}]


def test_one_line_that_is_no_utf8_among_others_that_are_is_named(tmp_path: Path) -> None:
    content = "text,label\nfür,a\nüber,b\n".encode() + b"f\xfcr,c\n" + "schön,d\n".encode()
    rows = rows_of(content, tmp_path)
    assert bad(rows) == {4: "not_utf8"}
    assert [row["text"] for row in good(rows)] == ["für", "über", "schön"]


def test_utf16_that_ends_within_a_character_loses_its_last_line_only(tmp_path: Path) -> None:
    content = "text,label\nfür,a\nüber,b\n".encode("utf-16")
    rows = rows_of(content[:-1], tmp_path)
    assert [row["text"] for row in good(rows)][:1] == ["für"] and len(bad(rows)) == 1
