"""The command `splade-anserini`: all commands under one name, each imported when it is called."""

import sys
from importlib import import_module

from splade_anserini._version import __version__
from splade_anserini.cli.console import main_of
from splade_anserini.suggestions import did_you_mean, nearest

COMMANDS = {
    "quickstart": "the whole pipeline on the Cranfield collection, compared with BM25",
    "encode": "documents → impact pseudo-documents",
    "convert": "impact vectors → SciPy, Parquet, CIFF, Seismic, BMP, and back",
    "index": "impact pseudo-documents → a Lucene impact index",
    "merge": "impact indexes → one of all documents, or a sharded one",
    "search": "topics → a TREC run",
    "explain": "a text → its expansion; with a document, the score term by term",
    "serve": "impact indexes → a search service over HTTP",
    "fuse": "runs → one run; passages → documents",
    "rescore": "a run → the same documents with exact impact scores",
    "evaluate": "run and qrels → measures",
    "reproduce": "an index card → its index and its scores, compared with the expected ones",
    "profile": "index and topics → FLOPS, entries, bytes and milliseconds",
    "sweep": "pseudo-documents, topics and qrels → effectiveness–efficiency trade-offs",
    "export": "a checkpoint → an ONNX encoder",
    "verify": "pseudo-documents, an index, a run, an encoder → whole or not, equal to its reference or not",
    "status": "what commands write → how far it is",
    "info": "what commands wrote → what it is, and what to do with it",
    "doctor": "this machine → what works, what would go wrong, what to do",
    "list": "encoders, index cards, measures, formats",
    "completion": "bash, zsh or fish → the script that completes commands and options",
    "warm-start": "a sentence encoder → a SPLADE checkpoint to train from",
    "train": "a card and training examples → a SPLADE checkpoint",
    "mine": "run and qrels → training examples with hard negatives",
    "score": "training examples → the same with scores of teachers",
}


def usage() -> str:
    """Return the help of the program."""
    width = max(map(len, COMMANDS)) + 2
    rows = "\n".join(f"  {name:<{width}}{what}" for name, what in COMMANDS.items())
    return (
        "Usage: splade-anserini COMMAND [OPTIONS]\n\nSPLADE v2 for Anserini and Pyserini.\n\n"
        f"Commands:\n{rows}\n\n"
        "  splade-anserini COMMAND --help    options and an example\n"
        "  splade-anserini --version\n"
    )


def main() -> None:
    """Run one command."""
    arguments = sys.argv[1:]
    name = arguments[0] if arguments else "--help"
    if name in {"--help", "-h"}:
        sys.stdout.write(usage())
    elif name == "--version":
        sys.stdout.write(f"splade-anserini {__version__}\n")
    elif name in COMMANDS:
        main_of(import_module(f"splade_anserini.{name.replace('-', '_')}").command, arguments[1:])
    else:
        hint = did_you_mean(nearest(name, COMMANDS)) or "See splade-anserini --help."
        sys.stderr.write(f"error: {name!r} is not a command. {hint}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
