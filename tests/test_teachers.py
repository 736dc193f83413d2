import json
from pathlib import Path
from typing import Any

import pytest
import torch

from splade_anserini.errors import InputError
from splade_anserini.training.teachers.cross_encoder import CrossEncoderTeacher
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.inputs import TeacherOptions
from splade_anserini.training.teachers.opening import open_teacher
from splade_anserini.training.teachers.splade import SpladeTeacher
from tests.tiny import SENTENCES, tiny_bert, tiny_checkpoint, tiny_distilbert, tiny_tokenizer, tiny_vocabulary

PAIRS = [(query, document) for query in SENTENCES[:2] for document in SENTENCES]


def save(directory: Path, model: Any, pooling: dict[str, Any] | None = None, modules: tuple[str, ...] = ()) -> str:
    """Save a sentence encoder as sentence-transformers does."""
    model.save_pretrained(directory)
    tiny_tokenizer(token_types="Distil" not in type(model).__name__).save_pretrained(directory)
    if pooling is not None:
        (directory / "1_Pooling").mkdir()
        (directory / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    if modules:
        listed = [
            {"idx": number, "type": f"sentence_transformers.models.{name}"} for number, name in enumerate(modules)
        ]
        (directory / "modules.json").write_text(json.dumps(listed))
    return str(directory)


def hidden(model: Any, text: str) -> torch.Tensor:
    inputs = tiny_tokenizer(token_types="Distil" not in type(model).__name__)(text, return_tensors="pt")
    with torch.no_grad():
        states: torch.Tensor = model(**inputs).last_hidden_state[0]
    return states


def tiny_cross_encoder(outputs: int, *, seed: int = 0) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tiny_vocabulary()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=outputs,
        initializer_range=0.3,
    )
    return BertForSequenceClassification(config).eval()


class TestDense:
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
    def test_the_vector_of_a_text_is_the_mean_or_the_first_state(
        self, tmp_path: Path, model: Any, pooling: dict[str, Any] | None, mode: str
    ) -> None:
        teacher = DenseTeacher.load(save(tmp_path, model, pooling), TeacherOptions(batch_size=3))
        rows = teacher.embed(SENTENCES, 256)
        assert rows.dtype == torch.float32
        assert not rows.requires_grad
        for text, row in zip(SENTENCES, rows, strict=True):
            states = hidden(model, text)
            expected = states.mean(dim=0) if mode == "mean" else states[0]
            torch.testing.assert_close(row, expected / expected.norm(), atol=1e-5, rtol=1e-5)

    def test_vectors_are_normalized_as_the_modules_say(self, tmp_path: Path) -> None:
        model = tiny_bert().bert
        plain = DenseTeacher.load(save(tmp_path / "plain", model, modules=("Transformer", "Pooling")))
        normal = DenseTeacher.load(save(tmp_path / "normal", model, modules=("Transformer", "Pooling", "Normalize")))
        assert (plain.scale, normal.scale) == (1.0, 20.0)
        torch.testing.assert_close(plain.embed(SENTENCES, 256)[0], hidden(model, SENTENCES[0]).mean(dim=0))
        torch.testing.assert_close(normal.embed(SENTENCES, 256).norm(dim=1), torch.ones(len(SENTENCES)))

    def test_a_score_is_the_scaled_dot_product_whatever_stands_beside(self, tmp_path: Path) -> None:
        teacher = DenseTeacher.load(save(tmp_path, tiny_bert().bert), TeacherOptions(dense_scale=7.0, batch_size=4))
        scores = teacher.score(PAIRS)
        for pair, score in zip(PAIRS, scores, strict=True):
            left, right = teacher.embed(pair, 256)
            assert score == pytest.approx(7.0 * float(left @ right), abs=1e-4)
            assert teacher.score([pair]) == [pytest.approx(score, abs=1e-4)]
        assert teacher.score([]) == []

    def test_prompts_stand_before_the_texts(self, tmp_path: Path) -> None:
        model = tiny_bert().bert
        plain = DenseTeacher.load(save(tmp_path / "plain", model))
        prompts = {"prompts": {"query": "query ", "passage": "text "}}
        name = save(tmp_path / "prompts", model)
        (Path(name) / "config_sentence_transformers.json").write_text(json.dumps(prompts))
        asked = DenseTeacher.load(name).score([("headache", "the cure")])
        assert asked == pytest.approx(plain.score([("query headache", "text the cure")]), abs=1e-4)

    def test_texts_are_cut_at_the_maximum_length(self, tmp_path: Path) -> None:
        teacher = DenseTeacher.load(save(tmp_path, tiny_bert().bert))
        long, short = teacher.embed(["cat dog bird fish", "cat dog"], 4)
        torch.testing.assert_close(long, short)
        assert teacher.embed(["cat " * 1000], 100_000).isfinite().all()

    @pytest.mark.parametrize(
        ("pooling", "modules", "found"),
        [
            ({"pooling_mode_max_tokens": True}, (), "pools by"),
            ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, (), "pools by"),
            ({"pooling_mode": "lasttoken"}, (), "pools by lasttoken"),
            (None, ("Transformer", "Pooling", "Dense"), "a module Dense"),
        ],
    )
    def test_a_pooling_that_is_not_known_is_refused(
        self, tmp_path: Path, pooling: dict[str, Any] | None, modules: tuple[str, ...], found: str
    ) -> None:
        with pytest.raises(InputError, match=found):
            DenseTeacher.load(save(tmp_path, tiny_bert().bert, pooling, modules))

    def test_options_out_of_range_are_refused(self) -> None:
        for wrong in ({"max_length": 2}, {"batch_size": 0}, {"dense_scale": 0.0}):
            with pytest.raises(InputError, match="positive numbers"):
                TeacherOptions(**wrong)


