import gzip
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats import texts as texts_module
from splade_anserini.formats.example_records import ExampleRecord, Passage, parse_columns, parse_json
from splade_anserini.formats.examples import open_examples, split_cloze
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.parsing.random_lines import IndexedLines
from splade_anserini.formats.texts import SpooledTexts, Texts, open_texts
from splade_anserini.records import Document, Example

DOCUMENTS = [("d0", "Cats", "the cat sat"), ("d1", "", "a dog barks"), ("d2", "", "a bird flies")]
QUERIES = [("q0", "what is a cat"), ("q1", "what barks")]
CAT = ("what is a cat", "Cats the cat sat")
DOG = ("what barks", "a dog barks")
BIRD = "a bird flies"

some_text = st.text(st.characters(exclude_characters="\t\r\n", codec="utf-8"), min_size=1).filter(str.strip)
some_id = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).filter(
    lambda id_: id_.split() == [id_]
)
some_score = st.floats(-3.4e38, 3.4e38)


def write(path: Path, content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


@pytest.fixture
def beir(tmp_path: Path) -> str:
    directory = tmp_path / "beir"
    corpus = ({"_id": id_, "title": title, "text": text} for id_, title, text in DOCUMENTS)
    write(directory / "corpus.jsonl.gz", "".join(json.dumps(record) + "\n" for record in corpus))
    queries = ({"_id": id_, "text": text} for id_, text in QUERIES)
    write(directory / "queries.jsonl", "".join(json.dumps(record) + "\n" for record in queries))
    header = "query-id\tcorpus-id\tscore\n"
    write(directory / "qrels" / "train.tsv", f"{header}q0\td0\t1\nq0\td1\t0\nq1\td1\t2\n")
    write(directory / "qrels" / "dev.tsv.gz", f"{header}q1\td2\t1\n")
    write(directory / "qrels" / "test.tsv", f"{header}q0\td2\t1\n")
    return str(directory)


@pytest.fixture
def texts(beir: str) -> Texts:
    return open_texts(beir, beir)


def test_texts_are_found_by_id(texts: Texts) -> None:
    assert [texts.document(id_) for id_, _, _ in DOCUMENTS] == [CAT[1], DOG[1], BIRD]
    assert [texts.query(id_) for id_, _ in QUERIES] == [CAT[0], DOG[0]]
    with pytest.raises(InputError, match=r"The document 'q0' is not in .*beir"):
        texts.document("q0")
    with pytest.raises(InputError, match=r"The query 'd0' is not in .*beir"):
        texts.query("d0")


@given(st.dictionaries(some_id, st.text(st.characters(codec="utf-8"))))
def test_any_text_is_found_by_its_id(texts: dict[str, str]) -> None:
    spooled = SpooledTexts("document", "here", texts.items())
    assert {id_: spooled[id_] for id_ in texts} == texts
    assert not any(spooled.problem_with(id_) for id_ in texts)
    unknown_id = "".join(texts) + "x"
    assert spooled.problem_with(unknown_id)


def test_ids_that_share_a_hash_keep_their_own_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts_module, "_hash", len)
    spooled = SpooledTexts("document", "here", [("a", "1"), ("b", "2"), ("cc", "3"), ("d", "4")])
    assert [spooled[id_] for id_ in ("a", "b", "cc", "d")] == ["1", "2", "3", "4"]
    with pytest.raises(InputError, match="'e' is not in here"):
        spooled["e"]
    with pytest.raises(InputError, match="contains the document 'b' twice"):
        SpooledTexts("document", "here", [("a", "1"), ("b", "2"), ("b", "3")])


