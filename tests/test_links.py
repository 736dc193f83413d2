"""Outputs that are symbolic links: what is written appears where they lead, and they stay links."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from splade_anserini.artifacts import files
from splade_anserini.artifacts.files import (
    around_placement,
    require_disjoint,
    require_writable,
    resolved_output,
    whole_directory,
    whole_file,
)
from splade_anserini.artifacts.outputs import OutputRecord, is_up_to_date, manifest_path, record_output, recorded
from splade_anserini.errors import OutputError


def link(path: Path, target: Path | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def chain(home: Path, target: Path) -> Path:
    """Return the first of three links, of which the last leads to `target`."""
    link(home / "links" / "third", target)
    link(home / "second", "links/third")
    return link(home / "first", home / "second")


def below_a_link(home: Path, target: Path) -> Path:
    return link(home / "parent", target.parent) / target.name


def below_a_link_to_nothing(home: Path, target: Path) -> Path:
    target.parent.rmdir()
    return below_a_link(home, target)


def with_dots(home: Path, target: Path) -> Path:
    (home / "disk" / "aside").mkdir()
    link(home / "aside", home / "disk" / "aside")
    return link(home / "out", Path("aside", "..", "big", target.name))


LINKS: dict[str, Callable[[Path, Path], Path]] = {
    "absolute": lambda home, target: link(home / "out", target),
    "relative": lambda home, target: link(home / "out", os.path.relpath(target, home)),
    "with dots": with_dots,
    "chain": chain,
    "in a directory that is a link": below_a_link,
    "in a directory that is a link to nothing": below_a_link_to_nothing,
    "in a directory that will be made": lambda home, target: link(home / "parent", target.parent) / "new" / "deep",
    "into another file system": lambda home, _: link(home / "out", other_file_system() / "out"),
}
"""Kind of link → what makes one in a directory to a target in `disk/big` there, and returns the output's path."""


def other_file_system() -> Path:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip("this system has no second file system that can be written")
    return Path(tempfile.mkdtemp(prefix="splade-anserini-test-", dir=shared))


@pytest.fixture(params=LINKS)
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """An output of each kind, whose target does not exist yet."""
    target = tmp_path / "disk" / "big" / "target"
    target.parent.mkdir(parents=True)
    output = LINKS[request.param](tmp_path, target)
    yield output
    if request.param == "into another file system":
        shutil.rmtree(Path(os.path.realpath(output)).parent)


def links_below(home: Path) -> dict[Path, str]:
    return {path: str(path.readlink()) for path in home.rglob("*") if path.is_symlink()}


def test_a_file_is_written_where_the_link_leads(tmp_path: Path, output: Path) -> None:
    before, target = links_below(tmp_path), Path(os.path.realpath(output))
    for content in (b"one", b"two"):
        require_disjoint([output], [])
        with whole_file(output) as file:
            assert os.path.realpath(Path(file.name).parent) == str(target.parent)
            file.write(content)
        assert links_below(tmp_path) == before
        assert (target.read_bytes(), target.is_symlink()) == (content, False)
        assert [path.name for path in target.parent.iterdir() if path.is_file()] == [target.name]


def test_a_directory_is_written_where_the_link_leads(tmp_path: Path, output: Path) -> None:
    before, target = links_below(tmp_path), Path(os.path.realpath(output))
    for name in ("one", "two"):
        require_disjoint([output], [])
        with whole_directory(output, replace=True) as directory:
            assert os.path.realpath(directory.parent) == str(target.parent)
            (directory / name).touch()
        assert links_below(tmp_path) == before
        assert [path.name for path in target.iterdir()] == [name]
        assert not list(target.parent.glob(".*")) + list(target.parent.glob("*.partial"))


def test_the_manifest_is_beside_the_file_where_the_link_leads(output: Path) -> None:
    target, record = Path(os.path.realpath(output)), OutputRecord("search", {"hits": 10})
    assert not is_up_to_date(output, record)
    with recorded(output, record), whole_file(output) as file:
        file.write(b"run")
    record_output(output, record, {"hits": 1})
    assert os.path.realpath(manifest_path(output)) == f"{target}.manifest"
    assert is_up_to_date(output, record)
    assert is_up_to_date(target, record)


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "to itself": (lambda home: link(home / "out", "out"), "leads to itself"),
    "in a circle": (lambda home: link(link(home / "b", "out").with_name("out"), "b"), "leads to itself"),
    "in a directory of a circle": (lambda home: link(home / "a", "a") / "out", "leads to itself"),
    "to a missing directory": (
        lambda home: link(home / "out", home / "no" / "x"),
        r"out is a symbolic link to .*/no/x, but the directory .*/no does not exist",
    ),
    "by a chain to a missing directory": (lambda home: chain(home, home / "no" / "x"), r"/no does not exist"),
    "in a directory that leads to a missing one": (
        lambda home: link(home / "parent", home / "no" / "x") / "out",
        r"parent is a symbolic link to .*/no does not exist",
    ),
    "below a file": (lambda home: link(home / "out", Path(__file__) / "x"), r"does not exist"),
    "to a device": (lambda home: link(home / "out", "/dev/null"), "is not a regular file"),
    "to a process": (lambda home: link(home / "out", "/proc/no"), "cannot be written"),
}
"""Kind of link → what makes one, and what the message says."""


