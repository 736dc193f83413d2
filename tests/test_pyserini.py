"""Pyserini itself, unchanged scripts of it and its modules, in a process where this package has started Java."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from splade_anserini.errors import InputError
from splade_anserini.lucene import IndexOptions, pyserini_import, start_jvm
from splade_anserini.lucene.pyserini_changes import take_turns
from splade_anserini.lucene.pyserini_import import DeferringLoader, adapt_pyserini
from tests.impact_fixtures import ANIMALS, random_vectors

TEXTS = [" ".join(f"t{(number * step) % 45}" for step in range(1, 2 + number % 6)) for number in range(800)]


class WordCounter:
    """A query encoder: the impact of a word is the number of its occurrences."""

    def encode(self, text: str) -> dict[str, int]:
        words = text.split()
        return {word: words.count(word) for word in words}


@pytest.fixture(scope="module")
def directory(shared_index: Any) -> Path:
    path: Path = shared_index(random_vectors(3, 400), IndexOptions(threads=2, store_text=True))
    return path


@pytest.fixture(scope="module")
def animals(shared_index: Any) -> Path:
    path: Path = shared_index(ANIMALS, IndexOptions(store_text=True))
    return path


def python(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python on a machine without Java, apart from the one that is installed with this package."""
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"} | {"PATH": "/nowhere"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )


# Importing Pyserini.

WITHOUT_NETWORK = """
import os, socket
def refuse(*arguments, **more):
    os.write(1, b"NETWORK")
    raise OSError("no network")
socket.getaddrinfo = socket.socket.connect = refuse
"""

UNCHANGED = """
from pyserini.search.lucene import LuceneImpactSearcher

class WordCounter:
    def encode(self, text):
        return {word: 1 for word in text.split()}

searcher = LuceneImpactSearcher("INDEX", WordCounter(), min_idf=-1)
print(*(hit.docid for hit in searcher.search("cat dog", k=10)))
"""


@pytest.mark.slow
def test_a_script_of_pyserini_runs_unchanged_without_java_and_without_network(animals: Path) -> None:
    script = UNCHANGED.replace("INDEX", str(animals))
    done = python("-c", f"{WITHOUT_NETWORK}\nimport splade_anserini.pyserini\n{script}")
    assert (done.returncode, done.stdout.split()) == (0, ["d2", "d1", "d3"]), done.stderr


@pytest.fixture
def deferred(tmp_path: Path) -> Any:
    """A module whose top level looks up values of a catalog, as Pyserini 2.4 does."""
    path = tmp_path / "catalog.py"
    path.write_text(
        "from urllib.request import urlopen\n"
        "class Catalog:\n"
        "    loads = []\n"
        "    def __getitem__(self, name):\n"
        "        self.loads.append(name)\n"
        "        return {'name': name, 'nested': {'one': {'a': 1}['a']}}\n"
        "CATALOG = Catalog()\n"
        "ALIASES = {'old': CATALOG['new'], 'older': CATALOG['newer']}\n"
        "PLAIN = {'a': 1, 'b': {'c': 2}}\n"
    )
    spec = spec_from_file_location("catalog", path, loader=DeferringLoader("catalog", str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_values_that_a_module_looks_up_while_it_is_imported_are_looked_up_when_they_are_needed(deferred: Any) -> None:
    assert deferred.CATALOG.loads == []
    assert list(deferred.ALIASES) == ["old", "older"]
    assert deferred.ALIASES["older"] == {"name": "newer", "nested": {"one": 1}}
    assert deferred.CATALOG.loads == ["newer"]
    assert deferred.PLAIN == {"a": 1, "b": {"c": 2}}


@pytest.mark.slow
def test_the_old_names_of_prebuilt_indexes_are_those_of_their_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    start_jvm()
    from pyserini import prebuilt_index_info as info

    if isinstance(info.IMPACT_INDEX_INFO_MSMARCO, dict):
        pytest.skip("this Pyserini downloads no list of indexes")
    entry = {"description": "", "filename": "f", "urls": ["u"], "md5": "m", "size": 1}
    monkeypatch.setattr(info.IMPACT_INDEX_INFO_MSMARCO, "_info", {"msmarco-v1-passage.unicoil": entry})
    assert info.IMPACT_INDEX_INFO["msmarco-passage-unicoil-d2q"] == entry


# Changing its classes.


class Counter:
    """A class whose method loses counts when threads call it at the same time."""

    count = 0

    def increase(self) -> None:
        count = self.count
        time.sleep(0.001)
        self.count = count + 1

    def numbers(self) -> Iterator[int]:
        yield self.count


@pytest.fixture
def counter_class() -> Any:
    return type("Counter", (), dict(vars(Counter)))


def test_threads_call_the_methods_of_a_changed_class_in_turn(counter_class: Any) -> None:
    take_turns(counter_class)
    counter = counter_class()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: counter.increase(), range(50)))
    assert list(counter.numbers()) == [50]
    assert signature(counter_class.increase) == signature(Counter.increase)


