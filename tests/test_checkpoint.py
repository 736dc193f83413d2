"""Loading checkpoints: what is accepted, what is refused with which message, and fingerprints."""

import json
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from splade_anserini import modeling
from splade_anserini.encoding import open_encoder
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.modeling.checkpoint import load_checkpoint
from splade_anserini.modeling.identity import identity, tokenizer_fingerprint, weights_fingerprint
from splade_anserini.modeling.model_types import require_masked_lm
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.vocabulary import masked_entries, plain_tokenizer, special_ids, unused_ids, vocabulary
from splade_anserini.records import Aggregation
from tests.aggregations import AGGREGATIONS
from tests.shared_models import SharedModels
from tests.tiny import (
    SENTENCES,
    tiny_bert,
    tiny_checkpoint,
    tiny_distilbert,
    tiny_tokenizer,
    tiny_vocabulary,
)


@pytest.fixture(scope="module")
def bert(shared_models: SharedModels) -> Path:
    return shared_models.checkpoint("bert")


@pytest.fixture(scope="module")
def distilbert(shared_models: SharedModels) -> Path:
    return shared_models.checkpoint("distilbert")


def test_a_checkpoint_has_a_maximum_length_inputs_and_a_vocabulary_size(bert: Path, distilbert: Path) -> None:
    assert (load_checkpoint(bert).max_length, load_checkpoint(bert).takes_token_types) == (512, True)
    assert not load_checkpoint(distilbert).takes_token_types
    assert load_checkpoint(bert).vocabulary_size == len(tiny_vocabulary())


def test_loading_prints_nothing(bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_checkpoint(bert)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("make", [lambda: tiny_bert().bert, lambda: tiny_distilbert().distilbert])
def test_a_model_without_a_masked_language_model_head_is_refused(make: Any, tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"has no masked-language-model head: \d of the weights(.|\n)*warm-start"):
        load_checkpoint(tmp_path)


def test_weights_may_be_sharded_or_pickled(bert: Path, tmp_path: Path) -> None:
    model = tiny_bert()
    model.save_pretrained(tmp_path / "shards", max_shard_size="50KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    shutil.copytree(bert, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    tiny_tokenizer().save_pretrained(tmp_path / "shards")
    expected = weights_fingerprint(load_checkpoint(bert).model)
    for name in ["shards", "pickled"]:
        assert weights_fingerprint(load_checkpoint(tmp_path / name).model) == expected


def test_weights_in_half_precision_are_converted_to_float32(tmp_path: Path) -> None:
    tiny_bert().half().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert {p.dtype for p in load_checkpoint(tmp_path).model.parameters()} == {torch.float32}


def test_a_path_that_is_not_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it has no config\.json"):
        load_checkpoint(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        load_checkpoint(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a model but a file"):
        load_checkpoint(tmp_path / "file")


def test_a_name_that_cannot_be_downloaded_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect to 'https://huggingface.co'.\nMore.")

    monkeypatch.setattr(transformers.AutoModelForMaskedLM, "from_pretrained", fail)
    with pytest.raises(InputError, match=r"somebody/model does not exist here.*couldn't connect(.|\n)*Check the name"):
        load_checkpoint("somebody/model")


def test_damaged_weights_and_a_missing_tokenizer_are_refused(bert: Path, tmp_path: Path) -> None:
    shutil.copy(bert / "config.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_checkpoint(tmp_path)
    shutil.copy(bert / "model.safetensors", tmp_path)
    with pytest.raises(InputError, match=r"has no tokenizer|tokenizer in .* cannot be loaded"):
        load_checkpoint(tmp_path)


def test_a_model_of_another_kind_is_refused(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "gpt")
    (tmp_path / "gpt" / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(InputError, match="gpt is a causal language model"):
        load_checkpoint(tmp_path / "gpt")


CAUSAL = "is a causal language model .*not a masked one(.|\n)*no reference to compare"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}, rf"{CAUSAL}"),
        ({"model_type": "qwen3", "architectures": ["Qwen3Model"]}, r"causal language model \(Qwen3ForCausalLM\)"),
        ({"model_type": "llama", "architectures": ["LlamaBiModel"]}, CAUSAL),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, CAUSAL),
        ({"model_type": "bert", "architectures": ["BertLMHeadModel"], "is_decoder": True}, CAUSAL),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"], "is_decoder": True}, CAUSAL),
        ({"model_type": "splade-code", "auto_map": {"AutoModelForCausalLM": "splade.Splade"}}, r"\(splade.Splade\)"),
        ({"model_type": "t5"}, "a model of the type t5, for which transformers has no masked-language-model head"),
        ({"model_type": "clip"}, "a model of the type clip, for which transformers has no"),
        ({"model_type": "unheard-of"}, "cannot be loaded: .*unheard-of"),
    ],
    ids=str,
)
@pytest.mark.parametrize("stage", [load_checkpoint, open_encoder])
def test_models_without_a_masked_language_model_head_are_refused_by_name(
    bert: Path, tmp_path: Path, config: dict[str, object], message: str, stage: Callable[[Path], object]
) -> None:
    shutil.copytree(bert, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=message) as error:
        stage(tmp_path / "model")
    assert str(tmp_path / "model") in str(error.value)


def test_architectures_that_end_in_withlmheadmodel_are_masked_language_models() -> None:
    require_masked_lm("xlm", {"model_type": "xlm", "architectures": ["XLMWithLMHeadModel"]})


def test_a_tokenizer_of_another_model_is_refused(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "other")
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["something", "more"])
    tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(MismatchError, match="374 vocabulary entries, its tokenizer 376"):
        load_checkpoint(tmp_path / "other")


