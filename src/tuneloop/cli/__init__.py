"""The `tuneloop` command, one thin module a command group."""
