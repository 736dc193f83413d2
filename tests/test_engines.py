"""Files read by the engines they are for: Seismic, BMP, and the Protocol Buffers runtime."""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splade_anserini.conversion import FORMATS, Source, write_converted
from splade_anserini.conversion.varints import decode_varints, encode_varints, varint, varint_at
from splade_anserini.errors import InputError
from splade_anserini.records import ImpactDocument
from tests.impact_fixtures import ANIMALS, random_vectors

COLLECTION = random_vectors(5, 300, greatest=250) | {"none": {}}
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
"""Messages of CIFF version 1; field i has the number i + 1."""


def write(directory: Path, name: str, vectors: Mapping[str, Mapping[str, int]] = COLLECTION) -> Path:
    path = directory / f"a{FORMATS[name].suffixes[0]}"
    documents = [ImpactDocument(id_, vector) for id_, vector in vectors.items()]
    write_converted(Source(directory, lambda: iter(documents)), path, FORMATS[name])
    return path


def queries(count: int, greatest: int) -> list[dict[str, int]]:
    generator = random.Random(1)
    return [{f"t{generator.randrange(45)}": generator.randint(1, greatest) for _ in range(6)} for _ in range(count)]


def exact_scores(query: Mapping[str, int]) -> dict[str, int]:
    """Return the scores of all documents that share a token with the query."""
    scores = {
        id_: sum(weight * vector.get(token, 0) for token, weight in query.items()) for id_, vector in COLLECTION.items()
    }
    return {id_: score for id_, score in scores.items() if score}


def check_exact_ranking(ranking: list[tuple[str, float]], query: Mapping[str, int], hits: int) -> None:
    """Check that the ranking has the greatest scores, and that each is the score of its document."""
    scores = exact_scores(query)
    assert [score for _, score in ranking] == sorted(scores.values(), reverse=True)[:hits]
    assert all(scores[id_] == score for id_, score in ranking)


@pytest.fixture(scope="module")
def messages() -> Mapping[str, Any]:
    """Classes of the CIFF messages, built by the Protocol Buffers runtime from their definition."""
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    descriptor = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="ciff_of_the_test.proto", package="ciff", syntax="proto3")
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            added = message.field.add(name=field, number=number, label=descriptor.LABEL_OPTIONAL)
            if kind in SCHEMA:
                added.type, added.type_name, added.label = (
                    descriptor.TYPE_MESSAGE,
                    f".ciff.{kind}",
                    descriptor.LABEL_REPEATED,
                )
            else:
                added.type = getattr(descriptor, f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"ciff.{name}")) for name in SCHEMA}


