"""What a command says when it cannot do its work. Exit codes: 1 it failed, 2 wrong use or settings, 3 not running."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_RUNNING = 3


class CommandError(Exception):
    """A command failed; the text is one clear sentence for a person. The exit code is 1."""
