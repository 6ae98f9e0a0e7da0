"""Parts of bench_prepare.py: the rows with planted near-duplicates, the peers, what is measured."""
