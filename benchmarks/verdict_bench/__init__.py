"""Simulations with known truth, through the product's own rules; see bench_verdicts.py."""