def test_modules_that_are_imported_already_are_changed_at_once(
    counter_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("imported_before")
    module.Counter = counter_class  # type: ignore[attr-defined]
    changed = []
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(
        pyserini_import, "_CHANGES", {"imported_before": changed.append, "not_imported": changed.append}
    )
    finders = [finder for finder in sys.meta_path if type(finder) is not pyserini_import._Finder]
    monkeypatch.setattr(sys, "meta_path", finders)
    adapt_pyserini()
    adapt_pyserini()
    assert changed == [module]


# Its searcher.


@pytest.fixture
def searcher(directory: Path) -> Iterator[Any]:
    from splade_anserini.lucene import LuceneImpactSearcher

    searcher = LuceneImpactSearcher(str(directory), WordCounter(), min_idf=-1)
    yield searcher
    searcher.close()


@pytest.mark.slow
def test_threads_that_share_pyserinis_searcher_get_their_own_hits(searcher: Any) -> None:
    def rows(text: str) -> list[tuple[str, float]]:
        return [(hit.docid, hit.score) for hit in searcher.search(text)]

    expected = [rows(text) for text in TEXTS]
    for _ in range(3):
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(rows, TEXTS)) == expected


@pytest.mark.slow
def test_threads_that_share_pyserinis_searcher_read_their_own_documents(searcher: Any) -> None:
    ids = [searcher.doc(number).docid() for number in range(400)]

    def read(id_: str) -> tuple[str, str]:
        document = searcher.doc(id_)
        return document.docid(), document.raw()

    expected = [read(id_) for id_ in ids]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read, ids)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["typo", "empty"])
@pytest.mark.parametrize("class_name", ["LuceneImpactSearcher", "LuceneSearcher", "LuceneIndexReader"])
def test_a_path_that_is_not_an_index_is_an_error_of_a_few_lines_and_is_not_created(
    class_name: str, name: str, tmp_path: Path
) -> None:
    start_jvm()
    from pyserini.index.lucene import LuceneIndexReader
    from pyserini.search.lucene import LuceneImpactSearcher, LuceneSearcher

    (tmp_path / "empty").mkdir()
    class_ = {kind.__name__: kind for kind in (LuceneImpactSearcher, LuceneSearcher, LuceneIndexReader)}[class_name]
    encoder = (WordCounter(),) if class_ is LuceneImpactSearcher else ()
    with pytest.raises(InputError, match=r"typo does not exist|empty is not a Lucene index") as error:
        class_(str(tmp_path / name), *encoder)
    assert len(str(error.value).splitlines()) <= 3
    assert not (tmp_path / "typo").exists()


@pytest.mark.slow
def test_pyserinis_searcher_opens_encoders_of_this_package_by_name(animals: Path) -> None:
    from splade_anserini import ImpactQueryEncoder, OnnxQueryEncoder
    from splade_anserini.lucene import LuceneImpactSearcher

    searcher = LuceneImpactSearcher(str(animals), "splade-mini", min_idf=-1)
    assert isinstance(searcher.query_encoder, ImpactQueryEncoder)
    assert searcher.encode("a cat") == OnnxQueryEncoder("splade-mini").encode("a cat")
    assert [hit.docid for hit in searcher.search("cat")] != []
    searcher.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", [None, "queries.jsonl"])
def test_pyserinis_searcher_opens_its_own_encoders_as_before(
    name: str | None, animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from splade_anserini.lucene import LuceneImpactSearcher

    monkeypatch.chdir(tmp_path)
    Path("queries.jsonl").write_text('{"id": "1", "contents": "cat dog", "vector": {"cat": 1, "dog": 1}}\n')
    searcher = LuceneImpactSearcher(str(animals), name, min_idf=-1)
    assert type(searcher.query_encoder).__module__.startswith("pyserini.")
    assert {hit.docid for hit in searcher.search("cat dog")} <= {"d1", "d2", "d3"}
    searcher.close()


# Its modules.


@pytest.mark.slow
def test_pyserinis_search_by_this_package_writes_the_ranking_of_search(animals: Path, tmp_path: Path) -> None:
    (tmp_path / "topics.tsv").write_text("q1\tcat\nq2\ta dog and a bird\n")
    module = ["-m", "splade_anserini.pyserini", "search.lucene", "--impact", "--index", animals, "--min-idf", "-1"]
    inputs = ["--encoder", "splade-mini", "--topics", "topics.tsv", "--output", "theirs.txt"]
    done = python(*module, *inputs, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ours = ["-m", "splade_anserini.search", "--index", animals, "--topics", "topics.tsv", "--output", "ours.txt"]
    done = python(*ours, "--encoder", "splade-mini", "--force", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rankings = [
        [line.split()[:4] for line in (tmp_path / name).read_text().splitlines()] for name in ("ours.txt", "theirs.txt")
    ]
    assert rankings[0] == rankings[1] != []


@pytest.mark.slow
def test_the_help_of_running_modules_names_the_command() -> None:
    done = python("-m", "splade_anserini.pyserini", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: python -m splade_anserini.pyserini MODULE" in done.stdout


@pytest.mark.slow
def test_a_module_that_pyserini_does_not_have_is_an_error() -> None:
    done = python("-m", "splade_anserini.pyserini", "no.such")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Pyserini has no module pyserini.no.such." in done.stderr
