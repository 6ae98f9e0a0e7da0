"""Where `tuneloop.readers` was: packages that add a reader may still import it from here."""

from tuneloop.readers import READERS, BadRow, RawRow, Reader, read_rows

__all__ = ["READERS", "BadRow", "RawRow", "Reader", "read_rows"]
