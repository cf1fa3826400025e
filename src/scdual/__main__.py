"""Run the command line with ``python -m scdual``."""

from scdual.cli import main

if __name__ == "__main__":
    main()
