"""Warn where the user can act: at the line that called scdual."""

import sys
import warnings
from types import FrameType

_PACKAGE = __name__.partition(".")[0]
_DECORATORS = "torch.utils._contextlib"  # of torch.inference_mode and its like, between our methods and their callers


def warn(message: str) -> None:
    """Give a ``UserWarning`` at the line outside of scdual from which it was called, however deep it has come."""
    frame: FrameType | None = sys._getframe(1)
    level = user_level = 2  # that of the caller; 1 is this function
    while frame is not None:
        level += 1
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] == _PACKAGE or (module == _DECORATORS and user_level == level - 1):
            user_level = level
        frame = frame.f_back
    warnings.warn(message, UserWarning, stacklevel=user_level)
