import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.parsing.columns import column_key
from splade_anserini.formats.tokens import JAVA_WHITESPACE
from splade_anserini.formats.topic_fields import ID_NAMES
from splade_anserini.formats.topics import are_encoded, read_encoded_topics, read_topics, write_encoded_topics
from splade_anserini.records import Query
from splade_anserini.retrieval import topics as topics_by_name
from tests.shared_data import DATA, needs_data

characters = st.characters(exclude_categories=["Cs"])
tokens = st.text(characters, min_size=1, max_size=8).filter(JAVA_WHITESPACE.isdisjoint)
ids = st.text(characters, min_size=1, max_size=8).filter(
    lambda id_: id_.split() == [id_] and "\0" not in id_ and id_[0] != "\ufeff"
)
encoded = st.dictionaries(ids, st.dictionaries(tokens, st.integers(1, 300), max_size=5), min_size=1)


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
        ("t.tsv", "many cats", 1, ["1 column,", "qid<TAB>text", "add ids"]),
        ("t.tsv", "1 cats\n2\tdogs", 1, ["1 column,", "qid<TAB>text"]),
        ("t.tsv", "1\tcats\n2\tdogs\tand more", 2, ["3 columns"]),
        ("t.tsv", "1\tcats\n\tdogs", 2, ["the id is empty"]),
        ("t.tsv", "a b\tcats", 1, ["white space"]),
        ("t.tsv", "1\tcats\n2\tdogs\n1\tcats", 3, ["duplicate query id '1' (first seen at line 1)"]),
        ("t.jsonl", '{"id": "1", "text": "cats"}\n{', 2, ["not valid JSON"]),
        ("t.jsonl", '{"id": "1"}', 1, ["no text", "text, contents, query, question or title"]),
        ("t.jsonl", '{"id": "1", "vector": {"cat": 1}}', 1, ["an encoded query without a text"]),
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


@pytest.mark.parametrize("name", ["t.tsv", "t.jsonl"])
@pytest.mark.parametrize("read", [read_topics, read_encoded_topics])
def test_a_file_without_topics_is_refused(tmp_path: Path, read: Callable[[str], object], name: str) -> None:
    with pytest.raises(InputError, match="are empty"):
        read(write(tmp_path / name, ""))


def test_a_directory_without_a_file_of_queries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no queries\.jsonl"):
        read_topics(tmp_path)


@pytest.mark.parametrize("source", ["missing/topics", "missing.tsv", "missing.jsonl.gz", "missing@dev"])
def test_a_path_that_does_not_exist_is_not_looked_up_by_name(source: str) -> None:
    def resolver(name: str) -> list[Any]:
        raise AssertionError(name)

    with pytest.raises(InputError, match=f"The topics {source} do not exist"):
        read_topics(source, resolver)


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

    def test_a_field_may_be_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import ir_datasets
        from ir_datasets.formats import BaseQueries, TrecQuery

        class Queries(BaseQueries):
            def queries_iter(self):
                return iter([TrecQuery("301", "cats", "What do cats eat?", "Any food.")])

        dataset = ir_datasets.datasets.base.Dataset(Queries())
        monkeypatch.setitem(ir_datasets.registry._registered, "made-up", dataset)
        assert read_topics("irds:made-up") == [Query("301", "cats")]
        assert read_topics("irds:made-up", field="title") == [Query("301", "cats")]
        assert read_topics("irds:made-up", field="description") == [Query("301", "What do cats eat?")]

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(InputError, match="has no dataset"):
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
        monkeypatch.setattr("splade_anserini.lucene.pyserini_topics.start_jvm", lambda: None)
        monkeypatch.setitem(sys.modules, "pyserini", ModuleType("pyserini"))
        monkeypatch.setitem(sys.modules, "pyserini.search", search)
        return topics

    def test_topics_come_by_name_with_ids_as_strings(self, topics: dict[int | str, dict[str, str]]) -> None:
        topics.update({2: {"title": "cat cat dog"}, "q": {"title": "dog"}})
        assert topics_by_name.read_topics("known") == [Query("2", "cat cat dog"), Query("q", "dog")]
        assert topics_by_name.read_encoded_topics("known") == {"2": {"cat": 2, "dog": 1}, "q": {"dog": 1}}

    def test_fields_of_trec_covid_are_known(self, topics: dict[int | str, dict[str, str]]) -> None:
        topics[1] = {"narrative": "seeking", "query": "origin", "question": "what is the origin"}
        assert topics_by_name.read_topics("known") == [Query("1", "origin")]
        assert topics_by_name.read_topics("known", "question") == [Query("1", "what is the origin")]

    def test_a_topic_without_a_title_is_named(self, topics: dict[int | str, dict[str, str]]) -> None:
        topics[1] = {"url": "http://…"}
        with pytest.raises(RecordError, match="known, line 1: topic 1 has no text, only url"):
            topics_by_name.read_topics("known")

    @pytest.mark.usefixtures("topics")
    def test_of_a_failure_in_java_the_message_has_the_first_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(name: str) -> None:
            raise RuntimeError("Error downloading topics\n\tio.anserini.SomeClass")

        monkeypatch.setattr(sys.modules["pyserini.search"], "get_topics", fail)
        with pytest.raises(InputError, match=r"\(RuntimeError: Error downloading topics\)\."):
            topics_by_name.read_topics("known")

    @pytest.mark.usefixtures("topics")
    def test_for_an_unknown_name_the_message_lists_what_was_tried(self) -> None:
        with pytest.raises(InputError) as caught:
            topics_by_name.read_topics("unknown")
        missing = [
            word
            for word in ("unknown", "file", "directory", "Pyserini", "irds:<name>")
            if word not in str(caught.value)
        ]
        assert not missing