def test_a_model_with_more_rows_than_tokens_never_activates_the_spare_rows(tmp_path: Path) -> None:
    model = tiny_bert()
    model.resize_token_embeddings(384)
    model.cls.predictions.bias.data[:] = 3.0
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    inputs = checkpoint.tokenizer(SENTENCES[1], return_tensors="pt")
    weights = Splade.of(checkpoint)(**inputs)[0]
    masked = [0, 100, 101, 102, 103, *range(374, 384)]
    assert masked_entries(checkpoint.tokenizer, 384) == masked
    assert not weights[masked].any()
    assert weights[104:374].any()
    assert vocabulary(checkpoint.tokenizer, 384)[373:376] == [tiny_vocabulary()[373], "[row 374]", "[row 375]"]


def test_special_and_unused_entries_are_found_by_id() -> None:
    tokenizer = tiny_tokenizer()
    assert special_ids(tokenizer) == [0, 100, 101, 102, 103]
    assert unused_ids(tiny_vocabulary()) == list(range(1, 100))
    assert vocabulary(tokenizer, len(tiny_vocabulary())) == tiny_vocabulary()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_weights_of_a_text_are_the_same_alone_and_in_a_padded_batch(bert: Path, aggregation: Aggregation) -> None:
    checkpoint = load_checkpoint(bert)
    splade = Splade.of(checkpoint, aggregation)
    with torch.no_grad():
        batch = splade(**checkpoint.tokenizer(list(SENTENCES), padding=True, return_tensors="pt"))
        for text, row in zip(SENTENCES, batch, strict=True):
            single = splade(**checkpoint.tokenizer(text, return_tensors="pt"))[0]
            torch.testing.assert_close(single, row, rtol=1e-5, atol=1e-5)


def test_fingerprints_differ_for_other_weights_tokenizers_and_poolings_only(bert: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(bert)
    same = load_checkpoint(tiny_checkpoint(tmp_path / "same"))
    other = load_checkpoint(tiny_checkpoint(tmp_path / "other", seed=1))
    assert weights_fingerprint(checkpoint.model) == weights_fingerprint(same.model) != weights_fingerprint(other.model)
    before = tokenizer_fingerprint(checkpoint.tokenizer)
    checkpoint.tokenizer(list(SENTENCES), padding=True, truncation=True, max_length=5)
    assert tokenizer_fingerprint(checkpoint.tokenizer) == before == tokenizer_fingerprint(other.tokenizer)
    assert plain_tokenizer(checkpoint.tokenizer).truncation is None
    of_aggregation = [identity(checkpoint, each.values[0], "fp32") for each in AGGREGATIONS]
    assert all(left != right for left, right in combinations(of_aggregation, 2))


def test_the_names_of_the_package_are_sorted_and_importable() -> None:
    assert modeling.__all__ == sorted(modeling.__all__)
    for name in modeling.__all__:
        assert getattr(modeling, name) is not None
    with pytest.raises(AttributeError):
        modeling.absent  # noqa: B018
