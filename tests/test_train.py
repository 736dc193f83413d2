"""Training through its stage: what it leaves behind, how it goes on, when it stops, and what it refuses."""

import io
import json
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.artifacts.manifests import CheckpointManifest, read_manifest
from splade_anserini.cards.finding import find_encoder_card
from splade_anserini.encoding import Encoder, open_encoder, open_query_encoder
from splade_anserini.errors import OutputError
from splade_anserini.formats.examples import open_examples
from splade_anserini.formats.texts import open_texts
from splade_anserini.train import WORK
from splade_anserini.train import train as train_stage
from tests.cli_runner import run_stage
from tests.schooling import DOCUMENTS, QUERIES, card, school, train, triples
from tests.tiny import SENTENCES, tiny_bert

SIDES = ["splade", "doc", "idf", "separate"]
TEXTS = [*SENTENCES, *(text for _, text in DOCUMENTS.values()), *QUERIES.values()]


ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return school(tmp_path_factory.mktemp("school"))


@pytest.fixture(scope="module")
def trained(home: Path) -> Callable[..., Path]:
    """A checkpoint that `train` wrote, by pooling and query side; trained once each."""

    def of(pooling: str = "max", query_side: str = "splade") -> Path:
        output = home / f"{pooling}-{query_side}"
        if not output.exists():
            done = train(home, output, pooling=pooling, query_side=query_side)
            assert done.code == 0, done.err
        return output

    return of


def near(one: Encoder, other: Encoder) -> bool:
    pairs = list(zip(one.encode(TEXTS), other.encode(TEXTS), strict=True))
    assert sum(len(vector) for vector, _ in pairs) > 100
    return all(dict(a) == pytest.approx(dict(b), abs=1e-4) for a, b in pairs)


def log_of(directory: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]


# What it leaves behind.


def test_transformers_loads_the_weights_that_were_saved(home: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from splade_anserini.training.saving import save_student
    from splade_anserini.training.student import checkpoint, student

    described = find_encoder_card(str(card(home, "saved")))
    assert described.training is not None
    learning = student(described.training, "max", checkpoint(described.training, str(home / "backbone")))
    with torch.no_grad():
        for parameter in learning.pair.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.01)
    save_student(learning, described, described.training, 3, tmp_path)
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path)
    saved = learning.documents.model.state_dict()
    assert loaded.state_dict().keys() == saved.keys()
    assert all(torch.equal(value, saved[name]) for name, value in loaded.state_dict().items())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer(TEXTS)["input_ids"] == learning.documents.tokenizer(TEXTS)["input_ids"]


def test_a_trained_checkpoint_says_how_it_is_used_and_how_it_came_about(trained: Callable[..., Path]) -> None:
    from transformers import AutoModelForMaskedLM

    manifest = read_manifest(trained(), CheckpointManifest)
    assert manifest is not None
    assert (manifest.pooling, manifest.query_side, manifest.scale, manifest.steps) == ("max", "splade", 50, 6)
    assert (manifest.max_length, manifest.query_max_length) == (24, 12)
    assert manifest.recipe["learning_rate"] == 1e-3
    rows = log_of(trained())
    assert [row["step"] for row in rows] == [6]
    assert {"loss", "rank-ibn", "flops d", "active q", "empty d", "FLOPS", "learning rate"} <= rows[0].keys()
    assert (trained() / "training.png").read_bytes().startswith(b"\x89PNG")
    assert not list(trained().parent.glob(f"max-splade{WORK}"))
    learned = AutoModelForMaskedLM.from_pretrained(trained()).bert.embeddings.word_embeddings.weight
    assert not learned.equal(tiny_bert().bert.embeddings.word_embeddings.weight)


@pytest.mark.parametrize("pooling", ["max", "sum", "norm"])
def test_it_encodes_with_torch_and_exported_alike(trained: Callable[..., Path], tmp_path: Path, pooling: str) -> None:
    done = run_stage("export", "--encoder", trained(pooling), "--output", tmp_path / "onnx")
    assert done.code == 0, done.err
    assert near(open_encoder(str(trained(pooling))), open_encoder(str(tmp_path / "onnx")))
    assert open_encoder(str(trained(pooling))).identity.pooling == pooling


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_sentence_transformers_makes_the_same_vectors(trained: Callable[..., Path], pooling: str) -> None:
    theirs = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    model = theirs.SparseEncoder(str(trained(pooling)), device="cpu")
    assert model.max_seq_length == 24
    for text, vector in zip(TEXTS, open_encoder(str(trained(pooling))).encode(TEXTS), strict=True):
        decoded = model.decode(model.encode(text))
        assert {token: weight for token, weight in decoded if weight > 1e-6} == pytest.approx(
            {token: weight for token, weight in vector.items() if weight > 1e-6}, abs=1e-4
        )


