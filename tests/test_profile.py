"""The stage profile, over small real indexes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from splade_anserini.index import index
from splade_anserini.lucene.disk_usage import index_parts
from splade_anserini.lucene.statistics import index_statistics
from splade_anserini.profiling.flops import flops, occurrences
from tests.pseudo import ANIMALS, documents, random_vectors, write_documents
from tests.running import run_stage

QUICK = ("--samples", 10, "--warm-up", 2, "--threads", 2, "--hits", 2, "--hits", 3)


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("animals")
    write_documents(home / "impacts" / "a.jsonl", documents(ANIMALS))
    index(home / "impacts", home / "index")
    return home / "index"


def topics(directory: Path, *lines: str) -> Path:
    path = directory / "topics.tsv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.slow
def test_an_index_is_counted_as_its_vectors_are(tmp_path: Path) -> None:
    vectors = random_vectors(3, 500)
    vectors["odd"] = {"naïve": 1, "😀": 2, '"': 3, "\\": 4}
    write_documents(tmp_path / "impacts" / "a.jsonl", documents(vectors))
    index(tmp_path / "impacts", tmp_path / "index")
    found = index_statistics(tmp_path / "index")
    assert found.documents == len(vectors)
    assert found.frequencies == occurrences(vectors.values()).counts
    assert sorted(found.lengths) == sorted(map(len, vectors.values()))
    assert found.postings == sum(map(len, vectors.values()))
    assert found.lengths.dtype == np.int32


@pytest.mark.slow
def test_an_index_of_several_segments_in_compound_files_is_counted(tmp_path: Path) -> None:
    from splade_anserini.lucene import start_jvm

    start_jvm()
    write_compound(tmp_path / "index", [["cat", "dog"], ["cat"], ["bird", "cat", "fish"]])
    found = index_statistics(tmp_path / "index")
    assert found.frequencies == {"bird": 1, "cat": 3, "dog": 1, "fish": 1}
    assert found.lengths.tolist() == [2, 1, 3]
    parts = index_parts(tmp_path / "index")
    assert parts["postings"] > 0
    assert parts["term dictionary"] > 0
    assert sum(parts.values()) == sum(path.stat().st_size for path in (tmp_path / "index").iterdir())


def write_compound(directory: Path, texts: list[list[str]]) -> None:
    """Write an index with a segment a document, each in a compound file."""
    from jnius import autoclass

    lucene = "org.apache.lucene"
    config = autoclass(f"{lucene}.index.IndexWriterConfig")(
        autoclass(f"{lucene}.analysis.core.WhitespaceAnalyzer")(),
        signature=f"(L{lucene.replace('.', '/')}/analysis/Analyzer;)V",
    )
    config.setUseCompoundFile(True)
    config.setMergePolicy(autoclass(f"{lucene}.index.NoMergePolicy").INSTANCE)
    path = autoclass("java.nio.file.Paths").get(str(directory))
    writer = autoclass(f"{lucene}.index.IndexWriter")(autoclass(f"{lucene}.store.FSDirectory").open(path), config)
    for tokens in texts:
        document = autoclass(f"{lucene}.document.Document")()
        stored = autoclass(f"{lucene}.document.Field$Store").NO
        document.add(
            autoclass(f"{lucene}.document.TextField")(
                "contents",
                " ".join(tokens),
                stored,
                signature=f"(Ljava/lang/String;Ljava/lang/String;L{lucene.replace('.', '/')}/document/Field$Store;)V",
            )
        )
        writer.addDocument(document)
        writer.commit()
    writer.close()
    assert any(directory.glob("*.cfs"))


@pytest.mark.slow
def test_a_profile_is_printed_and_written(animals: Path, tmp_path: Path) -> None:
    asked = topics(tmp_path, "q1\tcat cat cat cat dog dog dog dog", "q2\tbird bird bird bird whale whale whale whale")
    output = tmp_path / "profile"
    outcome = run_stage("profile", "--index", animals, "--topics", asked, "--output", output, *QUICK)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == (output / "profile.txt").read_text(encoding="utf-8")
    assert (output / "profile.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((output / "profile.json").read_bytes())
    queries = occurrences([{"cat": 4, "dog": 4}, {"bird": 4, "whale": 4}])
    costs = found["costs"]
    assert costs["flops"] == pytest.approx(flops(queries, occurrences(ANIMALS.values()))) == 5 / 8
    assert f"{5 / 8:.3f}" in outcome.out
    assert (costs["documents"], costs["queries"], costs["postings"]) == (4, 2, 7)
    assert [cost["token"] for cost in costs["costliest"]] == ["cat", "dog", "bird"]
    assert costs["bytes"] == sum(path.stat().st_size for path in animals.iterdir()) == sum(costs["parts"].values())
    warm = [(row["threads"], row["hits"]) for row in found["searching"] if row["cache"] == "warm"]
    assert warm == [(1, 2), (1, 3), (2, 2), (2, 3)]
    assert all(len(row["nanoseconds"]) == 10 for row in found["searching"] if row["cache"] == "warm")
    if found["cold"]["skipped"] is None:
        assert [row["hits"] for row in found["searching"] if row["cache"] == "cold"] == [2, 3]
    assert found["encoding"] == []
    assert found["surroundings"]["lucene"].startswith("10.")


@pytest.mark.slow
def test_json_is_printed_and_texts_are_encoded_one_at_a_time(
    animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import splade_anserini.encoding
    from splade_anserini.encoding import DictionaryEncoder

    words = DictionaryEncoder({"cat": {"cat": 0.02}, "pet": {"dog": 0.01, "cat": 0.01}})
    monkeypatch.setattr(splade_anserini.encoding, "open_query_encoder", lambda *_: words)
    asked = topics(tmp_path, "q1\tmy cat", "q2\tmy pet")
    outcome = run_stage(
        "profile", "--index", animals, "--topics", asked, "--encoder", "words", "--scale", "100", "--format", "json",
        "--no-cold", *QUICK,
    )  # fmt: skip
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(outcome.out)
    assert [row["threads"] for row in found["encoding"]] == [1, 2]
    assert len(found["encoding"][0]["nanoseconds"]) == 10
    assert found["costs"]["entries_query"]["mean"] == 1.5
    assert found["cold"]["skipped"] == "it was not asked for"


@pytest.mark.slow
def test_topics_that_share_no_token_with_the_index_are_told(
    animals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = topics(tmp_path, "q1\twhale whale whale whale")
    outcome = run_stage("profile", "--index", animals, "--topics", asked, *QUICK)
    assert outcome.code == 0
    assert "FLOPS is 0" in caplog.text
    assert "0.000" in outcome.out


def test_what_cannot_be_profiled_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    asked = topics(tmp_path, "q1\tcat cat cat cat")
    outcome = run_stage("profile", "--index", tmp_path / "none", "--topics", asked)
    assert (outcome.code, outcome.out) == (2, "")
    assert "none" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.slow
def test_empty_topics_and_an_output_that_is_a_file_are_refused(animals: Path, tmp_path: Path) -> None:
    empty = topics(tmp_path)
    outcome = run_stage("profile", "--index", animals, "--topics", empty)
    assert outcome.code == 2
    assert "topics" in outcome.err
    (tmp_path / "file").write_text("x")
    outcome = run_stage("profile", "--index", animals, "--topics", empty, "--output", tmp_path / "file")
    assert outcome.code == 2
    assert "is a file" in outcome.err


@pytest.mark.slow
def test_a_place_that_cannot_be_written_is_said_before_the_clock_starts(animals: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    asked = topics(tmp_path, "q1\tcat cat cat cat")
    for many in (1, 10**9):  # as many samples would take weeks
        options = ["--samples", many, "--threads", 1, "--output", tmp_path / "file" / "below"]
        outcome = run_stage("profile", "--index", animals, "--topics", asked, *options)
        assert (outcome.code, "a file or directory is in the way" in outcome.err) == (2, True)


def test_the_standard_librarys_profilers_are_unharmed() -> None:
    code = "import splade_anserini.profile, profile, cProfile; print(profile.Profile, cProfile.Profile)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "profile.Profile" in done.stdout
