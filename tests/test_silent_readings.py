"""Files that other readers, and this one before, read in silence as what they are not."""

import gzip
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from splade_anserini.artifacts.manifests import (
    CheckpointManifest,
    Counts,
    EncoderIdentity,
    EncoderManifest,
    IndexManifest,
)
from splade_anserini.artifacts.parity_report import ParityReport
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.finding import read_card
from splade_anserini.errors import InputError, OutputError, RecordError
from splade_anserini.formats.corpora import check_corpus, open_corpus
from splade_anserini.formats.examples import open_examples
from splade_anserini.formats.parsing import lines as lines_module
from splade_anserini.formats.parsing.json_records import json_record, json_records
from splade_anserini.formats.parsing.lines import Location, byte_lines
from splade_anserini.formats.parsing.random_lines import IndexedLines
from splade_anserini.formats.runs import write_run
from splade_anserini.formats.texts import Texts, UnavailableTexts
from tests.cli_runner import run_stage

BOM = b"\xef\xbb\xbf"
HERE = Location("here", 1)

some_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.sampled_from(['":', "a", ":", " "]), values),
    max_leaves=8,
)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


class TestDuplicateKeys:
    @pytest.mark.parametrize(
        "line",
        [
            '{"id": "1", "vector": {"a": 1, "b": 2, "a": 3}}',
            '{"id": "1", "text": "x", "text": "y"}',
            '{"id" : "1", "text" : "x", "text" : "y"}',
            '{"id":"1","text":"x: \\":","text":"y"}',
            '{"id": "1", "a": 1, "a" : 2}',
            '{"id": "1", "text": "1:2", "id"\t: "2"}',
        ],
    )
    def test_a_key_that_occurs_twice_is_refused(self, tmp_path: Path, line: str) -> None:
        path = write(tmp_path / "x.jsonl", '{"id": "0"}\n' + line + "\n")
        with pytest.raises(RecordError, match=r"x\.jsonl, line 2: the key '.*' occurs twice in an object"):
            list(json_records(path))
        with pytest.raises(RecordError, match="occurs twice in an object"):
            json_record(line.encode(), HERE)

    def test_corpora_refuse_it_too(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.jsonl", '{"id": "0", "text": "a", "text": "b"}\n')
        with pytest.raises(RecordError, match="the key 'text' occurs twice"):
            check_corpus(open_corpus(path))

    def test_a_number_that_python_would_not_parse_does_not_end_the_check(self) -> None:
        with pytest.raises(RecordError):
            json_record(b'{"a": 1, "a": 2, "n": ' + b"9" * 5000 + b"}", HERE)

    @given(st.dictionaries(st.text(max_size=3), some_json), st.booleans())
    def test_no_other_record_is_refused(self, record: dict[str, object], compact: bool) -> None:
        line = json.dumps(record, separators=(",", ":") if compact else None).encode()
        assert json_record(line, HERE) == record

    def test_equal_keys_in_different_objects_are_read(self) -> None:
        line = b'{"id": "a", "vector": {"id": 1}, "meta": {"id": 2, "vector": {"id": 3}}}'
        assert json_record(line, HERE) == json.loads(line)


class TestLines:
    def test_byte_order_marks_between_concatenated_files_are_left_out(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.tsv", BOM + b"1\tcats\n" + BOM + b"2\tdogs\n" + BOM + BOM + b"3\tbirds\r\n")
        assert [line for _, line in byte_lines(path)] == [b"1\tcats", b"2\tdogs", b"3\tbirds"]
        lines = IndexedLines.of_file(path, lambda *_: None)
        assert [lines[index] for index in range(3)] == [b"1\tcats", b"2\tdogs", b"3\tbirds"]
        assert [document.id for document in open_corpus(path)] == ["1", "2", "3"]

    def test_documents_that_end_with_carriage_returns_alone_are_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.tsv", "1\tcats\r2\tdogs\r")
        with pytest.raises(RecordError, match=r"line 1: .*carriage return.*(.|\n)*LF or CR LF"):
            check_corpus(open_corpus(path))

    def test_so_are_examples(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.tsv", "q\tpositive\rq2\tpositive 2\n")
        with pytest.raises(RecordError, match="carriage return"):
            open_examples(path)

    @pytest.mark.parametrize("name", ["x.jsonl.gz", "x.tsv.gz"])
    def test_a_line_that_does_not_end_is_refused_before_it_is_in_memory(
        self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lines_module, "LARGEST_RECORD", 1 << 20)
        path = write(tmp_path / name, gzip.compress(b'{"id": "0"}\n' + b"x" * (3 << 20)))
        with pytest.raises(RecordError, match=r"line 2: a line of more than 1 MiB"):
            list(byte_lines(path))

    @given(st.lists(st.binary(max_size=6).map(lambda line: line.replace(b"\n", b""))), st.integers(1, 9))
    def test_lines_are_those_between_line_feeds(self, lines: list[bytes], size: int) -> None:
        import io

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lines_module, "_CHUNK", size)
            content = b"\n".join(lines)
            read = list(lines_module.bounded_lines(io.BytesIO(content), Path("here")))
        assert read == list(io.BytesIO(content))

    def test_an_integer_of_5000_digits_in_a_document_is_an_error_at_its_line(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.json", '[{"id": "0", "text": "a", "n": ' + "9" * 5000 + "}]")
        with pytest.raises(RecordError, match=r"x\.json, line 1"):
            list(open_corpus(path))


class TestTexts:
    @pytest.mark.parametrize("record", [{"text": "", "contents": "real"}, {"text": None, "contents": "real"}])
    def test_the_text_that_is_not_empty_is_read(self, tmp_path: Path, record: dict[str, str]) -> None:
        path = write(tmp_path / "x.jsonl", json.dumps({"id": "0", **record}))
        assert [document.text for document in open_corpus(path)] == ["real"]

    def test_a_nul_in_an_id_is_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.jsonl", json.dumps({"id": "a\0b", "text": "x"}))
        with pytest.raises(RecordError, match="NUL"):
            check_corpus(open_corpus(path))


class TestExamples:
    @pytest.mark.parametrize(
        ("key", "right"), [("negativ", "negatives"), ("Negatives", "negatives"), ("score", "scores")]
    )
    def test_a_misspelled_key_is_refused_with_the_right_one(self, tmp_path: Path, key: str, right: str) -> None:
        record = {"query": "q", "positive": "p", key: [] if right == "negatives" else [1.0]}
        path = write(tmp_path / "x.jsonl", json.dumps(record))
        with pytest.raises(RecordError, match=rf"unknown key '{key}'(.|\n)*{right}"):
            open_examples(path)

    def test_keys_that_are_not_read_are_counted(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        records = [{"query": "q", "positive": "p", "source": "s"}, {"query": "q", "positive": "p", "source": "t"}]
        path = write(tmp_path / "x.jsonl", "\n".join(map(json.dumps, records)))
        with caplog.at_level(logging.WARNING):
            assert len(open_examples(path)) == 2
        assert "these keys are not read: source (in 2 examples)" in caplog.text

    def test_a_negative_with_the_id_of_the_positive_is_refused(self, tmp_path: Path) -> None:
        unavailable = UnavailableTexts("document", "--corpus")
        path = write(tmp_path / "x.tsv", "q\td\td\n")
        with pytest.raises(RecordError, match="line 1: the document 'd' is the positive and a negative"):
            open_examples(path, Texts(unavailable, unavailable))

    def test_negatives_with_the_text_of_the_positive_are_counted(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = write(tmp_path / "x.tsv", "q\tsame\tsame\nq\tsame\tother\n")
        open_examples(path)
        assert "in 1 example, the positive is also a negative" in caplog.text

    def test_a_missing_key_is_an_error_that_lists_those_there_are(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.jsonl", json.dumps({"anchor": "q", "positive": "p"}))
        with pytest.raises(RecordError, match=r"no query \(keys: anchor, positive\)"):
            open_examples(path)


IDENTITY = {"name": "n", "weights": "w", "tokenizer": "t", "vocabulary": "v", "pooling": "max", "precision": "fp32"}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Counts, {"documents": -1}),
        (Counts, {"postings": -1}),
        (EncoderIdentity, IDENTITY | {"precision": "fp23"}),
        (EncoderIdentity, IDENTITY | {"max_active_dims": 0}),
        (IndexManifest, {"writer": "w", "counts": {}, "scale": -1}),
        (IndexManifest, {"writer": "w", "counts": {}, "scale": 0}),
        (IndexManifest, {"writer": "w", "counts": {}, "scale": float("inf")}),
        (IndexManifest, {"writer": "w", "counts": {}, "max_length": -5}),
        (EncoderManifest, {"identity": IDENTITY, "source": "s", "max_length": 0, "opset": 17}),
        (EncoderManifest, {"identity": IDENTITY, "source": "s", "max_length": 256, "opset": 17, "scale": -1}),
        (ParityReport, dict.fromkeys(ParityReport.model_fields, 1) | {"against": "torch", "equal_impacts": 1.5}),
        (
            CheckpointManifest,
            {"pooling": "max", "query_side": "splade", "max_length": 9, "query_max_length": 9, "steps": -1}
            | {"recipe": {}},
        ),
    ],
)
def test_values_out_of_range_are_refused_in_manifests(kind: type, fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        kind(**fields)


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("a = " + "[" * 5000 + "]" * 5000, "nested"),
        (".".join("a" * 3000) + " = 1", "nested more than 16 levels"),
        ("a = " + "9" * 5000, "more than 64 bits"),
        ("a = 0x" + "f" * 5000, "more than 64 bits"),
        ("training.seed = 99999999999999999999", "more than 64 bits"),
    ],
)
def test_toml_that_no_card_has_is_an_error(tmp_path: Path, toml: str, problem: str) -> None:
    card = write(tmp_path / "card.toml", toml)
    with pytest.raises(InputError, match=f"card.toml is not a valid TOML file: .*{problem}"):
        read_card(card, EncoderCard)
    empty = write(tmp_path / "empty.toml", "")
    with pytest.raises(InputError, match=f"is not a valid line of TOML: .*{problem}") as caught:
        read_card(empty, EncoderCard, [toml])
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "line",
    [
        '{"id": "1", "id": "2", "vector": {"a": 1}}',
        '{"id" : "1", "id": "2", "vector": {"a": 1}}',
        '{"id": "1", "contents": "x: y", "contents": "", "vector": {"a": 1}}',
        '{"id": "1", "vector": {}, "vector": {"a": 1}}',
        '{"id": "1", "vector": {"a": 1, "a": 2}}',
        '{"id": "1", "vector": {"a": 1, "b": 2, "a" : 3}}',
    ],
)
@pytest.mark.slow
def test_vectors_with_a_duplicate_key_are_not_indexed(tmp_path: Path, line: str) -> None:
    impacts = tmp_path / "x.jsonl"
    impacts.write_text('{"id": "0", "vector": {"b": 1}}\n' + line + "\n")
    outcome = run_stage("index", "--input", impacts, "--index", tmp_path / "index")
    assert outcome.code == 2
    assert "x.jsonl, line 2" in outcome.err
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("name", ["run.txt.zst", "run.bz2", "run.XZ", "run.zip"])
def test_a_run_is_not_written_plain_under_the_name_of_a_compression(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="would not be compressed as its name says"):
        write_run(tmp_path / name, [])
    assert not any(tmp_path.iterdir())
