"""Run the command line with ``python -m scdual``."""

import sys

from scdual.cli import main

if __name__ == "__main__":
    sys.exit(main())
