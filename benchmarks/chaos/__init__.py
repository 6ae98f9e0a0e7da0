"""The faults and attacks of `bench_chaos.py`, each against real processes."""
