"""How much memory there is, asked before the work that needs it."""

import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")  # where Linux mounts the limits of jobs and containers
_MEMORY = Path("/proc/meminfo")
_OWN_GROUPS = Path("/proc/self/cgroup")
# In a folder of a control group: limit, use, and the key of what of the use is only a cache of files; version 2, then 1.
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available_memory() -> int | None:
    """Return how many bytes this process may still take, None where the system does not say.

    That is what the machine has left, or what the limit of the job or container leaves, if that is less.
    """
    return min((found for found in (_of_machine(), *_of_groups()) if found is not None), default=None)


def in_words(n_bytes: float) -> str:
    """Return a number of bytes as text, such as ``8.0 GB``."""
    return f"{n_bytes / 1e9:,.1f} GB"


def _of_machine() -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:  # no more than there is at all
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _of_groups() -> Iterator[int]:
    """Yield what the limit of each control group leaves, from that of the process up to the root."""
    for folder in _folders():
        for limit, use, cache in _FILES:
            try:
                total, used = int((folder / limit).read_text()), int((folder / use).read_text())
                lines = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield total - used + int(lines.get(cache, 0))
            except (OSError, ValueError):  # "max" is no limit
                continue


def _folders() -> set[Path]:
    try:
        lines = [line.split(":", 2) for line in _OWN_GROUPS.read_text().splitlines()]
    except OSError:
        return set()
    found: set[Path] = set()
    for line in lines:
        if len(line) == 3 and line[1] in ("", "memory"):
            root = _GROUPS / line[1]
            own = root / line[2].lstrip("/")
            found |= {root, own, *(parent for parent in own.parents if root in parent.parents)}
    return found
