"""What one screen says of a model, and what it advises."""
