"""What the other side's own readers make of what we write: Seismic, BMP, and Protocol Buffers' runtime."""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splade_anserini.conversion import FORMATS, Source, write_converted
from splade_anserini.conversion.topics import write_topic_vectors
from splade_anserini.conversion.varints import decode_varints, encode_varints, varint, varint_at
from splade_anserini.errors import InputError
from splade_anserini.records import ImpactDocument
from tests import pseudo

COLLECTION = pseudo.random_vectors(5, 300, greatest=250) | {"none": {}}
SCHEMA = {
    "Header": [
        ("version", "INT32"),
        ("num_postings_lists", "INT32"),
        ("num_docs", "INT32"),
        ("total_postings_lists", "INT32"),
        ("total_docs", "INT32"),
        ("total_terms_in_collection", "INT64"),
        ("average_doclength", "DOUBLE"),
        ("description", "STRING"),
    ],
    "Posting": [("docid", "INT32"), ("tf", "INT32")],
    "PostingsList": [("term", "STRING"), ("df", "INT64"), ("cf", "INT64"), ("postings", "Posting")],
    "DocRecord": [("docid", "INT32"), ("collection_docid", "STRING"), ("doclength", "INT32")],
}
"""Of CIFF, version 1: field i has the number i + 1."""


def write(directory: Path, name: str, vectors: Mapping[str, Mapping[str, int]] = COLLECTION) -> Path:
    path = directory / f"a{FORMATS[name].suffixes[0]}"
    some = [ImpactDocument(id_, vector) for id_, vector in vectors.items()]
    write_converted(Source(directory, lambda: iter(some)), path, FORMATS[name])
    return path


def queries(count: int, greatest: int) -> list[dict[str, int]]:
    chance = random.Random(1)
    return [{f"t{chance.randrange(45)}": chance.randint(1, greatest) for _ in range(6)} for _ in range(count)]


def exact(query: Mapping[str, int]) -> dict[str, int]:
    """Every document's score that is not 0."""
    scores = {
        id_: sum(weight * vector.get(token, 0) for token, weight in query.items()) for id_, vector in COLLECTION.items()
    }
    return {id_: score for id_, score in scores.items() if score}


def same_ranking(found: list[tuple[str, float]], query: Mapping[str, int], hits: int) -> None:
    """The scores are the greatest there are, and each is its document's."""
    scores = exact(query)
    assert [score for _, score in found] == sorted(scores.values(), reverse=True)[:hits]
    assert all(scores[id_] == score for id_, score in found)


@pytest.fixture(scope="module")
def messages() -> Mapping[str, Any]:
    """CIFF's messages as Protocol Buffers' own runtime builds them from their definition."""
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="ciff_of_the_test.proto", package="ciff", syntax="proto3")
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            added = message.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            if kind in SCHEMA:
                added.type, added.type_name, added.label = kinds.TYPE_MESSAGE, f".ciff.{kind}", kinds.LABEL_REPEATED
            else:
                added.type = getattr(kinds, f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"ciff.{name}")) for name in SCHEMA}


