"""Teachers: sentence encoders, cross-encoders and SPLADE encoders that score pairs of query and document."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from splade_anserini.encoding import open_encoder
from splade_anserini.errors import InputError
from splade_anserini.training.options import TeacherOptions
from splade_anserini.training.teachers.cross_encoder import CrossEncoderTeacher
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.opening import SpladeTeacher, open_teacher
from tests.tiny import SENTENCES, tiny_bert, tiny_checkpoint, tiny_distilbert, tiny_tokenizer
from tests.training_fixtures import save_teacher, tiny_cross_encoder

PAIRS = [(query, document) for query in SENTENCES[:2] for document in SENTENCES]


@pytest.fixture(scope="module")
def bert() -> Any:
    return tiny_bert().bert


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory, bert: Any) -> str:
    """A sentence encoder without any of the files of sentence-transformers."""
    return save_teacher(tmp_path_factory.mktemp("dense"), bert)


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    """Return the cross-encoder with a number of outputs; each is saved once."""
    home = tmp_path_factory.mktemp("cross")

    def directory(outputs: int) -> str:
        path = home / str(outputs)
        return str(path) if path.exists() else save_teacher(path, tiny_cross_encoder(outputs))

    return directory


def hidden_states(model: Any, text: str) -> torch.Tensor:
    inputs = tiny_tokenizer(token_types="Distil" not in type(model).__name__)(text, return_tensors="pt")
    with torch.no_grad():
        states: torch.Tensor = model(**inputs).last_hidden_state[0]
    return states


class TestDenseTeacher:
    @pytest.mark.parametrize("model", [tiny_bert().bert, tiny_distilbert().distilbert], ids=["bert", "distilbert"])
    @pytest.mark.parametrize(
        ("pooling", "mode"),
        [
            (None, "mean"),
            ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
            ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
            ({"pooling_mode": "cls", "include_prompt": True}, "cls"),
        ],
    )
    def test_an_embedding_is_the_mean_or_the_first_of_the_hidden_states(
        self, tmp_path: Path, model: Any, pooling: dict[str, Any] | None, mode: str
    ) -> None:
        teacher = DenseTeacher.load(save_teacher(tmp_path, model, pooling), TeacherOptions(batch_size=3))
        embeddings = teacher.embed(SENTENCES, 256)
        assert embeddings.dtype == torch.float32
        assert not embeddings.requires_grad
        for text, embedding in zip(SENTENCES, embeddings, strict=True):
            states = hidden_states(model, text)
            expected = states.mean(dim=0) if mode == "mean" else states[0]
            torch.testing.assert_close(embedding, expected / expected.norm(), atol=1e-5, rtol=1e-5)

    def test_embeddings_are_normalized_if_the_modules_say_so(self, tmp_path: Path, bert: Any) -> None:
        teacher = DenseTeacher.load(save_teacher(tmp_path, bert, modules=("Transformer", "Pooling", "Normalize")))
        assert teacher.scale == 20.0
        torch.testing.assert_close(teacher.embed(SENTENCES, 256).norm(dim=1), torch.ones(len(SENTENCES)))

    def test_embeddings_are_not_normalized_if_the_modules_do_not_say_so(self, tmp_path: Path, bert: Any) -> None:
        teacher = DenseTeacher.load(save_teacher(tmp_path, bert, modules=("Transformer", "Pooling")))
        assert teacher.scale == 1.0
        torch.testing.assert_close(teacher.embed(SENTENCES, 256)[0], hidden_states(bert, SENTENCES[0]).mean(dim=0))

    def test_a_score_is_the_scaled_dot_product_and_does_not_depend_on_other_pairs(self, dense: str) -> None:
        teacher = DenseTeacher.load(dense, TeacherOptions(dense_scale=7.0, batch_size=4))
        for pair, score in zip(PAIRS, teacher.score(PAIRS), strict=True):
            query, document = teacher.embed(pair, 256)
            assert score == pytest.approx(7.0 * float(query @ document), abs=1e-4)
            assert teacher.score([pair]) == [pytest.approx(score, abs=1e-4)]
        assert teacher.score([]) == []

    def test_prompts_precede_the_texts(self, tmp_path: Path, dense: str, bert: Any) -> None:
        name = save_teacher(tmp_path, bert)
        prompts = {"prompts": {"query": "query ", "passage": "text "}}
        (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
        expected = DenseTeacher.load(dense).score([("query headache", "text the cure")])
        assert DenseTeacher.load(name).score([("headache", "the cure")]) == pytest.approx(expected, abs=1e-4)

    def test_texts_are_truncated(self, dense: str) -> None:
        teacher = DenseTeacher.load(dense)
        long, short = teacher.embed(["cat dog bird fish", "cat dog"], 4)
        torch.testing.assert_close(long, short)
        assert teacher.embed(["cat " * 1000], 100_000).isfinite().all()

    @pytest.mark.parametrize(
        ("pooling", "modules", "message"),
        [
            ({"pooling_mode_max_tokens": True}, (), "has the pooling"),
            ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, (), "has the pooling"),
            ({"pooling_mode": "lasttoken"}, (), "has the pooling lasttoken"),
            (None, ("Transformer", "Pooling", "Dense"), "has the module Dense"),
        ],
    )
    def test_a_pooling_that_is_not_supported_is_refused(
        self, tmp_path: Path, bert: Any, pooling: dict[str, Any] | None, modules: tuple[str, ...], message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            DenseTeacher.load(save_teacher(tmp_path, bert, pooling, modules))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 2}, r"^--max-length must be at least 3, got 2\."),
        ({"batch_size": 0}, r"^--batch-size must be at least 1, got 0\."),
        ({"dense_scale": 0.0}, r"^--dense-scale must be above 0, got 0\."),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TeacherOptions(**options)


class TestCrossEncoderTeacher:
    @pytest.mark.parametrize("outputs", [1, 2])
    def test_a_score_is_a_logit_or_the_difference_of_two_and_does_not_depend_on_other_pairs(
        self, cross: Callable[[int], str], outputs: int
    ) -> None:
        model = tiny_cross_encoder(outputs)
        teacher = CrossEncoderTeacher.load(cross(outputs), TeacherOptions(batch_size=3))
        scores = teacher.score(PAIRS)
        assert len(set(scores)) == len(PAIRS)
        for (query, document), score in zip(PAIRS, scores, strict=True):
            with torch.no_grad():
                logits = model(**tiny_tokenizer()(query, document, return_tensors="pt")).logits[0]
            expected = logits[0] if outputs == 1 else logits[1] - logits[0]
            assert score == pytest.approx(float(expected), abs=1e-5)
            assert teacher.score([(query, document)]) == [pytest.approx(score, abs=1e-5)]
        assert teacher.score([]) == []

    def test_the_longer_text_of_a_pair_is_truncated(self, cross: Callable[[int], str]) -> None:
        teacher = CrossEncoderTeacher.load(cross(1), TeacherOptions(max_length=8))
        long, short = teacher.score([("cat", "dog bird fish horse tree river"), ("cat", "dog bird fish horse")])
        assert long == pytest.approx(short, abs=1e-6)

    def test_a_model_with_three_outputs_is_refused(self, cross: Callable[[int], str]) -> None:
        with pytest.raises(InputError, match="has 3 outputs"):
            CrossEncoderTeacher.load(cross(3))

    def test_a_model_without_a_classifier_is_refused(self, dense: str) -> None:
        with pytest.raises(InputError, match=r"is not a cross-encoder: .* are missing, (.|\n)*dense:"):
            CrossEncoderTeacher.load(dense)


class TestOpening:
    def test_the_architecture_determines_the_kind(
        self, tmp_path: Path, dense: str, cross: Callable[[int], str]
    ) -> None:
        masked = save_teacher(tmp_path, tiny_bert(), modules=("Transformer", "Pooling"))
        assert isinstance(open_teacher(cross(1)), CrossEncoderTeacher)
        assert isinstance(open_teacher(dense), DenseTeacher)
        assert isinstance(open_teacher(masked), DenseTeacher)
        assert open_teacher(dense).name == dense

    @pytest.mark.parametrize(("prefix", "kind"), [("cross", CrossEncoderTeacher), ("dense", DenseTeacher)])
    def test_a_prefix_determines_the_kind(self, cross: Callable[[int], str], prefix: str, kind: type) -> None:
        assert isinstance(open_teacher(f"{prefix}:{cross(1)}"), kind)

    def test_a_model_of_neither_kind_needs_a_prefix(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"architecture is BertForMaskedLM(.|\n)*splade:"):
            open_teacher(str(tiny_checkpoint(tmp_path)))

    def test_a_model_that_does_not_exist_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="nothing does not exist"):
            open_teacher(str(tmp_path / "nothing"))

    def test_a_splade_encoder_scores_by_dot_products(self, tmp_path: Path) -> None:
        name = str(tiny_checkpoint(tmp_path))
        teacher = open_teacher(f"splade:{name}")
        assert isinstance(teacher, SpladeTeacher)
        encoder = open_encoder(name)
        for pair, score in zip(PAIRS, teacher.score(PAIRS), strict=True):
            query, document = encoder.encode(list(pair))
            expected = sum(query[token] * document[token] for token in query.keys() & document.keys())
            assert score == pytest.approx(expected, rel=1e-5, abs=1e-6)
            assert score > 0


@pytest.mark.parametrize("kind", ["cross", "dense"])
def test_bfloat16_changes_scores_slightly(dense: str, cross: Callable[[int], str], kind: str) -> None:
    name = cross(1) if kind == "cross" else dense
    fp32 = open_teacher(name, TeacherOptions(precision="fp32")).score(PAIRS)
    bf16 = open_teacher(name, TeacherOptions(precision="bf16")).score(PAIRS)
    assert bf16 != fp32
    assert bf16 == pytest.approx(fp32, rel=0.05, abs=0.2)