@pytest.mark.parametrize("name", ["t.tsv", "t.tsv.gz"])
@example({"0": {"\xa0": 1}})
@given(encoded)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_encoded_topics_are_read_back_as_they_were_written(
    tmp_path: Path, name: str, topics: dict[str, dict[str, int]]
) -> None:
    assume(column_key(next(iter(topics))) not in ID_NAMES)
    write_encoded_topics(tmp_path / name, topics)
    assert read_encoded_topics(tmp_path / name) == topics


@pytest.mark.parametrize(
    ("topics", "instead"),
    [
        ({"TEXTID": {}}, "the name of a column"),
        ({"qid": {"cat": 1}, "q2": {"cat": 1}}, "the name of a column"),
        ({"topic": {"text": 1}}, "the name of a column"),
        ({'{"a:1":1}': {"cat": 1}}, "the beginning of JSON"),
        ({"<160>": {"cat": 1}}, "the beginning of markup"),
    ],
)
def test_an_encoded_topic_that_would_not_be_read_as_one_is_not_written(
    tmp_path: Path, topics: dict[str, dict[str, int]], instead: str
) -> None:
    with pytest.raises(RecordError, match=f"in the first line would be read as {instead}"):
        write_encoded_topics(tmp_path / "t.tsv", topics)
    assert list(tmp_path.iterdir()) == []
    later = {"q0": {"cat": 1}, **topics}
    write_encoded_topics(tmp_path / "t.tsv", later)
    assert read_encoded_topics(tmp_path / "t.tsv") == later


def test_an_encoded_topic_repeats_each_token_impact_times(tmp_path: Path) -> None:
    write_encoded_topics(tmp_path / "t.tsv", {"q0": {"a": 1, "##b": 3}})
    assert (tmp_path / "t.tsv").read_text() == "q0\t##b ##b ##b a\n"


def test_encoded_topics_may_be_json_vectors(tmp_path: Path) -> None:
    source = write(tmp_path / "t.jsonl.gz", '{"id": "q0", "vector": {"cat": 2, "dog": 1.0}}')
    assert read_encoded_topics(source) == {"q0": {"cat": 2, "dog": 1}}


@pytest.mark.parametrize(
    ("name", "content", "line", "fragment"),
    [
        ("t.tsv", f"q0\t{'x' * 256}", 1, "255"),
        ("t.tsv", "q0\tcat\nq0\tdog", 2, "duplicate query id 'q0'"),
        ("t.jsonl", '{"id": "q0", "vector": [0.5, 1.5]}', 1, "the vector is an array"),
        (
            "t.jsonl",
            '{"id": "q0", "vector": {"cat": 1}}\n{"id": "q0", "vector": {"cat": 1}}',
            2,
            "duplicate query id 'q0' (first seen at line 1)",
        ),
        ("t.jsonl", '{"id": "q0", "vector": {"cat": 0.5}}', 1, "'cat' is 0.5"),
        ("t.jsonl", '{"id": "q0", "vector": {"cat": -1}}', 1, "'cat' is -1"),
        ("t.jsonl", '{"id": "q0", "vector": {"cat": true}}', 1, "'cat' is true"),
        ("t.jsonl", '{"id": "q0", "vector": {"cat": 1}}\n{"id": "q1", "text": "cat"}', 2, "no vector"),
    ],
)
def test_a_bad_encoded_topic_is_named_by_file_and_line(
    tmp_path: Path, name: str, content: str, line: int, fragment: str
) -> None:
    with pytest.raises(RecordError) as caught:
        read_encoded_topics(write(tmp_path / name, content))
    assert f"{name}, line {line}: " in str(caught.value)
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    "topics", [{"q 0": {"a": 1}}, {"q0": {"a b": 1}}, {"q0": {"a": 0}}, {"q0": {"a:1": 1}}, {"\ufeffq0": {"a": 1}}]
)
def test_topics_that_would_be_read_back_differently_are_not_written(
    tmp_path: Path, topics: dict[str, dict[str, int]]
) -> None:
    with pytest.raises(RecordError):
        write_encoded_topics(tmp_path / "t.tsv", topics)
    assert not list(tmp_path.iterdir())


