"""Optional packages are missed with a message that says what to install."""

import pytest

from scdual._installed import check_installed


def test_installed_packages_pass() -> None:
    check_installed("numpy", "pandas")


def test_all_missing_packages_are_named() -> None:
    with pytest.raises(ModuleNotFoundError, match=r'nope_a, nope_b not found.*"scdual\[demo\]"'):
        check_installed("numpy", "nope_a", "nope_b", extra="demo")
