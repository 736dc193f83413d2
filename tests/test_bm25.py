"""Text indexes for BM25: kinds of indexes, building, and searching as Anserini does."""

from pathlib import Path

import pytest

from splade_anserini.artifacts.manifests import (
    MANIFEST,
    Counts,
    IndexManifest,
    TextCounts,
    TextIndexManifest,
    read_manifest,
    write_manifest,
)
from splade_anserini.cards.shipped import cranfield
from splade_anserini.errors import InputError
from splade_anserini.formats.corpora import open_corpus
from splade_anserini.lucene import build_bm25_index
from splade_anserini.lucene.index_reader import kind_of_index
from splade_anserini.records import Document
from tests.text_index_fixtures import write_json_collection

DOCUMENTS = list(open_corpus(str(cranfield())))[:300]


@pytest.fixture(scope="module")
def anserini_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of Cranfield, indexed by Anserini's IndexCollection."""
    directory = tmp_path_factory.mktemp("anserini")
    build_bm25_index(write_json_collection(directory / "json", DOCUMENTS), directory / "index")
    return directory / "index"


@pytest.mark.slow
def test_an_index_of_stemmed_words_is_a_text_index(anserini_index: Path) -> None:
    assert kind_of_index(anserini_index) == "text"


@pytest.mark.slow
def test_the_kind_of_an_index_of_few_words_is_unclear(tmp_path: Path) -> None:
    documents = [Document("1", "", "the cat"), Document("2", "", "a dog")]
    build_bm25_index(write_json_collection(tmp_path / "json", documents), tmp_path / "index")
    assert kind_of_index(tmp_path / "index") is None


def text_manifest() -> TextIndexManifest:
    return TextIndexManifest(analyzer="DefaultEnglishAnalyzer", corpus="c", digest="0", writer="w", counts=TextCounts())


@pytest.mark.parametrize(
    ("manifest", "kind"),
    [(IndexManifest(writer="w", counts=Counts()), "impact"), (text_manifest(), "text")],
)
def test_the_manifest_says_which_kind_an_index_is(
    tmp_path: Path, manifest: IndexManifest | TextIndexManifest, kind: str
) -> None:
    (tmp_path / "segments_1").touch()
    write_manifest(tmp_path, manifest)
    assert kind_of_index(tmp_path) == kind


def test_the_manifest_of_another_kind_is_an_error_that_says_so(tmp_path: Path) -> None:
    write_manifest(tmp_path, text_manifest())
    with pytest.raises(InputError) as error:
        read_manifest(tmp_path, IndexManifest)
    assert "is the manifest of a text index (BM25).\nExpected that of an impact index." in str(error.value)


@pytest.mark.parametrize("content", ["[]", '{"kind": "x"}', "no JSON", '{"kind": null}'])
def test_a_manifest_of_no_known_kind_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(InputError, match="is not a valid index manifest"):
        read_manifest(tmp_path, IndexManifest)
