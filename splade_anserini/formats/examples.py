"""Training examples with random access: from judgements, triples, a corpus's own texts, or ir_datasets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from splade_anserini.errors import InputError
from splade_anserini.formats._example_sources import irds_ids, judged_pairs, sentences, titles
from splade_anserini.formats.corpora import Corpus, open_corpus
from splade_anserini.formats.example_records import ExampleRecord, parse_columns, parse_json
from splade_anserini.formats.irds import PREFIX
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.formats.parsing.random_lines import Lines
from splade_anserini.formats.qrels import named_splits, training_qrels
from splade_anserini.formats.texts import NO_TEXTS, Texts, open_texts
from splade_anserini.records import Document, Example

_ACCEPTED = (
    "a BEIR directory (DIR or DIR@SPLIT), a .tsv or .jsonl file (each also .gz), "
    "titles:CORPUS, sentences:CORPUS, or irds:<name>"
)

_CORPUS_SOURCES = {"titles:": titles, "sentences:": sentences}
_FILE_SUFFIXES = (".tsv", ".jsonl")

type Parse = Callable[[bytes, Place], ExampleRecord]

_IDS: Parse = partial(parse_columns, ids=True)
_TEXTS: Parse = partial(parse_columns, ids=False)


class Examples(Protocol):
    """Examples by their numbers from 0; the texts stay on disk."""

    @property
    def name(self) -> str:
        """As they were named."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Example: ...


@dataclass(frozen=True)
class LineExamples:
    """Examples that stand one a line. Several processes may read at once."""

    name: str
    lines: Lines
    parse: Parse
    texts: Texts

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, number: int) -> Example:
        record = self.record(number)
        try:
            return record.read(self.texts)
        except InputError as error:
            raise InputError(f"{self.lines.place(number)}: {error}") from error

    def record(self, number: int) -> ExampleRecord:
        """Return the example as it stands in its file, with its ids."""
        return self.parse(self.lines[number], Place(self.name, number + 1))


def open_examples(source: str, texts: Texts | None = None) -> LineExamples:
    """Read the examples that `source` names once, checking each.

    `texts` is where the ids of a file are looked up; without it, the columns of a .tsv are texts. Other sources bring
    their own texts. Raises `RecordError` for a line that is no example or names an unknown id, `InputError` when
    there is no such source or it holds no example.
    """
    examples = _open(source, texts)
    if not len(examples):
        raise InputError(f"The examples {source} are empty.", expected="at least one")
    return examples


def _open(source: str, texts: Texts | None) -> LineExamples:
    for prefix, lines_of in _CORPUS_SOURCES.items():
        if source.startswith(prefix):
            lines = Lines.spooled(source, lines_of(_documents(source.removeprefix(prefix))))
            return LineExamples(source, lines, parse_json, NO_TEXTS)
    if source.startswith(PREFIX):
        return LineExamples(source, Lines.spooled(source, irds_ids(source)), _IDS, open_texts(source, source))
    if named := named_splits(source):
        directory = str(named[0])
        texts = open_texts(directory, directory)
        return LineExamples(source, Lines.spooled(source, judged_pairs(source, texts)), _IDS, texts)
    return _file(Path(source), texts)


def _documents(source: str) -> Corpus:
    """Return a corpus, or of `DIR@SPLIT`, a BEIR directory, the documents that are relevant in these splits."""
    named = None if Path(source).exists() else named_splits(source)
    if named is None:
        return open_corpus(source)
    relevant = frozenset(qrel.doc_id for _, qrel in training_qrels(source) if qrel.relevance > 0)
    return _Relevant(source, open_corpus(str(named[0])), relevant)


@dataclass(frozen=True)
class _Relevant:
    """The documents of a corpus that have certain ids."""

    name: str
    corpus: Corpus
    ids: frozenset[str]

    def __iter__(self) -> Iterator[Document]:
        return (document for document in self.corpus if document.id in self.ids)


def _file(path: Path, texts: Texts | None) -> LineExamples:
    if not path.exists():
        raise InputError(f"The examples {path} do not exist.", expected=_ACCEPTED, do="Check the spelling.")
    suffix = path.name.removesuffix(".gz")
    if not suffix.endswith(_FILE_SUFFIXES):
        raise InputError(f"The examples {path} are of no known format.", expected=_ACCEPTED, do="Rename or convert it.")
    parse: Parse = parse_json if suffix.endswith(".jsonl") else _TEXTS if texts is None else _IDS
    known = texts or NO_TEXTS
    width = 0

    def check(line: bytes, place: Place) -> None:
        nonlocal width
        parse(line, place).check(known, place)
        if parse is not parse_json:
            columns = line.count(b"\t") + 1
            width = width or columns
            if columns != width:
                raise place.error(f"{columns} columns after lines of {width}", expected="the same in each line")

    return LineExamples(str(path), Lines.of_file(path, check), parse, known)
