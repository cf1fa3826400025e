"""What is written is there as a whole or not at all, and one process writes at a time."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scdual._writing import check_writable, finish_folder, lock, write_file, write_folder, write_hdf5

OTHER_PROCESS = """
import sys
from scdual._writing import lock, write_file, write_folder
with {call}:
    print("has it", flush=True)
    sys.stdin.read()
"""

FULL_DISK = """
import resource, signal, sys
import h5py, numpy as np
from scdual._writing import write_hdf5
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write that is too long then fails, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (int(sys.argv[1]),))
try:
    with write_hdf5("old.h5") as root:
        root["X"] = np.random.default_rng(0).random(20_000)
        for name in map(str, range(200)):
            root.create_group(name).attrs["text"] = "x" * 500
except OSError as error:
    sys.exit(str(error))
"""


@contextmanager
def other_process(call: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that stays in a context manager until the block ends."""
    command = [sys.executable, "-c", OTHER_PROCESS.format(call=call)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "has it\n"
        yield process
        process.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "edges.csv.gz"
    with write_file(path) as part:
        part.write_text("half")
        assert not path.exists()
        assert part.parent == path.parent
        assert part.name.endswith(".gz")  # pandas and matplotlib choose the format by it
        part.write_text("whole")
    assert path.read_text() == "whole"
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with write_file(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_leftover_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with other_process(f"write_file({str(path)!r}) as part, open(part, 'w') as file") as process:
        process.kill()
    assert names(tmp_path) == [".a.scdual-part.txt", ".a.txt.scdual-lock"]
    with write_file(path) as part:
        assert not part.exists()
        part.write_text("new")
    assert names(tmp_path) == ["a.txt"]


def test_permissions_of_the_old_file_stay_and_new_files_follow_the_umask(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    (tmp_path / "old").chmod(0o640)
    (tmp_path / "usual").touch()
    for name in ("old", "new"):
        with write_file(tmp_path / name) as part:
            part.write_text("x")
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o640
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "old.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "disk" / "old.txt")
    (tmp_path / "models").symlink_to(tmp_path / "disk")
    with write_file(tmp_path / "link.txt") as part:
        part.write_text("new")
    with write_folder(tmp_path / "models", overwrite=True) as folder:
        (folder / "a").touch()
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "models").is_symlink()
    assert (tmp_path / "disk" / "old.txt").read_text() == "new"
    assert names(tmp_path / "disk") == ["a", "old.txt"]


def test_standard_output_is_written_directly() -> None:
    code = "from scdual._writing import write_file\nwith write_file('/dev/stdout') as part: part.write_text('text')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "text"


def test_pipe_is_written_directly(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with write_file(tmp_path / "pipe") as part:
        assert part == tmp_path / "pipe"
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize(("closed", "what"), [("a.txt", "The file"), (".", "The folder")])
def test_what_may_not_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str, what: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda asked, _: Path(asked) != tmp_path / closed)
    with pytest.raises(PermissionError, match=f"{what} .* may not be written"), write_file(path):
        pytest.fail("written")
    assert path.read_text() == "old"
    check_writable(tmp_path / "nothing there yet")


def test_full_disk_is_one_sentence_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with write_file(path) as part:
            part.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"There is no room to write .*a\.txt; what stood there before is as it was"):
        fail()
    assert names(tmp_path) == ["a.txt"]
    assert path.read_text() == "old"


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file size")
@pytest.mark.parametrize("limit", [100, 50_000, 200_000, 300_000])
def test_full_disk_under_hdf5_does_not_crash_the_interpreter(tmp_path: Path, limit: int) -> None:
    (tmp_path / "old.h5").write_bytes(b"old")
    command = [sys.executable, "-c", FULL_DISK, str(limit)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stderr.startswith("There is no room to write old.h5")
    assert ended.stderr.count("\n") == 1
    assert ended.returncode == 1
    assert names(tmp_path) == ["old.h5"]
    assert (tmp_path / "old.h5").read_bytes() == b"old"


def test_hdf5_is_a_whole_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    for text in ("old", "new"):
        with write_hdf5(tmp_path / "a.h5") as root:
            root.attrs["text"] = text
    with h5py.File(tmp_path / "a.h5") as root:
        assert root.attrs["text"] == "new"
    assert names(tmp_path) == ["a.h5"]


def test_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with write_folder(path) as folder:
        (folder / "a").write_text("a")
        assert not path.exists()
    assert names(path) == ["a"]
    assert names(tmp_path) == ["model"]


def test_old_folder_gets_the_new_files_and_keeps_the_others(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("a", "notes", "inner/old"):
        (tmp_path / name).write_text("old")
    with write_folder(tmp_path, overwrite=True) as folder:
        for name in ("a", "b"):
            (folder / name).write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a", "b", "inner", "notes"]
    assert names(tmp_path / "inner") == ["old"]
    assert [(tmp_path / name).read_text() for name in ("a", "b", "notes")] == ["new", "new", "old"]


def test_error_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "a").write_text("old")

    def fail() -> None:
        with write_folder(path, overwrite=True) as folder:
            (folder / "a").write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="There is no room to write .*model"):
        fail()
    assert names(tmp_path) == ["model"]
    assert names(path) == ["a"]
    assert (path / "a").read_text() == "old"


def test_folder_is_overwritten_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"already exists.*overwrite=True"), write_folder(tmp_path):
        pytest.fail("written")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file"), write_folder(tmp_path / "file", overwrite=True):
        pytest.fail("written")
    assert names(tmp_path) == ["file"]


