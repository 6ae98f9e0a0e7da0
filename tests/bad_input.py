"""Input that real users bring and that must not bring tuneloop down, made in a folder on demand.

Each function writes one bad input into `folder` and returns its path. `BAD_DATA_FILES` and
`BAD_MODEL_FILES` name them all, for `@pytest.mark.parametrize`:

    from bad_input import BAD_DATA_FILES

    @pytest.mark.parametrize("kind", BAD_DATA_FILES)
    def test_import_says_what_is_wrong(kind, tmp_path):
        path = BAD_DATA_FILES[kind](tmp_path)
"""

import json
from collections.abc import Callable
from pathlib import Path

Maker = Callable[[Path], Path]

GOOD_ANSWER = '{"intent": "delivery"}'


def good_row(message: str = "Where is my parcel?") -> str:
    """One line, without its line end, that every reader accepts."""
    return json.dumps(
        {
            "messages": [
                {"role": "user", "content": message},
                {"role": "assistant", "content": GOOD_ANSWER},
            ]
        },
        ensure_ascii=False,
    )


def missing_file(folder: Path) -> Path:
    """A path where nothing is."""
    return folder / "missing.jsonl"


def folder_as_file(folder: Path) -> Path:
    """A path that cannot be read as a file, by root neither (file modes do not stop root)."""
    path = folder / "folder.jsonl"
    path.mkdir()
    return path


def empty_file(folder: Path) -> Path:
    """No byte at all."""
    return _written(folder / "empty.jsonl", b"")


def blank_lines(folder: Path) -> Path:
    """Line ends and blanks, no row."""
    return _written(folder / "blank.jsonl", b"\n  \n\r\n\n")


def latin1_rows(folder: Path) -> Path:
    """Three rows saved by an old editor; line 2 holds a byte that is not UTF-8."""
    rows = [good_row("Where is my parcel?"), good_row("Das Gerät ist kaputt"), good_row("Hello?")]
    return _written(folder / "latin1.jsonl", "\n".join(rows).encode("latin-1"))


def utf16_rows(folder: Path) -> Path:
    """Three good rows as a spreadsheet exports them: UTF-16 with a byte-order mark."""
    return _written(folder / "utf16.jsonl", "\n".join([good_row()] * 3).encode("utf-16"))


def only_bad_rows(folder: Path) -> Path:
    """Eight rows, each bad in its own way."""
    rows = [
        '{"messages": [{"role": "user", "content": "cut o',
        "not JSON at all",
        "[1, 2, 3]",
        '"a string"',
        "{}",
        '{"messages": []}',
        '{"messages": [{"role": "user", "content": "nobody answers"}]}',
        '{"messages": [{"role": "user", "content": 7}, {"role": "assistant", "content": null}]}',
    ]
    return _written(folder / "only-bad.jsonl", "\n".join(rows).encode())


def one_huge_row(folder: Path, *, megabytes: int = 50) -> Path:
    """Three rows; line 2 is valid JSON of so many megabytes, lines 1 and 3 are good."""
    path = folder / "huge.jsonl"
    before, after = good_row("\0").split("\\u0000")
    chunk = b"all work and no play " * 50_000  # about a megabyte at a time
    wanted_bytes = megabytes * 1_000_000
    with path.open("wb") as file:
        file.write(f"{good_row('before')}\n{before}".encode())
        for start in range(0, wanted_bytes, len(chunk)):
            file.write(chunk[: wanted_bytes - start])
        file.write(f"{after}\n{good_row('after')}\n".encode())
    return path


def nul_bytes(folder: Path) -> Path:
    """Three rows; line 2 has a raw NUL in its text, and NULs fill the end, as after a crash."""
    rows = [good_row("first"), good_row("second"), good_row("third")]
    damaged = "\n".join(rows).encode().replace(b"second", b"sec\0ond")
    return _written(folder / "nul.jsonl", damaged + b"\n" + b"\0" * 512)


