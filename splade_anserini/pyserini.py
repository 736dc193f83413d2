"""Pyserini where this package is installed: import it first, and Pyserini works without changes.

    import splade_anserini.pyserini
    from pyserini.search.lucene import LuceneImpactSearcher

The import starts the Java virtual machine (a Java 21 of your own is not needed) and puts the same Java first on PATH,
for trec_eval. It lets Pyserini be imported without network access, and lets threads share its searchers.
`python -m splade_anserini.pyserini search.lucene …` is `python -m pyserini.search.lucene …` in the same way.
"""

import os
import runpy
import sys
from importlib.util import find_spec

from splade_anserini.lucene import find_java, start_jvm

USAGE = """Usage: python -m splade_anserini.pyserini MODULE [OPTIONS]

Runs a module of Pyserini as `python -m pyserini.MODULE` does. Java is installed with this package,
and encoders may be those of this package: the name of a card, or a directory that export wrote.

  python -m splade_anserini.pyserini search.lucene --help
  python -m splade_anserini.pyserini search.lucene --impact --index indexes/mine \\
      --encoder splade-mini-v2 --min-idf -1 --topics topics.tsv --output run.txt
  python -m splade_anserini.pyserini server.rest --config server.yaml --no-prebuilt-indexes
"""


def prepare() -> None:
    """Start Java, and let child processes find it."""
    programs = str(find_java(os.environ).java.parent)
    start_jvm()
    paths = os.environ.get("PATH", "").split(os.pathsep)
    if programs not in paths:
        os.environ["PATH"] = os.pathsep.join(filter(None, [programs, *paths]))


def main(arguments: list[str]) -> None:
    """Run the module of Pyserini that the first argument names, with the other arguments."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        sys.stdout.write(USAGE)
        return
    module = f"pyserini.{arguments[0].removeprefix('pyserini.')}"
    if not _exists(module):
        sys.stderr.write(f"error: Pyserini has no module {module}.\nExpected for example search.lucene.\n")
        sys.exit(2)
    sys.argv[1:] = arguments[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    from splade_anserini.cli.console import errors_as_sentences

    with errors_as_sentences():
        prepare()
        main(sys.argv[1:])
else:
    prepare()
