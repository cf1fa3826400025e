"""Start the command line; in a file of its own, so that Ctrl+C while packages are loaded is quiet as well."""

import os
import sys

_INTERRUPTED = 130  # what shells give for Ctrl+C: 128 + SIGINT


def main() -> None:
    """Run the command line.

    The exit code is 0 if all is well, 1 after an error, 2 if the command was written wrongly, 130 after Ctrl+C. Threads
    sleep while they wait for each other, unless ``OMP_WAIT_POLICY`` says otherwise: beside other work on the machine those
    that spin take many times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read once, when torch is loaded
    try:
        from scdual.cli._app import app

        app()
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted: no file was changed.\n")
        sys.exit(_INTERRUPTED)
