"""Parts of bench_drift.py: the pairs, the peers, and what runs in the peers' environments."""
