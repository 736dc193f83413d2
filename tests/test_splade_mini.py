"""The encoders in the package, run with onnxruntime and tokenizers alone."""

import tomllib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from tokenizers import Tokenizer

from splade_anserini.artifacts.fingerprints import fingerprint_of_file, fingerprint_of_vocabulary
from splade_anserini.artifacts.manifests import EncoderManifest, read_manifest
from splade_anserini.cards.shipped import encoders_home

NAMES = ["splade-mini", "splade-mini-v2"]

EXPANSIONS = {
    "headache": ["headache", "mig", "##raine", "forehead"],
    "pain": ["pain", "agony", "hurt", "painful"],
    "causes": ["causes", "cause", "caused", "reason"],
    "supersonic flow over a wing": ["flow", "wing", "##sonic", "wings"],
}

PAIN = {
    "splade-mini": {
        "pain": 219,
        "sting": 137,
        "agony": 134,
        "mission": 84,
        "hurt": 77,
        "painful": 70,
        "pains": 65,
        "club": 57,
        "string": 47,
        "message": 41,
        "venom": 40,
        "thorn": 34,
        "##cic": 34,
        "silva": 20,
        "hound": 17,
        "barton": 14,
        "##phine": 14,
        "##gia": 7,
    },
    "splade-mini-v2": {
        "pain": 228,
        "agony": 144,
        "sting": 141,
        "hurt": 109,
        "mission": 106,
        "painful": 104,
        "pains": 87,
        "message": 79,
        "club": 72,
        "string": 52,
        "##cic": 52,
        "hurts": 42,
        "##phine": 35,
        "mark": 32,
        "venom": 28,
        "thorn": 25,
        "##gia": 22,
        "barton": 17,
        "silva": 3,
    },
}
"""All impacts of "pain" at scale 100."""


@pytest.fixture(scope="module", params=NAMES)
def home(request: pytest.FixtureRequest) -> Path:
    """The directory of an encoder."""
    return encoders_home() / str(request.param)


@pytest.fixture(scope="module")
def tokenizer(home: Path) -> Tokenizer:
    return Tokenizer.from_file(str(home / "tokenizer.json"))


@pytest.fixture(scope="module")
def session(home: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(home / "model.onnx", providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def manifest(home: Path) -> EncoderManifest:
    manifest = read_manifest(home, EncoderManifest)
    assert manifest is not None
    return manifest


def impacts(session: onnxruntime.InferenceSession, tokenizer: Tokenizer, text: str) -> dict[str, int]:
    weights = run(session, np.array([tokenizer.encode(text).ids]))[0]
    return {
        str(tokenizer.id_to_token(token_id)): int(value)
        for token_id, value in enumerate(np.floor(weights.astype(float) * 100 + 0.5))
        if value > 0
    }


def run(session: onnxruntime.InferenceSession, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    weights: npt.NDArray[np.float32] = session.run(["weights"], feed)[0]
    return weights


def test_it_is_small_and_has_its_licence_and_notice(home: Path) -> None:
    assert 20e6 < (home / "model.onnx").stat().st_size < 25e6
    assert "Apache License" in (home / "LICENSE").read_text()
    assert "all-MiniLM-L6-v2" in (home / "NOTICE").read_text()


def test_the_manifest_describes_the_files_beside_it(
    home: Path, manifest: EncoderManifest, tokenizer: Tokenizer
) -> None:
    assert manifest.identity.weights == fingerprint_of_file(home / "model.onnx")
    assert manifest.identity.tokenizer == fingerprint_of_file(home / "tokenizer.json")
    tokens = [str(tokenizer.id_to_token(token_id)) for token_id in range(30_522)]
    assert manifest.identity.vocabulary == fingerprint_of_vocabulary(tokens)


def test_the_manifest_and_the_card_agree(home: Path, manifest: EncoderManifest) -> None:
    card = tomllib.loads((home.parent / f"{home.name}.toml").read_text(encoding="utf-8"))
    assert (card["name"], card["source"]) == (manifest.identity.name, home.name)
    assert (card["pooling"], card["scale"]) == (manifest.identity.pooling, manifest.scale)
    assert card["recipe"]["precision"] == manifest.identity.precision == "int8"
    assert card["max_length"] == manifest.default_max_length
    assert card["query_max_length"] == manifest.default_query_max_length == manifest.max_length


def test_its_export_was_within_its_bound_of_torch(manifest: EncoderManifest) -> None:
    assert manifest.parity is not None
    assert manifest.parity.mean_difference <= manifest.parity.bound


@pytest.mark.parametrize(("text", "expected"), EXPANSIONS.items(), ids=list(EXPANSIONS))
def test_a_text_activates_its_own_tokens_and_related_ones(
    session: onnxruntime.InferenceSession, tokenizer: Tokenizer, text: str, expected: list[str]
) -> None:
    vector = impacts(session, tokenizer, text)
    assert set(expected) <= set(vector)
    assert expected[0] in sorted(vector, key=lambda token: -vector[token])[:3]


def test_the_impacts_of_pain_are_reproduced(
    home: Path, session: onnxruntime.InferenceSession, tokenizer: Tokenizer
) -> None:
    vector = impacts(session, tokenizer, "pain")
    expected = PAIN[home.name]
    assert set(vector) == set(expected)
    assert max(abs(vector[token] - expected[token]) for token in expected) <= 1


def test_special_and_unused_entries_are_never_active(
    session: onnxruntime.InferenceSession, tokenizer: Tokenizer
) -> None:
    ids = np.random.default_rng(0).integers(0, 30_522, (1, 300))
    weights = run(session, ids)[0]
    tokens = [str(tokenizer.id_to_token(token_id)) for token_id in range(30_522)]
    masked = [token_id for token_id, token in enumerate(tokens) if token.startswith(("[unused", "[PAD", "[CLS"))]
    assert len(masked) > 900
    assert weights.any()
    assert not weights[[*masked, 100, 102, 103]].any()


@pytest.mark.parametrize("length", [1, 2, 512])
def test_inputs_of_one_token_to_the_maximum_length_can_be_encoded(
    session: onnxruntime.InferenceSession, length: int
) -> None:
    weights = run(session, np.full((1, length), 14_978))
    assert weights.shape == (1, 30_522)
    assert bool(np.isfinite(weights).all())
