"""Tiny masked-language models with fixed seeds: checkpoints of half a million bytes, without downloads.

Special tokens have the ids of BERT's (0 and 100 to 103; the vocabulary follows). Embeddings are large and the bias of
the decoder is low, so that a text of a few words activates about a tenth of the entries.
"""

import inspect
import string
from pathlib import Path
from typing import Any

WORDS = """
a an the of and in to is for on at by with from not or as are was be it this that what which how why where when who
head ache headache migraine pain agony doctor patient drug dose heart lung blood cell virus fever cold cure heal vaccine
wing flow pressure boundary layer heat transfer speed sound shock wave plate drag lift flutter jet nozzle supersonic
search index query document term weight sparse vector model word text retrieval rank score token lucene
cat dog bird fish horse tree river mountain city house road train ship plane school book paper music film game
cause effect theory method result problem solution number large small new old high low good bad first last
"""

PIECES = "ing ed er ers s es ly tion ness ment able al ic ous ache pain raine ology itis less ful work ship ium"

LETTERS = string.ascii_lowercase + string.digits + "αβγжя中文日本ßø"

SENTENCES = (
    "headache",
    "what is the cause of a headache",
    "Heat transfer in the boundary layer of a supersonic wing.",
    "The doctor heals the patient; a vaccine is not a cure!",
    "αβγ 中文 straße naïve — 2,109.10086 | index",
    "searching sparse vectors with lucene, ranking documents by score",
    "x",
    "the cat and the dog and the bird and the fish " * 8,
)
"""Words, pieces of words, letters, other scripts, a single letter, and a long text."""


def tiny_vocabulary() -> list[str]:
    """Return the tokens in the order of their ids: [PAD], unused entries, [UNK] [CLS] [SEP] [MASK] at 100 to 103, …"""
    special = ["[PAD]", *(f"[unused{index}]" for index in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*string.punctuation, *LETTERS]
    inner = [f"##{piece}" for piece in (*LETTERS, *PIECES.split())]
    return list(dict.fromkeys([*special, *letters, *inner, *WORDS.split()]))


def tiny_tokenizer(*, token_types: bool = True) -> Any:
    """Return a fast WordPiece tokenizer over the tiny vocabulary, lower-casing as BERT's does."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: token_id for token_id, token in enumerate(tiny_vocabulary())}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=512,
        model_input_names=["input_ids", *(["token_type_ids"] if token_types else []), "attention_mask"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def tiny_bert(*, seed: int = 0) -> Any:
    """Return a BertForMaskedLM with 2 layers, 32 wide."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=len(tiny_vocabulary()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    model = BertForMaskedLM(config)
    _fill(model, seed, bias="cls.predictions.bias")
    return model.eval()


def tiny_distilbert(*, seed: int = 0) -> Any:
    """Return a DistilBertForMaskedLM with 2 layers, 32 wide: a model without token types."""
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    config = DistilBertConfig(vocab_size=len(tiny_vocabulary()), dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    model = DistilBertForMaskedLM(config)
    _fill(model, seed, bias="vocab_projector.bias")
    return model.eval()


def tiny_checkpoint(directory: Path, *, seed: int = 0) -> Path:
    """Save the tiny BERT and its tokenizer to `directory` as a Hugging Face checkpoint; return `directory`."""
    return _save(tiny_bert(seed=seed), directory)


def tiny_distilbert_checkpoint(directory: Path, *, seed: int = 0) -> Path:
    """Save the tiny DistilBERT and its tokenizer to `directory` as a Hugging Face checkpoint; return `directory`."""
    return _save(tiny_distilbert(seed=seed), directory)


def _save(model: Any, directory: Path) -> Path:
    model.save_pretrained(directory)
    parameters = inspect.signature(model.forward).parameters
    tiny_tokenizer(token_types="token_type_ids" in parameters).save_pretrained(directory)
    return directory


def _fill(model: Any, seed: int, *, bias: str) -> None:
    """Set every parameter to fixed random values, of a size at which tokens, layers and context all matter."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name == bias:
            values = noise * 0.5 - 6.0
            values[:104] = -30.0  # special and unused entries are not active, as in trained models
        elif "LayerNorm.weight" in name or "layer_norm.weight" in name:
            values = 1.0 + noise * 0.05
        elif parameter.ndim == 1:
            values = noise * 0.02
        elif "word_embeddings" in name:
            values = noise * 0.6
        elif "predictions.transform.dense" in name or "vocab_transform" in name:
            values = torch.eye(len(parameter)) + noise * 0.1  # a token activates itself and some others
        else:
            values = noise * 0.1
        parameter.data.copy_(values)
