"""The captured traffic of one spool: moved to its table as the product does it, then read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaos.waiting import wait_for
from tuneloop.storage import spool
from tuneloop.storage.ingest import ingest
from tuneloop.storage.traffic import Traffic


class Books:
    """A spool folder and the table that it is moved to."""

    def __init__(self, spool_folder: Path, traffic: Traffic) -> None:
        self.spool = spool_folder
        self._traffic = traffic
        self.unreadable = 0
        """Lines that were no record, torn ones of killed writers included."""

    def move(self) -> None:
        """What is sealed goes to the table; a gateway may be writing meanwhile."""
        self.unreadable += ingest(self.spool, self._traffic).torn

    def close(self) -> list[dict[str, Any]]:
        """Move all that is left, once no gateway writes any more, and read the whole table."""
        wait_for(self._sealed, "the last segment")
        self.move()
        self.move()  # what is moved twice must be there once
        return self.rows("interactions")

    def rows(self, table: Any) -> list[dict[str, Any]]:
        """All rows of a table."""
        return self._traffic.scan(table).collect().to_dicts()

    def _sealed(self) -> bool:
        spool.seal_stale(self.spool)
        return not list(self.spool.glob("*.open"))
