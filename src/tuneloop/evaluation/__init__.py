"""Stage 3: a served candidate in, scores, gates and a verdict out."""
