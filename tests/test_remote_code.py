"""Checkpoints with code of their own: refused, unless --trust-remote-code allows it; then manifests record the code."""

import json
from pathlib import Path

import pytest

from splade_anserini.artifacts.manifests import EncoderManifest, ImpactManifest, read_manifest
from splade_anserini.encoding import Encoder, EncoderOptions, TorchQueryEncoder, open_encoder, open_query_encoder
from splade_anserini.errors import InputError
from tests.cli_runner import Outcome, run_stage
from tests.custom_code import custom_checkpoint
from tests.shared_models import SharedModels
from tests.tiny import SENTENCES
from tests.training_fixtures import data_options, write_card

TRUST = EncoderOptions(trust_remote_code=True)
REFUSAL = r"needs code of its own(.|\n)*auto_map(.|\n)*do on this machine whatever you can(.|\n)*--trust-remote-code"


@pytest.fixture(scope="module", autouse=True)
def _own_module_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Let transformers keep the code of these checkpoints in a directory of the tests."""
    import transformers.dynamic_module_utils as host

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(host, "HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
        yield


@pytest.fixture(scope="module")
def custom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return custom_checkpoint(tmp_path_factory.mktemp("remote") / "custom")


@pytest.fixture(scope="module")
def trusted(custom: Path) -> Encoder:
    return open_encoder(custom, TRUST)


def encode(checkpoint: Path, output: Path, *options: object) -> Outcome:
    corpus = output.parent / "corpus.jsonl"
    corpus.write_text(json.dumps({"id": "d0", "text": "headache"}))
    return run_stage("encode", "--corpus", corpus, "--encoder", checkpoint, "--output", output, *options)


def test_code_that_comes_with_a_checkpoint_is_not_run_without_leave(custom: Path) -> None:
    with pytest.raises(InputError, match=REFUSAL):
        open_encoder(custom)
    with pytest.raises(InputError, match=REFUSAL):
        open_query_encoder(custom)
    with pytest.raises(InputError, match=REFUSAL):
        TorchQueryEncoder(custom)


def test_with_leave_the_vectors_are_those_of_the_code(
    custom: Path, trusted: Encoder, shared_models: SharedModels
) -> None:
    import torch

    from splade_anserini.modeling.checkpoint import load_checkpoint
    from splade_anserini.modeling.splade import Splade

    plain = load_checkpoint(shared_models.checkpoint())
    inputs = plain.tokenizer(SENTENCES[1], return_tensors="pt")
    with torch.no_grad():
        logits = plain.model(**inputs).logits[0].amax(dim=0)
    expected = torch.log1p(torch.relu(logits * 0.5)) * Splade.of(plain).entries
    (vector,) = trusted.encode([SENTENCES[1]])
    assert sorted(vector.values()) == pytest.approx(sorted(expected[expected > 0].tolist()), abs=1e-5)
    assert TorchQueryEncoder(custom, trust_remote_code=True).encode(SENTENCES[1])


def test_the_identity_holds_the_fingerprint_of_the_code(
    trusted: Encoder, shared_models: SharedModels, tmp_path: Path
) -> None:
    same = custom_checkpoint(tmp_path / "same")
    other = custom_checkpoint(tmp_path / "other")
    code = other / "custom_bert.py"
    code.write_text(code.read_text().replace("* 0.5", "* 0.25"))
    identity = trusted.identity
    assert identity.remote_code is not None
    assert open_encoder(same, TRUST).identity.remote_code == identity.remote_code
    assert open_encoder(other, TRUST).identity.remote_code != identity.remote_code
    assert open_encoder(shared_models.checkpoint(), TRUST).identity.remote_code is None


def test_encode_records_the_code_in_the_manifest(custom: Path, trusted: Encoder, tmp_path: Path) -> None:
    refused = encode(custom, tmp_path / "refused")
    assert refused.code == 2
    assert "--trust-remote-code" in refused.err
    assert not (tmp_path / "refused").exists()
    done = encode(custom, tmp_path / "out", "--trust-remote-code")
    assert (done.code, done.err) == (0, "")
    manifest = read_manifest(tmp_path / "out", ImpactManifest)
    assert manifest is not None
    assert manifest.settings.encoder.remote_code == trusted.identity.remote_code


def test_a_bag_of_tokens_needs_leave_for_a_configuration_of_its_own(custom: Path, tmp_path: Path) -> None:
    card = tmp_path / "doc.toml"
    card.write_text(
        f'name = "doc"\ndescription = "A test."\nlicense = "MIT"\nsource = "{custom}"\nquery_side = "doc"\n'
    )
    with pytest.raises(InputError, match=REFUSAL):
        open_query_encoder(card)
    assert open_query_encoder(card, TRUST).encode(["headache"]) == [{"headache": 1.0}]


@pytest.mark.slow
def test_export_records_the_code_and_its_graph_needs_no_leave(custom: Path, trusted: Encoder, tmp_path: Path) -> None:
    refused = run_stage("export", "--encoder", custom, "--output", tmp_path / "refused")
    assert refused.code == 2
    assert "--trust-remote-code" in refused.err
    done = run_stage("export", "--encoder", custom, "--output", tmp_path / "out", "--trust-remote-code")
    assert (done.code, done.err) == (0, "")
    manifest = read_manifest(tmp_path / "out", EncoderManifest)
    assert manifest is not None
    assert manifest.identity.remote_code == trusted.identity.remote_code
    for vector, expected in zip(
        open_encoder(tmp_path / "out").encode(SENTENCES), trusted.encode(SENTENCES), strict=True
    ):
        assert vector == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_train_opens_such_a_backbone_with_leave_only(custom: Path, training_home: Path, tmp_path: Path) -> None:
    card = write_card(training_home, "custom")
    card.write_text(card.read_text().replace(str(training_home / "backbone"), str(custom)))
    arguments = ["--card", card, *data_options(training_home), "--output", tmp_path / "out"]
    refused = run_stage("train", *arguments)
    assert refused.code == 2
    assert "--trust-remote-code" in refused.err
    done = run_stage("train", *arguments, "--trust-remote-code")
    assert (done.code, done.err) == (0, "")
    with pytest.raises(InputError, match=REFUSAL):
        open_encoder(tmp_path / "out")
    assert all(open_encoder(tmp_path / "out", TRUST).encode(SENTENCES))


@pytest.mark.parametrize("stage", ["encode", "search", "rescore", "export", "train", "mine", "score"])
def test_every_command_that_opens_a_checkpoint_has_the_option(stage: str) -> None:
    assert "--trust-remote-code" in run_stage(stage, "--help").out
