"""Simulations with known truth, decided by the product's own rules."""