def escaped_nul(folder: Path) -> Path:
    """Three rows of valid JSON; line 2 holds an escaped NUL, which PostgreSQL refuses in text."""
    rows = [good_row("first"), good_row("sec\0ond"), good_row("third")]
    return _written(folder / "escaped-nul.jsonl", "\n".join(rows).encode())


def lone_surrogate(folder: Path) -> Path:
    """Three rows; line 2 is valid JSON whose text is half a surrogate pair: no UTF-8 for it."""
    rows = [good_row("first"), good_row("HALF"), good_row("third")]
    return _written(
        folder / "surrogate.jsonl", "\n".join(rows).encode().replace(b"HALF", b"\\ud83d")
    )


def good_model_file(folder: Path) -> Path:
    """A small valid model file with a data file beside it: what the bad ones spoil."""
    _written(folder / "rows.jsonl", f"{good_row()}\n".encode())
    return _model_file(folder, GOOD_MODEL_FILE)


def duplicate_key(folder: Path) -> Path:
    """`base` stands twice, in lines 2 and 5."""
    return _model_file(folder, GOOD_MODEL_FILE + "base: somewhere/else\n")


def duplicate_nested_key(folder: Path) -> Path:
    """`training.epochs` stands twice, in lines 6 and 7."""
    return _model_file(folder, GOOD_MODEL_FILE + "training:\n  epochs: 3\n  epochs: 5\n")


def unknown_key(folder: Path) -> Path:
    """`trainning` for `training`, in line 5."""
    return _model_file(folder, GOOD_MODEL_FILE + "trainning:\n  epochs: 3\n")


def unknown_nested_key(folder: Path) -> Path:
    """`training.epoch` for `training.epochs`, in line 6."""
    return _model_file(folder, GOOD_MODEL_FILE + "training:\n  epoch: 3\n")


def wrong_type(folder: Path) -> Path:
    """`training.epochs` is a word, in line 6."""
    return _model_file(folder, GOOD_MODEL_FILE + "training:\n  epochs: many\n")


def invalid_yaml(folder: Path) -> Path:
    """A tab where YAML wants blanks, in line 6."""
    return _model_file(folder, GOOD_MODEL_FILE + "training:\n\tepochs: 3\n")


def list_as_model_file(folder: Path) -> Path:
    """Valid YAML that is a list."""
    return _model_file(folder, "- name\n- base\n")


def empty_model_file(folder: Path) -> Path:
    """No byte at all."""
    return _model_file(folder, "")


def latin1_model_file(folder: Path) -> Path:
    """A comment with a byte that is not UTF-8."""
    text = GOOD_MODEL_FILE + "# für die Küche\n"
    return _written(folder / "tuneloop.yaml", text.encode("latin-1"))


def nul_in_model_file(folder: Path) -> Path:
    """A NUL byte in a value."""
    return _model_file(folder, GOOD_MODEL_FILE + 'endpoint:\n  name: "a\0b"\n')


GOOD_MODEL_FILE = """\
name: bad-input
base: some/base
data:
  sources: [rows.jsonl]
"""

BAD_DATA_FILES: dict[str, Maker] = {
    "missing": missing_file,
    "folder": folder_as_file,
    "empty": empty_file,
    "blank lines": blank_lines,
    "latin-1": latin1_rows,
    "utf-16": utf16_rows,
    "only bad rows": only_bad_rows,
    "huge row": one_huge_row,
    "nul bytes": nul_bytes,
    "escaped nul": escaped_nul,
    "lone surrogate": lone_surrogate,
}
"""Some spoil one row (latin-1, huge row, the NULs, the surrogate), the others the whole file."""

BAD_MODEL_FILES: dict[str, Maker] = {
    "duplicate key": duplicate_key,
    "duplicate nested key": duplicate_nested_key,
    "unknown key": unknown_key,
    "unknown nested key": unknown_nested_key,
    "wrong type": wrong_type,
    "invalid yaml": invalid_yaml,
    "list": list_as_model_file,
    "empty": empty_model_file,
    "latin-1": latin1_model_file,
    "nul": nul_in_model_file,
}


def _model_file(folder: Path, text: str) -> Path:
    return _written(folder / "tuneloop.yaml", text.encode())


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
