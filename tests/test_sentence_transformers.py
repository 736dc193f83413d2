"""Sparse encoders of sentence-transformers encode as `SparseEncoder.encode_document` and `encode_query` do.

Left out are the entries that never have a weight here: special tokens, and tokens that Lucene cannot hold. Texts
without tokens have empty vectors (docs/decisions/0008).
"""

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from splade_anserini.encoding import open_encoder, open_query_encoder
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.errors import InputError
from splade_anserini.export import export
from splade_anserini.exporting.options import ExportOptions
from splade_anserini.modeling.published import load_document_checkpoint
from tests.shared_models import SharedModels
from tests.tiny import SENTENCES, tiny_checkpoint, tiny_vocabulary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("sentence_transformers") is None, reason="sentence-transformers, of the extra `bench`, is missing"
    ),
]

WORDS = [token for token in tiny_vocabulary() if token.isalpha()]
EMPTY = ["", "   ", "\t\n", "\u200b"]
TEXTS = [
    *SENTENCES,
    *EMPTY,
    *[" ".join(WORDS[start::37]) for start in range(20)],
    " ".join(WORDS * 3),
    "😀 headache 😀",
    "😀",
    "中文",
    "中文 日本 headache",
    "Headache HEADACHE headache",
    "naïve STRASSE straße",
    "[CLS] headache [SEP]",
    "unwörd ünknown headache",
    "headaches; searching, ranking.",
    *[f"query number {number}" for number in range(7)],
    "what is\nthe cause\tof a headache ?",
]
"""Fifty texts: empty, long, in several scripts, with unknown words."""


def test_there_are_fifty_texts() -> None:
    assert len(TEXTS) == 50


type Make = Callable[[Path], Any]
"""A function from the directory of a checkpoint to a SparseEncoder."""


def transformer(checkpoint: Path, **settings: Any) -> Any:
    from sentence_transformers.base.modules import Transformer

    return Transformer(str(checkpoint), transformer_task="fill-mask", **settings)


def splade(pooling: Any = "max", activation: Any = "relu", settings: Any = None, **arguments: Any) -> Make:
    def make(checkpoint: Path) -> Any:
        from sentence_transformers import SparseEncoder
        from sentence_transformers.sparse_encoder.modules import SpladePooling

        modules = [transformer(checkpoint, **settings or {}), SpladePooling(pooling, activation)]
        return SparseEncoder(modules=modules, device="cpu", **arguments)

    return make


def static(tokenizer: Any, weights: str = "random") -> Any:
    import torch
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

    size = len(tokenizer.get_vocab())
    values = torch.rand(size, generator=torch.Generator().manual_seed(1)) if weights == "random" else None
    return SparseStaticEmbedding(tokenizer, weight=values)


def routed(
    *, queries: str, pooling: Any = "max", activation: Any = "relu", settings: Any = None, **arguments: Any
) -> Make:
    def make(checkpoint: Path) -> Any:
        from sentence_transformers import SparseEncoder
        from sentence_transformers.base.modules import Router
        from sentence_transformers.sparse_encoder.modules import SpladePooling

        model = transformer(checkpoint, **settings or {})
        routes: dict[str, list[Any]] = {
            "random": [static(model.tokenizer)],
            "ones": [static(model.tokenizer, "ones")],
            "own tokens": [model, SpladePooling(pooling, activation), static(model.tokenizer)],
            "two models": [transformer(tiny_checkpoint(checkpoint.parent / "other", seed=1)), SpladePooling("max")],
            "other pooling": [model, SpladePooling("sum" if pooling == "max" else "max")],
        }
        router = Router.for_query_document(routes[queries], [model, SpladePooling(pooling, activation)])
        return SparseEncoder(modules=[router], device="cpu", **arguments)

    return make


