"""`python -m tuneloop.cli` is `tuneloop`."""

from tuneloop.cli.main import main

main()
