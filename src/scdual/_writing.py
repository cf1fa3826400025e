"""Write so that nothing is lost: whole files and folders or none, one writer at a time.

What is written stands beside its place under a hidden name until it is whole and on the disk. Then it is renamed, which a
file system does in one step. A process that is killed leaves the old contents and its hidden work; the next writer of the
same place removes that. Nobody else writes there meanwhile, because every writer holds the lock of the place.
"""

import errno
import io
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    import h5py

_PART = ".scdual-part"  # in a folder: what is being written
_READY = ".scdual-ready"  # in a folder: whole, and on its way to its place; a reader has to finish the way
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # disk, quota, longest file: there is no room


@contextmanager
def lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Be the only writer of a file or folder; a process that has the lock may take it again.

    The lock goes when its process ends, however it ends.

    Raises
    ------
    BlockingIOError
        If another process, or another thread, writes there.
    PermissionError
        If the folder in which it stands may not be written.
    OSError
        If no file can be made there.
    """
    target = _followed(path)
    folder = target if target.is_dir() and not os.access(target.parent, os.W_OK) else target.parent
    check_writable(folder)
    place = folder / f".{target.name}.scdual-lock"
    held = FileLock(place, is_singleton=True)
    try:
        held.acquire(blocking=False)
    except Timeout:
        _check_place(folder, path)
        msg = f"{path} is being written by another process. Wait until that one ends, or choose another name."
        raise BlockingIOError(msg) from None
    except OSError as error:
        raise _unwritable(place, path, error) from error
    try:
        yield
    finally:
        if held.lock_counter == 1:  # an unlinked lock is taken by nobody, so it goes while it is held
            with suppress(OSError):
                place.unlink()
        held.release()


@contextmanager
def write_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path to write to; what is there at the end takes the place of the file in one step.

    After an exception the old file is as it was. It keeps its permissions, and a link keeps pointing to it. Pipes and
    devices are written to directly.

    Raises
    ------
    BlockingIOError
        If another process writes the same file.
    IsADirectoryError
        If there is a folder.
    PermissionError
        If the file or its folder may not be written.
    OSError
        If there is no room for it.
    """
    place, target = Path(path), _followed(path)
    if target.is_dir():
        msg = f"{path} is a folder, expected the name of a file to write. Add a file name."
        raise IsADirectoryError(msg)
    if place.exists() and not (place.is_file() or place.is_dir()):  # not the target: /dev/stdout leads to no path
        yield place
        return
    if target.exists():
        check_writable(target)
    with lock(path), _room(path):
        part = target.with_name(f".{target.stem}{_PART}{target.suffix}")
        _remove(part)
        try:
            yield part
            _replace(part, target)
            _sync(target.parent)
        finally:
            _remove(part)


@contextmanager
def write_hdf5(path: str | os.PathLike[str]) -> Iterator["h5py.File"]:
    """Yield an open HDF5 file, which takes the place of the old one at the end, as :func:`write_file` does.

    HDF5 crashes the interpreter when a disk is full while it closes a file. So it does not get to know: what has no room
    is dropped, and raised once HDF5 has closed the file.

    Raises
    ------
    BlockingIOError, PermissionError, OSError
        As in :func:`write_file`.
    """
    import h5py

    with write_file(path) as part, _Patient(part, "w+") as file:
        try:
            with h5py.File(file, "w") as root:
                yield root
        finally:
            if file.error is not None:
                raise file.error


