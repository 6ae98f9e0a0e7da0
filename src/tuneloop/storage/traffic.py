"""The traffic store: what happened, append-only, as Delta tables read with Polars.

Interactions and feedback arrive through the gateway's spool. A sealed segment becomes one commit
that carries the segment's name as an application transaction, so moving it twice appends it once
(https://github.com/delta-io/delta/blob/master/PROTOCOL.md#transaction-identifiers).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tuneloop.errors import StoreError, require

if TYPE_CHECKING:
    import polars as pl

Table = Literal["interactions", "shadows", "feedback", "accounts", "embeddings", "measurements"]

_COLUMNS: Mapping[Table, Mapping[str, str]] = {
    "interactions": {
        "id": "String",
        "time": "Time",
        "endpoint": "String",
        "bundle": "String",
        "failover_from": "String",
        "operation": "String",  # chat completion embedding
        "owner": "String",
        "status": "Int64",
        "error": "String",
        "streamed": "Boolean",
        "messages": "String",  # JSON
        "request": "String",  # JSON: the other request fields
        "response": "String",
        "finish_reason": "String",
        "tool_calls": "String",  # JSON
        "latency_ms": "Float64",
        "first_token_ms": "Float64",
        "prompt_tokens": "Int64",
        "completion_tokens": "Int64",
        "mean_logprob": "Float64",
        "conversation": "String",
        "user": "String",
        "tags": "String",  # JSON
    },
    "shadows": {
        "id": "String",
        "time": "Time",
        "interaction": "String",
        "endpoint": "String",
        "bundle": "String",
        "status": "Int64",
        "error": "String",
        "response": "String",
        "finish_reason": "String",
        "tool_calls": "String",  # JSON
        "latency_ms": "Float64",
        "prompt_tokens": "Int64",
        "completion_tokens": "Int64",
        "mean_logprob": "Float64",
        "conversation": "String",
    },
    "feedback": {
        "id": "String",
        "time": "Time",
        "interaction": "String",
        "endpoint": "String",
        "kind": "String",  # edit rating escalation label metric:NAME
        "value": "String",  # JSON
        "user": "String",
    },
    "accounts": {  # what gateways counted, every few minutes
        "id": "String",
        "time": "Time",
        "process": "String",
        "served": "String",  # JSON: endpoint → requests
        "refused": "String",  # JSON: reason → requests
        "stopped": "Boolean",
    },
    "embeddings": {  # of the prompts; as many rows as interactions, probes aside
        "id": "String",  # of the interaction
        "time": "Time",  # of the interaction
        "endpoint": "String",
        "bundle": "String",
        "embedder": "String",
        "vector": "Vector",
    },
    "measurements": {
        "id": "String",
        "time": "Time",
        "model": "String",
        "endpoint": "String",
        "bundle": "String",
        "monitor": "String",
        "value": "Float64",
        "low": "Float64",
        "high": "Float64",
        "n": "Int64",
        "verdict": "String",  # ok alert not_enough_data
        "window_start": "Time",
        "window_end": "Time",
        "detail": "String",  # JSON
    },
}
_COMPACT_FROM_FILES = 20
# By default the log of a table repeats the least and the greatest text of every file, and keeps
# them when the rows are long deleted.
_CONFIGURATION = {"delta.dataSkippingStatsColumns": "id,time"}


class Traffic:
    """Delta tables under one URL."""

    def __init__(self, url: str) -> None:
        """`url` is a local folder or an object-store URL that delta-rs understands."""
        self._url = url.rstrip("/")

    def append(
        self,
        table: Table,
        rows: Sequence[Mapping[str, Any]] | pl.DataFrame,
        *,
        transaction: str | None = None,
    ) -> int:
        """Append rows, or a frame with the table's columns, in one commit; how many were new.

        With a `transaction` name the append happens once however often it is called. Times are
        timezone-aware; structured values are JSON text.

        Raises:
            StoreError: the store is full or unreachable; nothing was appended.
        """
        if not len(rows):
            return 0
        delta = _delta()
        import polars as pl

        frame = (
            rows.select(pl.col(name).cast(kind) for name, kind in _schema(table).items())
            if isinstance(rows, pl.DataFrame)
            else pl.DataFrame([dict(row) for row in rows], schema=_schema(table), orient="row")
        )
        existing = self._open(table)
        if (
            transaction is not None
            and existing is not None
            and existing.transaction_version(transaction) is not None
        ):
            return 0
        marks = [delta.Transaction(transaction, 1)] if transaction else None
        with self._wrapped(table):
            delta.write_deltalake(
                existing or f"{self._url}/{table}",
                frame,
                mode="append",
                schema_mode="merge" if existing else None,
                configuration=None if existing else _CONFIGURATION,
                commit_properties=delta.CommitProperties(app_transactions=marks),
            )
        return len(rows)

    def scan(
        self,
        table: Table,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> pl.LazyFrame:
        """A lazy frame of a table's rows with `since` <= time < `until`; empty when there is none.

        Raises:
            StoreError: the table cannot be read.
        """
        existing = self._open(table)
        import polars as pl

        frame = pl.LazyFrame(schema=_schema(table))
        if existing is not None:
            # A table that an earlier version wrote lacks the columns that came later.
            frame = pl.concat([frame, pl.scan_delta(existing)], how="diagonal")
        if since is not None:
            frame = frame.filter(pl.col("time") >= since)
        if until is not None:
            frame = frame.filter(pl.col("time") < until)
        return frame

    def compact(self) -> None:
        """Merge the many small files that frequent commits leave."""
        for table in _COLUMNS:
            existing = self._open(table)
            if existing is not None and len(existing.file_uris()) >= _COMPACT_FROM_FILES:
                existing.optimize.compact()

    def delete(self, table: Table, ids: Sequence[str]) -> None:
        """Remove the rows with these ids in one commit; `free` makes room of them.

        Raises:
            StoreError: the store is full or unreachable; nothing was removed.
        """
        existing = self._open(table) if ids else None
        if existing is not None:
            import polars as pl

            gone = pl.DataFrame({"id": list(ids)}, schema={"id": pl.String})
            with self._wrapped(table):
                merging = existing.merge(
                    gone, "kept.id = gone.id", source_alias="gone", target_alias="kept"
                )
                merging.when_matched_delete().execute()

    def rewrite(self, table: Table, column: str, values: Mapping[str, str]) -> None:
        """Give rows, by their ids, another text in one column, in one commit.

        The old text is gone after `free`.

        Raises:
            StoreError: the store is full or unreachable; nothing was changed.
        """
        existing = self._open(table) if values else None
        if existing is not None:
            import polars as pl

            new = pl.DataFrame({"id": list(values), column: list(values.values())})
            with self._wrapped(table):
                merging = existing.merge(
                    new, "kept.id = new.id", source_alias="new", target_alias="kept"
                )
                merging.when_matched_update(updates={column: f"new.{column}"}).execute()

    def delete_where(self, table: Table, predicate: str) -> None:
        """Remove the rows that a predicate in Delta's SQL is true of; `free` makes room of them.

        Raises:
            StoreError: the store is full or unreachable; nothing was removed.
        """
        existing = self._open(table)
        if existing is not None:
            with self._wrapped(table):
                existing.delete(predicate)

    def free(self, table: Table) -> None:
        """Give back the bytes of rows that were removed or rewritten.

        Who has the table open must open it again; what it was earlier can no longer be seen.

        Raises:
            StoreError: the store is unreachable.
        """
        existing = self._open(table)
        if existing is not None:
            with self._wrapped(table):
                existing.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)

    def size_bytes(self, table: Table) -> int:
        """Bytes that a table takes: on the disk, or, in an object store, of its current rows.

        Raises:
            StoreError: the table cannot be read.
        """
        if "://" not in self._url:
            files = Path(self._url, table).rglob("*")
            return sum(file.stat().st_size for file in files if file.is_file())
        existing = self._open(table)
        if existing is None:
            return 0
        import polars as pl

        return int(pl.DataFrame(existing.get_add_actions())["size_bytes"].sum())

    @contextmanager
    def _wrapped(self, table: Table) -> Iterator[None]:
        delta = _delta()
        try:
            yield
        except (OSError, delta.exceptions.DeltaError) as e:
            raise StoreError(
                f"The traffic store {self._url}/{table} failed: {str(e).splitlines()[0]}.",
                remedy="Check that it is writable and has room; nothing was lost, run it again.",
            ) from e

    def _open(self, table: Table) -> Any:
        delta = _delta()
        uri = f"{self._url}/{table}"
        if "://" not in self._url and not (Path(uri) / "_delta_log").is_dir():
            return None
        try:
            return delta.DeltaTable(uri)
        except delta.exceptions.TableNotFoundError:
            return None
        except (OSError, delta.exceptions.DeltaError) as e:
            raise StoreError(
                f"The traffic table {uri} cannot be read: {str(e).splitlines()[0]}."
            ) from e


def _delta() -> Any:
    require("polars", extra="traffic")
    return require("deltalake", extra="traffic")


def _schema(table: Table) -> dict[str, Any]:
    import polars as pl

    special = {"Time": pl.Datetime("us", "UTC"), "Vector": pl.List(pl.Float32)}
    return {name: special.get(kind) or getattr(pl, kind) for name, kind in _COLUMNS[table].items()}
