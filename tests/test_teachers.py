import json
from pathlib import Path
from typing import Any

import pytest
import torch

from splade_anserini.errors import InputError
from splade_anserini.training.teacher_inputs import TeacherOptions
from splade_anserini.training.teachers import DenseTeacher
from tests.tiny import SENTENCES, tiny_bert, tiny_distilbert, tiny_tokenizer

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