def test_reader_finishes_what_a_killed_writer_began_to_publish(tmp_path: Path) -> None:
    (tmp_path / ".scdual-ready").mkdir()
    (tmp_path / ".scdual-ready" / "b").write_text("new")  # a is in its place already
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    finish_folder(tmp_path)
    assert names(tmp_path) == ["a", "b"]
    assert (tmp_path / "b").read_text() == "new"
    finish_folder(tmp_path)
    finish_folder(tmp_path / "nothing there")


def link_to_folder(ready: Path, other: Path) -> None:
    ready.symlink_to(other)


def link_to_nothing(ready: Path, other: Path) -> None:
    ready.symlink_to(other / "nothing")


def file(ready: Path, _: Path) -> None:
    ready.touch()


def link_in_it(ready: Path, other: Path) -> None:
    ready.mkdir()
    (ready / "a").touch()
    (ready / "b").symlink_to(other / "theirs")


def folder_in_it(ready: Path, _: Path) -> None:
    (ready / "b").mkdir(parents=True)
    (ready / "a").touch()


@pytest.mark.parametrize("make", [link_to_folder, link_to_nothing, file, link_in_it, folder_in_it])
def test_what_no_writer_leaves_is_not_followed(tmp_path: Path, make: Callable[[Path, Path], None]) -> None:
    model, other = tmp_path / "model", tmp_path / "other"
    model.mkdir()
    other.mkdir()
    (other / "theirs").write_text("theirs")
    make(model / ".scdual-ready", other)
    before = sorted(tmp_path.rglob("*"))

    def write() -> None:
        with write_folder(model, overwrite=True):
            pytest.fail("written")

    for use in (write, lambda: finish_folder(model)):
        with pytest.raises(ValueError, match=r"\.scdual-ready.* is not as scdual makes it.*; remove .*\.scdual-ready"):
            use()
    assert sorted(tmp_path.rglob("*")) == before


def test_link_in_place_of_a_part_is_not_followed(tmp_path: Path) -> None:
    model, other = tmp_path / "model", tmp_path / "other"
    model.mkdir()
    other.mkdir()
    (other / "theirs").write_text("theirs")
    (model / ".scdual-part").symlink_to(other)
    with write_folder(model, overwrite=True) as folder:
        (folder / "a").touch()
    assert names(model) == ["a"]
    assert names(other) == ["theirs"]


def test_folder_is_not_removed_to_place_a_file(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("a", "b/theirs"):
        (tmp_path / name).write_text("old")

    def write() -> None:
        with write_folder(tmp_path, overwrite=True) as folder:
            for name in ("a", "b"):
                (folder / name).write_text("new")

    with pytest.raises(ValueError, match="b is a folder, but a file of that name is to be written"):
        write()
    assert names(tmp_path) == ["a", "b"]
    assert [(tmp_path / name).read_text() for name in ("a", "b/theirs")] == ["old", "old"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that takes no file")
def test_place_that_takes_no_file_is_not_taken_for_another_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: True)  # as for the superuser
    with pytest.raises(OSError, match="^/proc/x cannot be written, for no file can be made") as caught, lock("/proc/x"):
        pytest.fail("locked")
    assert not isinstance(caught.value, BlockingIOError)


def test_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / ".x.scdual-lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match=r"no file can be made at .*\.x\.scdual-lock"), lock(tmp_path / "x"):
        pytest.fail("locked")
    assert (tmp_path / "theirs").read_text() == "theirs"


@pytest.mark.parametrize("call", ["lock('x')", "write_file('x')", "write_folder('x')"])
def test_second_writer_is_refused_until_the_first_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with other_process(call) as process:
        for second in (lock, write_file, write_folder):
            with pytest.raises(BlockingIOError, match="x is being written by another process"), second("x"):
                pytest.fail("two writers")
        with lock("y"):
            pass
        process.kill()
        process.wait()
        with lock(tmp_path / "x"):
            pass


def test_holder_of_the_lock_may_write(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with lock(path):
        with write_file(path) as part:
            part.write_text("new")
        with pytest.raises(subprocess.CalledProcessError), other_process_fails(path):
            pass
    assert names(tmp_path) == ["a.txt"]


@contextmanager
def other_process_fails(path: Path) -> Iterator[None]:
    code = f"from scdual._writing import lock\nwith lock({str(path)!r}): pass"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    yield


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(IsADirectoryError, match="is a folder, expected the name of a file to write"),
        write_file(tmp_path),
    ):
        pass
    assert list(tmp_path.parent.glob(f".{tmp_path.name}*")) == []
