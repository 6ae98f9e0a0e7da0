"""Bundles, aliases and routes: what a release is, which one is live, how requests find it."""
