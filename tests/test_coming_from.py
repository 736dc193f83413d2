"""Our commands on the pages "Coming from …" work as they stand, with tiny models and collections."""

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli_runner import run_stage
from tests.shared_models import SharedModels
from tests.training_fixtures import write_training_data

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ["coming-from-sentence-transformers", "coming-from-splade"]

pytestmark = pytest.mark.slow


class Block(NamedTuple):
    language: str
    text: str


def our_blocks(page: str) -> list[Block]:
    """Return the blocks that follow a line "Here:"."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return [Block(*found) for found in re.findall(r"^Here:\n\n```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


def commands(block: Block) -> Iterator[list[str]]:
    for line in block.text.replace("\\\n", " ").splitlines():
        program, *words = shlex.split(line)
        assert program == "splade-anserini"
        yield words


@pytest.fixture
def home(tmp_path: Path, shared_models: SharedModels, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with what the pages name: a model, a collection, encoded queries, and cards.

    Cards in the working directory replace those of the same names that ship.
    """
    monkeypatch.chdir(tmp_path)
    shared_models.reuse_traces(monkeypatch)
    (tmp_path / "collection").mkdir()
    write_training_data(tmp_path / "collection")
    qrels = tmp_path / "collection" / "qrels"
    (qrels / "test.tsv").write_bytes((qrels / "dev.tsv").read_bytes())
    (tmp_path / "scifact").symlink_to("collection")
    (tmp_path / "queries_anserini.tsv").write_text("q0\thead head head pain\nq1\twing wing flow\n")
    if find_spec("sentence_transformers"):
        from sentence_transformers import SparseEncoder

        SparseEncoder(str(shared_models.checkpoint()), device="cpu").save_pretrained(str(tmp_path / "my-model"))
    write_cards(tmp_path / "encoders", shared_models.checkpoint())
    return tmp_path


def write_cards(home: Path, checkpoint: Path) -> None:
    home.mkdir()
    card = 'name = "{name}"\ndescription = "."\nlicense = "MIT"\nsource = "{source}"\n'
    (home / "splade-pp-ed.toml").write_text(card.format(name="splade-pp-ed", source=checkpoint))
    (home / "splade-v2-max.toml").write_text(
        card.format(name="splade-v2-max", source="splade-v2-max")
        + f'[training]\nbackbone = "{checkpoint}"\nquery_side = "splade"\nlosses = [{{ kind = "rank-ibn" }}]\n'
        "negatives = 0\nbatch_size = 4\nlearning_rate = 1e-3\nsteps = 2\nmax_length = 64\nquery_max_length = 64\n"
        '[training.regularizer]\nkind = "flops"\nuntil = 2\n'
    )


@pytest.mark.parametrize("page", PAGES)
def test_our_side_of_the_page_works(page: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if page == "coming-from-sentence-transformers":
        pytest.importorskip("sentence_transformers")
    blocks = our_blocks(page)
    assert {block.language for block in blocks} == {"sh", "python"}
    for block in blocks:
        if block.language == "python":
            exec(block.text, {})
            assert capsys.readouterr().out.strip()
            continue
        for words in commands(block):
            done = run_stage(*words)
            assert done.code == 0, f"{words}: {done.out}{done.err}"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_commands_is_ours_and_run(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    assert text.count("splade-anserini ") > text.count("pip install splade-anserini")
    fenced = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert fenced == [block.text for block in our_blocks(page) if block.language == "sh"]
    assert len(fenced) >= 5