@pytest.mark.slow
@pytest.mark.parametrize("query_side", SIDES)
def test_from_training_to_measures(trained: Callable[..., Path], home: Path, tmp_path: Path, query_side: str) -> None:
    encoder = trained(query_side=query_side)
    for command in [
        ["encode", "--corpus", home / "corpus.jsonl", "--encoder", encoder, "--output", tmp_path / "impacts"],
        ["index", "--input", tmp_path / "impacts", "--index", tmp_path / "index"],
        [
            *("search", "--index", tmp_path / "index", "--topics", home / "queries.jsonl"),
            *("--output", tmp_path / "run.txt", "--encoder", encoder),
        ],
        ["evaluate", "--run", tmp_path / "run.txt", "--qrels", home / "qrels" / "dev.tsv", "--format", "json"],
    ]:
        done = run_stage(*command)  # type: ignore[arg-type]
        assert done.code == 0, done.err
    # Most of the queries share words with their documents.
    assert json.loads(done.out)["measures"]["RR@10"] > 0.5


def test_idf_weights_are_learned_from_those_of_the_data(trained: Callable[..., Path]) -> None:
    weights = json.loads((trained(query_side="idf") / "query_weights.json").read_bytes())
    # "virus" stands in one document of eight; six steps of 1/1000 have moved it a little.
    assert weights["virus"] == pytest.approx(math.log(1 + 7.5 / 1.5), abs=0.02)
    assert weights["virus"] > weights["the"] > 0
    assert "[CLS]" not in weights
    assert open_query_encoder(str(trained(query_side="idf"))).encode(["virus"])[0]["virus"] == pytest.approx(
        weights["virus"]
    )


def test_a_model_of_their_own_learns_for_queries(trained: Callable[..., Path]) -> None:
    from transformers import AutoModelForMaskedLM

    encoder = trained(query_side="separate")
    places = [encoder, encoder / "query", encoder.parent / "backbone"]
    documents, queries, backbone = (
        AutoModelForMaskedLM.from_pretrained(place).bert.embeddings.word_embeddings.weight for place in places
    )
    assert not queries.equal(documents)
    assert not queries.equal(backbone)
    assert queries.allclose(backbone, atol=0.02)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("validated", [False, True])
def test_the_plot_shows_every_number_of_the_log(validated: bool) -> None:
    from splade_anserini.training.plot import figure_of

    row = {"loss": 3.0, "kl": 2.0, "flops d": 1.0, "gradient": 4.0, "FLOPS": 0.0}
    row |= {"active q": 5.0, "active d": 50.0, "empty q": 0.1, "empty d": 0.2}
    log = [{"step": step, "learning rate": 0.1} | row for step in (10.0, 20.0)]
    if validated:
        log.insert(1, {"step": 10.0, "RR@10": 0.3, "R@100": 0.7})
    drawn = [line for axis in figure_of(log, "name").axes for line in axis.get_lines()]
    figure_of(log, "name").savefig(io.BytesIO())
    values = sorted(float(line.get_ydata()[0]) for line in drawn)  # type: ignore[arg-type, index]
    assert values == sorted([*row.values(), *([0.3, 0.7] if validated else [])])
    assert {tuple(line.get_xdata()) for line in drawn} == {(10.0, 20.0), *([(10.0,)] if validated else [])}  # type: ignore[arg-type]


# Going on.

RUN = ["--checkpoint-every", 2, "--log-every", 1]
"""Six steps, with checkpoints after the second and the fourth."""


class Stopped(Exception):  # noqa: N818  # no error
    pass


def stopping(step: int, stop: Callable[[], Any]) -> Callable[[int], None]:
    """Progress that calls `stop` after a step."""
    done = 0

    def progress(number: int) -> None:
        nonlocal done
        done += number
        if done == step:
            stop()

    return progress


def stop() -> None:
    raise Stopped


