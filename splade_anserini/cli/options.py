"""Options that several commands have, in the same words."""

from typing import Annotated, Literal

import typer

Index = Annotated[str, typer.Option(help="Directory of a Lucene impact index, or the name of an index card.")]
Topics = Annotated[
    str, typer.Option(help="TSV, JSONL or BEIR directory (.gz too), irds:<name>, or a Pyserini topics name.")
]
Qrels = Annotated[str, typer.Option(help="TREC or BEIR file (.gz too), BEIR directory, or irds:<name>.")]
QueryEncoder = Annotated[
    str | None,
    typer.Option(help="Card name, encoder directory, or Hugging Face id or directory. [default: the index's]"),
]
PreEncoded = Annotated[
    bool | None,
    typer.Option(
        "--pre-encoded/--not-pre-encoded",
        help="Whether the topics are impact vectors already. [default: see whether they repeat each token]",
    ),
]
QueryLength = Annotated[
    int | None, typer.Option(help="Tokens of a query that are read. [default: the encoder's, or 256]")
]
QueryScale = Annotated[
    str | None, typer.Option(help="impact = round(weight × scale). [default: the index's, or the encoder's]")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:n or mps.")]
RunFormat = Annotated[Literal["trec", "msmarco"], typer.Option(help="Format of the run.")]
RunTag = Annotated[str, typer.Option(help="Name of the run, in its last column.")]
