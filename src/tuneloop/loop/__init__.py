"""The notebook's face of a model: `Loop`, every stage as a method, and its parts by attribute."""

from tuneloop.loop.loop import Loop

__all__ = ["Loop"]