def mapped(checkpoint: Path) -> Any:
    """Return an encoder whose routes have other names, and whose mappings name them."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    model = transformer(checkpoint)
    router = Router(
        {"first": [model], "second": [transformer(tiny_checkpoint(checkpoint.parent / "other", seed=1))]},
        route_mappings={("query", None): "second", (None, "text"): "first"},
    )
    return SparseEncoder(modules=[router, SpladePooling("sum", "log1p_relu")], device="cpu")


LENGTHS = {"processor_kwargs": {"model_max_length": 12}}
LAYOUTS: dict[str, Make] = {
    "max, relu": splade(),
    "max, log1p_relu": splade("max", "log1p_relu"),
    "sum, relu": splade("sum"),
    "sum, log1p_relu": splade("sum", "log1p_relu"),
    "a short model": splade(settings=LENGTHS),
    "short queries": splade(settings={"query_length": 8, "document_length": 20}),
    "prompts": splade(prompts={"query": "search query: ", "document": "text: "}),
    "prompts and a short model": splade("sum", settings=LENGTHS, prompts={"query": "search: "}),
    "other prompts": splade(prompts={"passage": "the text ", "x": "y"}, default_prompt_name="x"),
    "lower case": splade(settings={"do_lower_case": True}),
    "few active entries": splade(max_active_dims=5),
    "static queries": routed(queries="random"),
    "static queries, log1p_relu, prompts": routed(
        queries="random", activation="log1p_relu", prompts={"query": "search ", "document": "text "}
    ),
    "static queries, few active entries": routed(queries="random", max_active_dims=3),
    "short static queries": routed(queries="random", settings={"processor_kwargs": {"model_max_length": 6}}),
    "static queries of weight 1": routed(queries="ones"),
    "queries of their own tokens": routed(queries="own tokens", prompts={"query": "search "}),
    "two models": routed(queries="two models", pooling="sum", activation="log1p_relu"),
    "one model, two poolings": routed(queries="other pooling", pooling="sum"),
    "route mappings": mapped,
}


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Return the name of a layout and the directory that sentence-transformers saved it in."""
    home = tmp_path_factory.mktemp("layout")
    LAYOUTS[request.param](tiny_checkpoint(home / "checkpoint")).save_pretrained(str(home / "saved"))
    return request.param, home / "saved"


