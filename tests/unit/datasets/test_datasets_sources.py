"""Where rows may come from: files, patterns, folders, and URLs of any file system."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import fsspec
import pytest

from tuneloop import modelfile
from tuneloop.datasets.sources import find_sources, list_sources
from tuneloop.errors import DataError, ModelFileError
from tuneloop.modelfile.source_url import SourceUrl
from tuneloop.setup import names
from web_files import WebFiles, serving

ROW = b'{"prompt": "where is it", "completion": "on its way"}\n'


@dataclass
class Heard:
    """A progress that remembers what it is told."""

    steps: list[str] = field(default_factory=list)
    megabytes: float = 0.0

    def step(self, text: str, *, keeps: str = "") -> None:
        self.steps.append(text)

    def update(self, done: float, total: float | None, detail: str = "") -> None:
        self.megabytes = done

    def note(self, text: str) -> None:
        pass


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder of the file system in memory, without its scheme."""
    name = f"/{uuid.uuid4().hex}"
    yield name
    fs = fsspec.filesystem("memory")
    if fs.exists(name):
        fs.rm(name, recursive=True)


@pytest.fixture
def web() -> Iterator[WebFiles]:
    with serving(WebFiles()) as files:
        yield files


def put(path: str, content: bytes = ROW) -> None:
    fsspec.filesystem("memory").pipe(path, content)


def names_of(folder: Path, *patterns: str) -> list[str]:
    return [listed.name for listed in list_sources(folder, patterns)]


def test_a_folder_is_its_data_files_at_any_depth_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("a.jsonl", "2026/b.csv", "2026/old/c.jsonl.gz", ".cache/d.jsonl", "_tmp/e.csv"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ROW)
    (tmp_path / "data" / "README.md").write_text("about it")
    (tmp_path / "data" / ".hidden.jsonl").write_bytes(ROW)
    assert names_of(tmp_path, "data") == [
        "data/2026/b.csv",
        "data/2026/old/c.jsonl.gz",
        "data/a.jsonl",
    ]
    assert names_of(tmp_path, "data", "data/*.jsonl")[-1] == "data/a.jsonl", "each file once"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no data file"):
        list_sources(tmp_path, ["empty"])


def test_a_saved_dataset_is_one_source_also_below_a_folder(tmp_path: Path) -> None:
    saved = tmp_path / "data" / "saved"
    saved.mkdir(parents=True)
    (saved / "state.json").write_text("{}")
    (saved / "data-00000.arrow").write_bytes(b"")
    (tmp_path / "data" / "a.jsonl").write_bytes(ROW)
    assert names_of(tmp_path, "data/saved") == ["data/saved"]
    assert names_of(tmp_path, "data") == ["data/a.jsonl", "data/saved"]


def test_a_file_url_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "my rows.jsonl").write_bytes(ROW)
    url = (tmp_path / "my rows.jsonl").as_uri()
    assert names_of(tmp_path, url) == ["my rows.jsonl"]