@pytest.mark.parametrize("kind", REFUSED)
def test_a_link_that_leads_nowhere_is_refused_before_the_work(tmp_path: Path, kind: str) -> None:
    make, message = REFUSED[kind]
    output = make(tmp_path)
    with pytest.raises(OutputError, match=message):
        require_disjoint([output], [])
    with pytest.raises(OutputError, match=message):
        require_writable(output)
    before = links_below(tmp_path)
    for whole in (whole_file, whole_directory):
        reached = False
        with pytest.raises(OutputError), whole(output):
            reached = True
        assert not reached
    assert links_below(tmp_path) == before


def test_a_path_without_links_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("new", "new/deep", "."):
        assert resolved_output(Path(name)) == Path(name)
    Path("parent").symlink_to(tmp_path)
    assert resolved_output(Path("parent/new")) == Path("parent/new")


def test_a_link_to_an_input_is_that_input(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(OutputError, match="are the same path"):
        require_disjoint([link(tmp_path / "out", "in")], [tmp_path / "in"])
    with pytest.raises(OutputError, match="is inside input"):
        require_disjoint([link(tmp_path / "inside", "in/new")], [tmp_path / "in"], nested=True)
    with pytest.raises(OutputError, match=r"Outputs .*one and .*two are the same path"):
        require_disjoint([link(tmp_path / "one", "target"), link(tmp_path / "two", "target")], [])


@pytest.mark.parametrize("in_place", [False, True])
def test_a_full_disk_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_place: bool
) -> None:
    directories = []

    def full(*, dir: Path, **_: object) -> None:  # noqa: A002  # tempfile's name
        directories.append(dir)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(OutputError, match=r"The disk is full: .*out could not be written"):
        require_writable(tmp_path / "out", in_place=in_place)
    assert directories == [tmp_path / "out" if in_place else tmp_path]


def test_a_name_that_is_too_long_for_its_manifest_is_found_before_the_work(tmp_path: Path) -> None:
    require_writable(tmp_path / ("a" * 238))
    with pytest.raises(OutputError, match="File name too long"):
        require_writable(tmp_path / ("a" * 239))


def test_a_mount_point_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mount").mkdir()
    monkeypatch.setattr(files, "_is_mount_point", lambda path: path.name == "mount")
    with pytest.raises(OutputError, match=r"mount is a mount point.*\n.*mount/NAME"):
        require_writable(tmp_path / "mount")
    with pytest.raises(OutputError, match="mount point"), whole_directory(tmp_path / "mount"):
        pass
    require_writable(tmp_path / "mount", in_place=True)
    require_writable(tmp_path / "mount" / "new")


def test_mount_points_are_recognized() -> None:
    assert files._is_mount_point(Path("/proc"))
    assert not files._is_mount_point(Path(__file__).parent)


def test_a_directory_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    replace = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if path.name == "out.partial":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OutputError, match="busy"), whole_directory(tmp_path / "out", replace=True) as directory:
        (directory / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_a_placement_is_for_its_own_output_only(tmp_path: Path) -> None:
    placed: list[Path] = []

    class Watch:
        def __init__(self, finished: Path) -> None:
            placed.append(finished)

        def __enter__(self) -> None:
            assert placed[-1].read_bytes() == b"x"

        def __exit__(self, *_: object) -> None:
            assert (tmp_path / "mine").read_bytes() == b"x"

    with around_placement(link(tmp_path / "link", "mine"), Watch):  # type: ignore[arg-type]  # enough of one
        for name in ("mine", "other"):
            with whole_file(tmp_path / name) as file:
                file.write(b"x")
    with whole_file(tmp_path / "mine") as file:
        file.write(b"y")
    assert placed == [tmp_path / "mine.partial"]
