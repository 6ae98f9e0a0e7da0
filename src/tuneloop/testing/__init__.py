"""Public fakes for tests, ours and yours."""
