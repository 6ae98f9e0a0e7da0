"""What is looked at before a run, a file a subject; each check is `Look` in, findings out."""
