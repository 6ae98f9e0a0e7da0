"""`python -m tuneloop.cli` is `tuneloop`."""

import signal


def main() -> None:
    """Run the command."""
    caught = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if caught:
        # Until all modules are there, Ctrl-C ends us as it ends any program, without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tuneloop.cli import main as command

    if caught:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command.main()


if __name__ == "__main__":
    main()