class TestBeir:
    def test_each_positive_judgement_of_the_training_split_is_an_example(self, beir: str) -> None:
        examples = open_examples(beir)
        assert examples.name == beir
        assert list(examples) == [Example(*CAT), Example(*DOG)]

    @pytest.mark.parametrize(
        ("splits", "expected"),
        [
            ("dev", [("what barks", BIRD)]),
            ("dev+test", [("what barks", BIRD), ("what is a cat", BIRD)]),
            ("test+train", [("what is a cat", BIRD), CAT, DOG]),
        ],
    )
    def test_splits_are_named(self, beir: str, splits: str, expected: list[tuple[str, str]]) -> None:
        assert list(open_examples(f"{beir}@{splits}")) == [Example(*pair) for pair in expected]

    def test_a_missing_split_is_refused_with_those_there_are(self, beir: str) -> None:
        with pytest.raises(
            InputError, match=r"no split 'valid': there is no qrels/valid\.tsv\.\n.*: dev, test, train\."
        ):
            open_examples(f"{beir}@dev+valid")

    def test_without_a_train_split_a_split_must_be_named(self, beir: str) -> None:
        (Path(beir) / "qrels" / "train.tsv").unlink()
        with pytest.raises(InputError, match=r"no split 'train'.*\n.*: dev, test\.\n.*beir@dev\+test"):
            open_examples(beir)

    @pytest.mark.parametrize(("line", "problem"), [("q0\td9\t1", "document 'd9'"), ("q9\td0\t1", "query 'q9'")])
    def test_an_unknown_id_is_named_by_file_and_line(self, beir: str, line: str, problem: str) -> None:
        write(Path(beir) / "qrels" / "train.tsv", f"query-id\tcorpus-id\tscore\nq0\td0\t1\n\n{line}\n")
        with pytest.raises(RecordError, match=rf"train.tsv, line 4: the {problem} is not in .*beir"):
            open_examples(beir)

    def test_judgements_that_are_all_0_are_empty(self, beir: str) -> None:
        write(Path(beir) / "qrels" / "train.tsv", "query-id\tcorpus-id\tscore\nq0\td0\t0\n")
        with pytest.raises(InputError, match="are empty"):
            open_examples(beir)


class TestDocuments:
    def test_a_title_is_a_query_for_its_text(self, beir: str) -> None:
        examples = open_examples(f"titles:{beir}")
        assert list(examples) == [Example("Cats", "the cat sat")]

    @pytest.mark.parametrize(("split", "titles"), [("", "T0 T1 T2 T3"), ("@train", "T1"), ("@train+dev", "T1 T3")])
    def test_of_a_split_only_relevant_documents_are_used(self, tmp_path: Path, split: str, titles: str) -> None:
        write(
            tmp_path / "corpus.jsonl", "\n".join(f'{{"_id": "d{n}", "title": "T{n}", "text": "t"}}' for n in range(4))
        )
        write(tmp_path / "qrels" / "train.tsv", "query-id\tcorpus-id\tscore\nq\td1\t1\nq\td2\t0\n")
        write(tmp_path / "qrels" / "dev.tsv", "query-id\tcorpus-id\tscore\nq\td3\t2\n")
        examples = open_examples(f"titles:{tmp_path}{split}")
        assert [example.query for example in examples] == titles.split()
        with pytest.raises(InputError, match="has no split 'test'"):
            open_examples(f"titles:{tmp_path}@test")

    def test_a_sentence_is_a_query_for_the_rest(self, tmp_path: Path) -> None:
        five_words, two_words = "this sentence has five words.", "Short one!"
        rows = [f"d{index}\tTitle\t{five_words} {two_words} {two_words}" for index in range(3)]
        rows += [f"e0\tTitle\t{five_words} {five_words}", f"e1\tTitle\t{two_words} {two_words} {two_words}"]
        corpus = write(tmp_path / "c.tsv", "\n".join(rows))
        assert list(open_examples(f"sentences:{corpus}")) == [Example(five_words, f"Title {two_words} {two_words}")] * 3

    @given(some_id, st.lists(st.integers(1, 60), min_size=3, max_size=8))
    def test_a_sentence_and_the_rest_are_the_document(self, id_: str, lengths: list[int]) -> None:
        parts = [" ".join([f"w{index}"] * length) + "." for index, length in enumerate(lengths)]
        document = Document(id_, "", " ".join(parts))
        cloze = split_cloze(document)
        assert cloze == split_cloze(document)
        if cloze is None:
            assert not any(4 <= length <= 40 for length in lengths)
            return
        sentence, rest = cloze
        assert 4 <= len(sentence.split()) <= 40
        assert rest == " ".join(part for part in parts if part != sentence)

    def test_which_sentence_it_is_varies(self) -> None:
        text = "number one is here. number two is here. number three is here. number four is here."
        chosen = {split_cloze(Document(f"d{index}", "", text)) for index in range(50)}
        assert len(chosen) == 4

    @pytest.mark.parametrize("kind", ["titles", "sentences"])
    def test_a_corpus_without_titles_is_empty(self, tmp_path: Path, kind: str) -> None:
        corpus = write(tmp_path / "c.tsv", "d0\tthe cat\n")
        with pytest.raises(InputError, match=f"{kind}:.*c.tsv are empty"):
            open_examples(f"{kind}:{corpus}")


