"""The command `splade-anserini`: all stages under one name, each imported when it is called for."""

import sys
from importlib import import_module

from splade_anserini._version import __version__
from splade_anserini.cli.console import errors_as_sentences, stage

STAGES = {
    "quickstart": "the whole path on the Cranfield collection, beside BM25",
    "encode": "documents → impact pseudo-documents",
    "convert": "impact vectors → SciPy, Parquet, CIFF, Seismic, BMP, and back",
    "index": "impact pseudo-documents → a Lucene impact index",
    "search": "topics → a TREC run",
    "fuse": "runs → one run; passages → documents",
    "rescore": "a run → the same documents with exact impact scores",
    "evaluate": "run and qrels → measures",
    "reproduce": "an index card → its index and scores, beside those it promises",
    "profile": "index and topics → FLOPS, entries, bytes and milliseconds",
    "sweep": "pseudo-documents, topics and qrels → what cheaper searches lose",
    "export": "a checkpoint → an ONNX encoder",
    "warm-start": "a sentence encoder → a SPLADE checkpoint to train from",
    "train": "a card and training examples → a SPLADE checkpoint",
    "mine": "run and qrels → training examples with hard negatives",
    "score": "training examples → the same with teachers' scores",
}


def usage() -> str:
    """Return the help of the command without a stage."""
    width = max(map(len, STAGES)) + 2
    rows = "\n".join(f"  {name:<{width}}{what}" for name, what in STAGES.items())
    return (
        "Usage: splade-anserini STAGE [OPTIONS]\n\nSPLADE v2 for Anserini and Pyserini.\n\n"
        f"Stages, in the order of the path:\n{rows}\n\n"
        "  splade-anserini STAGE --help    options and an example\n"
        "  splade-anserini --version\n"
    )


def main() -> None:
    """Run one stage."""
    arguments = sys.argv[1:]
    name = arguments[0] if arguments else "--help"
    if name in {"--help", "-h"}:
        sys.stdout.write(usage())
    elif name == "--version":
        sys.stdout.write(f"splade-anserini {__version__}\n")
    elif name in STAGES:
        module = import_module(f"splade_anserini.{name.replace('-', '_')}")
        with errors_as_sentences():
            stage(module.command)(arguments[1:], prog_name=f"splade-anserini {name}")
    else:
        sys.stderr.write(f"error: there is no stage {name!r}.\n{usage()}")
        sys.exit(2)


if __name__ == "__main__":
    main()
