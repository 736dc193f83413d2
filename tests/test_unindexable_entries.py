"""Vocabulary entries that Lucene cannot hold, such as runs of spaces, have no weight in any encoder."""

import json
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.artifacts.manifests import EncoderManifest, ImpactManifest, read_manifest, write_manifest
from splade_anserini.cards.finding import EncoderSource
from splade_anserini.encoding import EncoderOptions, open_encoder
from splade_anserini.formats.impacts import impact_files, read_impacts
from splade_anserini.formats.tokens import is_indexable
from splade_anserini.records import Aggregation
from tests.aggregations import AGGREGATIONS
from tests.cli_runner import run_stage
from tests.encoder_fixtures import write_dictionary_encoder
from tests.tiny import SENTENCES, tiny_bert, tiny_tokenizer

RUNS_OF_SPACES = ["  ", "   ", "    ", "a b", "\u3000"]
TEXTS = [*SENTENCES, "head  ache", "pain   a b    cold\u3000cure"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose vocabulary ends with runs of spaces, which its model activates in every text."""
    from tokenizers import AddedToken

    directory = tmp_path_factory.mktemp("spaces")
    tokenizer, model = tiny_tokenizer(), tiny_bert()
    size = len(tokenizer)
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in RUNS_OF_SPACES])
    model.resize_token_embeddings(len(tokenizer))
    model.cls.predictions.bias.data[size:] = 9.0
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def assert_indexable(vectors: list[Any]) -> None:
    assert all(vectors)
    assert all(is_indexable(token) for vector in vectors for token in vector)


@pytest.mark.parametrize(
    ("token", "indexable"),
    [
        ("head", True),
        ("##ache", True),
        ("Ġword", True),
        ("▁word", True),
        ("Ċ", True),
        ("\xa0", True),  # Java does not count a no-break space as white space
        ("", False),
        (" ", False),
        ("  ", False),
        ("a\tb", False),
        ("\u3000", False),
        ("\x1c", False),
        ("x" * 255, True),
        ("x" * 256, False),
        ("\N{GRINNING FACE}" * 128, False),  # two UTF-16 code units each
    ],
)
def test_a_token_is_indexable_when_lucene_keeps_it_as_it_is(token: str, indexable: bool) -> None:
    assert is_indexable(token) is indexable


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_torch_gives_runs_of_spaces_no_weight(checkpoint: Path, aggregation: Aggregation, precision: Any) -> None:
    encoder = open_encoder(checkpoint, EncoderOptions(**aggregation._asdict(), precision=precision))
    assert_indexable(encoder.encode(TEXTS))
    assert encoder.identity.unindexable_entries == len(RUNS_OF_SPACES)


def test_encode_writes_vectors_without_them_and_counts_them_in_the_manifest(checkpoint: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"d{index}", "text": text}) for index, text in enumerate(TEXTS)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    done = run_stage(
        "encode", "--corpus", tmp_path / "corpus.jsonl", "--encoder", checkpoint, "--output", tmp_path / "out"
    )
    assert (done.code, done.err) == (0, "")
    (file,) = impact_files(tmp_path / "out")
    assert_indexable([document.vector for document in read_impacts(file)])
    manifest = read_manifest(tmp_path / "out", ImpactManifest)
    assert manifest is not None
    assert manifest.settings.encoder.unindexable_entries == len(RUNS_OF_SPACES)


def test_rows_without_a_token_are_not_counted(tmp_path: Path) -> None:
    model = tiny_bert()
    model.resize_token_embeddings(384)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert open_encoder(tmp_path).identity.unindexable_entries == 0


def test_the_bag_of_a_query_does_not_hold_them(checkpoint: Path) -> None:
    from splade_anserini.encoding.bag import open_bag
    from splade_anserini.encoding.usage import Usage

    source = EncoderSource(name="spaces", location=str(checkpoint))
    encoder = open_bag(source, EncoderOptions(), Usage(query_side="doc"))
    assert encoder.encode(["head  ache"]) == [{"head": 1.0, "ache": 1.0}]
    assert encoder.identity.unindexable_entries == len(RUNS_OF_SPACES)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_training_gives_them_no_weight(checkpoint: Path, aggregation: Aggregation) -> None:
    import torch

    from splade_anserini.modeling.checkpoint import load_checkpoint
    from splade_anserini.modeling.trainable import Group, TrainableSplade

    loaded = load_checkpoint(checkpoint)
    ids = torch.tensor([loaded.tokenizer("head  ache")["input_ids"]])
    group = Group(torch.tensor([0]), ids, torch.ones_like(ids))
    weights = TrainableSplade(loaded, aggregation)([group])[0]
    assert not weights[-len(RUNS_OF_SPACES) :].any()
    assert weights.any()


def test_an_export_that_does_not_mask_them_gives_them_no_weight(tmp_path: Path) -> None:
    expansions = {"cat": {"cat": 1.5, "  ": 3.0}, "dog": {"a b": 0.75, "pet": 0.25}}
    encoder = open_encoder(write_dictionary_encoder(tmp_path / "old", expansions))
    assert encoder.encode(["cat dog", "cat"]) == [{"cat": 1.5, "pet": 0.25}, {"cat": 1.5}]
    assert encoder.identity.unindexable_entries == 2


def test_the_fingerprints_of_an_encoder_do_not_depend_on_the_count(tmp_path: Path) -> None:
    directory = write_dictionary_encoder(tmp_path / "old", {"cat": {"cat": 1.5}})
    before = read_manifest(directory, EncoderManifest)
    assert before is not None
    identity = open_encoder(directory).identity
    assert identity == before.identity
    assert identity.unindexable_entries == 0


def test_a_count_of_0_is_not_written_and_a_manifest_without_the_count_is_read_as_0(tmp_path: Path) -> None:
    directory = Path(write_dictionary_encoder(tmp_path / "old", {"cat": {"cat": 1.5}}))
    (path,) = directory.glob("*.manifest")
    assert "unindexable_entries" not in json.loads(path.read_text())["identity"]
    manifest = read_manifest(directory, EncoderManifest)
    assert manifest is not None
    assert manifest.identity.unindexable_entries == 0


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_exports_mask_them_in_the_graph_and_count_them(checkpoint: Path, tmp_path: Path, precision: Any) -> None:
    import numpy as np

    from splade_anserini.export import export
    from splade_anserini.exporting.options import ExportOptions
    from splade_anserini.exporting.parity import open_graph
    from splade_anserini.modeling.checkpoint import load_checkpoint

    manifest = export(load_checkpoint(checkpoint), tmp_path / "out", ExportOptions(precision=precision), TEXTS)
    assert manifest.identity.unindexable_entries == len(RUNS_OF_SPACES)
    session = open_graph(tmp_path / "out" / "model.onnx")
    ids = np.array([[101, 370, 102]])
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    (weights,) = session.run(None, feed)
    assert not weights[:, -len(RUNS_OF_SPACES) :].any()
    encoder = open_encoder(tmp_path / "out")
    assert_indexable(encoder.encode(TEXTS))
    # An export made before the count was recorded.
    write_manifest(
        tmp_path / "out",
        manifest.model_copy(update={"identity": manifest.identity.model_copy(update={"unindexable_entries": 0})}),
    )
    assert open_encoder(tmp_path / "out").identity == encoder.identity
