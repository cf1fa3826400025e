"""Say which extra to install when an optional package is missing."""

from importlib.util import find_spec


def check_installed(*packages: str, extra: str = "plots") -> None:
    """Raise ``ModuleNotFoundError`` naming the extra if a package is missing.

    Parameters
    ----------
    packages
        Names under which the packages are imported.
    extra
        The extra of scdual that brings them.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        msg = f'{", ".join(missing)} not found, needed here. Install with: pip install "scdual[{extra}]"'
        raise ModuleNotFoundError(msg, name=missing[0])