def reference(directory: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Return the vectors [texts, vocabulary] of documents and queries by sentence-transformers."""
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(str(directory), device="cpu")
    limit = model.max_active_dims
    model.max_active_dims = None
    vectors = {
        "documents": model.encode_document(TEXTS, convert_to_sparse_tensor=False).numpy(),
        "queries": model.encode_query(TEXTS, convert_to_sparse_tensor=False).numpy(),
    }
    return {side: limited(masked(rows), limit) for side, rows in vectors.items()}


def masked(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    tokens = tiny_vocabulary()
    rows[:, [tokens.index(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]] = 0
    rows[[TEXTS.index(text) for text in EMPTY]] = 0
    return rows


def limited(rows: npt.NDArray[np.float32], limit: int | None) -> npt.NDArray[np.float32]:
    """Return the rows with their greatest entries: masked entries take none of the places."""
    for row in rows if limit else ():
        row[np.argsort(-row, kind="stable")[limit:]] = 0
    return rows


def ours(encoder: Encoder) -> npt.NDArray[np.float32]:
    """Return the vectors [texts, vocabulary] by an encoder of this package."""
    tokens = {token: index for index, token in enumerate(tiny_vocabulary())}
    rows = np.zeros((len(TEXTS), len(tokens)), dtype=np.float32)
    for row, vector in zip(rows, encoder.encode(TEXTS), strict=True):
        for token, weight in vector.items():
            row[tokens[token]] = weight
    return rows


def assert_equal(actual: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], bound: float) -> None:
    difference = np.abs(actual - expected) / np.maximum(expected, 1)
    assert difference.max() < bound
    assert (expected > 0).any()


def test_vectors_are_those_of_sentence_transformers_in_torch_and_exported(
    layout: tuple[str, Path], tmp_path: Path, shared_models: SharedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, directory = layout
    expected = reference(directory)
    bound = 1e-4 if "sum" in name or name in {"two models", "route mappings", "one model, two poolings"} else 1e-5
    assert_equal(ours(open_encoder(directory)), expected["documents"], bound)
    assert_equal(ours(open_query_encoder(directory)), expected["queries"], bound)
    if name == "queries of their own tokens":
        with pytest.raises(InputError, match="limits vectors to the tokens of the text"):
            export(load_document_checkpoint(directory), tmp_path / "onnx", ExportOptions(), SENTENCES)
        return
    shared_models.reuse_traces(monkeypatch)
    export(load_document_checkpoint(directory), tmp_path / "onnx", ExportOptions(), SENTENCES)
    assert_equal(ours(open_encoder(tmp_path / "onnx")), expected["documents"], 1e-4)
    assert_equal(ours(open_query_encoder(tmp_path / "onnx")), expected["queries"], 1e-4)


def to_hub_layout(directory: Path) -> None:
    """Move the documents' model of a Router to the main directory, as inference-free models are on the Hub."""
    for file in (directory / "document_0_Transformer").iterdir():
        shutil.move(file, directory / file.name)
    path = directory / "router_config.json"
    path.write_text(path.read_text().replace('"document_0_Transformer"', '""'))
    path = directory / "modules.json"
    path.write_text(path.read_text().replace("base.modules.router.Router", "models.Router"))


def weights_as_json(directory: Path) -> None:
    """Write the static weights of queries as idf.json in the main directory."""
    from safetensors.numpy import load_file

    static = directory / "query_0_SparseStaticEmbedding"
    weights = load_file(static / "model.safetensors")["weight"].tolist()
    (static / "model.safetensors").unlink()
    (static / "config.json").write_text(json.dumps({"frozen": True, "path": "idf.json"}))
    (directory / "idf.json").write_text(json.dumps(dict(zip(tiny_vocabulary(), weights, strict=True))))


def to_older_names(directory: Path) -> None:
    """Give modules and settings the names that they had in version 5.0."""
    path = directory / "modules.json"
    modules = json.loads(path.read_text())
    for module, kind in zip(modules, ("MLMTransformer", "SpladePooling"), strict=True):
        module["type"] = f"sentence_transformers.sparse_encoder.models.{kind}"
    path.write_text(json.dumps(modules))
    settings = {"max_seq_length": 12, "do_lower_case": False}
    (directory / "sentence_bert_config.json").write_text(json.dumps(settings))
    pooling = {"pooling_strategy": "max", "activation_function": "log1p_relu", "word_embedding_dimension": 374}
    (directory / "1_SpladePooling" / "config.json").write_text(json.dumps(pooling))


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (routed(queries="random", activation="log1p_relu"), [to_hub_layout]),
        (routed(queries="random"), [to_hub_layout, weights_as_json]),
        (splade(), [to_older_names]),
    ],
    ids=["as on the Hub", "with idf.json", "with older names"],
)
def test_vectors_of_layouts_that_this_version_does_not_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make, changes: list[Callable[[Path], None]]
) -> None:
    make(tiny_checkpoint(tmp_path / "checkpoint")).save_pretrained(str(tmp_path / "saved"))
    for change in changes:
        change(tmp_path / "saved")
    monkeypatch.chdir(tmp_path / "saved")  # sentence-transformers looks for idf.json there
    expected = reference(tmp_path / "saved")
    assert_equal(ours(open_encoder(tmp_path / "saved")), expected["documents"], 1e-5)
    assert_equal(ours(open_query_encoder(tmp_path / "saved")), expected["queries"], 1e-5)


def test_an_encoder_of_features_is_refused_by_name(tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder

    checkpoint = tiny_checkpoint(tmp_path / "checkpoint")
    modules = [Transformer(str(checkpoint)), Pooling(32), SparseAutoEncoder(32, hidden_dim=64, k=4, k_aux=8)]
    SparseEncoder(modules=modules, device="cpu").save_pretrained(str(tmp_path / "saved"))
    with pytest.raises(InputError, match="the module SparseAutoEncoder, which is not supported"):
        open_encoder(tmp_path / "saved")