def run_until(home: Path, output: Path, progress: Callable[[int], None], *changes: str) -> None:
    """Train as `train(home, output, *RUN)` does, with a progress of one's own."""
    from splade_anserini.training.loop import LoopOptions

    described = find_encoder_card(str(card(home, output.name)), changes)
    texts = open_texts(str(home / "corpus.jsonl"), str(home / "queries.jsonl"))
    options = LoopOptions(output.with_name(output.name + WORK), checkpoint_every=2, log_every=1)
    train_stage(described, [open_examples(str(home / "triples.jsonl"), texts)], output, options, progress=progress)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums are rounded as the threads share them: what is compared bit for bit runs with the same number of them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def straight(home: Path) -> Path:
    """Trained without an interruption."""
    done = train(home, home / "straight", *RUN)
    assert done.code == 0, done.err
    return home / "straight"


def assert_same(one: Path, other: Path) -> None:
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert (one / "log.jsonl").read_bytes() == (other / "log.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 5])
def test_killed_and_run_again_is_never_killed_bit_for_bit(
    home: Path, straight: Path, tmp_path: Path, step: int
) -> None:
    code = (
        "import os, signal; from pathlib import Path; from tests.test_train import *\n"
        f"kill = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"run_until(Path({str(home)!r}), Path({str(tmp_path / 'out')!r}), stopping({step}, kill))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, env=ONE_THREAD, check=False)
    assert done.returncode == -signal.SIGKILL
    work = tmp_path / f"out{WORK}"
    assert [path.name for path in work.glob("step-*")] == ([] if step == 1 else ["step-4"])
    assert not (tmp_path / "out").exists()
    assert train(home, tmp_path / "out", *RUN).code == 0
    assert_same(straight, tmp_path / "out")
    assert not work.exists()


def test_progress_begins_where_the_run_goes_on(home: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run_until(home, tmp_path / "out", stopping(5, stop))
    told: list[int] = []
    run_until(home, tmp_path / "out", told.append)
    assert told == [4, 1, 1]


@pytest.fixture
def begun(home: Path, tmp_path: Path) -> Path:
    """The output of a run that was stopped after its first checkpoint."""
    with pytest.raises(Stopped):
        run_until(home, tmp_path / "begun", stopping(3, stop))
    return tmp_path / "begun"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--set", "training.seed=7"], "card"),
        (["--data", "more.jsonl"], "data"),
        (["--topics", "other.jsonl"], "data"),
        (["--validation", "."], "validation"),
    ],
)
def test_another_run_at_the_same_output_is_refused(
    home: Path, begun: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], what: str
) -> None:
    monkeypatch.chdir(home)
    (home / "more.jsonl").write_bytes((home / "triples.jsonl").read_bytes())
    (home / "other.jsonl").write_text((home / "queries.jsonl").read_text().replace("cure", "remedy"))
    done = train(home, begun, *RUN, *options)
    assert (done.code, f"begun{WORK}: {what}." in done.err) == (2, True), done.err
    assert not begun.exists()
    # And the run that began there goes on.
    assert train(home, begun, *RUN).code == 0


