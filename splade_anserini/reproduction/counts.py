"""Numbers of documents and topics, as far as they can be counted without a download."""

from collections.abc import Sequence
from pathlib import Path

from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.impacts import impact_files
from splade_anserini.formats.irds import irds_count, is_irds
from splade_anserini.formats.parsing.compression import without_compression_suffix
from splade_anserini.formats.parsing.json_records import json_records
from splade_anserini.formats.parsing.lines import byte_lines
from splade_anserini.reproduction.resolved_card import ResolvedCard, ResolvedEvaluation, input_state

_RECORD_PER_LINE = (".jsonl", ".tsv")
"""Files whose records are counted without parsing them; a header counts as one."""


def document_count(resolved: ResolvedCard) -> int | None:
    """Return the number of documents: from the registry of ir_datasets, or by counting the records of files."""
    if is_irds(resolved.corpus):
        return irds_count(resolved.corpus, "docs")
    source = resolved.impacts or Path(resolved.corpus)
    if not source.exists():
        return None
    if resolved.impacts is None:
        corpus = open_corpus(source)
        files = getattr(corpus, "files", ())
        if all(without_compression_suffix(file.name).endswith(_RECORD_PER_LINE) for file in files):
            return _record_count(files)
        return sum(1 for _ in corpus)
    return _record_count([source] if source.is_file() else impact_files(source))


def _record_count(files: Sequence[Path]) -> int:
    # Only a file that ends in .json may have records of several lines.
    return sum(sum(1 for _ in (json_records if ".json" in file.suffixes else byte_lines)(file)) for file in files)


def topic_count(evaluation: ResolvedEvaluation) -> int | None:
    """Return the number of topics: from the registry of ir_datasets, or by reading them from files."""
    from splade_anserini.retrieval.topics import read_encoded_topics, read_topics

    if is_irds(evaluation.topics):
        return irds_count(evaluation.topics, "queries")
    if input_state(evaluation.topics) != "found":
        return None
    return len((read_encoded_topics if evaluation.expectation.encoded else read_topics)(evaluation.topics))
