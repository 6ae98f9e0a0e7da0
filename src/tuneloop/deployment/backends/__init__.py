"""Model servers that a bundle can run on."""