class TestBeirDirectory:
    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        queries = [f'{{"_id": "q{index}", "text": "query {index}"}}' for index in range(4)]
        (tmp_path / "queries.jsonl").write_text("\n".join(queries))
        return tmp_path

    def add_split(self, directory: Path, split: str, *query_ids: str) -> None:
        (directory / "qrels").mkdir(exist_ok=True)
        lines = "".join(f"{id_}\td\t1\n" for id_ in query_ids)
        (directory / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")

    def test_without_a_test_split_it_means_all_its_queries(self, directory: Path) -> None:
        self.add_split(directory, "dev", "q0")
        assert [query.id for query in read_topics(directory)] == ["q0", "q1", "q2", "q3"]

    @pytest.mark.parametrize(
        ("suffix", "ids"),
        [
            ("", ["q1", "q2"]),
            ("@test", ["q1", "q2"]),
            ("@dev", ["q3"]),
            ("@dev+test", ["q1", "q2", "q3"]),
            ("/queries.jsonl", ["q0", "q1", "q2", "q3"]),
        ],
    )
    def test_its_topics_are_the_judged_queries_of_the_splits_in_their_order(
        self, directory: Path, suffix: str, ids: list[str]
    ) -> None:
        self.add_split(directory, "test", "q2", "q1", "elsewhere")
        self.add_split(directory, "dev", "q3")
        assert [query.id for query in read_topics(f"{directory}{suffix}")] == ids

    def test_encoded_queries_are_selected_in_the_same_way(self, directory: Path) -> None:
        self.add_split(directory, "dev", "q3")
        vectors = [f'{{"_id": "q{index}", "vector": {{"cat": {index + 1}}}}}' for index in range(4)]
        (directory / "queries.jsonl").write_text("\n".join(vectors))
        assert are_encoded(f"{directory}@dev")
        assert read_encoded_topics(f"{directory}@dev") == {"q3": {"cat": 4}}
        assert len(read_encoded_topics(directory)) == 4

    @pytest.mark.parametrize("suffix", ["", "@test", "@dev+test"])
    def test_splits_that_judge_none_of_its_queries_are_refused(self, directory: Path, suffix: str) -> None:
        for split in ("dev", "test"):
            self.add_split(directory, split, f"elsewhere-{split}")
        with pytest.raises(InputError, match=r"No query of .*queries\.jsonl is judged in the split \w") as caught:
            read_topics(f"{directory}{suffix}")
        assert "Name the file of queries" in str(caught.value)

    @pytest.mark.parametrize("read", [read_topics, read_encoded_topics, are_encoded])
    def test_an_unknown_split_is_refused(self, directory: Path, read: Callable[[str], object]) -> None:
        self.add_split(directory, "test", "q0")
        with pytest.raises(InputError, match=r"has no split 'tset'.*\n.*\nDid you mean .*@test\?"):
            read(f"{directory}@tset")


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


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("cat cat cat", False),
        ("cat cat cat dog dog dog", False),
        ("cat cat cat cat", True),
        ("cat cat cat dog dog dog dog", True),
        ("cat cat cat cat dog dog", False),
    ],
)
def test_encoded_tokens_occur_more_than_three_times_in_a_row_on_average(
    tmp_path: Path, text: str, encoded: bool
) -> None:
    assert are_encoded(write(tmp_path / "t.tsv", f"1\t{text}\n")) is encoded


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        pytest.param(name, encoded, marks=needs_data(name))
        for name, encoded in [
            ("encoded-queries/msmarco-passage.dev-subset.tsv.gz", True),
            ("splade-v3.nfcorpus/topics.test.tsv.gz", True),
            ("cranfield", False),
            ("cacm", False),
            ("nfcorpus", False),
            ("msmarco-sample", False),
        ]
    ],
)
def test_real_topics_are_told_apart(name: str, encoded: bool) -> None:
    assert are_encoded(DATA / name) is encoded


@needs_data("splade-v3.nfcorpus")
def test_the_encoded_topics_of_nfcorpus_are_read() -> None:
    topics = read_encoded_topics(DATA / "splade-v3.nfcorpus" / "topics.test.tsv.gz")
    assert len(topics) == 323
    assert topics["PLAIN-2"]["women"] == 19


@needs_data("cranfield")
def test_the_topics_of_cranfield_are_read() -> None:
    assert len(read_topics(DATA / "cranfield")) == 225
