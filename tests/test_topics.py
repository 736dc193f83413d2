import gzip
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.tokens import JAVA_WHITESPACE
from splade_anserini.formats.topics import are_encoded, read_encoded_topics, read_topics, write_encoded_topics
from splade_anserini.records import Query

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here")

characters = st.characters(exclude_categories=["Cs"])
tokens = st.text(characters, min_size=1, max_size=8).filter(JAVA_WHITESPACE.isdisjoint)
ids = st.text(characters, min_size=1, max_size=8).filter(lambda id_: id_.split() == [id_] and id_[0] != "\ufeff")
encoded = st.dictionaries(ids, st.dictionaries(tokens, st.integers(1, 300), min_size=1, max_size=5), min_size=1)


def write(path: Path, content: str) -> str:
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return str(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.tsv", "1\twhat is a cat\n猫\twhy – 🐈?\r\n\n"),
        ("topics.dev", "1\twhat is a cat\n猫\twhy – 🐈?"),
        ("t.jsonl", '{"id": "1", "text": "what is a cat"}\n{"_id": "猫", "contents": "why – 🐈?"}'),
        ("t.jsonl", '{"id": 1, "query": "what is a cat"}\n{"docid": "猫", "title": "why – 🐈?"}'),
        ("t.json", '[{"id": "1", "text": "what is a cat"}, {"id": "猫", "text": "why – 🐈?"}]'),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_each_format_is_read_plain_and_compressed(tmp_path: Path, name: str, content: str, suffix: str) -> None:
    source = write(tmp_path / (name + suffix), content)
    assert read_topics(source) == [Query("1", "what is a cat"), Query("猫", "why – 🐈?")]


@pytest.mark.parametrize(
    ("name", "content", "line", "fragments"),
    [
        ("t.tsv", "1 cats", 1, ["1 column,", "qid<TAB>text"]),
        ("t.tsv", "1\tcats\n2\tdogs\tand more", 2, ["3 columns"]),
        ("t.tsv", "1\tcats\n2\t  ", 2, ["the query '2' is empty"]),
        ("t.tsv", "1\tcats\n\tdogs", 2, ["the id is empty"]),
        ("t.tsv", "a b\tcats", 1, ["white space"]),
        ("t.tsv", "1\tcats\n2\tdogs\n1\tcats", 3, ["query id '1' occurs again", "line 1"]),
        ("t.jsonl", '{"id": "1", "text": "cats"}\n{', 2, ["not JSON"]),
        ("t.jsonl", '{"id": "1"}', 1, ["no text", "text, contents, query or title"]),
        ("t.jsonl", '{"id": "1", "text": ""}', 1, ["the query '1' is empty"]),
        ("t.jsonl", '{"id": "1", "vector": {"cat": 1}}', 1, ["an encoded query"]),
    ],
)
def test_a_bad_topic_is_named_by_file_and_line(
    tmp_path: Path, name: str, content: str, line: int, fragments: list[str]
) -> None:
    with pytest.raises(RecordError) as caught:
        read_topics(write(tmp_path / name, content))
    message = str(caught.value).replace(".", ",")
    assert f"{name}, line {line}: ".replace(".", ",") in message
    for fragment in fragments:
        assert fragment in message


def test_no_topics_at_all_are_refused(tmp_path: Path) -> None:
    for name in ("t.tsv", "t.jsonl"):
        with pytest.raises(InputError, match="are empty"):
            read_topics(write(tmp_path / name, ""))
        with pytest.raises(InputError, match="are empty"):
            read_encoded_topics(str(tmp_path / name))
    with pytest.raises(InputError, match=r"holds no queries\.jsonl"):
        read_topics(str(tmp_path))


@pytest.mark.parametrize("source", ["missing/topics", "missing.tsv", "missing.jsonl.gz"])
def test_a_missing_file_is_said_to_be_missing_without_asking_pyserini(source: str) -> None:
    with pytest.raises(InputError, match="do not exist"):
        read_topics(source)


class TestIrDatasets:
    def test_topics_come_by_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import ir_datasets
        from ir_datasets.formats import BaseQueries, GenericQuery

        class Queries(BaseQueries):
            def queries_iter(self):
                return iter([GenericQuery("q0", "cat")])

        dataset = ir_datasets.datasets.base.Dataset(Queries())
        monkeypatch.setitem(ir_datasets.registry._registered, "made-up", dataset)
        assert read_topics("irds:made-up") == [Query("q0", "cat")]
        assert read_encoded_topics("irds:made-up") == {"q0": {"cat": 1}}

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(InputError, match="knows no dataset"):
            read_topics("irds:no/such")


class TestPyserini:
    @pytest.fixture
    def topics(self, monkeypatch: pytest.MonkeyPatch) -> dict[int | str, dict[str, str]]:
        """Stand in for Pyserini's registry, which needs a JVM."""
        topics: dict[int | str, dict[str, str]] = {}

        def get_topics(name: str) -> dict[int | str, dict[str, str]]:
            if name != "known":
                raise ValueError(f"Topic {name} Not Found")
            return topics

        search = ModuleType("pyserini.search")
        search.get_topics = get_topics  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "pyserini", ModuleType("pyserini"))
        monkeypatch.setitem(sys.modules, "pyserini.search", search)
        return topics

    def test_topics_come_by_name_with_ids_as_strings(self, topics: dict[int | str, dict[str, str]]) -> None:
        topics.update({2: {"title": "cat cat dog"}, "q": {"title": "dog"}})
        assert read_topics("known") == [Query("2", "cat cat dog"), Query("q", "dog")]
        assert read_encoded_topics("known") == {"2": {"cat": 2, "dog": 1}, "q": {"dog": 1}}

    def test_a_topic_without_a_title_is_named(self, topics: dict[int | str, dict[str, str]]) -> None:
        topics[1] = {"url": "http://…"}
        with pytest.raises(RecordError, match="known, line 1: the topic 1 has no title but url"):
            read_topics("known")

    @pytest.mark.usefixtures("topics")
    def test_of_a_failure_in_java_the_first_line_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(name: str) -> None:
            raise RuntimeError("Error downloading topics\n\tio.anserini.SomeClass")

        monkeypatch.setattr(sys.modules["pyserini.search"], "get_topics", fail)
        with pytest.raises(InputError, match=r"\(RuntimeError: Error downloading topics\)\."):
            read_topics("known")

    @pytest.mark.usefixtures("topics")
    def test_for_an_unknown_name_all_that_was_tried_is_listed(self) -> None:
        with pytest.raises(InputError) as caught:
            read_topics("unknown")
        for tried in ("unknown", "file", "directory", "Pyserini", "irds:<name>"):
            assert tried in str(caught.value)


