"""Tiny random checkpoints of the architectures that sparse encoders are made of, each with a tokenizer of its kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tiny import SENTENCES, WORDS

type Settings = Mapping[str, object]

SIZES: Settings = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ROLES = {
    "pad_token": {"[PAD]", "<pad>"},
    "unk_token": {"[UNK]", "<unk>"},
    "cls_token": {"[CLS]", "<s>"},
    "sep_token": {"[SEP]", "</s>"},
    "mask_token": {"[MASK]", "<mask>"},
}


@dataclass(frozen=True)
class Head:
    """A masked-language model of transformers and the kind of its tokenizer."""

    model: str
    """Prefix of the classes …Config and …ForMaskedLM."""
    algorithm: str
    """wordpiece, bytes (byte-level BPE) or unigram (SentencePiece's)."""
    special: list[str] = field(default_factory=lambda: BERT_TOKENS)
    settings: Settings = field(default_factory=lambda: SIZES)


HEADS = {
    "bert": Head("Bert", "wordpiece"),
    "distilbert": Head("DistilBert", "wordpiece", settings={"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}),
    "roberta": Head("Roberta", "bytes", ROBERTA_TOKENS),
    "xlm-roberta": Head("XLMRoberta", "unigram", ROBERTA_TOKENS),
    "camembert": Head("Camembert", "unigram", ROBERTA_TOKENS),
    "mpnet": Head("MPNet", "wordpiece", ROBERTA_TOKENS),
    "electra": Head("Electra", "wordpiece", settings={**SIZES, "embedding_size": 16}),
    "deberta-v2": Head(
        "DebertaV2",
        "unigram",
        settings={**SIZES, "relative_attention": True, "position_buckets": 16, "pos_att_type": ["p2c", "c2p"]},
    ),
    "albert": Head("Albert", "unigram", settings={**SIZES, "embedding_size": 16}),
    "modernbert": Head(
        "ModernBert", "bytes", settings={**SIZES, "global_attn_every_n_layers": 2, "local_attention": 8}
    ),
}


def head_checkpoint(name: str, directory: Path) -> Path:
    """Save the tiny checkpoint of this name to `directory`; return `directory`.

    About a tenth of the entries are active in a text, as in trained encoders, and every token matters.
    """
    import torch
    import transformers

    head = HEADS[name]
    tokenizer = _tokenizer(head)
    ids = {name: tokenizer.convert_tokens_to_ids(getattr(tokenizer, name)) for name in ROLES}
    config = getattr(transformers, f"{head.model}Config")(
        **head.settings,
        vocab_size=len(tokenizer),
        max_position_embeddings=130 if head.special is ROBERTA_TOKENS else 128,
        pad_token_id=ids["pad_token"],
        bos_token_id=ids["cls_token"],
        eos_token_id=ids["sep_token"],
        cls_token_id=ids["cls_token"],
        sep_token_id=ids["sep_token"],
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{head.model}ForMaskedLM")(config).eval()
    _make_sparse(model, tokenizer)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def _make_sparse(model: Any, tokenizer: Any) -> None:
    """Lower the bias of the output layer until a tenth of the entries of a text are active."""
    import torch

    inputs = tokenizer(list(SENTENCES[:5]), padding=True, truncation=True, max_length=64, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits.masked_fill(inputs["attention_mask"].unsqueeze(-1) == 0, -1e9)
        model.get_output_embeddings().bias -= logits.amax(dim=1).quantile(0.9)


def _tokenizer(head: Head) -> Any:
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = ALGORITHMS[head.algorithm](head.special)
    roles = {role: next(token for token in head.special if token in tokens) for role, tokens in ROLES.items()}
    first, last = roles["cls_token"], roles["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B {last}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **roles)


def _wordpiece(special: list[str]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    unknown = next(token for token in special if token in ROLES["unk_token"])
    tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(_texts(), trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    return tokenizer


def _bytes(special: list[str]) -> Any:
    """Return a byte-level BPE with runs of spaces among its added tokens, as GPT-NeoX's and ModernBERT's."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.add_tokens([AddedToken(" " * length, normalized=True, special=False) for length in (2, 3, 4)])
    return tokenizer


def _unigram(special: list[str]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    unknown = next(token for token in special if token in ROLES["unk_token"])
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token=unknown, show_progress=False)
    tokenizer.train_from_iterator(_texts(), trainer)
    return tokenizer


ALGORITHMS: Mapping[str, Callable[[list[str]], Any]] = {
    "wordpiece": _wordpiece,
    "bytes": _bytes,
    "unigram": _unigram,
}


def _texts() -> list[str]:
    return [*WORDS.split("\n"), *SENTENCES]
