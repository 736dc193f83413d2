"""The description of a sparse encoder of sentence-transformers: what its files say, and what is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from splade_anserini.errors import InputError
from splade_anserini.formats import model_files
from splade_anserini.formats.model_files import ModelFiles
from splade_anserini.formats.sentence_transformers import (
    UNLIMITED,
    SparseEncoderDescription,
    SpladeDescription,
    StaticDescription,
    read_description,
)

MODULES = "sentence_transformers.base.modules"
SPARSE = "sentence_transformers.sparse_encoder.modules"
POOLING = {"pooling_strategy": "sum", "activation_function": "log1p_relu", "embedding_dimension": 30522}
FILL_MASK = {"transformer_task": "fill-mask", "max_seq_length": 128}


def modules(*types: str, paths: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    places = paths or ("", *(f"{index}_{kind.rpartition('.')[2]}" for index, kind in enumerate(types) if index))
    return [{"idx": index, "name": str(index), "path": places[index], "type": kind} for index, kind in enumerate(types)]


SPLADE = modules(f"{MODULES}.transformer.Transformer", f"{SPARSE}.splade_pooling.SpladePooling")
ROUTER = modules(f"{MODULES}.router.Router")


def write(directory: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return directory


def splade_files(**changes: Any) -> dict[str, Any]:
    return {
        "modules.json": SPLADE,
        "sentence_bert_config.json": FILL_MASK,
        "1_SpladePooling/config.json": POOLING,
        **{name: content for name, content in changes.items() if content is not None},
    }


def described(directory: Path, files: dict[str, Any]) -> SparseEncoderDescription:
    description = read_description(write(directory, files))
    assert description is not None
    return description


def settings(**values: Any) -> dict[str, Any]:
    return {"config_sentence_transformers.json": {"model_type": "SparseEncoder", "prompts": {}} | values}


def router(routes: dict[str, list[str]], **parameters: Any) -> dict[str, Any]:
    kinds = {
        "SparseStaticEmbedding": f"{SPARSE}.sparse_static_embedding.SparseStaticEmbedding",
        "SpladePooling": f"{SPARSE}.splade_pooling.SpladePooling",
        "Transformer": f"{MODULES}.transformer.Transformer",
    }
    names = [name for route in routes.values() for name in route]
    types = {name: kinds[name.rpartition("_")[2] or "Transformer"] for name in names}
    return {"types": types, "structure": routes, "parameters": {"default_route": "document", **parameters}}


def router_files(routes: dict[str, list[str]], **parameters: Any) -> dict[str, Any]:
    names = [name for route in routes.values() for name in route]
    contents = {
        "SparseStaticEmbedding": {"config.json": {"frozen": True}, "model.safetensors": "weights"},
        "SpladePooling": {"config.json": POOLING},
        "Transformer": {"sentence_bert_config.json": FILL_MASK},
    }
    files = {
        f"{name}/{file}".removeprefix("/"): content
        for name in names
        for file, content in contents[name.rpartition("_")[2] or "Transformer"].items()
    }
    return {"modules.json": ROUTER, "router_config.json": router(routes, **parameters), **files}


STATIC_ROUTES = {
    "query": ["query_0_SparseStaticEmbedding"],
    "document": ["document_0_Transformer", "document_1_SpladePooling"],
}


def test_a_model_without_modules_has_no_description(tmp_path: Path) -> None:
    assert read_description(write(tmp_path, {"config.json": {}})) is None


def test_pooling_activation_and_length_of_one_model_for_both_sides(tmp_path: Path) -> None:
    side = SpladeDescription("", "sum", "log1p_relu", "1_SpladePooling/config.json", 128)
    assert described(tmp_path, splade_files()) == SparseEncoderDescription(side, side)


@pytest.mark.parametrize(
    "types",
    [
        (
            "sentence_transformers.sparse_encoder.models.MLMTransformer",
            "sentence_transformers.sparse_encoder.models.SpladePooling",
        ),
        (f"{SPARSE}.mlm_transformer.MLMTransformer", f"{SPARSE}.SpladePooling"),
    ],
)
def test_older_names_of_modules_and_settings(tmp_path: Path, types: tuple[str, str]) -> None:
    older = {
        "modules.json": modules(*types),
        "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": True},
        "1_SpladePooling/config.json": {"pooling_strategy": "max", "word_embedding_dimension": 30522},
    }
    side = SpladeDescription("", "max", "relu", "1_SpladePooling/config.json", 64, lower_case=True)
    assert described(tmp_path, older).documents == side


def test_absent_settings_have_the_defaults_of_sentence_transformers(tmp_path: Path) -> None:
    older = modules("sentence_transformers.sparse_encoder.models.MLMTransformer", SPLADE[1]["type"])
    side = described(tmp_path, {"modules.json": older}).documents
    assert (side.pooling, side.activation, side.max_length) == ("max", "relu", UNLIMITED)


@pytest.mark.parametrize(
    ("files", "document_length", "query_length"),
    [
        ({"sentence_bert_config.json": {"transformer_task": "fill-mask", "max_seq_length": 100}}, 100, 100),
        (
            {"sentence_bert_config.json": {"transformer_task": "fill-mask", "query_length": 16, "max_seq_length": 99}},
            99,
            16,
        ),
        ({"sentence_bert_config.json": {"transformer_task": "fill-mask", "document_length": 300}}, 300, 200),
        (
            {
                "sentence_bert_config.json": {
                    "transformer_task": "fill-mask",
                    "processor_kwargs": {"model_max_length": 7},
                }
            },
            7,
            7,
        ),
        ({"sentence_bert_config.json": {"transformer_task": "fill-mask"}}, 200, 200),
        (
            {
                "sentence_bert_config.json": {"transformer_task": "fill-mask"},
                "config.json": {"max_position_embeddings": 150},
            },
            150,
            150,
        ),
    ],
)
def test_the_maximum_length_is_that_of_the_task_else_of_the_model_else_of_the_tokenizer(
    tmp_path: Path, files: dict[str, Any], document_length: int, query_length: int
) -> None:
    tokenizer = {"tokenizer_config.json": {"model_max_length": 200}}
    description = described(tmp_path, splade_files(**(tokenizer | files)))
    assert description.documents.max_length == document_length
    assert description.queries.max_length == query_length


def test_a_tokenizer_without_a_limit_sets_none(tmp_path: Path) -> None:
    files = splade_files(
        **{
            "sentence_bert_config.json": {"transformer_task": "fill-mask"},
            "tokenizer_config.json": {"model_max_length": 1000000000000000019884624838656},
        }
    )
    assert described(tmp_path, files).documents.max_length == UNLIMITED


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ({"query": "search: ", "document": "text: "}, ("text: ", "search: ")),
        ({"query": None}, ("", "")),
        # SparseEncoder has a document prompt of its own, which is empty: it never looks at this one.
        ({"passage": "text: ", "other": "x"}, ("", "")),
    ],
)
def test_prompts_are_those_of_documents_and_queries(
    tmp_path: Path, prompts: dict[str, Any], expected: tuple[str, str]
) -> None:
    description = described(tmp_path, splade_files() | settings(prompts=prompts, default_prompt_name=None))
    assert (description.prompt, description.query_prompt) == expected


def test_the_number_of_active_entries_may_be_limited(tmp_path: Path) -> None:
    assert described(tmp_path, splade_files() | settings(max_active_dims=32)).max_active_dims == 32


class TestRouter:
    def test_queries_with_static_weights_as_they_are_saved(self, tmp_path: Path) -> None:
        tokenizer = {"query_0_SparseStaticEmbedding/tokenizer_config.json": {"model_max_length": 512}}
        description = described(tmp_path, router_files(STATIC_ROUTES) | tokenizer)
        assert description.documents == SpladeDescription(
            "document_0_Transformer", "sum", "log1p_relu", "document_1_SpladePooling/config.json", 128
        )
        weights = "query_0_SparseStaticEmbedding/model.safetensors"
        assert description.queries == StaticDescription("query_0_SparseStaticEmbedding", weights, 512)

    def test_a_documents_model_in_the_main_directory_as_on_the_hub(self, tmp_path: Path) -> None:
        routes = {"query": ["query_0_SparseStaticEmbedding"], "document": ["", "document_1_SpladePooling"]}
        files = router_files(routes) | {"config.json": {"model_type": "distilbert"}}
        assert described(tmp_path, files).documents.subfolder == ""

    @pytest.mark.parametrize(
        ("config", "file", "weights"),
        [
            ({"path": "idf.json"}, "idf.json", "idf.json"),
            ({"path": "idf.json"}, "query_0_SparseStaticEmbedding/idf.json", "query_0_SparseStaticEmbedding/idf.json"),
            ({"path": "/home/someone/idf.json"}, "idf.json", "idf.json"),
            (
                {"frozen": False},
                "query_0_SparseStaticEmbedding/pytorch_model.bin",
                "query_0_SparseStaticEmbedding/pytorch_model.bin",
            ),
        ],
    )
    def test_static_weights_in_other_files(
        self, tmp_path: Path, config: dict[str, Any], file: str, weights: str
    ) -> None:
        files = router_files(STATIC_ROUTES)
        del files["query_0_SparseStaticEmbedding/model.safetensors"]
        files |= {"query_0_SparseStaticEmbedding/config.json": config, file: "{}"}
        queries = described(tmp_path, files).queries
        assert isinstance(queries, StaticDescription)
        assert queries.weights == weights

    def test_two_models(self, tmp_path: Path) -> None:
        routes = {
            "query": ["query_0_Transformer", "query_1_SpladePooling"],
            "document": ["document_0_Transformer", "document_1_SpladePooling"],
        }
        description = described(tmp_path, router_files(routes))
        assert isinstance(description.queries, SpladeDescription)
        assert (description.documents.subfolder, description.queries.subfolder) == (
            "document_0_Transformer",
            "query_0_Transformer",
        )

    def test_queries_limited_to_their_own_tokens(self, tmp_path: Path) -> None:
        routes = STATIC_ROUTES | {"query": [*STATIC_ROUTES["document"], *STATIC_ROUTES["query"]]}
        description = described(tmp_path, router_files(routes))
        assert isinstance(description.queries, SpladeDescription)
        assert description.queries.token_weights == "query_0_SparseStaticEmbedding/model.safetensors"
        assert (description.documents.token_weights, description.query_side) == ("", "separate")

    @pytest.mark.parametrize(
        ("mappings", "document", "query"),
        [
            ({"('query', None)": "b", "(None, 'text')": "a"}, "a", "b"),
            ({"('query', 'text')": "a", "('query', None)": "b", "(None, None)": "b"}, "b", "a"),
            ({"(None, None)": "b"}, "b", "b"),
        ],
    )
    def test_route_mappings_are_followed(
        self, tmp_path: Path, mappings: dict[str, str], document: str, query: str
    ) -> None:
        routes = {name: [f"{name}_0_Transformer", f"{name}_1_SpladePooling"] for name in ("a", "b")}
        description = described(tmp_path, router_files(routes, route_mappings=mappings))
        assert isinstance(description.queries, SpladeDescription)
        assert description.documents.subfolder[0] == document
        assert description.queries.subfolder[0] == query

    def test_a_router_after_a_transformer_for_all(self, tmp_path: Path) -> None:
        routes = {"query": ["query_0_SpladePooling"], "document": ["document_0_SpladePooling"]}
        inner = {
            f"1_Router/{name}": content for name, content in router_files(routes).items() if name != "modules.json"
        }
        inner["1_Router/query_0_SpladePooling/config.json"] = {"pooling_strategy": "max"}
        files = {
            "modules.json": modules(SPLADE[0]["type"], ROUTER[0]["type"]),
            "sentence_bert_config.json": FILL_MASK,
            **inner,
        }
        description = described(tmp_path, files)
        assert isinstance(description.queries, SpladeDescription)
        assert (description.documents.pooling, description.queries.pooling) == ("sum", "max")

    def test_the_configuration_of_the_older_asym(self, tmp_path: Path) -> None:
        files = router_files(STATIC_ROUTES)
        files["config.json"] = files.pop("router_config.json")
        del files["config.json"]["parameters"]
        files["modules.json"] = modules("sentence_transformers.models.Asym")
        assert described(tmp_path, files).documents.pooling == "sum"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"router_config.json": {"types": {}}}, r"has a Router that router_config\.json does not describe"),
            (
                {"router_config.json": router({"text_query": STATIC_ROUTES["query"], "other": []})},
                r"has no route for the task 'document': the routes in router_config\.json are 'text_query', 'other'",
            ),
            (
                {"router_config.json": router({"query": STATIC_ROUTES["query"], "document": STATIC_ROUTES["query"]})},
                "encodes documents with SparseStaticEmbedding",
            ),
            (
                {"query_0_SparseStaticEmbedding/config.json": {"path": "absent.json"}},
                r"has no weights of SparseStaticEmbedding.*\nExpected query_0_SparseStaticEmbedding/absent.json",
            ),
            ({"query_0_SparseStaticEmbedding/config.json": {"kind": 2}}, "has the setting kind in query_0_Sparse"),
            (
                {
                    "router_config.json": router(
                        STATIC_ROUTES | {"query": [*STATIC_ROUTES["query"], *STATIC_ROUTES["document"]]}
                    )
                },
                "encodes a query with the modules SparseStaticEmbedding, Transformer, SpladePooling",
            ),
        ],
    )
    def test_a_router_that_cannot_be_followed_is_refused(
        self, tmp_path: Path, changes: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            read_description(write(tmp_path, router_files(STATIC_ROUTES) | changes))


class TestRefused:
    @pytest.mark.parametrize(
        ("types", "message"),
        [
            (
                ("sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling"),
                r"is a dense sentence encoder \(Transformer, Pooling\)(.|\n)*warm-start",
            ),
            (
                (SPLADE[0]["type"], "sentence_transformers.models.Pooling", f"{SPARSE}.SparseAutoEncoder"),
                "the module SparseAutoEncoder, which is not supported(.|\n)*features without names",
            ),
            (
                (SPLADE[0]["type"], "sentence_transformers.models.Pooling", "sentence_transformers.x.CSRSparsity"),
                "the module CSRSparsity, which",
            ),
            ((SPLADE[0]["type"], SPLADE[1]["type"], f"{MODULES}.normalize.Normalize"), "the module Normalize, which"),
            ((SPLADE[0]["type"], SPLADE[1]["type"], f"{MODULES}.dense.Dense"), "the module Dense, which"),
            ((SPLADE[0]["type"],), "the modules Transformer, which"),
            (
                ("modeling_mine.MyTransformer", SPLADE[1]["type"]),
                r"the module modeling_mine\.MyTransformer, which is code of its own",
            ),
        ],
    )
    def test_other_modules_by_name(self, tmp_path: Path, types: tuple[str, ...], message: str) -> None:
        with pytest.raises(InputError, match=message):
            read_description(write(tmp_path, splade_files() | {"modules.json": modules(*types)}))

    @pytest.mark.parametrize(
        ("file", "content", "message"),
        [
            ("1_SpladePooling/config.json", POOLING | {"pooling_strategy": "mean"}, 'has the pooling_strategy "mean"'),
            (
                "1_SpladePooling/config.json",
                POOLING | {"activation_function": "elu"},
                'has the activation_function "elu" in 1_SpladePooling',
            ),
            ("1_SpladePooling/config.json", POOLING | {"topk": 9}, "has the setting topk in 1_SpladePooling"),
            ("1_SpladePooling/config.json", [], "is not a JSON object"),
            ("1_SpladePooling/config.json", "{", "is not valid JSON"),
            ("modules.json", {"a": 1}, "is not a list of modules"),
            ("modules.json", modules(SPLADE[0]["type"], SPLADE[1]["type"], paths=("", "../x")), "refers to the file"),
            (
                "sentence_bert_config.json",
                {"max_seq_length": 128},
                'has the transformer_task "feature-extraction" in sentence_bert_config',
            ),
            ("sentence_bert_config.json", FILL_MASK | {"max_seq_length": "all"}, "reads 'all' tokens of a text"),
            ("sentence_bert_config.json", FILL_MASK | {"query_expansion": {"length": 32}}, "has query_expansion"),
            ("sentence_bert_config.json", FILL_MASK | {"tokenizer_name_or_path": "x"}, "has tokenizer_name_or_path"),
            ("sentence_bert_config.json", FILL_MASK | {"processing_kwargs": {"text": {}}}, "has processing_kwargs"),
            ("sentence_bert_config.json", FILL_MASK | {"modality_config": {"message": {}}}, "has modality_config"),
            ("sentence_bert_config.json", FILL_MASK | {"window": 3}, "has the setting window in sentence_bert_config"),
            (
                "sentence_bert_config.json",
                FILL_MASK | {"model_kwargs": {"add_pooling_layer": True}},
                "has the setting add_pooling_layer in model_kwargs of sentence_bert_config",
            ),
            ("tokenizer_config.json", {"truncation_side": "left"}, 'has the truncation_side "left" in tokenizer_conf'),
            *(
                ("config_sentence_transformers.json", values, message)
                for values, message in [
                    ({"similarity_fn_name": "cosine"}, 'compares vectors by similarity_fn_name "cosine"'),
                    ({"model_type": "CrossEncoder"}, 'is of the type "CrossEncoder"'),
                    ({"prompts": {"query": 3}}, "has the prompts {'query': 3}"),
                    ({"default_prompt_name": "x"}, 'has the default prompt "x"'),
                    ({"max_active_dims": 0}, "has max_active_dims 0"),
                ]
            ),
        ],
    )
    def test_other_settings_by_name(self, tmp_path: Path, file: str, content: Any, message: str) -> None:
        files = splade_files() | {file: content}
        if file != "sentence_bert_config.json":
            files["sentence_bert_config.json"] = {"transformer_task": "fill-mask"}
        with pytest.raises(InputError, match=message):
            read_description(write(tmp_path, files))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the snapshot of the repository "somebody/sparse" in a cache of the Hub without a network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model_files._file_of_hub.cache_clear()
    repository = tmp_path / "models--somebody--sparse"
    write(repository, {"refs/main": "0123456789abcdef0123456789abcdef01234567"})
    snapshot = repository / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.mkdir(parents=True)
    return snapshot


class TestHub:
    def test_a_cached_repository_is_read(self, hub: Path) -> None:
        write(hub, splade_files() | settings() | {"tokenizer_config.json": {}, ".gitattributes": ""})
        description = read_description("somebody/sparse")
        assert description is not None
        assert description.documents.pooling == "sum"

    def test_a_repository_that_is_known_to_have_no_modules_has_no_description(self, hub: Path) -> None:
        write(hub, {"config.json": {}})
        (hub.parents[1] / ".no_exist" / hub.name).mkdir(parents=True)
        (hub.parents[1] / ".no_exist" / hub.name / "modules.json").touch()
        assert read_description("somebody/sparse") is None

    def test_a_repository_that_was_downloaded_whole_has_only_the_files_that_are_there(self, hub: Path) -> None:
        write(hub, {"config.json": {}, ".gitattributes": ""})
        assert read_description("somebody/sparse") is None

    def test_without_a_network_it_is_not_assumed_that_there_are_no_modules(self, hub: Path) -> None:
        write(hub, {"config.json": {}})
        with pytest.raises(
            InputError,
            match=r"somebody/sparse does not exist here(.|\n)*its modules.json(.|\n)*name the directory of a complete",
        ):
            read_description("somebody/sparse")

    @pytest.mark.usefixtures("hub")
    def test_a_host_without_an_address_is_not_asked_again_and_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unresolved(*_: object, **__: object) -> object:
            raise OSError("Name or service not known")

        def download(repository: str, file: str, *, local_files_only: bool) -> str:
            assert local_files_only
            raise LocalEntryNotFoundError(file)

        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            monkeypatch.delenv(name)
        monkeypatch.setattr("socket.getaddrinfo", unresolved)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
        model_files._hub_has_address.cache_clear()
        with pytest.raises(InputError, match="the name of its host cannot be resolved"):
            read_description("somebody/sparse")
        model_files._hub_has_address.cache_clear()

    def test_a_name_that_cannot_be_one_of_the_hub_is_refused(self) -> None:
        with pytest.raises(InputError, match="cannot be loaded from Hugging Face"):
            ModelFiles("no such name").path("modules.json")
