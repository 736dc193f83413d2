"""The command `train`: the checkpoint it writes, resuming, several devices, validation, and what it refuses."""

import io
import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_anserini.artifacts.manifests import CheckpointManifest, read_manifest
from splade_anserini.cards.finding import find_encoder_card
from splade_anserini.encoding import Encoder, open_encoder, open_query_encoder
from splade_anserini.records import SPLADE_MAX
from splade_anserini.training.run_directory import SUFFIX
from tests.cli_runner import run_stage
from tests.tiny import SENTENCES, tiny_bert
from tests.training_fixtures import (
    DOCUMENTS,
    QUERIES,
    QUERY_SIDES,
    changes,
    data_options,
    read_log,
    run_train,
    write_card,
)

TEXTS = [*SENTENCES, *(text for _, text in DOCUMENTS.values()), *QUERIES.values()]

type Trained = Callable[..., Path]
type Row = dict[str, float]


@pytest.fixture(scope="module")
def home(training_home: Path) -> Path:
    return training_home


@pytest.fixture(scope="module")
def trained(home: Path) -> Trained:
    """Return the checkpoint of a pooling and query side; each is trained once."""

    def checkpoint(pooling: str = "max", query_side: str = "splade", activation: str = "relu") -> Path:
        output = home / f"{pooling}-{query_side}{'' if activation == 'relu' else f'-{activation}'}"
        if not output.exists():
            done = run_train(home, output, pooling=pooling, query_side=query_side, activation=activation)
            assert done.code == 0, done.err
        return output

    return checkpoint


def assert_same_vectors(mine: Encoder, theirs: Encoder) -> None:
    pairs = list(zip(mine.encode(TEXTS), theirs.encode(TEXTS), strict=True))
    assert sum(len(vector) for vector, _ in pairs) > 100
    for vector, expected in pairs:
        assert dict(vector) == pytest.approx(dict(expected), abs=1e-4)


def validation_rows(directory: Path) -> list[Row]:
    return [row for row in read_log(directory) if "loss" not in row]


# The checkpoint.


def test_transformers_loads_the_weights_that_were_saved(home: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from splade_anserini.training.saving import save_student
    from splade_anserini.training.student import build_student, load_initial_checkpoint

    card = find_encoder_card(str(write_card(home, "saved")))
    assert card.training is not None
    student = build_student(card.training, SPLADE_MAX, load_initial_checkpoint(card.training, str(home / "backbone")))
    with torch.no_grad():
        for parameter in student.pair.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.01)
    save_student(student, card, card.training, 3, tmp_path)
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path)
    saved = student.documents.model.state_dict()
    assert loaded.state_dict().keys() == saved.keys()
    assert all(torch.equal(value, saved[name]) for name, value in loaded.state_dict().items())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer(TEXTS)["input_ids"] == student.documents.tokenizer(TEXTS)["input_ids"]


def test_the_manifest_of_a_checkpoint_records_its_use_and_its_recipe(trained: Trained) -> None:
    manifest = read_manifest(trained(), CheckpointManifest)
    assert manifest is not None
    assert (manifest.pooling, manifest.query_side, manifest.scale, manifest.steps) == ("max", "splade", 50, 6)
    assert (manifest.max_length, manifest.query_max_length) == (24, 12)
    assert manifest.truncation is not None
    assert manifest.truncation.documents.texts >= manifest.truncation.queries.texts > 0
    assert manifest.recipe["learning_rate"] == 1e-3


def test_a_checkpoint_has_learned_and_comes_with_its_log_and_a_plot(trained: Trained) -> None:
    from transformers import AutoModelForMaskedLM

    rows = read_log(trained())
    assert [row["step"] for row in rows] == [6]
    assert {"loss", "rank-ibn", "flops d", "active q", "empty d", "FLOPS", "learning rate"} <= rows[0].keys()
    assert (trained() / "training.png").read_bytes().startswith(b"\x89PNG")
    assert not list(trained().parent.glob(f"max-splade{SUFFIX}"))
    embeddings = AutoModelForMaskedLM.from_pretrained(trained()).bert.embeddings.word_embeddings.weight
    assert not embeddings.equal(tiny_bert().bert.embeddings.word_embeddings.weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pooling", "activation"),
    [("max", "relu"), ("sum", "relu"), ("norm", "relu"), ("max", "log1p_relu"), ("sum", "log1p_relu")],
)
def test_an_exported_checkpoint_encodes_the_same_vectors(
    trained: Trained, tmp_path: Path, pooling: str, activation: str
) -> None:
    checkpoint = trained(pooling, activation=activation)
    done = run_stage("export", "--encoder", checkpoint, "--output", tmp_path / "onnx")
    assert done.code == 0, done.err
    assert_same_vectors(open_encoder(checkpoint), open_encoder(tmp_path / "onnx"))
    assert open_encoder(checkpoint).identity.aggregation == (pooling, activation)
    assert open_encoder(tmp_path / "onnx").identity.aggregation == (pooling, activation)


