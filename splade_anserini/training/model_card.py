"""The README.md of a trained checkpoint: a model card as the Hugging Face Hub shows it."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from splade_anserini._version import __version__
from splade_anserini.artifacts.files import whole_file
from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.training_recipe import TrainingRecipe
from splade_anserini.records import DEFAULT_SCALE

README = "README.md"

_HUB_LICENSES = {
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense"),
    *("agpl-3.0", "gpl-2.0", "gpl-3.0", "lgpl-2.1", "lgpl-3.0", "mpl-2.0", "epl-2.0", "eupl-1.1"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0"),
    *("openrail", "bigscience-openrail-m"),
}
"""Licences that the Hub knows by these names; any other is `other` there, with a name."""

_QUERY_SIDES = {
    "splade": "the same model",
    "doc": "no model: each distinct token of a query has weight 1",
    "idf": "no model: each distinct token of a query has a learned weight, see `query_weights.json`",
    "separate": "a model of its own, in `query/`",
}


def write_model_card(
    directory: Path,
    card: EncoderCard,
    recipe: TrainingRecipe,
    data: Sequence[str],
    log: Sequence[Mapping[str, float]],
) -> None:
    """Write README.md. `data` are the names of the training data, `log` the lines of the run's log."""
    sections = [
        _front_matter(card, recipe),
        f"# {card.name}",
        card.description,
        f"A SPLADE encoder, trained with splade-anserini {__version__}: its vectors are sparse, over the vocabulary.",
        _properties(card, recipe, log),
        _use_here(card),
        _use_there(card, recipe),
        _training(recipe, data),
    ]
    with whole_file(directory / README) as file:
        file.write(("\n\n".join(sections) + "\n").encode())


def _front_matter(card: EncoderCard, recipe: TrainingRecipe) -> str:
    license_ = card.license.lower()
    fields: dict[str, Any] = {"license": license_} if license_ in _HUB_LICENSES else {"license": "other"}
    if license_ not in _HUB_LICENSES:
        fields["license_name"] = card.license
    bases = [name for name in (recipe.backbone, recipe.query_backbone) if name and _is_hub_id(name)]
    if bases:
        fields["base_model"] = list(dict.fromkeys(bases))
    fields["library_name"] = "sentence-transformers" if _opens_there(card) else "transformers"
    fields["pipeline_tag"] = "feature-extraction"
    tags = ["sparse-encoder", "sparse", "splade", "splade-anserini"]
    fields["tags"] = [*tags, "sentence-transformers"] if _opens_there(card) else tags
    # JSON values are YAML values too.
    return "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in fields.items()), "---"])


def _is_hub_id(name: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name)) and not Path(name).exists()


def _opens_there(card: EncoderCard) -> bool:
    """Say whether sentence-transformers opens the checkpoint: it has no pooling `norm`."""
    return card.pooling != "norm"


def _properties(card: EncoderCard, recipe: TrainingRecipe, log: Sequence[Mapping[str, float]]) -> str:
    rows = {
        "pooling": f"`{card.pooling}`",
        "activation": f"`{card.activation}`",
        "queries are encoded by": _QUERY_SIDES[recipe.query_side],
        "tokens of a document, of a query": f"{card.max_length}, {card.query_max_length}",
        "impact": f"round(weight × {card.scale:g})",
    }
    for what, prompt in [("document", card.prompt), ("query", card.query_prompt)]:
        if prompt:
            rows[f"text before every {what}"] = f"`{prompt}`"
    steps = [row for row in log if "loss" in row]
    if steps:
        query, document = steps[-1]["active q"], steps[-1]["active d"]
        rows["active entries at the end of training"] = f"{query:.0f} of a query, {document:.0f} of a document"
    validations = [row for row in log if "loss" not in row]
    if validations:
        first = next(name for name in validations[0] if name != "step")
        best = max(validations, key=lambda row: row[first])
        rows["best validation"] = ", ".join(f"{name} {value:.4f}" for name, value in best.items() if name != "step")
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _use_here(card: EncoderCard) -> str:
    # A repository of the Hub has no manifest that is read, so that the scale must be named.
    scale = "" if card.scale == DEFAULT_SCALE else f" --scale {card.scale:g}"
    where = "this directory" if card.pooling == "norm" else "this directory, or the id of this repository"
    return f"""\
## With splade-anserini, Anserini and Pyserini

    pip install splade-anserini
    splade-anserini encode --corpus corpus.jsonl --encoder ENCODER{scale} --output impacts
    splade-anserini index --input impacts --index index
    splade-anserini search --index index --topics topics.tsv --encoder ENCODER --output run.txt

ENCODER is {where}."""


def _use_there(card: EncoderCard, recipe: TrainingRecipe) -> str:
    if not _opens_there(card):
        return """\
## Not with sentence-transformers

sentence-transformers has no pooling `norm`, and raises `ValueError: pooling_strategy must be either 'max' or 'sum'`.
With another pooling, the vectors would be wrong."""
    lengths = ""
    if recipe.query_side == "splade" and card.query_max_length != card.max_length:
        lengths = (
            "\n\nQueries are read to another length than documents, which sentence-transformers before 6.0 cannot load."
        )
    return f"""\
## With sentence-transformers

```python
from sentence_transformers import SparseEncoder

model = SparseEncoder("ENCODER")
queries = model.encode_query(["what is a sparse vector"])
documents = model.encode_document(["A vector most of whose entries are 0."])
print(model.similarity(queries, documents))
```

The vectors are the same, with two exceptions: in splade-anserini, special tokens such as [CLS] never have a weight,
and a text without tokens has an empty vector.{lengths}"""


def _training(recipe: TrainingRecipe, data: Sequence[str]) -> str:
    settings = json.dumps(recipe.model_dump(mode="json", exclude_defaults=True), indent=2, ensure_ascii=False)
    sources = "\n".join(f"- `{name}`" for name in data)
    return f"""\
## Training

Data, as `--data` named them:

{sources}

Recipe; what it leaves out has its default:

```json
{settings}
```"""
