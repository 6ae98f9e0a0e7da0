"""Stage 2: a dataset version in, a trained adapter or model out."""