def test_a_stamp_changes_with_the_file_and_not_without(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(ROW)
    (first,) = list_sources(tmp_path, ["a.jsonl"])
    assert list_sources(tmp_path, ["a.jsonl"])[0].stamp == first.stamp
    path.write_bytes(ROW.upper())  # as many bytes
    assert list_sources(tmp_path, ["a.jsonl"])[0].stamp != first.stamp


def test_remote_files_are_fetched_once_and_again_when_they_change(
    tmp_path: Path, bucket: str
) -> None:
    put(f"{bucket}/a.jsonl")
    put(f"{bucket}/sub/b.jsonl", ROW * 2)
    put(f"{bucket}/sub/.c.jsonl")
    put(f"{bucket}/notes.md")
    url, cache = f"memory:/{bucket}", tmp_path / "cache"

    def fetched() -> tuple[list[int], list[str]]:
        heard = Heard()
        sources = find_sources(tmp_path, [url], cache=cache, progress=heard)
        assert [source.name for source in sources] == [
            f"memory://{bucket}/a.jsonl",
            f"memory://{bucket}/sub/b.jsonl",
        ]
        lines = [source.path.read_bytes().count(b"\n") for source in sources]
        return lines, [step.rpartition("/")[2] for step in heard.steps]

    assert fetched() == ([1, 2], ["a.jsonl", "b.jsonl"])
    assert fetched() == ([1, 2], [])
    put(f"{bucket}/a.jsonl", ROW * 3)
    assert fetched() == ([3, 2], ["a.jsonl"])
    assert not list(cache.rglob("*.part"))
    assert names_of(tmp_path, f"{url}/*.jsonl") == [f"memory://{bucket}/a.jsonl"]


def test_a_copy_that_was_cut_off_is_not_used(tmp_path: Path, bucket: str) -> None:
    put(f"{bucket}/a.jsonl", ROW * 5)
    url, cache = f"memory:/{bucket}/a.jsonl", tmp_path / "cache"
    (source,) = find_sources(tmp_path, [url], cache=cache)
    source.path.write_bytes(ROW)
    left = source.path.parent / ".1f.part"
    left.write_bytes(b"of a process that was killed")
    os.utime(left, (0, 0))
    (again,) = find_sources(tmp_path, [url], cache=cache)
    assert again.path.read_bytes() == ROW * 5
    assert not left.exists()


@pytest.mark.process
def test_a_web_server_is_asked_for_a_file_once(tmp_path: Path, web: WebFiles) -> None:
    web.files["/export/a.jsonl"] = ROW * 40_000
    heard, cache = Heard(), tmp_path / "cache"
    for _ in range(3):
        find_sources(tmp_path, [f"{web.url}/export/a.jsonl"], cache=cache, progress=heard)
    assert web.asked == ["/export/a.jsonl"]
    assert heard.megabytes == pytest.approx(len(ROW) * 0.04)
    web.files["/export/a.jsonl"] = ROW
    (source,) = find_sources(tmp_path, [f"{web.url}/export/a.jsonl"], cache=cache)
    assert source.path.read_bytes() == ROW and source.path.suffix == ".jsonl"


@pytest.mark.process
def test_a_folder_and_a_pattern_of_a_web_server(tmp_path: Path, web: WebFiles) -> None:
    web.files |= {"/x/a.jsonl": ROW, "/x/b.csv": b"q,a\n", "/x/index.md": b"", "/x/.c.csv": b""}
    assert names_of(tmp_path, f"{web.url}/x/") == [f"{web.url}/x/a.jsonl", f"{web.url}/x/b.csv"]
    assert names_of(tmp_path, f"{web.url}/x/*.csv")[-1] == f"{web.url}/x/b.csv"


@pytest.mark.process
def test_no_secret_is_shown_or_stored(
    tmp_path: Path, web: WebFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.token, web.files["/a.jsonl"] = "s3cr3t-t0ken", ROW
    monkeypatch.setenv("EXPORT_TOKEN", web.token)
    pattern, cache = f"{web.url}/a.jsonl?token=${{EXPORT_TOKEN}}", tmp_path / "cache"
    (source,) = find_sources(tmp_path, [pattern], cache=cache)
    assert source.name == f"{web.url}/a.jsonl"
    kept = b"".join(path.read_bytes() for path in cache.rglob("*") if path.is_file())
    assert web.token.encode() not in kept and web.token not in str(source.path)

    monkeypatch.setenv("EXPORT_TOKEN", "wr0ng-t0ken")
    with pytest.raises(DataError) as refused:
        list_sources(tmp_path, [pattern])
    assert "access is refused" in refused.value.message
    assert "${NAME}" in refused.value.remedy and "wr0ng" not in str(refused.value)
    monkeypatch.delenv("EXPORT_TOKEN")
    with pytest.raises(ModelFileError, match="EXPORT_TOKEN"):
        list_sources(tmp_path, [pattern])


@pytest.mark.parametrize(
    ("source", "says", "remedy"),
    [
        ("s3://bucket/a.jsonl", "s3:// is not installed", "pip install s3fs"),
        ("gs://bucket/*.jsonl", "gs:// is not installed", "pip install gcsfs"),
        ("nowhere://a/b.csv", "knows no nowhere://", "https://, s3://"),
        ("http://127.0.0.1:9/a.csv", "cannot be read", "the address and the network"),
        ("memory://never/made.csv", "no data file at memory://never/made.csv", "data.sources"),
    ],
)
def test_what_cannot_be_reached_says_what_to_do(
    tmp_path: Path, source: str, says: str, remedy: str
) -> None:
    with pytest.raises(DataError) as told:
        list_sources(tmp_path, [source])
    assert says in told.value.message and remedy in told.value.remedy


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ann:pw@host/a/b.csv?sig=1&x=2#top", "https://host/a/b.csv"),
        ("sftp://ann:pw@host/a.csv", "sftp://host/a.csv"),
        ("s3://bucket/a?.csv", "s3://bucket/a?.csv"),
        ("github://org:repo@main/a.csv", "github://org:repo@main/a.csv"),
        ("abfs://rows@account.dfs/a.csv", "abfs://rows@account.dfs/a.csv"),
        ("zip://in.csv::https://ann:pw@host/a.zip", "zip://in.csv::https://host/a.zip"),
        ("https://host/${KEY}/a.csv", "https://host/${KEY}/a.csv"),
    ],
)
def test_what_is_shown_of_a_url(text: str, shown: str) -> None:
    assert SourceUrl.of(text, {"KEY": "hushhush"}).public_name == shown


@pytest.mark.parametrize(
    ("source", "fine"),
    [
        ("https://ann:pw@host/a.csv", False),
        ("https://ghp_1234@host/a.csv", False),
        ("https://host/a.csv?X-Amz-Signature=1f", False),
        ("ftp://ann:${PW}@host/a.csv", True),
        ("https://host/a.csv?token=${TOKEN}&month=11", True),
        ("sftp://ann@host/a.csv", True),
        ("rows with a : and @.jsonl", True),
    ],
)
def test_a_secret_that_is_written_out_is_refused_unseen(
    tmp_path: Path, source: str, fine: bool
) -> None:
    path = tmp_path / "tuneloop.yaml"
    path.write_text(f"name: desk\nbase: b\ndata:\n  sources: ['{source}']\n")
    if fine:
        assert modelfile.load(path).settings.data.sources == (source,)
        return
    with pytest.raises(ModelFileError) as refused:
        modelfile.load(path)
    assert "data.sources.0" in str(refused.value) and "${NAME}" in str(refused.value)
    for secret in ("pw@", "ghp_1234", "1f"):
        assert secret not in str(refused.value)


def test_the_check_of_names_looks_a_url_up_and_fetches_nothing(tmp_path: Path, bucket: str) -> None:
    put(f"{bucket}/a.jsonl")
    path = tmp_path / "tuneloop.yaml"
    text = "name: desk\nbase: b\ndata:\n  group_field: customer\n  sources: ['memory:/{}']\n"
    path.write_text(text.format(f"{bucket}/a.jsonl"))
    assert [one.key for one in names.problems(modelfile.load(path))] == ["base"]
    path.write_text(text.format(f"{bucket}/b.jsonl"))
    keys = [problem.key for problem in names.problems(modelfile.load(path))]
    assert keys == ["base", "data.sources.0"]
    assert not (tmp_path / ".tuneloop").exists()
