"""Options of single values that several commands have, in the same words."""

from typing import Annotated, Literal

import typer

Index = Annotated[str, typer.Option(help="Directory of a Lucene impact index, or the name of an index card.")]
Topics = Annotated[
    str,
    typer.Option(
        help="File (TSV, CSV, JSON, TREC, XML), BEIR directory (DIR or DIR@SPLIT), irds:<name>, Pyserini name, "
        "or cranfield."
    ),
]
Qrels = Annotated[
    str,
    typer.Option(help="TREC, BEIR or other file, BEIR directory or zip (DIR or DIR@SPLIT), irds:<name>, or cranfield."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:n or mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")]
Format = Annotated[Literal["table", "json"], typer.Option(help="How to print the result.")]
