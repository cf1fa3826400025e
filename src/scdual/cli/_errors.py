"""Turn expected errors into one line on stderr and exit code 1."""

import functools
from collections.abc import Callable

import typer

_EXPECTED = (ValueError, KeyError, OSError, ModuleNotFoundError)


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with expected errors shown as one line; any other error is a bug and keeps its traceback."""

    @functools.wraps(command)
    def run(*args: object, **options: object) -> None:
        try:
            command(*args, **options)
        except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough; typer ends quietly
            raise
        except _EXPECTED as error:
            typer.secho(f"Error: {_message(error)}", fg="red", err=True)
            raise typer.Exit(1) from error

    return run


def _message(error: Exception) -> str:
    """Return the message in one line; a `KeyError` would put it in quotes."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split()) or type(error).__name__
