"""Export: the graph gives the weights of torch for every shape, and the manifest describes it."""

import dataclasses
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from splade_anserini.artifacts.fingerprints import fingerprint_of_file
from splade_anserini.artifacts.manifests import EncoderIdentity, EncoderManifest, read_manifest
from splade_anserini.errors import DependencyError, InputError, IntegrityError
from splade_anserini.export import export
from splade_anserini.exporting import export as exporting
from splade_anserini.exporting.onnx_graph import OPSET
from splade_anserini.exporting.options import ExportOptions, ExportPrecision
from splade_anserini.exporting.parity import open_graph
from splade_anserini.exporting.quantize_graph import MAX_INTEGER, MAX_STEP, quantize_rows
from splade_anserini.modeling.checkpoint import Checkpoint, load_checkpoint
from splade_anserini.modeling.identity import identity
from splade_anserini.modeling.splade import Splade
from splade_anserini.records import ACTIVATIONS, POOLINGS, Activation, Aggregation, Pooling
from tests.cli_runner import run_stage
from tests.shared_models import SharedModels
from tests.tiny import SENTENCES

SHAPES = [(1, 1), (3, 7), (2, 512), (5, 33)]


@pytest.fixture(autouse=True)
def _reuse_traces(shared_models: SharedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    shared_models.reuse_traces(monkeypatch)


@dataclasses.dataclass(frozen=True)
class Export:
    checkpoint: Checkpoint
    directory: Path
    aggregation: Aggregation

    @property
    def splade(self) -> Splade:
        return Splade.of(self.checkpoint, self.aggregation)

    @property
    def manifest(self) -> EncoderManifest:
        manifest = read_manifest(self.directory, EncoderManifest)
        assert manifest is not None
        return manifest

    def run(self, ids: torch.Tensor, mask: torch.Tensor, file: str = "model.onnx") -> list[npt.NDArray[Any]]:
        session = open_graph(self.directory / file)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
        outputs: list[npt.NDArray[Any]] = session.run(
            None, {tensor.name: feed[tensor.name].numpy() for tensor in session.get_inputs()}
        )
        return outputs


def slow(kind: str, pooling: Pooling, activation: Activation = "relu") -> object:
    """Return a parameter, marked as slow: an export takes seconds."""
    name = f"{kind}-{pooling}" if activation == "relu" else f"{kind}-{pooling}-{activation}"
    return pytest.param((kind, Aggregation(pooling, activation)), marks=pytest.mark.slow, id=name)


FP32 = [
    *(slow("bert", pooling, activation) for pooling in POOLINGS for activation in ACTIVATIONS),
    *(slow("distilbert", pooling) for pooling in POOLINGS),
]
INT8 = [*(slow("bert", pooling) for pooling in POOLINGS), slow("bert", "max", "log1p_relu")]


def export_of(shared_models: SharedModels, kind: str, aggregation: Aggregation, precision: str) -> Export:
    checkpoint = load_checkpoint(shared_models.checkpoint(kind))
    directory = shared_models.export(kind, aggregation.pooling, precision, aggregation.activation)
    return Export(checkpoint, directory, aggregation)


@pytest.fixture(scope="module", params=FP32)
def exported(shared_models: SharedModels, request: pytest.FixtureRequest) -> Export:
    return export_of(shared_models, *request.param, "fp32")


@pytest.fixture(scope="module", params=INT8)
def quantized(shared_models: SharedModels, request: pytest.FixtureRequest) -> Export:
    return export_of(shared_models, *request.param, "int8")


@pytest.fixture
def checkpoint(shared_models: SharedModels) -> Checkpoint:
    return load_checkpoint(shared_models.checkpoint())


def tokens(batch: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(batch * length)
    ids = torch.randint(104, 374, (batch, length), generator=generator)
    lengths = torch.randint(1, length + 1, (batch, 1), generator=generator)
    return ids, (torch.arange(length) < lengths).long()


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_onnx_gives_the_weights_of_torch_for_every_shape(
    exported: Export, shape: tuple[int, int], padded: bool
) -> None:
    ids, mask = tokens(*shape)
    mask = mask if padded else torch.ones_like(mask)
    with torch.no_grad():
        expected = exported.splade(ids, mask).numpy()
    (weights,) = exported.run(ids, mask)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected, atol=1e-4, rtol=1e-5)


def test_a_text_has_the_same_weights_alone_as_in_a_padded_batch(exported: Export) -> None:
    inputs = exported.checkpoint.tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    (batch,) = exported.run(inputs["input_ids"], inputs["attention_mask"])
    for text, row in zip(SENTENCES, batch, strict=True):
        single = exported.checkpoint.tokenizer(text, return_tensors="pt")
        np.testing.assert_allclose(
            exported.run(single["input_ids"], single["attention_mask"])[0][0], row, atol=1e-5, rtol=1e-5
        )


def test_special_tokens_are_never_active(exported: Export) -> None:
    (weights,) = exported.run(*tokens(3, 7))
    assert not weights[:, [0, 100, 101, 102, 103]].any()


def test_the_outputs_of_anserinis_graph_are_the_entries_that_are_not_zero(exported: Export) -> None:
    ids = torch.tensor([exported.checkpoint.tokenizer(SENTENCES[2])["input_ids"]])
    (weights,) = exported.run(ids, torch.ones_like(ids))
    index, values = exported.run(ids, torch.ones_like(ids), "model.anserini.onnx")
    assert (index.dtype, values.dtype, index.ndim, values.ndim) == (np.int64, np.float32, 1, 1)
    assert index.tolist() == np.flatnonzero(weights[0]).tolist()
    np.testing.assert_allclose(values, weights[0, index], atol=1e-5)
    names = [tensor.name for tensor in open_graph(exported.directory / "model.anserini.onnx").get_inputs()]
    assert names == ["input_ids", "token_type_ids", "attention_mask"]


def test_the_manifest_describes_the_files_beside_it(exported: Export) -> None:
    manifest = exported.manifest
    assert manifest.identity.weights == fingerprint_of_file(exported.directory / "model.onnx")
    assert manifest.identity.tokenizer == fingerprint_of_file(exported.directory / "tokenizer.json")
    of_torch = identity(exported.checkpoint, exported.aggregation, "fp32")
    assert manifest.identity.vocabulary == of_torch.vocabulary
    assert manifest.identity.tokenizer == of_torch.tokenizer
    assert manifest.identity.aggregation == exported.aggregation
    assert manifest.max_length == 512


def test_the_parity_report_is_of_the_texts_and_within_its_bound(exported: Export) -> None:
    report = exported.manifest.parity
    assert report is not None
    assert (report.texts, report.bound) == (len(SENTENCES), 1e-4)
    assert report.max_difference < 1e-4
    assert report.equal_impacts > 0.99


@pytest.mark.parametrize("file", ["model.onnx", "model.anserini.onnx"])
def test_the_opset_is_recorded_and_the_graph_valid_and_without_paths(exported: Export, file: str) -> None:
    path = exported.directory / file
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    assert exported.manifest.opset == OPSET
    assert b".py" not in path.read_bytes()


def test_the_inputs_are_those_of_the_model_for_any_batch_and_length(exported: Export) -> None:
    session = open_graph(exported.directory / "model.onnx")
    token_types = ["token_type_ids"] if exported.checkpoint.takes_token_types else []
    assert [tensor.name for tensor in session.get_inputs()] == ["input_ids", "attention_mask", *token_types]
    assert {tuple(tensor.shape) for tensor in session.get_inputs()} == {("batch", "sequence")}
    assert session.get_outputs()[0].shape == ["batch", 374]


def test_the_tokenizer_neither_pads_nor_truncates(exported: Export) -> None:
    tokenizer = Tokenizer.from_file(str(exported.directory / "tokenizer.json"))
    assert (tokenizer.padding, tokenizer.truncation) == (None, None)
    for text in SENTENCES:
        assert tokenizer.encode(text).ids == exported.checkpoint.tokenizer(text)["input_ids"]


def test_int8_is_close_to_torch_and_its_difference_is_recorded(quantized: Export) -> None:
    report = quantized.manifest.parity
    assert report is not None
    assert 1e-4 < report.mean_difference < 0.05 < report.bound
    assert quantized.manifest.identity.precision == "int8"


def test_int8_keeps_the_heads_dense_layer_in_float_and_one_table_for_tokens_and_decoder(quantized: Export) -> None:
    graph = onnx.load(quantized.directory / "model.onnx").graph
    tables = [tensor for tensor in graph.initializer if 374 in tensor.dims and 32 in tensor.dims]
    assert [tensor.data_type for tensor in tables] == [onnx.TensorProto.INT8]
    floats = [t for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT and list(t.dims) == [32, 32]]
    assert len(floats) == 1
    assert sum(node.op_type == "MatMulInteger" for node in graph.node) == 2 * 6 + 1


def test_int8_weights_are_repeatable_and_padding_changes_them_little(quantized: Export) -> None:
    ids = torch.tensor([quantized.checkpoint.tokenizer(SENTENCES[1])["input_ids"]])
    padded = torch.nn.functional.pad(ids, (0, 9))
    (weights,) = quantized.run(ids, torch.ones_like(ids))
    (repeated,) = quantized.run(ids, torch.ones_like(ids))
    (with_padding,) = quantized.run(padded, (torch.arange(padded.shape[1]) < ids.shape[1]).long()[None])
    np.testing.assert_array_equal(weights, repeated)
    np.testing.assert_allclose(with_padding, weights, atol=0.3)


def test_two_products_of_int8_are_within_sixteen_bits() -> None:
    # Without VNNI, processors add two products of an activation and a weight in 16 bits.
    assert 2 * MAX_STEP * MAX_INTEGER <= 2**15 - 1


def test_the_ranges_of_int8_activations_are_those_of_tokens_except_in_the_decoder(quantized: Export) -> None:
    graph = onnx.load(quantized.directory / "model.onnx").graph
    least = [node for node in graph.node if node.op_type == "ReduceMin"]
    assert [len(node.input) for node in least].count(2) == 2 * 4
    assert [len(node.input) for node in least].count(1) == 1
    assert not [node for node in graph.node if node.op_type == "DynamicQuantizeLinear"]


@given(seed=st.integers(0, 2**31), size=st.floats(1e-20, 1e20))
@settings(max_examples=50, deadline=None)
def test_quantized_rows_are_within_half_a_step_and_in_eight_bits(seed: int, size: float) -> None:
    table = (np.random.default_rng(seed).standard_normal((4, 9)) * size).astype(np.float32)
    table[1] = 0
    integers, scales = quantize_rows(table)
    assert np.abs(integers.astype(int)).max() <= MAX_INTEGER == 127
    assert bool((np.abs(integers * scales[:, None] - table) <= scales[:, None] * 0.5001).all())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_export_beyond_its_bound_is_refused_and_leaves_nothing(
    checkpoint: Checkpoint, tmp_path: Path, precision: ExportPrecision
) -> None:
    options = ExportOptions(precision=precision, bound=1e-12)
    with pytest.raises(IntegrityError, match=r"differs from torch: the (greatest|mean) difference(.|\n)*at most 1e-12"):
        export(checkpoint, tmp_path / "out", options, SENTENCES)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_graph_with_other_weights_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx_ir as ir

    def change_a_layer(graph: Any) -> None:
        table = next(value for name, value in graph.graph.initializers.items() if "LayerNorm.weight" in name)
        table.const_value = ir.tensor(table.const_value.numpy() * 1.01, name=table.name)

    monkeypatch.setattr(exporting, "pool_early", change_a_layer)
    with pytest.raises(IntegrityError, match="differs from torch"):
        export(checkpoint, tmp_path / "out", ExportOptions(), SENTENCES)


@dataclasses.dataclass(frozen=True)
class RepeatedExport:
    """Two exports of one checkpoint, of which the second traces the model again."""

    first: Path
    second: Path
    returned: EncoderManifest
    checkpoint_before: tuple[EncoderIdentity, str]
    checkpoint_after: tuple[EncoderIdentity, str]


@pytest.fixture(scope="module", params=POOLINGS)
def repeated(
    shared_models: SharedModels, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> RepeatedExport:
    def state() -> tuple[EncoderIdentity, str]:
        return identity(checkpoint, Aggregation(request.param), "fp32"), checkpoint.model.config._attn_implementation

    first = shared_models.export("bert", request.param, "int8")
    second = tmp_path_factory.mktemp("repeated") / first.name
    checkpoint = load_checkpoint(shared_models.checkpoint())
    before = state()
    with pytest.MonkeyPatch.context() as monkeypatch:
        SharedModels(second.parent).reuse_traces(monkeypatch)  # which knows no trace yet
        manifest = export(checkpoint, second, ExportOptions(pooling=request.param, precision="int8"), SENTENCES)
    return RepeatedExport(first, second, manifest, before, state())


@pytest.mark.slow
def test_the_same_checkpoint_gives_the_same_bytes(repeated: RepeatedExport) -> None:
    names = sorted(path.name for path in repeated.first.iterdir())
    assert names == sorted(path.name for path in repeated.second.iterdir())
    for name in names:
        assert (repeated.first / name).read_bytes() == (repeated.second / name).read_bytes()


@pytest.mark.slow
def test_exporting_leaves_the_checkpoint_as_it_was(repeated: RepeatedExport) -> None:
    assert repeated.checkpoint_after == repeated.checkpoint_before


@pytest.mark.slow
def test_the_manifest_that_is_returned_is_the_one_that_is_written(repeated: RepeatedExport) -> None:
    assert repeated.returned == read_manifest(repeated.second, EncoderManifest)


@pytest.mark.slow
def test_the_command_compares_on_cranfield_and_prints_the_differences(
    shared_models: SharedModels, tmp_path: Path
) -> None:
    done = run_stage(
        "export", "--encoder", shared_models.checkpoint(), "--output", tmp_path / "out", "--scale", "256/5"
    )
    assert (done.code, done.err) == (0, "")
    assert "on 48 texts, greatest difference from torch" in done.out
    manifest = read_manifest(tmp_path / "out", EncoderManifest)
    assert manifest is not None
    assert manifest.scale == 51.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pooling", "mean"], "--pooling must be max, sum or norm, got 'mean'"),
        (["--activation", "gelu"], "--activation must be relu or log1p_relu, got 'gelu'"),
        (["--precision", "bf16"], "--precision must be fp32 or int8, got 'bf16'"),
        (["--scale", "-1"], "--scale must be above 0, got -1."),
        (["--scale", "many"], "--scale must be a number such as 100 or 256/5, got 'many'"),
        (["--bound", "-0.1"], "--bound must be at least 0, got -0.1."),
        (["--max-length", "2"], "--max-length must be at least 3, got 2."),
        (["--max-length", "513"], "--max-length must be at most 512 for this model, got 513"),
        (["--texts", "absent.tsv"], "absent.tsv does not exist"),
    ],
)
def test_options_out_of_range_are_refused(
    shared_models: SharedModels, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run_stage("export", "--encoder", shared_models.checkpoint(), "--output", tmp_path / "out", *arguments)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_an_encoder_directory_without_a_record_is_not_overwritten(
    quantized: Export, shared_models: SharedModels
) -> None:
    done = run_stage("export", "--encoder", shared_models.checkpoint(), "--output", quantized.directory)
    assert done.code == 2
    assert "already exists" in done.err


@pytest.mark.slow
def test_an_export_is_made_once_and_replaced_only_with_overwrite(shared_models: SharedModels, tmp_path: Path) -> None:
    (tmp_path / "texts.tsv").write_text("".join(f"{row}\t{text}\n" for row, text in enumerate(SENTENCES)))
    inputs = ["--encoder", shared_models.checkpoint(), "--texts", tmp_path / "texts.tsv"]
    command = ["export", *inputs, "--output", tmp_path / "out", "--format", "json"]
    first = run_stage(*command)
    assert first.code == 0, first.err
    printed = json.loads(first.out)
    manifest = read_manifest(tmp_path / "out", EncoderManifest)
    assert manifest is not None
    assert manifest.parity is not None
    assert printed == {"output": str(tmp_path / "out"), **manifest.parity.model_dump(), "up_to_date": False}
    again = run_stage(*command)
    assert (again.code, json.loads(again.out)) == (0, printed | {"up_to_date": True})
    other = run_stage(*command, "--scale", 50)
    assert (other.code, "scale was None, is 50" in other.err) == (2, True)
    assert run_stage(*command, "--scale", 50, "--overwrite").code == 0
    replaced = read_manifest(tmp_path / "out", EncoderManifest)
    assert replaced is not None
    assert replaced.scale == 50


@pytest.mark.parametrize("name", ["splade-v3", "splade-mini"])
def test_the_name_of_a_card_is_refused_with_its_model(name: str, tmp_path: Path) -> None:
    done = run_stage("export", "--encoder", name, "--output", tmp_path / "out")
    assert done.code == 2
    assert f"--encoder {name} is a card" in done.err
    assert re.search(r"Name the model of the card, \S*(naver/splade-v3|encoders/splade-mini),", done.err)


def test_export_needs_texts(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no texts to compare"):
        export(checkpoint, tmp_path / "out", ExportOptions(), [])


@pytest.mark.parametrize("module", ["onnx", "onnxscript"])
def test_a_missing_exporter_is_named_with_its_extra(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == module else find(name, *rest))
    with pytest.raises(DependencyError, match=rf"{module} is not installed(.|\n)*splade-anserini\[export\]"):
        export(checkpoint, tmp_path / "out", ExportOptions(), SENTENCES)