FILES: list[tuple[str, str, list[Example]]] = [
    ("e.tsv", "a cat\tit sat\n", [Example("a cat", "it sat")]),
    ("e.tsv", "a cat\tit sat\ta dog\r\n\nx\ty\tz", [Example("a cat", "it sat", ("a dog",)), Example("x", "y", ("z",))]),
    ("e.tsv", "2.5\t-1\ta cat\tit sat\ta dog\n", [Example("a cat", "it sat", ("a dog",), (2.5, -1.0))]),
    ("e.jsonl", '{"query": "x", "positive": "y"}\n', [Example("x", "y")]),
    (
        "e.jsonl",
        '\ufeff{"query": "x", "positive": "y\\n", "negatives": ["z", "猫"], "scores": [1, 2.5, -3]}',
        [Example("x", "y\n", ("z", "猫"), (1.0, 2.5, -3.0))],
    ),
    (
        "e.jsonl",
        '{"query_id": "q", "query": "x", "positive": "y", "negative_ids": ["d1"], "negatives": ["z"]}',
        [Example("x", "y", ("z",))],
    ),
]
FILES_OF_IDS: list[tuple[str, str, list[Example]]] = [
    ("e.tsv", "q0\td0\n", [Example(*CAT)]),
    ("e.tsv", "q0\td0\td1\n", [Example(*CAT, (DOG[1],))]),
    ("e.tsv", "3\t1e-3\tq1\td1\td2\n", [Example(*DOG, (BIRD,), (3.0, 0.001))]),
    (
        "e.jsonl",
        '{"query_id": "q0", "positive_id": "d0", "negative_ids": ["d1", "d2"], "scores": [3, 2, 1]}',
        [Example(*CAT, (DOG[1], BIRD), (3.0, 2.0, 1.0))],
    ),
    ("e.jsonl", '{"query": "x", "positive_id": "d1", "negatives": ["z"]}', [Example("x", DOG[1], ("z",))]),
]


