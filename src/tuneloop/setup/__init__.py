"""Before the first stage: a model file for new rows, and what it names looked up."""