class TestCross:
    @pytest.mark.parametrize("outputs", [1, 2])
    def test_the_score_is_the_logit_or_the_difference_of_two_whatever_stands_beside(
        self, tmp_path: Path, outputs: int
    ) -> None:
        model = tiny_cross_encoder(outputs)
        teacher = CrossEncoderTeacher.load(save(tmp_path, model), TeacherOptions(batch_size=3))
        scores = teacher.score(PAIRS)
        assert len(set(scores)) == len(PAIRS)
        for (query, document), score in zip(PAIRS, scores, strict=True):
            with torch.no_grad():
                logits = model(**tiny_tokenizer()(query, document, return_tensors="pt")).logits[0]
            expected = logits[0] if outputs == 1 else logits[1] - logits[0]
            assert score == pytest.approx(float(expected), abs=1e-5)
            assert teacher.score([(query, document)]) == [pytest.approx(score, abs=1e-5)]
        assert teacher.score([]) == []

    def test_of_a_pair_that_is_too_long_the_longer_text_is_cut(self, tmp_path: Path) -> None:
        teacher = CrossEncoderTeacher.load(save(tmp_path, tiny_cross_encoder(1)), TeacherOptions(max_length=8))
        cut, short = teacher.score([("cat", "dog bird fish horse tree river"), ("cat", "dog bird fish horse")])
        assert cut == pytest.approx(short, abs=1e-6)

    def test_three_outputs_are_no_score(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="has 3 outputs"):
            CrossEncoderTeacher.load(save(tmp_path, tiny_cross_encoder(3)))

    def test_a_model_without_a_classifier_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"is no cross-encoder: .*missing, (.|\n)*dense:"):
            CrossEncoderTeacher.load(save(tmp_path, tiny_bert().bert))


class TestOpening:
    def test_the_architecture_tells_the_kinds_apart(self, tmp_path: Path) -> None:
        cross = save(tmp_path / "cross", tiny_cross_encoder(1), modules=("Transformer",))
        dense = save(tmp_path / "dense", tiny_bert().bert)
        masked = save(tmp_path / "masked", tiny_bert(), modules=("Transformer", "Pooling"))
        assert isinstance(open_teacher(cross), CrossEncoderTeacher)
        assert isinstance(open_teacher(dense), DenseTeacher)
        assert isinstance(open_teacher(masked), DenseTeacher)
        assert open_teacher(dense).name == dense

    def test_a_prefix_overrules_it(self, tmp_path: Path) -> None:
        cross = save(tmp_path / "cross", tiny_cross_encoder(1))
        assert isinstance(open_teacher(f"cross:{cross}"), CrossEncoderTeacher)
        assert isinstance(open_teacher(f"dense:{cross}"), DenseTeacher)

    def test_what_is_neither_must_be_said(self, tmp_path: Path) -> None:
        masked = str(tiny_checkpoint(tmp_path / "masked"))
        with pytest.raises(InputError, match=r"architecture is BertForMaskedLM(.|\n)*splade:"):
            open_teacher(masked)
        with pytest.raises(InputError, match="does not exist"):
            open_teacher(str(tmp_path / "nothing"))

    def test_a_splade_scores_by_the_dot_product_of_its_vectors(self, tmp_path: Path) -> None:
        from splade_anserini.encoding import open_encoder

        name = str(tiny_checkpoint(tmp_path / "splade"))
        teacher = open_teacher(f"splade:{name}")
        assert isinstance(teacher, SpladeTeacher)
        encoder = open_encoder(name)
        for pair, score in zip(PAIRS, teacher.score(PAIRS), strict=True):
            query, document = encoder.encode(list(pair))
            expected = sum(query[token] * document[token] for token in query.keys() & document.keys())
            assert score == pytest.approx(expected, rel=1e-5, abs=1e-6)
            assert score > 0


@pytest.mark.parametrize("kind", ["cross", "dense"])
def test_bfloat16_moves_scores_a_little(tmp_path: Path, kind: str) -> None:
    name = save(tmp_path, tiny_cross_encoder(1) if kind == "cross" else tiny_bert().bert)
    exact, short = (open_teacher(name, TeacherOptions(bf16=bf16)).score(PAIRS) for bf16 in (False, True))
    assert short != exact
    assert short == pytest.approx(exact, rel=0.05, abs=0.2)