@pytest.mark.parametrize("suffix", ["", ".gz"])
class TestFiles:
    @pytest.mark.parametrize(("name", "content", "expected"), FILES)
    def test_texts_are_read(
        self, tmp_path: Path, name: str, content: str, expected: list[Example], suffix: str
    ) -> None:
        examples = open_examples(write(tmp_path / (name + suffix), content))
        assert len(examples) == len(expected)
        assert list(examples) == expected
        with pytest.raises(IndexError):
            examples[len(expected)]

    @pytest.mark.parametrize(("name", "content", "expected"), FILES_OF_IDS)
    def test_ids_are_looked_up(
        self, tmp_path: Path, texts: Texts, name: str, content: str, expected: list[Example], suffix: str
    ) -> None:
        assert list(open_examples(write(tmp_path / (name + suffix), content), texts)) == expected

    @pytest.mark.parametrize(
        ("name", "content", "line", "problem"),
        [
            ("e.tsv", "x\n", 1, "1 column\n"),
            ("e.tsv", "x\ty\tz\n\n1\t2\tx\ty\tz", 3, "5 columns after lines of 3"),
            ("e.tsv", "1\t2\t3\t4", 1, "4 columns"),
            ("e.tsv", "1\t2\t3\t4\t5\t6", 1, "6 columns"),
            ("e.tsv", "x\t \tz", 1, "an empty column"),
            ("e.tsv", "nan\t1\tx\ty\tz", 1, "the score is nan"),
            ("e.tsv", "1_0\t1\tx\ty\tz", 1, "the score is 1_0"),
            ("e.tsv", "1\t٢٢\tx\ty\tz", 1, "the score is ٢٢"),
            ("e.tsv", "1\t 12 \tx\ty\tz", 1, "the score is  12 "),
            ("e.tsv", "1e39\t1\tx\ty\tz", 1, "the score is 1e39"),
            ("e.jsonl", '{"query": "x", "positive": "y", "scores": [1e39]}', 1, "a score is 1e+39"),
            ("e.tsv", "1\thigh\tx\ty\tz", 1, "the score is high"),
            ("e.tsv", b"x\ty\nx\t\xff", 2, "byte 3 is not valid UTF-8"),
            ("e.jsonl", '{"query": "x", "positive": "y"}\n{', 2, "not valid JSON"),
            ("e.jsonl", '{"positive": "y"}', 1, "no query"),
            ("e.jsonl", '{"query": "x", "negatives": []}', 1, "no positive"),
            ("e.jsonl", '{"query": 3, "positive": "y"}', 1, "the query is 3"),
            ("e.jsonl", '{"query": "", "positive": "y"}', 1, "an empty query"),
            ("e.jsonl", '{"query": "x", "positive": "y", "negatives": "z"}', 1, "negatives is a string"),
            ("e.jsonl", '{"query": "x", "positive": "y", "negatives": [null]}', 1, "a negative is null"),
            ("e.jsonl", '{"query": "x", "positive": "y", "negatives": [[]]}', 1, "the negative is an array"),
            (
                "e.jsonl",
                '{"query": "x", "positive": "y", "negatives": ["z"], "negative_ids": ["a", "b"]}',
                1,
                "2 ids in negative_ids and 1 text in negatives",
            ),
            ("e.jsonl", '{"query": "x", "positive": "y", "scores": [1, 2]}', 1, "2 scores"),
            ("e.jsonl", '{"query": "x", "positive": "y", "scores": [true]}', 1, "a score is true"),
            ("e.jsonl", '{"query": "x", "positive": "y", "scores": ["1"]}', 1, "a score is a string"),
            ("e.jsonl", '{"query": "x", "positive": "y", "scores": 1}', 1, "scores is 1"),
            (
                "e.jsonl",
                '{"query_id": "q0", "positive": "y"}',
                1,
                "the text of the query 'q0' is unknown without --topics",
            ),
            (
                "e.jsonl",
                '{"query": "x", "positive_id": "d0"}',
                1,
                "the text of the document 'd0' is unknown without --corpus",
            ),
            ("e.jsonl", '{"query": "x", "positive": "y", "negative_ids": ["a b"]}', 1, "the id 'a b' contains white"),
        ],
    )
    def test_a_bad_line_is_named_when_the_file_is_opened(
        self, tmp_path: Path, name: str, content: str | bytes, line: int, problem: str, suffix: str
    ) -> None:
        with pytest.raises(RecordError) as caught:
            open_examples(write(tmp_path / (name + suffix), content))
        assert f"{name}{suffix}, line {line}: " in str(caught.value)
        assert problem.rstrip("\n") in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "content", "problem"),
        [
            ("e.tsv", "q0\td0\td9", "the document 'd9' is not in"),
            ("e.tsv", "1\t2\tq9\td0\td1", "the query 'q9' is not in"),
            ("e.jsonl", '{"query_id": "q0", "positive_id": "d0", "negative_ids": ["d9"]}', "the document 'd9' is not"),
        ],
    )
    def test_an_unknown_id_is_named_when_the_file_is_opened(
        self, tmp_path: Path, texts: Texts, name: str, content: str, problem: str, suffix: str
    ) -> None:
        with pytest.raises(RecordError, match=rf"{name}{suffix}, line 1: {problem}"):
            open_examples(write(tmp_path / (name + suffix), content), texts)

    @pytest.mark.parametrize("name", ["e.tsv", "e.jsonl"])
    @pytest.mark.parametrize("content", ["", "\n \n"])
    def test_an_empty_file_is_an_error(self, tmp_path: Path, name: str, content: str, suffix: str) -> None:
        with pytest.raises(InputError, match="are empty"):
            open_examples(write(tmp_path / (name + suffix), content))


def test_an_unknown_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"do not exist.\n.*titles:CORPUS"):
        open_examples(str(tmp_path / "nothing.tsv"))
    with pytest.raises(InputError, match="unknown format"):
        open_examples(write(tmp_path / "e.txt", "x\ty\n"))


