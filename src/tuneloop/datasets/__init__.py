"""Stage 1: rows in, an immutable dataset version out."""
