"""The mail sink as a daemon: `python -m packages.infra.channels.smtp_sink_process DIRECTORY PORT LOG_FILE`.

Prints the id of the daemon and returns; the daemon writes its log into LOG_FILE and ends on SIGTERM.
"""

import os
import sys
from pathlib import Path

from packages.infra.channels.smtp_sink import serve
from packages.infra.telemetry.logs import configure_logging


def main(directory: Path, port: int, log_file: Path) -> None:
    """Leave the terminal and the parent behind, and serve."""
    if daemon := os.fork():
        sys.stdout.write(f"{daemon}\n")
        return
    os.setsid()
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (sys.stdout, sys.stderr):
        os.dup2(log, standard.fileno())
    os.close(log)
    configure_logging(log_format="text", level="INFO")
    serve(directory, port)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
