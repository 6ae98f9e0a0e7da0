"""The sections of the model file: one class each, every key with its meaning and default."""
