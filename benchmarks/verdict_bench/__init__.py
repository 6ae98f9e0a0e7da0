"""Simulations with known truth through the product's own rules."""
