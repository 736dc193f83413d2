"""The warm start: the head represents the map exactly, with the share and the peak that were set."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from splade_anserini.errors import DependencyError, InputError
from splade_anserini.formats.corpora import sample_documents
from splade_anserini.modeling.backbone import Backbone, load_backbone
from splade_anserini.modeling.checkpoint import load_checkpoint
from splade_anserini.modeling.options import CalibrationOptions
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.warm_start import OFF, WarmStart, calibrate, normalized, warm_start
from splade_anserini.records import Document
from splade_anserini.warm_start import warm_start as stage
from tests.cli_runner import run_stage
from tests.tiny import SENTENCES, tiny_bert, tiny_distilbert, tiny_tokenizer, tiny_vocabulary


@pytest.fixture
def backbone() -> Any:
    return tiny_bert(seed=3).bert


@pytest.fixture
def saved(backbone: Any, tmp_path: Path) -> Path:
    backbone.save_pretrained(tmp_path / "backbone")
    tiny_tokenizer().save_pretrained(tmp_path / "backbone")
    return tmp_path / "backbone"


def test_the_head_represents_the_map_exactly(backbone: Any) -> None:
    tokenizer = tiny_tokenizer()
    numbers = calibrate(backbone, tokenizer, SENTENCES)
    model = warm_start(backbone, tokenizer, numbers)
    table = backbone.embeddings.word_embeddings.weight
    for text in SENTENCES:
        inputs = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            hidden = backbone(**inputs).last_hidden_state
            expected = numbers.scale * (
                normalized(hidden, backbone.config.layer_norm_eps) @ table.T - numbers.threshold
            )
            logits = model(**inputs).logits
        torch.testing.assert_close(logits[..., 104:], expected[..., 104:], atol=1e-4, rtol=1e-5)
        assert bool((logits[..., :104] < OFF / 2).all())


def test_the_constant_is_six_or_more_for_wide_hidden_states(backbone: Any) -> None:
    tokenizer = tiny_tokenizer()
    assert calibrate(backbone, tokenizer, SENTENCES).shift > 10
    final = backbone.encoder.layer[-1].output.LayerNorm
    final.weight.data *= 0.25
    final.bias.data *= 0.25
    assert calibrate(backbone, tokenizer, SENTENCES).shift == 6.0


@pytest.mark.parametrize(("share_off", "peak"), [(0.9, 8.0), (0.98, 4.0)])
def test_the_threshold_gives_the_share_and_the_scale_the_peak(backbone: Any, share_off: float, peak: float) -> None:
    tokenizer = tiny_tokenizer()
    numbers = calibrate(backbone, tokenizer, SENTENCES, CalibrationOptions(share_off=share_off, peak=peak))
    splade = Splade(warm_start(backbone, tokenizer, numbers), [])
    with torch.no_grad():
        rows = torch.cat([splade(**tokenizer(text, return_tensors="pt")) for text in SENTENCES])[:, 104:]
    assert float((rows == 0).double().mean()) == pytest.approx(share_off, abs=2e-3)
    greatest = torch.expm1(rows.amax(dim=1)).sort().values
    assert float(greatest[3] + greatest[4]) / 2 == pytest.approx(peak, abs=1e-3)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.tsv"
    path.write_text("".join(f"{number}\t{text}\n" for number, text in enumerate(SENTENCES)))
    return path


def test_the_command_writes_a_checkpoint_that_loads(saved: Path, corpus: Path, tmp_path: Path) -> None:
    done = run_stage("warm-start", "--backbone", saved, "--texts", corpus, "--output", tmp_path / "warm")
    assert done.code == 0, done.err
    assert done.out.startswith(f"{tmp_path / 'warm'}: --threshold ")
    checkpoint = load_checkpoint(str(tmp_path / "warm"))
    assert type(checkpoint.model).__name__ == "BertForMaskedLM"
    assert len(checkpoint.tokenizer.get_vocab()) == len(tiny_vocabulary())


def test_parameters_need_no_texts_and_give_the_same_bytes_twice(saved: Path, tmp_path: Path) -> None:
    for name in ["one", "two"]:
        parameters = ["--threshold", 2.5, "--logit-scale", 1.5]
        assert run_stage("warm-start", "--backbone", saved, *parameters, "--output", tmp_path / name).code == 0
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_a_warm_start_is_made_once_and_replaced_only_with_overwrite(saved: Path, corpus: Path, tmp_path: Path) -> None:
    command = ["warm-start", "--backbone", saved, "--texts", corpus, "--output", tmp_path / "warm", "--format", "json"]
    first = run_stage(*command)
    assert first.code == 0, first.err
    printed = json.loads(first.out)
    assert printed.keys() == {"output", "threshold", "logit_scale", "shift", "up_to_date"}
    again = run_stage(*command)
    assert (again.code, json.loads(again.out)) == (0, printed | {"up_to_date": True})
    other = run_stage(*command, "--peak", 4)
    assert (other.code, "peak was 8.0, is 4.0" in other.err) == (2, True)
    replaced = run_stage(*command, "--peak", 4, "--overwrite")
    assert (replaced.code, json.loads(replaced.out)["logit_scale"]) == (0, pytest.approx(printed["logit_scale"] / 2))
    corpus.write_text("0\tanother text\n")
    changed = run_stage(*command, "--peak", 4)
    assert (changed.code, "texts 1 was" in changed.err) == (2, True)


KNOWN = ["--threshold", "1", "--logit-scale", "1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Neither --texts nor --threshold is given."),
        (["--threshold", "1"], "--threshold needs --logit-scale."),
        (["--logit-scale", "1"], "--logit-scale needs --threshold."),
        (["--texts", "x.tsv", "--shift", "7"], "--shift needs --threshold."),
        (["--texts", "x.tsv", *KNOWN], "--texts and --threshold exclude each other."),
        ([*KNOWN, "--peak", "7"], "--peak needs --texts."),
        (["--texts", "x.tsv", "--share-off", "1.5"], "--share-off must be below 1, got 1.5."),
        (["--texts", "x.tsv", "--share-off", "0"], "--share-off must be above 0, got 0."),
        (["--texts", "x.tsv", "--peak", "0"], "--peak must be above 0, got 0."),
        (["--texts", "x.tsv", "--sample", "0"], "--sample must be at least 1, got 0."),
        (["--texts", "x.tsv", "--max-length", "2"], "--max-length must be at least 3, got 2."),
        (["--threshold", "1", "--logit-scale", "-1"], "--logit-scale must be above 0, got -1."),
    ],
)
def test_options_that_are_missing_or_out_of_range_are_refused(
    saved: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run_stage("warm-start", "--backbone", saved, "--output", tmp_path / "warm", *arguments)
    assert done.code == 2
    assert done.err.startswith(f"error: {message}\n")
    assert not (tmp_path / "warm").exists()


def test_a_backbone_that_is_not_a_bert_is_refused(tmp_path: Path) -> None:
    backbone = Backbone(tiny_distilbert().distilbert, tiny_tokenizer(token_types=False))
    with pytest.raises(InputError, match="The backbone is a DistilBertModel; a warm start needs a BertModel"):
        stage(backbone, tmp_path / "warm", WarmStart(1.0, 1.0))
    assert not (tmp_path / "warm").exists()


def test_a_package_that_is_not_installed_is_named_with_its_extra() -> None:
    with pytest.raises(DependencyError, match=r"splade-anserini\[warm-start\]"):
        load_backbone("package:no_such_package")
    with pytest.raises(InputError, match="contains no model"):
        load_backbone("package:json")


def test_calibration_needs_texts(backbone: Any) -> None:
    with pytest.raises(InputError, match="no texts to calibrate"):
        calibrate(backbone, tiny_tokenizer(), [])


def test_a_sample_is_reproducible_uniform_and_no_larger_than_the_corpus() -> None:
    documents = [Document(str(number), "", "x") for number in range(1000)]
    chosen = sample_documents(iter(documents), 100)
    assert chosen == sample_documents(documents, 100)
    assert len(set(chosen)) == 100
    assert 400 < sum(int(document.id) for document in chosen) / 100 < 600
    assert sample_documents(documents[:5], 100) == documents[:5]