@pytest.mark.slow
def test_a_model_learns_with_the_prompts_of_its_card_and_is_used_with_them(home: Path, tmp_path: Path) -> None:
    lines = changes('prompt="a paper: "', 'query_prompt="search the "')
    assert run_train(home, tmp_path / "plain").code == 0
    done = run_train(home, tmp_path / "prompted", *lines, "--validation", home)
    assert done.code == 0, done.err
    manifest = read_manifest(tmp_path / "prompted", CheckpointManifest)
    assert manifest is not None
    assert (manifest.prompt, manifest.query_prompt) == ("a paper: ", "search the ")
    losses = [read_log(tmp_path / name)[0]["loss"] for name in ("plain", "prompted")]
    assert losses[0] != pytest.approx(losses[1])
    encoder, queries = open_encoder(tmp_path / "prompted"), open_query_encoder(tmp_path / "prompted")
    assert (encoder.identity.prompt, queries.identity.prompt) == ("a paper: ", "search the ")
    done = run_stage("export", "--encoder", tmp_path / "prompted", "--output", tmp_path / "onnx")
    assert done.code == 0, done.err
    assert_same_vectors(encoder, open_encoder(tmp_path / "onnx"))
    assert_same_vectors(queries, open_query_encoder(tmp_path / "onnx"))
    done = run_stage("export", "--encoder", tmp_path / "prompted", "--output", tmp_path / "java", "--anserini")
    assert (done.code, "has a prompt of queries" in done.err) == (2, True), done.err


@pytest.mark.slow
@pytest.mark.parametrize("query_side", QUERY_SIDES)
def test_a_checkpoint_encodes_indexes_searches_and_evaluates(
    trained: Trained, home: Path, tmp_path: Path, query_side: str
) -> None:
    encoder = trained(query_side=query_side)
    commands: list[list[Any]] = [
        ["encode", "--corpus", home / "corpus.jsonl", "--encoder", encoder, "--output", tmp_path / "impacts"],
        ["index", "--input", tmp_path / "impacts", "--index", tmp_path / "index"],
        [
            *("search", "--index", tmp_path / "index", "--topics", home / "queries.jsonl"),
            *("--output", tmp_path / "run.txt", "--encoder", encoder),
        ],
        ["evaluate", "--run", tmp_path / "run.txt", "--qrels", home / "qrels" / "dev.tsv", "--format", "json"],
    ]
    for command in commands:
        done = run_stage(*command)
        assert done.code == 0, done.err
    # Most of the queries share words with their documents.
    assert json.loads(done.out)["measures"]["RR@10"] > 0.5


@pytest.mark.slow
def test_the_query_side_idf_starts_from_the_idf_of_the_data(trained: Trained) -> None:
    weights = json.loads((trained(query_side="idf") / "query_weights.json").read_bytes())
    # "virus" is in one document of eight; six steps of 1/1000 move its weight a little.
    assert weights["virus"] == pytest.approx(math.log(1 + 7.5 / 1.5), abs=0.02)
    assert weights["virus"] > weights["the"] > 0
    assert "[CLS]" not in weights
    encoder = open_query_encoder(str(trained(query_side="idf")))
    assert encoder.encode(["virus"])[0]["virus"] == pytest.approx(weights["virus"])


@pytest.mark.slow
def test_the_query_side_separate_learns_a_model_for_queries(trained: Trained) -> None:
    from transformers import AutoModelForMaskedLM

    encoder = trained(query_side="separate")
    documents, queries, backbone = (
        AutoModelForMaskedLM.from_pretrained(directory).bert.embeddings.word_embeddings.weight
        for directory in (encoder, encoder / "query", encoder.parent / "backbone")
    )
    assert not queries.equal(documents)
    assert not queries.equal(backbone)
    assert queries.allclose(backbone, atol=0.02)


# The plot.

