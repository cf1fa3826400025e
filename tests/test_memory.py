"""What memory is left is what the machine and the limits of a job leave, whichever is less."""

from pathlib import Path

import pytest

import scdual._memory
from scdual._memory import available_memory, in_words

MIB = 2**20


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a system with 8 GiB left, and control groups without limits."""
    (tmp_path / "meminfo").write_text(
        "MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\nHugePages_Total:       0\n"
    )
    (tmp_path / "own").write_text("0::/job/step\n")
    for name, path in {"_MEMORY": "meminfo", "_OWN_GROUPS": "own", "_GROUPS": "groups"}.items():
        monkeypatch.setattr(scdual._memory, name, tmp_path / path)
    return tmp_path


def limit(folder: Path, total: str, used: int, cache: int, *, version: int = 2) -> None:
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{total}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{names[2]} {cache}\n")


def test_without_limits_it_is_what_the_machine_has_left(system: Path) -> None:
    limit(system / "groups" / "job" / "step", "max", 3 * MIB, 0)
    assert available_memory() == 8 * 1024 * MIB


@pytest.mark.parametrize("place", ["", "job", "job/step"])
def test_the_limit_of_any_group_above_counts_without_what_is_only_cached(system: Path, place: str) -> None:
    limit(system / "groups" / place, str(1000 * MIB), 400 * MIB, 100 * MIB)
    assert available_memory() == 700 * MIB


def test_limits_of_version_one_count(system: Path) -> None:
    (system / "own").write_text("9:cpu:/other\n4:memory:/job\n0::/\n")
    limit(system / "groups" / "memory" / "job", str(500 * MIB), 100 * MIB, 0, version=1)
    limit(system / "groups" / "cpu" / "other", str(MIB), 0, 0, version=1)
    assert available_memory() == 400 * MIB


def test_a_system_without_these_files_tells_no_more_than_there_is(system: Path) -> None:
    (system / "meminfo").unlink()
    (system / "own").unlink()
    found = available_memory()
    assert found is None or found > 0


def test_this_machine_has_some() -> None:
    found = available_memory()
    assert found is None or MIB < found < 2**50


def test_bytes_are_told_in_gigabytes() -> None:
    assert in_words(3_440_000_000) == "3.4 GB"
