"""What came of a request or a row, and how it is removed."""
