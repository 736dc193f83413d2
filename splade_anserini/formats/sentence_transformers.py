"""How a sparse encoder of sentence-transformers encodes, read from the JSON files that it is published with.

The description is that of `SparseEncoder.encode_document` and `encode_query` in sentence-transformers 6.2. What this
package cannot compute as they do is refused by name.
"""

import ast
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from posixpath import join
from typing import Any, Literal

from splade_anserini.errors import InputError
from splade_anserini.formats.model_files import ModelFiles
from splade_anserini.records import Activation, Aggregation, QuerySide, Side, StrPath

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"

UNLIMITED = 2**31
"""The maximum length of a model whose files set none; the model itself may read fewer tokens."""

_TRANSFORMER_SETTINGS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
"""The file with the settings of a transformer, and the names that it had before."""

_TEXT_TO_LOGITS = {"text": {"method": "forward", "method_output_name": "logits"}}

_HARMLESS_LOADING = frozenset(
    {
        *("attn_implementation", "device_map", "dtype", "low_cpu_mem_usage", "torch_dtype", "trust_remote_code"),
        *("use_cache", "use_safetensors"),
    }
)
"""Arguments of a model's loading that change its speed, its memory, or the rounding of its weights."""

_HARMLESS_PROCESSING = frozenset({"model_max_length", "trust_remote_code"})
"""Arguments of a tokenizer's loading that this package heeds, or that change nothing."""

_REASONS = {
    "SparseAutoEncoder": "The entries of its vectors are features without names, and an impact index holds tokens.",
    "CSRSparsity": "The entries of its vectors are features without names, and an impact index holds tokens.",
}


@dataclass(frozen=True, slots=True)
class SpladeDescription:
    """A masked-language model whose activated logits are pooled."""

    subfolder: str
    """The directory of the model inside the encoder, "" for its own."""
    pooling: Literal["max", "sum"]
    activation: Activation
    pooling_file: str
    """The file that says pooling and activation."""
    max_length: int
    """Tokens that are read, special tokens included."""
    lower_case: bool = False
    """Whether texts are lower-cased before the tokenizer's own normalization."""
    token_weights: str = ""
    """The file with the factors of a text's own tokens; other entries are 0. "": all entries stay as they are."""

    @property
    def aggregation(self) -> Aggregation:
        """Pooling and activation together."""
        return Aggregation(self.pooling, self.activation)


@dataclass(frozen=True, slots=True)
class StaticDescription:
    """A fixed weight for each token of a text: `SparseStaticEmbedding`."""

    subfolder: str
    """The directory of the tokenizer."""
    weights: str
    """The file with the weights: .safetensors, .bin, or .json (token → weight)."""
    max_length: int
    """Tokens that are read, without special tokens."""


@dataclass(frozen=True, slots=True)
class SparseEncoderDescription:
    """A `SparseEncoder`: what encodes documents, what encodes queries, and the text before each of them."""

    documents: SpladeDescription
    queries: SpladeDescription | StaticDescription
    prompt: str = ""
    query_prompt: str = ""
    max_active_dims: int | None = None
    """Entries that a vector may have; the greatest weights stay."""

    @property
    def sides(self) -> tuple[SpladeDescription | StaticDescription, ...]:
        """What encodes documents, and what encodes queries."""
        return self.documents, self.queries

    @property
    def query_side(self) -> QuerySide:
        """What encodes queries, in the words of this package."""
        if isinstance(self.queries, StaticDescription):
            return "idf"
        same = replace(self.queries, max_length=self.documents.max_length, pooling_file=self.documents.pooling_file)
        return "splade" if same == self.documents else "separate"


def read_description(name: StrPath) -> SparseEncoderDescription | None:
    """Read the description of a Hugging Face id or directory; None when it has no modules.json.

    Raises `InputError` when a file is invalid, when the encoder has a module, pooling, activation or setting that this
    package does not compute as sentence-transformers does, and when the Hub cannot be asked.
    """
    files = ModelFiles(name)
    modules = files.json(MODULES)
    if modules is None:
        return None
    return _Reader(files).description(_modules(files.name, modules))