def test_damaged_gzip_is_an_error_at_its_line(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b"%d\tb\n" % index for index in range(10_000)))
    (tmp_path / "e.tsv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordError, match=r"e.tsv.gz, line \d+: .*truncated or damaged"):
        open_examples(str(tmp_path / "e.tsv.gz"))


passages = (
    st.builds(Passage, some_id, some_text) | st.builds(Passage, some_id) | st.builds(Passage, st.none(), some_text)
)
negatives = st.one_of(
    st.lists(st.builds(Passage, some_id, some_text)),
    st.lists(st.builds(Passage, some_id)),
    st.lists(st.builds(Passage, st.none(), some_text)),
).map(tuple)


@given(passages, passages, negatives, st.data())
def test_a_record_is_read_back_from_json(
    query: Passage, positive: Passage, negatives: tuple[Passage, ...], data: st.DataObject
) -> None:
    negatives = tuple(negative for negative in negatives if negative.id is None or negative.id != positive.id)
    count = 1 + len(negatives)
    scores = data.draw(st.none() | st.lists(some_score, min_size=count, max_size=count).map(tuple))
    record = ExampleRecord(query, positive, negatives, scores)
    assert parse_json(record.json_line(), Location("here", 1)) == record


@given(st.lists(some_text, min_size=2, max_size=3), some_score, some_score)
def test_columns_are_read_back(columns: list[str], first: float, second: float) -> None:
    plain = parse_columns("\t".join(columns).encode(), Location("here", 1), ids=False)
    assert [plain.query.text, plain.positive.text, *(negative.text for negative in plain.negatives)] == columns
    if len(columns) == 3:
        scored = parse_columns(
            "\t".join([repr(first), repr(second), *columns]).encode(), Location("here", 1), ids=False
        )
        assert scored == ExampleRecord(plain.query, plain.positive, plain.negatives, (first, second))


@given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b"").rstrip(b"\r"))), st.randoms())
def test_lines_are_read_in_any_order(lines: list[bytes], order) -> None:
    spooled = IndexedLines.spooled("here", lines)
    numbers = list(range(len(lines)))
    order.shuffle(numbers)
    assert [spooled[index] for index in numbers] == [lines[index] for index in numbers]
    assert [spooled.location(index).line for index in numbers] == [index + 1 for index in numbers]


@pytest.mark.parametrize("name", ["e.tsv", "e.tsv.gz"])
def test_processes_read_at_the_same_time(tmp_path: Path, name: str) -> None:
    lines = [f"query {index}\tdocument {index}" for index in range(2000)]
    examples = open_examples(write(tmp_path / name, "\n".join(lines)))

    def read_all(seed: int, report: Callable[[bool], None]) -> None:
        order = np.random.default_rng(seed).permutation(len(lines))
        report(all(examples[index] == Example(*lines[index].split("\t")) for index in order))

    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=read_all, args=(seed, answers.put)) for seed in range(3)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=60) for _ in processes] == [True] * 3
    for process in processes:
        process.join()


class TestIrds:
    @pytest.fixture
    def register(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        import ir_datasets
        from ir_datasets.formats import BaseDocs, BaseQueries, GenericDoc, GenericQuery

        class Store:
            def get(self, id_: str) -> GenericDoc:
                return {"d0": GenericDoc("d0", "the cat"), "d1": GenericDoc("d1", "the dog")}[id_]

        class Docs(BaseDocs):
            def docs_iter(self):
                raise AssertionError("the store is enough")

            def docs_store(self):
                return Store()

        class Queries(BaseQueries):
            def queries_iter(self):
                return iter([GenericQuery("q0", "cat")])

        def register(name: str, *parts: object) -> None:
            dataset = ir_datasets.datasets.base.Dataset(Docs(), Queries(), *parts)
            monkeypatch.setitem(ir_datasets.registry._registered, name, dataset)

        return register

    def test_docpairs_are_triples(self, register) -> None:
        from ir_datasets.formats import BaseDocPairs, GenericDocPair

        class Pairs(BaseDocPairs):
            def docpairs_iter(self):
                return iter([GenericDocPair("q0", "d0", "d1")])

        register("made-up", Pairs())
        assert list(open_examples("irds:made-up")) == [Example("cat", "the cat", ("the dog",))]

    def test_without_docpairs_the_judged_are_pairs(self, register) -> None:
        from ir_datasets.formats import BaseQrels, TrecQrel

        class Qrels(BaseQrels):
            def qrels_iter(self):
                return iter([TrecQrel("q0", "d0", 1, "0"), TrecQrel("q0", "d1", 0, "0"), TrecQrel("q0", "d9", 1, "0")])

        register("made-up", Qrels())
        examples = open_examples("irds:made-up")
        assert len(examples) == 2
        assert examples[0] == Example("cat", "the cat")
        with pytest.raises(InputError, match=r"irds:made-up, line 2: The document 'd9' is not in irds:made-up"):
            examples[1]