def test_a_run_that_got_nowhere_gives_way_to_another(home: Path, tmp_path: Path) -> None:
    told: list[Path] = []
    with pytest.raises(Stopped):
        run_until(home, tmp_path / "out", stopping(1, stop))
    assert list(tmp_path.iterdir()) == []
    work = tmp_path / f"out{WORK}"
    (work / "step-2.partial").mkdir(parents=True)
    (work / "run.json").write_text("{}")
    run_until(home, tmp_path / "out", stopping(1, lambda: told.extend([*work.glob("*.json"), *work.glob("*.partial")])))
    assert told == [work / "run.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_processes_do_not_train_into_one_place(home: Path, tmp_path: Path) -> None:
    def again() -> None:
        run_until(home, tmp_path / "out", lambda _: None)

    with pytest.raises(OutputError, match="Another process"):
        run_until(home, tmp_path / "out", stopping(3, again))


@pytest.fixture
def disk() -> Iterator[Callable[[int], None]]:
    """Call it with the bytes beyond which no file grows; -1, and after the test, as before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size < 0 else size, hard))

    yield limit
    limit(-1)


@pytest.mark.parametrize(("step", "what"), [(3, "step-4"), (6, "out")])
def test_a_full_disk_leaves_the_checkpoint_before(
    home: Path, straight: Path, tmp_path: Path, disk: Callable[[int], None], step: int, what: str
) -> None:
    with pytest.raises(OutputError, match=rf"{what} cannot be written") as caught:
        run_until(home, tmp_path / "out", stopping(step, lambda: disk(60_000)))
    disk(-1)
    assert "goes on from the last checkpoint" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [f"out{WORK}"]
    known = [path.name for path in (tmp_path / f"out{WORK}").iterdir() if path.name.startswith("step-")]
    assert known == ["step-2" if what == "step-4" else "step-4"]
    assert train(home, tmp_path / "out", *RUN).code == 0
    assert_same(straight, tmp_path / "out")


# Several devices.


@pytest.mark.slow
def test_two_processes_train_as_one_with_all_of_the_batch(home: Path, tmp_path: Path) -> None:
    if not torch_distributed_has_gloo():
        pytest.skip("torch has no gloo here: two processes cannot train together on CPUs")
    # Both negatives of each example, for devices draw by themselves; no dropout, likewise.
    options = [
        "--set",
        "training.negatives=2",
        "--set",
        "training.dropout=0",
        "--log-every",
        1,
        "--checkpoint-every",
        4,
        "--validation",
        home,
    ]
    options += ["--set", f'training.teacher={{model="{home / "backbone"}"}}', "--set", "training.topics=4"]
    assert train(home, tmp_path / "one", *options).code == 0
    arguments = ["--card", card(home, "two"), *triples(home), "--output", tmp_path / "two", *options]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "splade_anserini.train"]
    done = subprocess.run(
        [sys.executable, *launcher, *map(str, arguments), "--set", "training.batch_size=2"],
        env=ONE_THREAD,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert done.stdout.count("two: 6 steps, loss") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    for one, two in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True):
        assert two == pytest.approx(one, rel=1e-3)
    assert near(open_encoder(str(tmp_path / "one")), open_encoder(str(tmp_path / "two")))


def torch_distributed_has_gloo() -> bool:
    import torch.distributed as dist

    return dist.is_available() and dist.is_gloo_available()


# Validation, and when it ends.

EACH_STEP = ["--validate-every", 1, "--log-every", 1]


def test_the_best_checkpoint_is_kept(home: Path, tmp_path: Path) -> None:
    wild = ["--set", "training.learning_rate=0.05", "--set", "training.warmup_steps=0", "--set", "training.steps=8"]
    done = train(home, tmp_path / "out", "--validation", home, "--measures", "RR@10", *EACH_STEP, *wild)
    assert done.code == 0, done.err
    values = {int(row["step"]): row["RR@10"] for row in log_of(tmp_path / "out") if "loss" not in row}
    assert list(values) == list(range(1, 9))
    best = max(values, key=lambda step: values[step])
    assert values[best] > values[8], "the course is not wild enough for this test"
    manifest = read_manifest(tmp_path / "out", CheckpointManifest)
    assert manifest is not None
    assert manifest.steps == best
    assert f"best at step {best}: RR@10 {values[best]:.4f}" in done.out
    assert rr_of(tmp_path / "out", home, tmp_path) == pytest.approx(values[best], abs=1e-6)


def rr_of(encoder: Path, home: Path, place: Path) -> float:
    """What the other stages measure of a checkpoint."""
    from splade_anserini.encoding import SpladeDocumentEncoder, quantize
    from splade_anserini.evaluation.evaluation import evaluate
    from splade_anserini.evaluation.measures import parse_measures
    from splade_anserini.formats.corpora import open_corpus
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.lucene import BruteForceSearcher

    impacts = SpladeDocumentEncoder(open_encoder(str(encoder)), scale=50).encode(
        open_corpus(str(home / "corpus.jsonl"))
    )
    vectors = open_query_encoder(str(encoder)).encode(list(QUERIES.values()))
    asked = {id_: quantize(vector, 50) for id_, vector in zip(QUERIES, vectors, strict=True)}
    run = [hit for _, hits in BruteForceSearcher(impacts).search(asked, 1000) for hit in hits]
    return evaluate(run, read_qrels(str(home / "qrels" / "dev.tsv")), parse_measures(["RR@10"])).aggregate["RR@10"]


def test_training_ends_when_validation_gets_no_better(home: Path, tmp_path: Path) -> None:
    still = ["--set", "training.learning_rate=1e-12", "--set", "training.steps=50"]
    done = train(home, tmp_path / "out", "--validation", f"{home}@dev", "--patience", 2, *EACH_STEP, *still)
    assert done.code == 0, done.err
    validated = [row for row in log_of(tmp_path / "out") if "loss" not in row]
    assert [row["step"] for row in validated] == [1, 2, 3]
    assert validated[0].keys() == {"step", "nDCG@10", "R@100"}


@pytest.mark.parametrize("query_side", SIDES)
def test_validation_measures_what_the_stages_would(home: Path, tmp_path: Path, query_side: str) -> None:
    options = ["--validation", home, "--measures", "RR@10", "--set", "training.steps=2"]
    assert train(home, tmp_path / "out", *options, query_side=query_side).code == 0
    (row,) = [row for row in log_of(tmp_path / "out") if "loss" not in row]
    assert rr_of(tmp_path / "out", home, tmp_path) == pytest.approx(row["RR@10"], abs=1e-6)


def test_a_collapse_stops_the_run_with_advice(home: Path, tmp_path: Path) -> None:
    absurd = ["training.regularizer.lambda_d=1e6", "training.regularizer.until=0", "training.learning_rate=0.1"]
    changes = [part for change in [*absurd, "training.steps=400"] for part in ("--set", change)]
    done = train(home, tmp_path / "out", *changes)
    assert done.code == 1
    assert "Collapse" in done.err
    assert "Lower lambda_" in done.err
    assert list(tmp_path.iterdir()) == []


# What is refused.


def test_an_output_that_exists_is_refused_before_anything_is_read(home: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    change = ["--set", 'training.backbone="./nowhere"']
    path = card(home, "exists")
    done = run_stage("train", "--card", path, "--data", "nothing.tsv", "--output", tmp_path / "out", *change)
    assert (done.code, "exists already" in done.err) == (2, True), done.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--set", "training.colour=1"], "training.colour: Extra inputs are not permitted"),
        (["--set", 'pooling="mean"'], "pooling: Input should be 'max', 'sum' or 'norm'"),
        (["--set", "steps"], "is not a valid line of TOML"),
        (["--set", 'training.losses=[{kind="margin-mse"}]', "--data", "pairs.tsv"], "has no teacher's scores"),
        (["--set", 'training.backbone="./nowhere"'], "The model ./nowhere does not exist"),
        (["--set", "training.max_length=600"], "The recipe reads texts of 600 tokens"),
        (["--set", 'training.head={threshold=5.0,logit_scale=1.0}', "--set", 'training.backbone="package:not_there"'],
         "not_there is not installed"),
        (["--set", 'training.teacher={model="./nowhere"}', "--set", "training.topics=4"], "no model at ./nowhere"),
        (["--data", "nothing.tsv"], "The examples nothing.tsv do not exist"),
        (["--validation", "nowhere"], "There is nothing to validate on at nowhere"),
        (["--validation", ".@test"], "has no split 'test'"),
        (["--validation", ".", "--measures", "fun"], "There is no measure 'fun'"),
        (["--patience", "2"], "--patience is given without --validation"),
        (["--measures", "RR@10"], "--measures is given without --validation"),
        (["--patience", "-1"], "A number of steps is out of its range"),
        (["--checkpoint-every", "0"], "A number of steps is out of its range"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_gets_a_sentence_and_leaves_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], sentence: str
) -> None:
    monkeypatch.chdir(home)
    (home / "pairs.tsv").write_text("q0\td0\nq1\td1\n")
    done = train(home, tmp_path / "out", *options)
    assert (done.code, sentence in done.err) == (2, True), done.err
    assert list(tmp_path.iterdir()) == []


def test_a_card_without_a_recipe_is_refused(home: Path, tmp_path: Path) -> None:
    done = run_stage("train", "--card", "splade-v3", *triples(home), "--output", tmp_path / "out")
    assert (done.code, "The card splade-v3 has no [training]" in done.err) == (2, True), done.err


@pytest.mark.parametrize("package", ["accelerate", "matplotlib"])
def test_a_missing_package_is_found_before_training(home: Path, tmp_path: Path, package: str) -> None:
    options = ["--card", card(home, "missing"), "--data", "nothing.tsv", "--output", tmp_path / "out"]
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv[1:] = {['train', *map(str, options)]!r}\n"
        "from splade_anserini.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: {package} is not installed.\nRun: pip install 'splade-anserini[train]'\n"
    assert list(tmp_path.iterdir()) == []
