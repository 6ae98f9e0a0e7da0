"""Stage 6: corrections, review, and the cycle that composes all stages."""
