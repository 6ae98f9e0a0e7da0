"""The process that does what is due, and runs cycles."""
