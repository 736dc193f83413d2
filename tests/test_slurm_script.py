"""The script for a SLURM array in docs/scale.md, run as SLURM runs its tasks."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from splade_anserini.index import index
from splade_anserini.lucene import ImpactSearcher, IndexOptions
from tests.cli_runner import run_stage
from tests.worker_fixtures import write_words_corpus, write_words_encoder

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
TASKS = 2


def the_script() -> str:
    """Return the script without what needs GPUs."""
    (script,) = re.findall(r"```sh\n(#!/bin/bash\n#SBATCH.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    without_gpus = script.replace(" --device cuda:all --precision fp16", "")
    assert without_gpus != script
    return without_gpus.replace("corpus.jsonl.gz", "corpus.jsonl").replace("my-checkpoint", "words")


def write_program(path: Path, content: str) -> None:
    path.write_text(f"#!/bin/sh\n{content}\n")
    path.chmod(0o755)


@pytest.mark.slow
def test_its_parts_are_indexed_as_one_collection(tmp_path: Path) -> None:
    write_words_corpus(tmp_path / "corpus.jsonl", 100)
    write_words_encoder(tmp_path / "words")
    (tmp_path / "bin").mkdir()
    write_program(tmp_path / "bin" / "srun", 'exec "$@"')
    write_program(tmp_path / "bin" / "splade-anserini", f'exec "{sys.executable}" -m splade_anserini "$@"')
    (tmp_path / "job.sh").write_text(the_script())
    for task in range(TASKS):
        array = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": str(TASKS)}
        environment = os.environ | array | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "job.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    corpus, whole = tmp_path / "corpus.jsonl", tmp_path / "whole"
    arguments = ["--corpus", corpus, "--encoder", tmp_path / "words", "--output", whole]
    assert run_stage("encode", *map(str, arguments)).code == 0
    rankings = []
    for source in (tmp_path / "impacts" / "parts", whole):
        index(source, tmp_path / f"index-{source.name}", IndexOptions(threads=1))
        with ImpactSearcher(tmp_path / f"index-{source.name}") as searcher:
            rankings.append(list(searcher.search({"q": {"w1": 3, "w50": 2, "w99": 1}}, 1000)))
    assert rankings[0] == rankings[1]
    assert len(rankings[0][0][1]) > 10
