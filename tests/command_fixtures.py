"""A small collection, its encoder, and the inputs of commands, for tests that run every command."""

import json
from pathlib import Path

from tests.encoder_fixtures import write_dictionary_encoder
from tests.tiny import WORDS, tiny_checkpoint
from tests.training_fixtures import write_training_data


def write_collection(home: Path) -> None:
    """Write a corpus, queries, judgements, an encoder of them, a checkpoint and training data."""
    words = WORDS.split()
    write_dictionary_encoder(home / "words", {word: {word: 1 + len(word) / 10} for word in words})
    texts = {f"d{start}": " ".join(words[start : start + 8]) for start in range(12)}
    queries = {f"q{start}": " ".join(words[start : start + 2]) for start in range(0, 12, 4)}
    for name, records in [("corpus", texts), ("queries", queries)]:
        lines = [json.dumps({"_id": id_, "text": text}) + "\n" for id_, text in records.items()]
        (home / f"{name}.jsonl").write_text("".join(lines))
    (home / "qrels.txt").write_text("".join(f"{id_} 0 d{id_[1:]} 1\n" for id_ in queries))
    tiny_checkpoint(home / "checkpoint")
    (home / "training").mkdir()
    write_training_data(home / "training")