def parsed(path: Path, messages: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the header, the lists and the records of a file."""
    data, position = path.read_bytes(), 0

    def following(name: str) -> Any:
        nonlocal position
        size, start = varint_at(data, position)
        position = start + size
        return messages[name].FromString(data[start:position])

    header = following("Header")
    yield header
    yield from (following("PostingsList") for _ in range(header.num_postings_lists))
    yield from (following("DocRecord") for _ in range(header.num_docs))
    assert position == len(data)


def test_protocol_buffers_read_our_ciff(tmp_path: Path, messages: Mapping[str, Any]) -> None:
    header, *rest = parsed(write(tmp_path, "ciff"), messages)
    tokens = sorted({token for vector in COLLECTION.values() for token in vector})
    lists, records = rest[: len(tokens)], rest[len(tokens) :]
    total = sum(sum(vector.values()) for vector in COLLECTION.values())
    assert (header.version, header.num_docs, header.total_docs) == (1, len(COLLECTION), len(COLLECTION))
    assert (header.num_postings_lists, header.total_postings_lists) == (len(tokens), len(tokens))
    assert header.total_terms_in_collection == total
    assert header.average_doclength == total / len(COLLECTION)
    assert [(record.docid, record.collection_docid, record.doclength) for record in records] == [
        (number, id_, sum(vector.values())) for number, (id_, vector) in enumerate(COLLECTION.items())
    ]
    found: dict[str, dict[str, int]] = {id_: {} for id_ in COLLECTION}
    assert [each.term for each in lists] == tokens
    for each in lists:
        assert (each.df, each.cf) == (len(each.postings), sum(posting.tf for posting in each.postings))
        document = 0
        for posting in each.postings:
            document += posting.docid
            found[records[document].collection_docid][each.term] = posting.tf
    assert found == COLLECTION


def test_we_read_what_protocol_buffers_write(tmp_path: Path, messages: Mapping[str, Any]) -> None:
    ours = write(tmp_path, "ciff")
    theirs = tmp_path / "theirs.ciff"
    encoded = [message.SerializeToString() for message in parsed(ours, messages)]
    theirs.write_bytes(b"".join(varint(len(each)) + each for each in encoded))
    assert theirs.read_bytes() != ours.read_bytes(), "the document of number 0 is left out there"
    assert {each.id: each.vector for each in FORMATS["ciff"].read(theirs)} == COLLECTION


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ("messages[0].version = 2", "version 2"),
        ("messages[0].num_docs = 3", "has no record"),
        ("messages[0].num_docs = 4; messages.append(messages[-1])", "the file goes on"),
        ("messages[0].num_docs = 5", "the data end"),
        ("messages[0].num_docs = -1", "negative"),
        ("messages[0].num_postings_lists = 4", "a record"),
        ("messages[1].df = 2", "says 2 postings"),
        ("messages[1].cf = 9", "a sum of 9"),
        ("messages[2].term = messages[1].term", "a token has two lists"),
        ("messages[3].postings[0].docid = 7", "has no record"),
        ("messages[3].postings[1].docid = 0", "a document stands twice"),
        ("messages[3].postings[1].tf = 0; messages[3].cf = 3", "damaged"),
        ("messages[3].postings[1].tf = -1", "damaged"),
        ("messages[6].docid = 2", "not in order"),
        ("messages[6].collection_docid = 'd 1'", "white space"),
        ("messages[6].collection_docid = ''", "the id is empty"),
    ],
)
def test_a_bad_ciff_is_refused(tmp_path: Path, messages: Mapping[str, Any], change: str, fragment: str) -> None:
    path = write(tmp_path, "ciff", pseudo.ANIMALS)
    parts = list(parsed(path, messages))
    exec(change, {"messages": parts})
    encoded = [message.SerializeToString() for message in parts]
    path.write_bytes(b"".join(varint(len(each)) + each for each in encoded))
    with pytest.raises(InputError) as caught:
        list(FORMATS["ciff"].read(path))
    assert fragment in str(caught.value)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_numbers_of_variable_length_come_back(numbers: list[int]) -> None:
    encoded = encode_varints(np.array(numbers, dtype=np.uint64))
    assert encoded == b"".join(map(varint, numbers))
    assert decode_varints(encoded).tolist() == numbers


def test_ciff_toolkit_reads_our_ciff(tmp_path: Path) -> None:
    # Not in an extra: it wants protobuf < 5, which nothing else here can use.
    reading = pytest.importorskip("ciff_toolkit.read", reason="ciff-toolkit is not installed")
    with reading.CiffReader(write(tmp_path, "ciff")) as reader:
        lists = {each.term: [posting.tf for posting in each.postings] for each in reader.read_postings_lists()}
        names = [each.collection_docid for each in reader.read_documents()]
    assert names == list(COLLECTION)
    for token, impacts in lists.items():
        assert impacts == [vector[token] for vector in COLLECTION.values() if token in vector]


def test_seismic_ranks_as_exact_search(tmp_path: Path) -> None:
    seismic = pytest.importorskip("seismic")
    index = seismic.SeismicIndex.build(str(write(tmp_path, "seismic")), n_postings=1000, summary_energy=1.0)
    assert index.len == len(COLLECTION)
    assert index.nnz == sum(map(len, COLLECTION.values()))
    kind = seismic.get_seismic_string()
    for query in queries(20, greatest=100):
        tokens, weights = np.array(list(query), dtype=kind), np.array(list(query.values()), dtype=np.float32)
        found = index.search("q", tokens, weights, k=10, query_cut=len(query), heap_factor=1.0)
        same_ranking([(id_, score) for _, score, id_ in found if score], query, 10)


def as_bmp_ranks(found: list[tuple[str, float]], query: Mapping[str, int], hits: int) -> None:
    """As exact search, but that it leaves out what scores no more than a bound that one token gives."""
    scores = exact(query)
    greatest = sorted(scores.values(), reverse=True)[:hits]
    assert [score for _, score in found] == greatest[: len(found)]
    assert all(scores[id_] == score for id_, score in found)
    bounds = [0]
    for token, weight in query.items():
        impacts = sorted((vector.get(token, 0) for vector in COLLECTION.values()), reverse=True)
        bounds.append(weight * impacts[hits - 1])
    assert all(score <= max(bounds) for score in greatest[len(found) :])


def test_bmp_ranks_as_exact_search(tmp_path: Path) -> None:
    bmp = pytest.importorskip("bmp")
    path = write(tmp_path, "bmp")
    bmp.ciff2bmp(ciff_file=str(path), output=str(tmp_path / "a.bmp"), bsize=8, compress_range=False)
    searcher = bmp.Searcher(str(tmp_path / "a.bmp"))
    for query in queries(20, greatest=32):
        query[next(iter(query))] = 32  # it scales the greatest weight to 32
        ids, scores = searcher.search(query, k=10, alpha=1.0, beta=1.0)
        as_bmp_ranks([hit for hit in zip(ids, scores, strict=True) if hit[1]], query, 10)


def test_bmp_reads_our_queries(tmp_path: Path) -> None:
    bmp = pytest.importorskip("bmp")
    topics = {f"q{number}": query for number, query in enumerate(queries(5, greatest=32))}
    write_topic_vectors(tmp_path / "t.bmp.txt", topics, "bmp")
    bmp.ciff2bmp(ciff_file=str(write(tmp_path, "bmp")), output=str(tmp_path / "a.bmp"), bsize=8, compress_range=False)
    run = bmp.search(str(tmp_path / "a.bmp"), str(tmp_path / "t.bmp.txt"), 10, 1.0, 1.0)
    by_query: dict[str, list[tuple[str, float]]] = {}
    for line in run.splitlines():
        query, _, id_, _, score, _ = line.split()
        by_query.setdefault(query, []).append((id_, float(score)))
    assert list(by_query) == list(topics)
    for id_, hits in by_query.items():
        as_bmp_ranks([hit for hit in hits if hit[1]], topics[id_], 10)