@dataclass(frozen=True, slots=True)
class _Module:
    type: str
    path: str

    @property
    def name(self) -> str:
        """The class, under its present name."""
        name = self.type.rpartition(".")[2]
        return {"MLMTransformer": "Transformer", "Asym": "Router", "IDF": "SparseStaticEmbedding"}.get(name, name)

    @property
    def is_masked_language_model_by_default(self) -> bool:
        return self.type.endswith(".MLMTransformer")


def _modules(name: str, content: object) -> list[_Module]:
    try:
        entries = sorted(content, key=lambda entry: entry.get("idx", 0))  # type: ignore[call-overload]
        return [_Module(str(entry["type"]), str(entry["path"])) for entry in entries]
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{name}: {MODULES} is not a list of modules.",
            expected='such as [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.…"}]',
        ) from error


class _Reader:
    def __init__(self, files: ModelFiles) -> None:
        self._files = files

    def description(self, modules: list[_Module]) -> SparseEncoderDescription:
        settings = self._files.json_object(SETTINGS) or {}
        document_route, query_route = (self._route(modules, task) for task in ("document", "query"))
        self._check_kind(settings, document_route)
        documents, queries = self._side(document_route, "document"), self._side(query_route, "query")
        if isinstance(documents, StaticDescription):
            raise self._refusal(
                "encodes documents with SparseStaticEmbedding",
                expected="a transformer with SpladePooling for documents",
            )
        prompts = self._prompts(settings)
        return SparseEncoderDescription(
            documents, queries, prompts["document"], prompts["query"], self._max_active_dims(settings)
        )

    # Settings of the whole encoder.

    def _check_kind(self, settings: Mapping[str, Any], route: list[_Module]) -> None:
        kind = settings.get("model_type")
        names = [module.name for module in route]
        if "Pooling" in names and not {"SparseAutoEncoder", "CSRSparsity"} & set(names):
            raise self._refusal(
                f"is a dense sentence encoder ({', '.join(names)})",
                expected="a sparse encoder",
                do="To make a sparse encoder of it, run splade-anserini warm-start.",
            )
        if kind not in {None, "SparseEncoder"}:
            raise self._refusal(f'is of the type "{kind}", says {SETTINGS}', expected='the type "SparseEncoder"')
        similarity = settings.get("similarity_fn_name")
        if similarity not in {None, "dot"}:
            raise self._refusal(
                f'compares vectors by similarity_fn_name "{similarity}", says {SETTINGS}',
                expected='"dot": the score of an impact index is the dot product',
            )

    def _prompts(self, settings: Mapping[str, Any]) -> dict[Side, str]:
        """Return the prompts of documents and queries.

        The other names of prompts, and the default prompt, are not used by `encode_document` and `encode_query`.
        """
        saved = settings.get("prompts") or {}
        if not isinstance(saved, dict) or not all(isinstance(prompt, str | None) for prompt in saved.values()):
            raise self._refusal(f"has the prompts {saved!r} in {SETTINGS}", expected="strings, by their names")
        default = settings.get("default_prompt_name")
        if default is not None and default not in {"document", "query", *saved}:
            raise self._refusal(
                f'has the default prompt "{default}", which {SETTINGS} does not contain',
                expected=f"one of {', '.join(map(repr, saved)) or 'no prompts'}",
            )
        return {"document": saved.get("document") or "", "query": saved.get("query") or ""}

    def _max_active_dims(self, settings: Mapping[str, Any]) -> int | None:
        count = settings.get("max_active_dims")
        if count is not None and (type(count) is not int or count < 1):
            raise self._refusal(f"has max_active_dims {count!r} in {SETTINGS}", expected="a number above 0")
        return count

    # Which modules encode a text.

    def _route(self, modules: list[_Module], task: Side) -> list[_Module]:
        """Return the modules that encode the texts of a task, with routers replaced by the modules of their route."""
        route: list[_Module] = []
        for module in modules:
            route += self._routed(module, task) if module.name == "Router" else [module]
        return route

    def _routed(self, router: _Module, task: Side) -> list[_Module]:
        file = join(router.path, "router_config.json")
        config = self._files.json_object(file)
        if config is None:
            file = join(router.path, "config.json")
            config = self._files.json_object(file) or {}
        try:
            types, structure, parameters = config["types"], config["structure"], config.get("parameters", {})
            routes = {
                name: [_Module(str(types[module]), join(router.path, module)) for module in modules]
                for name, modules in structure.items()
            }
            mappings = {ast.literal_eval(key): str(to) for key, to in (parameters.get("route_mappings") or {}).items()}
        except (AttributeError, KeyError, SyntaxError, TypeError, ValueError) as error:
            raise self._refusal(
                f"has a Router that {file} does not describe", expected='its "types", "structure" and "parameters"'
            ) from error
        keys = [(task, "text"), (task, None), (None, "text"), (None, None)]
        chosen = next((mappings[key] for key in keys if key in mappings), None)
        chosen = chosen or next((name for name in (task, "text") if name in routes), None)
        if chosen not in routes:
            raise self._refusal(
                f"has no route for the task {task!r}: the routes in {file} are {', '.join(map(repr, routes))}",
                expected="a route for documents and one for queries",
            )
        return self._route(routes[chosen], task)

    def _side(self, route: list[_Module], task: Side) -> SpladeDescription | StaticDescription:
        """Return what the modules of a task compute."""
        for module in route:
            if not module.type.startswith("sentence_transformers."):
                raise self._refusal(
                    f"encodes a {task} with the module {module.type}, which is code of its own",
                    expected="modules of sentence-transformers",
                )
        match [module.name for module in route]:
            case ["Transformer", "SpladePooling"]:
                return self._splade(route[0], route[1], task)
            case ["Transformer", "SpladePooling", "SparseStaticEmbedding"]:
                weights = self._static(route[2].path).weights
                return replace(self._splade(route[0], route[1], task), token_weights=weights)
            case ["SparseStaticEmbedding"]:
                return self._static(route[0].path)
            case names:
                known = {"Transformer", "SpladePooling", "SparseStaticEmbedding"}
                unknown = next((name for name in names if name not in known and name != "Pooling"), None)
                reason = _REASONS.get(unknown or "")
                problem = f"the module {unknown}" if unknown else f"the modules {', '.join(names) or '(none)'}"
                raise self._refusal(
                    f"encodes a {task} with {problem}, which is not supported",
                    expected="Transformer and SpladePooling, SparseStaticEmbedding for queries, or all three",
                    do=reason or "",
                )

    # Modules.

    def _splade(self, transformer: _Module, pooling: _Module, task: Side) -> SpladeDescription:
        file = join(pooling.path, "config.json")
        config = self._files.json_object(file) or {}
        strategy, activation = config.get("pooling_strategy", "max"), config.get("activation_function", "relu")
        if strategy not in {"max", "sum"}:
            raise self._refusal(f'has the pooling_strategy "{strategy}" in {file}', expected='"max" or "sum"')
        if activation not in {"relu", "log1p_relu"}:
            raise self._refusal(
                f'has the activation_function "{activation}" in {file}', expected='"relu" or "log1p_relu"'
            )
        # The chunk size changes memory only.
        known = {"pooling_strategy", "activation_function", "embedding_dimension", "word_embedding_dimension"}
        self._check_keys(file, config, {*known, "chunk_size"})
        settings_file, settings = self._transformer_settings(transformer.path)
        self._check_transformer(settings_file, settings, transformer)
        return SpladeDescription(
            subfolder=transformer.path.strip("/"),
            pooling=strategy,
            activation=activation,
            pooling_file=file,
            max_length=self._model_length(settings_file, settings, transformer.path, task),
            lower_case=settings.get("do_lower_case") is True,
        )

    def _transformer_settings(self, path: str) -> tuple[str, dict[str, Any]]:
        for name in _TRANSFORMER_SETTINGS:
            if settings := self._files.json_object(join(path, name)):
                return join(path, name), settings
        return join(path, _TRANSFORMER_SETTINGS[0]), {}

    def _check_transformer(self, file: str, settings: Mapping[str, Any], module: _Module) -> None:
        task = settings.get("transformer_task")
        if task != "fill-mask" and not (task is None and module.is_masked_language_model_by_default):
            raise self._refusal(
                f'has the transformer_task "{task or "feature-extraction"}" in {file}, before SpladePooling',
                expected='"fill-mask": the logits of a masked-language-model head',
            )
        expected: dict[str, Any] = {
            "modality_config": _TEXT_TO_LOGITS,
            "module_output_name": "token_embeddings",
            **dict.fromkeys(("processing_kwargs", "query_expansion", "tokenizer_name_or_path")),
        }
        for key, value in expected.items():
            if settings.get(key) and settings[key] != value:
                raise self._refusal(
                    f"has {key} {settings[key]!r} in {file}, which is not supported",
                    expected=f"{value!r}" if value else f"no {key}",
                )
        lengths = {"max_seq_length", "query_length", "document_length"}
        arguments = {
            **dict.fromkeys(("model_args", "model_kwargs", "config_args", "config_kwargs"), _HARMLESS_LOADING),
            **dict.fromkeys(("tokenizer_args", "processor_kwargs"), _HARMLESS_PROCESSING),
        }
        self._check_keys(
            file, settings, {*expected, *lengths, *arguments, "transformer_task", "do_lower_case", "unpad_inputs"}
        )
        for key, allowed in arguments.items():
            self._check_keys(f"{key} of {file}", settings.get(key) or {}, allowed)

    def _check_keys(self, file: str, content: Mapping[str, Any], known: Set[str]) -> None:
        if unknown := sorted(set(content) - known):
            raise self._refusal(
                f"has the setting {unknown[0]} in {file}, which is not supported",
                expected=f"at most {', '.join(sorted(known))}",
            )

    def _model_length(self, file: str, settings: Mapping[str, Any], path: str, task: Side) -> int:
        arguments = settings.get("processor_kwargs") or settings.get("tokenizer_args") or {}
        tokenizer = self._tokenizer_length(path)
        stated = (
            settings.get(f"{task}_length"),
            arguments.get("model_max_length"),
            settings.get("max_seq_length"),
        )
        length = next((length for length in stated if length is not None), None)
        if length is None:
            positions = (self._files.json_object(join(path, "config.json")) or {}).get("max_position_embeddings")
            return min(tokenizer, positions if isinstance(positions, int) and positions > 0 else UNLIMITED)
        if type(length) is not int or length < 3:
            raise self._refusal(f"reads {length!r} tokens of a text, says {file}", expected="a number of at least 3")
        return length

    def _tokenizer_length(self, path: str) -> int:
        """Return the length at which the tokenizer truncates. Raises `InputError` if it truncates on the left."""
        file = join(path, "tokenizer_config.json")
        config = self._files.json_object(file) or {}
        for key in ("truncation_side", "padding_side"):
            if config.get(key, "right") != "right":
                raise self._refusal(f'has the {key} "{config[key]}" in {file}', expected='"right"')
        length = config.get("model_max_length")
        return int(min(length, UNLIMITED)) if isinstance(length, int | float) else UNLIMITED

    def _static(self, path: str) -> StaticDescription:
        file = join(path, "config.json")
        config = self._files.json_object(file) or {}
        self._check_keys(file, config, {"frozen", "path"})
        named = config.get("path")
        if isinstance(named, str) and named.endswith(".json"):
            candidates = [join(path, named), named, join(path, named.rpartition("/")[2]), named.rpartition("/")[2]]
            candidates = [candidate for candidate in candidates if not candidate.startswith("/")]
        else:
            candidates = [join(path, name) for name in ("model.safetensors", "pytorch_model.bin")]
        weights = next((candidate for candidate in candidates if self._files.path(candidate)), None)
        if weights is None:
            raise self._refusal(
                f"has no weights of SparseStaticEmbedding in {path or 'its directory'}",
                expected=" or ".join(dict.fromkeys(candidates)),
            )
        return StaticDescription(path.strip("/"), weights, self._tokenizer_length(path))

    def _refusal(self, problem: str, *, expected: str = "", do: str = "") -> InputError:
        return InputError(f"{self._files.name} {problem}.", expected=expected, do=do)
