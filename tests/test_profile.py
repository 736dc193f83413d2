"""The command `profile`, over small real indexes."""

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
from tests.cli_runner import run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.impact_fixtures import ANIMALS, documents, random_vectors, write_documents

QUICK = ("--samples", 10, "--warm-up", 2, "--threads", 2, "--hits", 2, "--hits", 3)


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("animals")
    write_documents(directory / "impacts" / "a.jsonl", documents(ANIMALS))
    index(directory / "impacts", directory / "index")
    return directory / "index"


def topics(directory: Path, *lines: str) -> Path:
    path = directory / "topics.tsv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.slow
def test_the_statistics_of_an_index_are_those_of_its_vectors(tmp_path: Path) -> None:
    vectors = random_vectors(3, 500)
    vectors["odd"] = {"naïve": 1, "😀": 2, '"': 3, "\\": 4}
    write_documents(tmp_path / "impacts" / "a.jsonl", documents(vectors))
    index(tmp_path / "impacts", tmp_path / "index")
    statistics = index_statistics(tmp_path / "index")
    assert statistics.documents == len(vectors)
    assert statistics.frequencies == occurrences(vectors.values()).counts
    assert sorted(statistics.lengths) == sorted(map(len, vectors.values()))
    assert statistics.postings == sum(map(len, vectors.values()))
    assert statistics.lengths.dtype == np.int32


@pytest.mark.slow
def test_an_index_of_several_segments_in_compound_files_is_counted(tmp_path: Path) -> None:
    from splade_anserini.lucene import start_jvm

    start_jvm()
    write_compound(tmp_path / "index", [["cat", "dog"], ["cat"], ["bird", "cat", "fish"]])
    statistics = index_statistics(tmp_path / "index")
    assert statistics.frequencies == {"bird": 1, "cat": 3, "dog": 1, "fish": 1}
    assert statistics.lengths.tolist() == [2, 1, 3]
    parts = index_parts(tmp_path / "index")
    assert parts["postings"] > 0
    assert parts["term dictionary"] > 0
    assert sum(parts.values()) == sum(path.stat().st_size for path in (tmp_path / "index").iterdir())


def write_compound(directory: Path, texts: list[list[str]]) -> None:
    """Write an index with one segment per document, each in a compound file."""
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
    path = topics(tmp_path, "q1\tcat cat cat cat dog dog dog dog", "q2\tbird bird bird bird whale whale whale whale")
    output, plot = tmp_path / "profile", tmp_path / "profile.png"
    outcome = run_stage("profile", "--index", animals, "--topics", path, "--output", output, "--plot", plot, *QUICK)
    assert (outcome.code, outcome.complaints) == (0, "")
    assert outcome.out == (output / "profile.txt").read_text(encoding="utf-8")
    assert plot.read_bytes().startswith(b"\x89PNG")
    result = json.loads((output / "profile.json").read_bytes())
    queries = occurrences([{"cat": 4, "dog": 4}, {"bird": 4, "whale": 4}])
    costs = result["costs"]
    assert costs["flops"] == pytest.approx(flops(queries, occurrences(ANIMALS.values()))) == 5 / 8
    assert f"{5 / 8:.3f}" in outcome.out
    assert (costs["documents"], costs["queries"], costs["postings"]) == (4, 2, 7)
    assert [cost["token"] for cost in costs["costliest"]] == ["cat", "dog", "bird"]
    assert costs["bytes"] == sum(path.stat().st_size for path in animals.iterdir()) == sum(costs["parts"].values())
    warm = [row for row in result["searching"] if row["cache"] == "warm"]
    assert [(row["threads"], row["hits"]) for row in warm] == [(1, 2), (1, 3), (2, 2), (2, 3)]
    assert all(len(row["nanoseconds"]) == 10 for row in warm)
    if result["cold"]["skipped"] is None:
        assert [row["hits"] for row in result["searching"] if row["cache"] == "cold"] == [2, 3]
    assert result["encoding"] == []
    assert result["environment"]["lucene"].startswith("10.")


@pytest.mark.slow
def test_json_is_printed_and_texts_are_encoded_one_at_a_time(animals: Path, tmp_path: Path) -> None:
    expansions = {"cat": {"cat": 0.02}, "pet": {"dog": 0.01, "cat": 0.01}}
    words = write_dictionary_encoder(tmp_path / "words", expansions)
    path = topics(tmp_path, "q1\tmy cat", "q2\tmy pet")
    outcome = run_stage(
        "profile", "--index", animals, "--topics", path, "--encoder", words, "--scale", "100", "--format", "json",
        "--no-cold", *QUICK,
    )  # fmt: skip
    assert (outcome.code, outcome.complaints) == (0, "")
    result = json.loads(outcome.out)
    assert [row["threads"] for row in result["encoding"]] == [1, 2]
    assert len(result["encoding"][0]["nanoseconds"]) == 10
    assert result["costs"]["entries_query"]["mean"] == 1.5
    assert result["cold"]["skipped"] == "not requested"


@pytest.mark.slow
def test_topics_that_share_no_token_with_the_index_cause_a_warning(
    animals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = topics(tmp_path, "q1\twhale whale whale whale")
    outcome = run_stage("profile", "--index", animals, "--topics", path, *QUICK)
    assert outcome.code == 0
    assert "FLOPS is 0" in caplog.text
    assert "0.000" in outcome.out


def test_an_index_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    path = topics(tmp_path, "q1\tcat cat cat cat")
    outcome = run_stage("profile", "--index", tmp_path / "none", "--topics", path)
    assert (outcome.code, outcome.out) == (2, "")
    assert "none" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.slow
def test_empty_topics_are_an_error(animals: Path, tmp_path: Path) -> None:
    outcome = run_stage("profile", "--index", animals, "--topics", topics(tmp_path))
    assert outcome.code == 2
    assert "topics" in outcome.err


@pytest.mark.slow
def test_an_output_that_is_a_file_is_an_error(animals: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    outcome = run_stage("profile", "--index", animals, "--topics", topics(tmp_path), "--output", tmp_path / "file")
    assert outcome.code == 2
    assert "is a file" in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 10**9], ids=["one sample", "samples that would take weeks"])
def test_an_output_that_cannot_be_written_is_an_error_before_anything_is_timed(
    animals: Path, tmp_path: Path, samples: int
) -> None:
    (tmp_path / "file").write_text("x")
    path = topics(tmp_path, "q1\tcat cat cat cat")
    options = ["--samples", samples, "--threads", 1, "--output", tmp_path / "file" / "below"]
    outcome = run_stage("profile", "--index", animals, "--topics", path, *options)
    assert (outcome.code, "a file or directory is in the way" in outcome.err) == (2, True)


def test_the_profilers_of_the_standard_library_can_be_imported() -> None:
    code = "import splade_anserini.profile, profile, cProfile; print(profile.Profile, cProfile.Profile)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "profile.Profile" in done.stdout