@contextmanager
def write_folder(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder to write into; at the end its contents take the place of those of the same names.

    After an exception, or when the process is killed, the folder holds either all the old contents or all the new ones:
    whoever reads it calls :func:`finish_folder` first. Other files in it stay.

    Parameters
    ----------
    path
        Folder to write.
    overwrite
        Whether the folder may exist.

    Raises
    ------
    ValueError
        If the folder exists and may not, or holds a folder where a file is to be written. Folders are not written into it.
    NotADirectoryError
        If there is a file of that name.
    BlockingIOError
        If another process writes the same folder.
    PermissionError
        If it may not be written.
    OSError
        If there is no room for it.
    """
    target = _followed(path)
    if target.exists() and not target.is_dir():
        msg = f"{path} is a file, expected a folder or a new name. Choose another name."
        raise NotADirectoryError(msg)
    with lock(path), _room(path):
        if target.exists() and not overwrite:
            msg = f"{path} already exists. Choose another name, or pass `overwrite=True` to write over what is in it."
            raise ValueError(msg)
        _publish(target)
        part = target / _PART if target.exists() else target.with_name(f".{target.name}{_PART}")
        _remove(part)
        part.mkdir()
        try:
            yield part
            _checked(part, target)
            _sync_all(part)
            part.rename(target / _READY if part.parent == target else target)
            _publish(target)
            _sync(target.parent)
        finally:
            _remove(part)


def finish_folder(path: str | os.PathLike[str]) -> None:
    """Put whole new contents in their places if their writer was killed while it did so; call it before reading.

    Raises
    ------
    ValueError
        If a link or a folder lies among them, which no writer leaves; nothing is moved.
    BlockingIOError
        If the writer is at work.
    """
    target = _followed(path)
    if os.path.lexists(target / _READY):
        with lock(path):
            _publish(target)


def check_writable(path: Path) -> None:
    """Raise ``PermissionError`` if a file or folder exists and may not be written."""
    if path.exists() and not os.access(path, os.W_OK):
        what = "The folder" if path.is_dir() else "The file"
        msg = f"{what} {path} may not be written: permission denied. Choose another place, or ask its owner."
        raise PermissionError(msg)


def _check_place(folder: Path, path: str | os.PathLike[str]) -> None:
    """Raise ``OSError`` if no file can be made in the folder; a lock that cannot be made looks like one that is held."""
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, path, error) from error


def _unwritable(place: Path, path: str | os.PathLike[str], error: OSError) -> OSError:
    msg = (
        f"{path} cannot be written, for no file can be made at {place} ({error.strerror or error}). "
        "Choose another place."
    )
    told = OSError(msg)
    told.errno = error.errno
    return told


class _Patient(io.FileIO):
    """A file that keeps its first error and drops whatever is written after it."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        content = memoryview(content)
        done = 0
        while self.error is None and done < len(content):
            try:
                done += super().write(content[done:])
            except OSError as error:
                self.error = error
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        if self.error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.error = error
        return self.tell() if size is None else size


@contextmanager
def _room(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn errors of a full disk into one sentence."""
    try:
        yield
    except Exception as error:
        if not _is_full(error):
            raise
        msg = f"There is no room to write {path}; what stood there before is as it was. Make room, or choose another place."
        full = OSError(msg)
        full.errno = errno.ENOSPC
        raise full from error


def _is_full(error: Exception) -> bool:
    """Return whether there was no room; HDF5 and safetensors say so in their text only."""
    found = re.search(r"(?:errno =|os error) (\d+)", str(error))
    return (getattr(error, "errno", None) or (found and int(found[1]))) in _FULL


def _followed(path: str | os.PathLike[str]) -> Path:
    """Return the place that a path means: absolute, and what a link points to."""
    return Path(os.path.realpath(path))


def _publish(target: Path) -> None:
    """Move contents that are ready to their places; done twice, it does the rest."""
    ready = target / _READY
    if not os.path.lexists(ready):
        return
    for new in _checked(ready, target):
        _replace(new, target / new.name)
    _sync(target)
    ready.rmdir()


def _checked(folder: Path, target: Path) -> list[Path]:
    """Return the files to move, once all are plain files for which there is a place. The folder may come from a stranger."""
    content = sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
    strange = [path for path in content if path.is_symlink() or not path.is_file()]
    if strange or folder.is_symlink() or not folder.is_dir():
        msg = (
            f"{[*strange, folder][0]} is not as scdual makes it, for it is a link or of another kind, so nothing was moved; "
            f"remove {folder}, or take another copy of the folder."
        )
        raise ValueError(msg)
    for path in content:
        if (target / path.name).is_dir():
            msg = (
                f"{target / path.name} is a folder, but a file of that name is to be written, so nothing was changed; "
                "rename the folder, or choose another place."
            )
            raise ValueError(msg)
    return content


def _replace(new: Path, old: Path) -> None:
    """Rename over the old file, with its permissions and, where allowed, its owner."""
    _sync(new)
    if old.exists():
        before = old.stat()
        with suppress(OSError, AttributeError):  # only the superuser may, and Windows has no such call
            os.chown(new, before.st_uid, before.st_gid)
        new.chmod(stat.S_IMODE(before.st_mode))
    new.replace(old)


def _sync_all(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on the disk."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