METRICS = {
    "loss": 3.0,
    "kl": 2.0,
    "flops d": 1.0,
    "gradient": 4.0,
    "FLOPS": 0.0,
    "learning rate": 0.1,
    "active q": 5.0,
    "active d": 50.0,
    "empty q": 0.1,
    "empty d": 0.2,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("measures", [{}, {"RR@10": 0.3, "R@100": 0.7}], ids=["plain", "validated"])
def test_the_plot_shows_every_number_of_the_log(measures: Row) -> None:
    from splade_anserini.training.plot import figure_of

    log = [{"step": step} | METRICS for step in (10.0, 20.0)]
    if measures:
        log.insert(1, {"step": 10.0} | measures)
    figure = figure_of(log, "name")
    figure.savefig(io.BytesIO())
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    assert sorted(np.asarray(line.get_ydata())[0] for line in lines) == sorted([*METRICS.values(), *measures.values()])
    steps = {tuple(np.asarray(line.get_xdata()).tolist()) for line in lines}
    assert steps == {(10.0, 20.0), *([(10.0,)] if measures else [])}


# Several devices.


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_whole_batch(home: Path, tmp_path: Path) -> None:
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("torch has no gloo here, which trains with several processes on CPUs")
    # All negatives of each example and no dropout, because each device draws its own.
    teacher = f'training.teacher={{model="{home / "backbone"}"}}'
    options: list[Any] = changes("training.negatives=2", "training.dropout=0", teacher, "training.cluster_size=4")
    options += ["--log-every", 1, "--checkpoint-every", 4, "--validation", home]
    assert run_train(home, tmp_path / "one", *options).code == 0
    arguments = ["--card", write_card(home, "two"), *data_options(home), "--output", tmp_path / "two", *options]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "splade_anserini.train"]
    done = subprocess.run(
        [sys.executable, *launcher, *map(str, arguments), "--set", "training.batch_size=2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert done.stdout.count("two: 6 steps, loss") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    for row, expected in zip(read_log(tmp_path / "two"), read_log(tmp_path / "one"), strict=True):
        assert row == pytest.approx(expected, rel=1e-3)
    assert_same_vectors(open_encoder(str(tmp_path / "two")), open_encoder(str(tmp_path / "one")))


# Validation and early ends.

EACH_STEP = ["--validate-every", 1, "--log-every", 1]


@pytest.mark.slow
def test_the_best_checkpoint_is_kept(home: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    unstable = changes("training.learning_rate=0.05", "training.warmup_steps=0", "training.steps=8")
    done = run_train(home, output, "--validation", home, "--measures", "RR@10", *EACH_STEP, *unstable)
    assert done.code == 0, done.err
    values = {int(row["step"]): row["RR@10"] for row in validation_rows(output)}
    assert list(values) == list(range(1, 9))
    best = max(values, key=lambda step: values[step])
    assert values[best] > values[8], "with these settings the last step must not be the best"
    manifest = read_manifest(output, CheckpointManifest)
    assert manifest is not None
    assert manifest.steps == best
    assert f"best at step {best}: RR@10 {values[best]:.4f}" in done.out
    assert reciprocal_rank(output, home) == pytest.approx(values[best], abs=1e-6)


def reciprocal_rank(encoder: Path, home: Path) -> float:
    """Return RR@10 as the other commands compute it."""
    from splade_anserini.encoding import SpladeDocumentEncoder, quantize
    from splade_anserini.evaluation.evaluation import evaluate
    from splade_anserini.evaluation.measures import parse_measures
    from splade_anserini.formats.corpora import open_corpus
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.lucene import BruteForceSearcher

    document_encoder = SpladeDocumentEncoder(open_encoder(str(encoder)), scale=50)
    searcher = BruteForceSearcher(document_encoder.encode(open_corpus(str(home / "corpus.jsonl"))))
    vectors = open_query_encoder(str(encoder)).encode(list(QUERIES.values()))
    queries = {id_: quantize(vector, 50) for id_, vector in zip(QUERIES, vectors, strict=True)}
    run = [hit for _, hits in searcher.search(queries, 1000) for hit in hits]
    return evaluate(run, read_qrels(str(home / "qrels" / "dev.tsv")), parse_measures(["RR@10"])).aggregate["RR@10"]


@pytest.mark.slow
def test_training_stops_when_validation_does_not_improve(home: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    unchanged = changes("training.learning_rate=1e-12", "training.steps=50")
    done = run_train(home, output, "--validation", f"{home}@dev", "--patience", 2, *EACH_STEP, *unchanged)
    assert done.code == 0, done.err
    rows = validation_rows(output)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[0].keys() == {"step", "nDCG@10", "R@100"}


@pytest.mark.slow
@pytest.mark.parametrize("query_side", QUERY_SIDES)
def test_validation_measures_what_the_other_commands_measure(home: Path, tmp_path: Path, query_side: str) -> None:
    options = ["--validation", home, "--measures", "RR@10", *changes("training.steps=2")]
    assert run_train(home, tmp_path / "out", *options, query_side=query_side).code == 0
    (row,) = validation_rows(tmp_path / "out")
    assert reciprocal_rank(tmp_path / "out", home) == pytest.approx(row["RR@10"], abs=1e-6)


@pytest.mark.slow
def test_a_run_whose_vectors_collapse_stops_with_advice(home: Path, tmp_path: Path) -> None:
    excessive = ["training.regularizer.lambda_d=1e6", "training.regularizer.until=0", "training.learning_rate=0.1"]
    done = run_train(home, tmp_path / "out", *changes(*excessive, "training.steps=400"))
    assert done.code == 1
    assert "have collapsed" in done.err
    assert "Lower lambda_" in done.err
    assert list(tmp_path.iterdir()) == []


# What is refused.


def test_an_output_that_exists_is_refused_before_anything_is_read(home: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    missing = ["--data", "nothing.tsv", *changes('training.backbone="./nowhere"')]
    done = run_stage("train", "--card", write_card(home, "exists"), "--output", tmp_path / "out", *missing)
    assert (done.code, "already exists" in done.err) == (2, True), done.err


TEACHER = 'training.teacher={model="./nowhere"}'
HEAD = "training.head={threshold=5.0,logit_scale=1.0}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (changes("training.colour=1"), "training.colour: Extra inputs are not permitted"),
        (changes('pooling="mean"'), "pooling: Input should be 'max', 'sum' or 'norm'"),
        (changes('activation="gelu"'), "activation: Input should be 'relu' or 'log1p_relu'"),
        (changes("steps"), "is not a valid line of TOML"),
        ([*changes('training.losses=[{kind="margin-mse"}]'), "--data", "pairs.tsv"], "has no teacher scores"),
        (changes('training.backbone="./nowhere"'), "The model ./nowhere does not exist"),
        (changes("training.max_length=600"), "The recipe reads texts of 600 tokens"),
        (changes(HEAD, 'training.backbone="package:not_there"'), "not_there is not installed"),
        (changes(TEACHER, "training.cluster_size=4"), "The model ./nowhere does not exist"),
        (["--data", "nothing.tsv"], "The examples nothing.tsv do not exist"),
        (["--validation", "nowhere"], "--validation nowhere is not a BEIR directory"),
        (["--validation", ".@test"], "has no split 'test'"),
        (["--validation", ".", "--measures", "fun"], "There is no measure 'fun'"),
        (["--patience", "2"], "--patience needs --validation"),
        (["--measures", "RR@10"], "--measures needs --validation"),
        (["--patience", "-1"], "--patience must be at least 0, got -1."),
        (["--checkpoint-every", "0"], "--checkpoint-every must be at least 1, got 0."),
        (["--log-every", "0"], "--log-every must be at least 1, got 0."),
        (["--validate-every", "0"], "--validate-every must be at least 1, got 0."),
    ],
)
def test_a_run_that_cannot_start_is_refused_and_leaves_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Sequence[str], message: str
) -> None:
    monkeypatch.chdir(home)
    (home / "pairs.tsv").write_text("q0\td0\nq1\td1\n")
    done = run_train(home, tmp_path / "out", *options)
    assert (done.code, message in done.err) == (2, True), done.err
    assert list(tmp_path.iterdir()) == []


def test_a_card_without_a_recipe_is_refused(home: Path, tmp_path: Path) -> None:
    done = run_stage("train", "--card", "splade-v3", *data_options(home), "--output", tmp_path / "out")
    assert (done.code, "The card splade-v3 has no table [training]" in done.err) == (2, True), done.err


@pytest.mark.slow
@pytest.mark.parametrize("package", ["accelerate", "matplotlib"])
def test_a_missing_package_is_reported_before_training(home: Path, tmp_path: Path, package: str) -> None:
    options = ["--card", write_card(home, "missing"), "--data", "nothing.tsv", "--output", tmp_path / "out"]
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv[1:] = {['train', *map(str, options)]!r}\n"
        "from splade_anserini.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: {package} is not installed.\nRun: pip install 'splade-anserini[train]'\n"
    assert list(tmp_path.iterdir()) == []
