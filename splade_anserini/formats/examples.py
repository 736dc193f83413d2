"""Training examples with random access: from judgements, triples, the texts of a corpus, or ir_datasets."""

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from splade_anserini.errors import InputError, counted
from splade_anserini.formats.beir import BeirDirectory
from splade_anserini.formats.corpora import Corpus, open_corpus
from splade_anserini.formats.example_records import ExampleRecord, Passage, parse_columns, parse_json, unread_keys
from splade_anserini.formats.irds import irds_has, irds_items, is_irds
from splade_anserini.formats.parsing.archives import is_file
from splade_anserini.formats.parsing.compression import without_compression_suffix
from splade_anserini.formats.parsing.duplicates import digest_of
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.parsing.random_lines import IndexedLines
from splade_anserini.formats.qrels import qrels_with_locations, read_qrels
from splade_anserini.formats.texts import NO_TEXTS, Texts, open_texts
from splade_anserini.records import Document, Example, StrPath

CLOZE_WORDS = range(4, 41)
"""How many words a sentence may have to be used as a query."""

_DEFAULT_SPLIT = "train"
FILE_SUFFIXES = (".tsv", ".jsonl")
_EXPECTED = (
    "a BEIR directory (DIR or DIR@SPLIT), a .tsv or .jsonl file (each also .gz), "
    "titles:CORPUS, sentences:CORPUS, or irds:<name>"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

_logger = logging.getLogger(__name__)

type Parser = Callable[[bytes, Location], ExampleRecord]

_parse_ids: Parser = partial(parse_columns, ids=True)
_parse_texts: Parser = partial(parse_columns, ids=False)


class Examples(Protocol):
    """Examples by their indices from 0, with the texts on disk."""

    @property
    def name(self) -> str:
        """The path or name that the examples were opened with."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


@dataclass(frozen=True)
class LineExamples:
    """Examples of one line each. Several processes may read them at the same time."""

    name: str
    lines: IndexedLines
    parse: Parser
    texts: Texts

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> Example:
        record = self.record(index)
        try:
            return record.read(self.texts)
        except InputError as error:
            raise InputError(f"{self.lines.location(index)}: {error}") from error

    def record(self, index: int) -> ExampleRecord:
        """Return the example as its line has it, with ids that are not looked up."""
        return self.parse(self.lines[index], Location(self.name, index + 1))


def open_examples(source: StrPath, texts: Texts | None = None) -> LineExamples:
    """Read the examples that `source` names once, checking each.

    A BEIR directory means the relevant judgements of its train split; `DIR@dev` and `DIR@dev+test` name others.
    `texts` is where the ids in a file are looked up; without it, the columns of a .tsv file are texts. Raises
    `RecordError` for a malformed line or an unknown id, `InputError` when `source` is not found or has no examples.
    """
    name = os.fspath(source)
    examples = _open(name, texts)
    if not len(examples):
        raise InputError(f"The examples {name} are empty.", expected="at least one example")
    return examples


def split_cloze(document: Document) -> tuple[str, str] | None:
    """Return one sentence of 4 to 40 words, and the document without it (Lee et al. 2019, inverse cloze task).

    Returns None for a document of fewer than three sentences. The document's id determines which sentence it is.
    """
    sentences = [sentence for sentence in _SENTENCE_END.split(document.text) if sentence.strip()]
    candidates = [index for index, sentence in enumerate(sentences) if len(sentence.split()) in CLOZE_WORDS]
    if len(sentences) < 3 or not candidates:
        return None
    chosen = candidates[int.from_bytes(digest_of(document.id)[8:], "little") % len(candidates)]
    rest = " ".join(sentence.strip() for index, sentence in enumerate(sentences) if index != chosen)
    return sentences[chosen].strip(), Document(document.id, document.title, rest).contents


def _open(source: str, texts: Texts | None) -> LineExamples:
    for prefix, example_lines in _CORPUS_SOURCES.items():
        if source.startswith(prefix):
            lines = IndexedLines.spooled(source, example_lines(_open_documents(source.removeprefix(prefix))))
            return LineExamples(source, lines, parse_json, NO_TEXTS)
    if is_irds(source):
        lines = IndexedLines.spooled(source, _irds_lines(source))
        return LineExamples(source, lines, _parse_ids, open_texts(source, source))
    if directory := BeirDirectory.parse(source):
        texts = open_texts(directory.path, directory.path)
        return LineExamples(source, IndexedLines.spooled(source, _judged_lines(source, texts)), _parse_ids, texts)
    return _open_file(Path(source), texts)


def _open_file(path: Path, texts: Texts | None) -> LineExamples:
    if not path.exists() and not is_file(path):
        raise InputError(f"The examples {path} do not exist.", expected=_EXPECTED, do="Check the spelling.")
    suffix = without_compression_suffix(path.name)
    if not suffix.endswith(FILE_SUFFIXES):
        raise InputError(f"The examples {path} have an unknown format.", expected=_EXPECTED, do="Rename or convert it.")
    parse: Parser = parse_json if suffix.endswith(".jsonl") else _parse_texts if texts is None else _parse_ids
    lookup = texts or NO_TEXTS
    width = repeated = 0
    unread: Counter[str] = Counter()

    def check(line: bytes, location: Location) -> None:
        nonlocal width, repeated
        record = parse(line, location)
        record.check(lookup, location)
        repeated += record.repeats_positive()
        if parse is parse_json:
            unread.update(unread_keys(line, location))
        else:
            columns = line.count(b"\t") + 1
            width = width or columns
            if columns != width:
                raise location.error(f"{columns} columns after lines of {width}", expected="the same in each line")

    lines = IndexedLines.of_file(path, check)
    if repeated:
        _logger.warning("%s: in %s, the positive is also a negative.", path, counted(repeated, "example"))
    if unread:
        names = ", ".join(f"{key} (in {counted(count, 'example')})" for key, count in sorted(unread.items()))
        _logger.warning("%s: these keys are not read: %s.", path, names)
    return LineExamples(str(path), lines, parse, lookup)


def _judged_lines(source: str, texts: Texts) -> Iterator[bytes]:
    """Yield `query<TAB>document`, as ids, for each judgement above 0. Raises `RecordError` for an unknown id."""
    for location, qrel in qrels_with_locations(source, _DEFAULT_SPLIT):
        if qrel.relevance > 0:
            ExampleRecord(Passage(qrel.query_id), Passage(qrel.doc_id)).check(texts, location)
            yield f"{qrel.query_id}\t{qrel.doc_id}".encode()


def _irds_lines(source: str) -> Iterator[bytes]:
    """Yield the docpairs of `irds:<name>` as `query<TAB>positive<TAB>negative`, or its judgements above 0 as pairs."""
    if irds_has(source, "docpairs"):
        for pair in irds_items(source, "docpairs"):
            yield f"{pair.query_id}\t{pair.doc_id_a}\t{pair.doc_id_b}".encode()
        return
    for qrel in read_qrels(source):
        if qrel.relevance > 0:
            yield f"{qrel.query_id}\t{qrel.doc_id}".encode()


def _open_documents(source: str) -> Corpus:
    """Return a corpus; for `DIR@SPLIT`, the documents that are relevant in these splits of a BEIR directory."""
    directory = BeirDirectory.parse(source)
    if directory is None or not directory.splits:
        return open_corpus(source)
    relevant_ids = frozenset(qrel.doc_id for qrel in read_qrels(source) if qrel.relevance > 0)
    return _CorpusSubset(source, open_corpus(directory.path), relevant_ids)


@dataclass(frozen=True)
class _CorpusSubset:
    """The documents of a corpus whose ids are given."""

    name: str
    corpus: Corpus
    ids: frozenset[str]

    def __iter__(self) -> Iterator[Document]:
        return (document for document in self.corpus if document.id in self.ids)


def _title_lines(corpus: Corpus) -> Iterator[bytes]:
    """Yield the title as query and the text as positive, as JSON, for each document that has both."""
    for document in corpus:
        if document.title.strip() and document.text.strip():
            yield _json_line(document, document.title, document.text)


def _sentence_lines(corpus: Corpus) -> Iterator[bytes]:
    """Yield a sentence as query and the rest as positive, as JSON, for each document; see `split_cloze`."""
    for document in corpus:
        if cloze := split_cloze(document):
            yield _json_line(document, *cloze)


def _json_line(document: Document, query: str, positive: str) -> bytes:
    return ExampleRecord(Passage(None, query), Passage(document.id, positive)).json_line()


_CORPUS_SOURCES = {"titles:": _title_lines, "sentences:": _sentence_lines}