def parsed(path: Path, messages: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the header, the postings lists and the document records of a file."""
    data, position = path.read_bytes(), 0

    def next_message(name: str) -> Any:
        nonlocal position
        size, start = varint_at(data, position)
        position = start + size
        return messages[name].FromString(data[start:position])

    header = next_message("Header")
    yield header
    yield from (next_message("PostingsList") for _ in range(header.num_postings_lists))
    yield from (next_message("DocRecord") for _ in range(header.num_docs))
    assert position == len(data)


def test_protocol_buffers_decode_a_ciff_file(tmp_path: Path, messages: Mapping[str, Any]) -> None:
    header, *lists_and_records = parsed(write(tmp_path, "ciff"), messages)
    tokens = sorted({token for vector in COLLECTION.values() for token in vector})
    lists, records = lists_and_records[: len(tokens)], lists_and_records[len(tokens) :]
    total = sum(sum(vector.values()) for vector in COLLECTION.values())
    assert (header.version, header.num_docs, header.total_docs) == (1, len(COLLECTION), len(COLLECTION))
    assert (header.num_postings_lists, header.total_postings_lists) == (len(tokens), len(tokens))
    assert header.total_terms_in_collection == total
    assert header.average_doclength == total / len(COLLECTION)
    assert [(record.docid, record.collection_docid, record.doclength) for record in records] == [
        (number, id_, sum(vector.values())) for number, (id_, vector) in enumerate(COLLECTION.items())
    ]
    vectors: dict[str, dict[str, int]] = {id_: {} for id_ in COLLECTION}
    assert [postings.term for postings in lists] == tokens
    for postings in lists:
        impacts = [posting.tf for posting in postings.postings]
        assert (postings.df, postings.cf) == (len(impacts), sum(impacts))
        document = 0
        for posting in postings.postings:
            document += posting.docid
            vectors[records[document].collection_docid][postings.term] = posting.tf
    assert vectors == COLLECTION


def test_a_ciff_file_encoded_by_protocol_buffers_is_read(tmp_path: Path, messages: Mapping[str, Any]) -> None:
    ours = write(tmp_path, "ciff")
    theirs = tmp_path / "theirs.ciff"
    encoded = [message.SerializeToString() for message in parsed(ours, messages)]
    theirs.write_bytes(b"".join(varint(len(message)) + message for message in encoded))
    assert theirs.read_bytes() != ours.read_bytes(), "the document number 0 is omitted in theirs"
    assert {document.id: document.vector for document in FORMATS["ciff"].read(theirs)} == COLLECTION


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ("messages[0].version = 2", "version 2"),
        ("messages[0].num_docs = 3", "has no record"),
        ("messages[0].num_docs = 4; messages.append(messages[-1])", "after the last document record"),
        ("messages[0].num_docs = 5", "the data end"),
        ("messages[0].num_docs = -1", "a negative count"),
        ("messages[0].num_postings_lists = 4", "a document record is damaged"),
        ("messages[1].df = 2", "announces 2 postings"),
        ("messages[1].cf = 9", "a sum of 9"),
        ("messages[2].term = messages[1].term", "a token has two postings lists"),
        ("messages[3].postings[0].docid = 7", "has no record"),
        ("messages[3].postings[1].docid = 0", "contain a document twice"),
        ("messages[3].postings[1].tf = 0; messages[3].cf = 3", "damaged"),
        ("messages[3].postings[1].tf = -1", "damaged"),
        ("messages[6].docid = 2", "out of order"),
        ("messages[6].collection_docid = 'd 1 '", "white space"),
        ("messages[6].collection_docid = ''", "the id is empty"),
    ],
)
def test_an_invalid_ciff_file_is_an_error(
    tmp_path: Path, messages: Mapping[str, Any], change: str, fragment: str
) -> None:
    path = write(tmp_path, "ciff", ANIMALS)
    parts = list(parsed(path, messages))
    exec(change, {"messages": parts})
    encoded = [message.SerializeToString() for message in parts]
    path.write_bytes(b"".join(varint(len(message)) + message for message in encoded))
    with pytest.raises(InputError) as raised:
        list(FORMATS["ciff"].read(path))
    assert fragment in str(raised.value)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_decoded_varints_are_the_integers_that_were_encoded(integers: list[int]) -> None:
    encoded = encode_varints(np.array(integers, dtype=np.uint64))
    assert encoded == b"".join(map(varint, integers))
    assert decode_varints(encoded).tolist() == integers


def test_ciff_toolkit_reads_a_ciff_file(tmp_path: Path) -> None:
    # Not in an extra, because it requires protobuf < 5, which no other dependency can use.
    reading = pytest.importorskip("ciff_toolkit.read", reason="ciff-toolkit is not installed")
    with reading.CiffReader(write(tmp_path, "ciff")) as reader:
        lists = {
            postings.term: [posting.tf for posting in postings.postings] for postings in reader.read_postings_lists()
        }
        ids = [record.collection_docid for record in reader.read_documents()]
    assert ids == list(COLLECTION)
    for token, impacts in lists.items():
        assert impacts == [vector[token] for vector in COLLECTION.values() if token in vector]


def test_seismic_ranks_as_exact_search(tmp_path: Path) -> None:
    seismic = pytest.importorskip("seismic")
    index = seismic.SeismicIndex.build(str(write(tmp_path, "seismic")), n_postings=1000, summary_energy=1.0)
    assert index.len == len(COLLECTION)
    assert index.nnz == sum(map(len, COLLECTION.values()))
    string_type = seismic.get_seismic_string()
    for query in queries(20, greatest=100):
        tokens, weights = np.array(list(query), dtype=string_type), np.array(list(query.values()), dtype=np.float32)
        hits = index.search("q", tokens, weights, k=10, query_cut=len(query), heap_factor=1.0)
        check_exact_ranking([(id_, score) for _, score, id_ in hits if score], query, 10)


def check_bmp_ranking(ranking: list[tuple[str, float]], query: Mapping[str, int], hits: int) -> None:
    """Check an exact ranking whose end may lack documents that score no more than the k-th document of one token."""
    scores = exact_scores(query)
    greatest = sorted(scores.values(), reverse=True)[:hits]
    assert [score for _, score in ranking] == greatest[: len(ranking)]
    assert all(scores[id_] == score for id_, score in ranking)
    bounds = [0]
    for token, weight in query.items():
        impacts = sorted((vector.get(token, 0) for vector in COLLECTION.values()), reverse=True)
        bounds.append(weight * impacts[hits - 1])
    assert all(score <= max(bounds) for score in greatest[len(ranking) :])


def test_bmp_ranks_as_exact_search(tmp_path: Path) -> None:
    bmp = pytest.importorskip("bmp")
    path = write(tmp_path, "bmp")
    bmp.ciff2bmp(ciff_file=str(path), output=str(tmp_path / "a.bmp"), bsize=8, compress_range=False)
    searcher = bmp.Searcher(str(tmp_path / "a.bmp"))
    for query in queries(20, greatest=32):
        query[next(iter(query))] = 32  # BMP scales the greatest weight to 32
        ids, scores = searcher.search(query, k=10, alpha=1.0, beta=1.0)
        check_bmp_ranking([hit for hit in zip(ids, scores, strict=True) if hit[1]], query, 10)


def test_bmp_reads_the_topics_that_were_written(tmp_path: Path) -> None:
    bmp = pytest.importorskip("bmp")
    topics = {f"q{number}": query for number, query in enumerate(queries(5, greatest=32))}
    FORMATS["bmp"].write_topics(tmp_path / "t.bmp.txt", topics)
    bmp.ciff2bmp(ciff_file=str(write(tmp_path, "bmp")), output=str(tmp_path / "a.bmp"), bsize=8, compress_range=False)
    run = bmp.search(str(tmp_path / "a.bmp"), str(tmp_path / "t.bmp.txt"), 10, 1.0, 1.0)
    by_query: dict[str, list[tuple[str, float]]] = {}
    for line in run.splitlines():
        query, _, id_, _, score, _ = line.split()
        by_query.setdefault(query, []).append((id_, float(score)))
    assert list(by_query) == list(topics)
    for id_, hits in by_query.items():
        check_bmp_ranking([hit for hit in hits if hit[1]], topics[id_], 10)
