import errno
import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from splade_anserini.artifacts.files import directory_lock, output_errors, require_disjoint, whole_directory, whole_file
from splade_anserini.errors import OutputError


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    with whole_file(tmp_path / "new" / "a.txt") as file:
        file.write(b"all of it")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"all of it"
    assert names(tmp_path / "new") == ["a.txt"]


def test_a_file_that_fails_leaves_the_old_one_and_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as file:
        file.write(b"half of")
        raise RuntimeError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_directory_appears_when_it_is_whole(tmp_path: Path) -> None:
    with whole_directory(tmp_path / "index") as partial:
        (partial / "a").write_text("a")
        assert not (tmp_path / "index").exists()
    assert names(tmp_path) == ["index"]
    assert names(tmp_path / "index") == ["a"]


def test_a_directory_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_directory(tmp_path / "index") as partial:
        (partial / "a").write_text("a")
        raise RuntimeError
    assert names(tmp_path) == []


def test_a_directory_with_something_in_it_is_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "precious").touch()
    with pytest.raises(OutputError, match="already exists"), whole_directory(tmp_path / "index"):
        pass
    with whole_directory(tmp_path / "index", replace=True):
        pass
    assert names(tmp_path / "index") == []


def test_what_an_earlier_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "index.partial").mkdir()
    (tmp_path / "index.partial" / "stale").touch()
    with whole_directory(tmp_path / "index") as partial:
        assert names(partial) == []


def _hold(directory: Path, held: Event, free: Event) -> None:
    with directory_lock(directory):
        held.set()
        free.wait(20)


def test_a_directory_has_one_writer_and_is_free_again_when_that_one_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, free = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, free))
    other.start()
    assert held.wait(20)
    with pytest.raises(OutputError, match="Another process is writing"), directory_lock(tmp_path):
        pass
    with pytest.raises(OutputError, match=r"writing to .*/index\.\n"):
        (tmp_path / ".index.lock").hardlink_to(tmp_path / ".lock")
        with whole_directory(tmp_path / "index"):
            pass
    (tmp_path / ".index.lock").unlink()
    other.kill()
    other.join()
    with directory_lock(tmp_path):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "cannot be written"), (errno.EROFS, "cannot be written")],
)
def test_what_the_system_says_becomes_a_sentence_with_exit_code_2(number: int, sentence: str) -> None:
    with pytest.raises(OutputError, match=sentence) as caught, output_errors(Path("there")):
        raise OSError(number, "said the system")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("error", [TimeoutError("read timed out"), ConnectionResetError(104, "reset"), OSError("?")])
def test_an_error_of_a_network_is_not_blamed_on_the_output(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(type(error)) as caught, directory_lock(tmp_path):
        raise error
    assert caught.value is error


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    # The partial file is a link to a device that is always full: the real error of a real write.
    (tmp_path / "a.txt.partial").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="disk is full"), whole_file(tmp_path / "a.txt") as file:
        file.write(b"x" * 100_000)
    assert names(tmp_path) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(OutputError, match="in the way"), whole_file(tmp_path / "a" / "b"):
        pass


def test_an_error_about_another_file_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "out" / "a"):
        (tmp_path / "input").read_bytes()


def test_a_file_has_one_writer_and_the_other_spoils_nothing(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as file:
        file.write(b"one")
        with pytest.raises(OutputError, match="Another process is writing"), whole_file(tmp_path / "a") as other:
            other.write(b"something longer")
        file.write(b" and all")
    assert (tmp_path / "a").read_bytes() == b"one and all"
    assert names(tmp_path) == ["a"]


def test_what_a_killed_writer_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.partial").write_text("much that was written before")
    with whole_file(tmp_path / "a") as file:
        file.write(b"new")
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize("name", ["", ".", "..", "/"])
def test_a_place_without_a_name_of_its_own_cannot_be_written(name: str) -> None:
    for whole in (whole_file, whole_directory):
        with pytest.raises(OutputError, match="no file name"), whole(Path(name)):
            pass


def test_a_directory_or_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("directory", "is a directory"), ("pipe", "is not a regular file")):
        reached = False
        with pytest.raises(OutputError, match=said), whole_file(tmp_path / name):
            reached = True
        assert not reached
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("name", ["a", "../home/a", "link", "inner/../a"])
def test_an_output_is_not_an_input_under_any_name(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    (home / "inner").mkdir(parents=True)
    (home / "a").touch()
    (home / "b").touch()
    (home / "link").symlink_to("a")
    with pytest.raises(OutputError, match="are the same path"):
        require_disjoint([home / name], [str(home / "b"), home / "a"])
    with pytest.raises(OutputError, match="contains input"):
        require_disjoint([home], [home / "b"])
    require_disjoint([home / "b"], [home / "a", None, "irds:beir/nfcorpus/test", "a\0"])
    require_disjoint([home / "new", None], [home / "a"])


def test_outputs_are_not_the_same_path(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Outputs .*a and .*a are the same path"):
        require_disjoint([tmp_path / "a", tmp_path / "x" / ".." / "a"], [])


def test_an_output_inside_an_input_directory_is_refused_where_the_directory_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    require_disjoint([tmp_path / "in" / "run.txt"], [tmp_path / "in"])
    for source in ("in", "link"):
        with pytest.raises(OutputError, match="is inside input"):
            require_disjoint([tmp_path / "in" / "out"], [tmp_path / source], nested=True)
