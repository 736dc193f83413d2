"""Checkpoints for measurements: of common sizes, with random weights and as many active entries as trained models.

The weights influence speed only by the number of active entries.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

SIZES = {
    "bert-base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "MiniLM": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "tiny": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
}
ENTRIES = 170
"""Mean number of active entries of a document."""
LENGTH = 256
"""Tokens of a document that are read."""


def texts(corpora: Sequence[Path], count: int) -> list[str]:
    """Return documents, alternately from each corpus, spread evenly over it."""
    from splade_anserini.formats.corpora import open_corpus

    share = -(-count // len(corpora))
    parts = []
    for corpus in corpora:
        documents = [document.contents for document in open_corpus(str(corpus))]
        parts.append(documents[:: max(1, len(documents) // share)][:share])
    return [text for group in zip(*parts, strict=True) for text in group][:count]


def queries(corpora: Sequence[Path], count: int) -> list[str]:
    """Return queries, equally many of each corpus."""
    from splade_anserini.formats.topics import read_topics

    return [query.text for corpus in corpora for query in islice(read_topics(str(corpus)), count // len(corpora))]


def checkpoint(size: str, corpora: Sequence[Path], work: Path) -> Path:
    """Return a checkpoint of this size, with weights in both common file formats; it is made once."""
    from splade_anserini.artifacts.files import whole_directory

    directory = work / f"checkpoint-{size}"
    if not directory.exists():
        import torch

        made = random_checkpoint(size, texts(corpora, 32))
        model, tokenizer = made.model, made.tokenizer
        with whole_directory(directory) as partial:
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
            # the only format that Pyserini reads
            torch.save(model.state_dict(), partial / "pytorch_model.bin")
    return directory


def random_checkpoint(size: str, inputs: Sequence[str], device: str = "cpu") -> Any:
    """Return a checkpoint on the CPU whose bias gives `inputs` about `ENTRIES` active entries; `device` computes it."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    from splade_anserini.modeling.checkpoint import Checkpoint

    torch.manual_seed(0)
    model: Any = BertForMaskedLM(BertConfig(vocab_size=30_522, **SIZES[size])).eval()
    tokenizer = _tokenizer()
    _set_entries(model.to(device), tokenizer, inputs)
    return Checkpoint(model.cpu(), tokenizer, size)


def _tokenizer() -> Any:
    from transformers import PreTrainedTokenizerFast

    from splade_anserini.cards.shipped import encoders_home

    special = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
    file = str(encoders_home() / "splade-mini" / "tokenizer.json")
    return PreTrainedTokenizerFast(tokenizer_file=file, model_max_length=512, **special)


def _set_entries(model: Any, tokenizer: Any, texts: Sequence[str]) -> None:
    """Set the bias of all entries to the value at which `ENTRIES` of them are active."""
    import torch

    with torch.inference_mode():
        maxima = [_logits(model, tokenizer, text).amax(dim=1) for text in texts]
        threshold = torch.quantile(torch.cat(maxima).flatten()[:: max(1, len(texts) // 16)], 1 - ENTRIES / 30_522)
    model.cls.predictions.bias.data.fill_(-float(threshold))


def _logits(model: Any, tokenizer: Any, text: str) -> Any:
    inputs = tokenizer(text, truncation=True, max_length=LENGTH, return_tensors="pt").to(model.device)
    return model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits


def exported(directory: Path, precision: str) -> Path:
    """Return the ONNX encoder of a checkpoint; it is exported once."""
    import subprocess
    import sys

    output = directory.with_name(f"{directory.name}-onnx-{precision}")
    if not output.exists():
        options = ["--encoder", str(directory), "--precision", precision, "--output", str(output)]
        subprocess.run([sys.executable, "-m", "splade_anserini", "export", *options], check=True)
    return output


def warm_started(work: Path) -> Path:
    """Return the untrained checkpoint from which splade-mini was trained; it is made once."""
    import subprocess
    import sys

    from splade_anserini.cards.encoder_card import EncoderCard
    from splade_anserini.cards.finding import read_card
    from splade_anserini.cards.shipped import encoders_home

    output = work / "checkpoint-warm"
    if not output.exists():
        training = read_card(encoders_home() / "splade-mini.toml", EncoderCard).training
        assert training is not None
        assert training.head is not None
        options = [
            *("--backbone", training.backbone, "--threshold", str(training.head.threshold)),
            *("--logit-scale", str(training.head.logit_scale), "--output", str(output)),
        ]
        subprocess.run([sys.executable, "-m", "splade_anserini", "warm-start", *options], check=True)
    return output


def flops(size: str, lengths: Sequence[int]) -> float:
    """Return the multiplications and additions of the model for real tokens: body, attention, head, vocabulary."""
    config = SIZES[size]
    width, layers, inner = config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"]
    per_token = 2 * (layers * (4 * width**2 + 2 * width * inner) + width**2 + width * 30_522)
    return float(sum(length * (per_token + 4 * layers * width * length) for length in lengths))