@given(encoded)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_encoded_topics_that_are_written_are_read_again(tmp_path: Path, topics: dict[str, dict[str, int]]) -> None:
    for name in ("t.tsv", "t.tsv.gz"):
        write_encoded_topics(tmp_path / name, topics)
        assert read_encoded_topics(str(tmp_path / name)) == topics


def test_an_encoded_topic_repeats_each_token_impact_times(tmp_path: Path) -> None:
    write_encoded_topics(tmp_path / "t.tsv", {"q0": {"a": 1, "##b": 3}})
    assert (tmp_path / "t.tsv").read_text() == "q0\t##b ##b ##b a\n"


def test_encoded_topics_may_be_json_vectors(tmp_path: Path) -> None:
    source = write(tmp_path / "t.jsonl.gz", '{"id": "q0", "vector": {"cat": 2, "dog": 1.0}}')
    assert read_encoded_topics(source) == {"q0": {"cat": 2, "dog": 1}}


@pytest.mark.parametrize(
    ("name", "content", "line", "fragment"),
    [
        ("t.tsv", "q0\tcat\nq1\t \n", 2, "the query 'q1' is empty"),
        ("t.tsv", f"q0\t{'x' * 256}", 1, "255"),
        ("t.tsv", "q0\tcat\nq0\tdog", 2, "query id 'q0' occurs again"),
        ("t.jsonl", '{"id": "q0", "vector": {}}', 1, "the query 'q0' is empty"),
        ("t.jsonl", '{"id": "q0", "vector": {"cat": 1}}\n{"id": "q0", "vector": {"cat": 1}}', 2, "occurs again"),
        ("t.jsonl", '{"id": "q0", "vector": {"cat": 0.5}}', 1, "'cat' is 0.5"),
        ("t.jsonl", '{"id": "q0", "text": "cat"}', 1, "no vector"),
    ],
)
def test_a_bad_encoded_topic_is_named_by_file_and_line(
    tmp_path: Path, name: str, content: str, line: int, fragment: str
) -> None:
    with pytest.raises(RecordError) as caught:
        read_encoded_topics(write(tmp_path / name, content))
    assert f"{name}, line {line}: " in str(caught.value)
    assert fragment in str(caught.value)


@pytest.mark.parametrize("topics", [{"q 0": {"a": 1}}, {"q0": {}}, {"q0": {"a b": 1}}, {"q0": {"a": 0}}])
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, topics: dict[str, dict[str, int]]) -> None:
    with pytest.raises(RecordError):
        write_encoded_topics(tmp_path / "t.tsv", topics)
    assert not list(tmp_path.iterdir())


@needs_data
def test_the_encoded_topics_of_nfcorpus_are_read() -> None:
    topics = read_encoded_topics(str(DATA / "splade-v3.nfcorpus" / "topics.test.tsv.gz"))
    assert len(topics) == 323
    assert topics["PLAIN-2"]["women"] == 19


@needs_data
def test_the_topics_of_cranfield_are_read() -> None:
    assert len(read_topics(str(DATA / "cranfield"))) == 225


def test_a_beir_directory_gives_the_judged_queries_of_its_test_split(tmp_path: Path) -> None:
    queries = [f'{{"_id": "q{i}", "text": "query {i}"}}' for i in range(4)]
    (tmp_path / "queries.jsonl").write_text("\n".join(queries))
    assert len(read_topics(str(tmp_path))) == 4
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td\t1\nq1\td\t1\n")
    assert [query.id for query in read_topics(str(tmp_path))] == ["q1", "q2"]
    assert len(read_topics(str(tmp_path / "queries.jsonl"))) == 4
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nelse\td\t1\n")
    with pytest.raises(InputError, match="None of the queries"):
        read_topics(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "encoded"),
    [
        ("t.tsv", "1\tcat cat cat cat cat pet pet pet pet\n", True),
        ("t.tsv", "1\twhat is a cat\n2\tbora bora\n3\tthat that is is\n", False),
        ("t.tsv", "1\tno\n", False),
        ("t.jsonl", '{"id": "1", "vector": {"cat": 3}}', True),
        ("t.jsonl", '{"id": "1", "text": "cat"}', False),
    ],
)
def test_encoded_topics_are_told_from_texts(tmp_path: Path, name: str, content: str, encoded: bool) -> None:
    assert are_encoded(write(tmp_path / name, content)) is encoded


@needs_data
def test_real_topics_are_told_apart() -> None:
    assert are_encoded(str(DATA / "encoded-queries" / "msmarco-passage.dev-subset.tsv.gz"))
    assert are_encoded(str(DATA / "splade-v3.nfcorpus" / "topics.test.tsv.gz"))
    assert not any(are_encoded(str(DATA / name)) for name in ["cranfield", "cacm", "nfcorpus", "msmarco-sample"])
