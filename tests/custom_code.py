"""A checkpoint with code of its own: a model type that transformers does not know."""

import json
from pathlib import Path

from tests.tiny import tiny_checkpoint

CODE = """
import torch
from transformers import BertConfig, BertForMaskedLM


class CustomConfig(BertConfig):
    model_type = "custom-bert"


class CustomForMaskedLM(BertForMaskedLM):
    config_class = CustomConfig
    {keys}

    def forward(self, **arguments):
        output = super().forward(**arguments)
        output.logits = output.logits * 0.5
        return output
"""


def custom_checkpoint(directory: Path, *, task: str = "AutoModelForMaskedLM") -> Path:
    """Save a tiny BERT whose code halves its logits, under auto_map as `task`; return `directory`."""
    tiny_checkpoint(directory)
    (directory / "custom_bert.py").write_text(CODE.format(keys=""))
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config |= {
        "model_type": "custom-bert",
        "architectures": ["CustomForMaskedLM"],
        "auto_map": {"AutoConfig": "custom_bert.CustomConfig", task: "custom_bert.CustomForMaskedLM"},
    }
    path.write_text(json.dumps(config))
    return directory
