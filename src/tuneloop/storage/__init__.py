"""The three stores: records (what changes), traffic (what happened), artifacts (what was made)."""
