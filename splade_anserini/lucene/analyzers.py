"""Analyzers, which turn texts and queries into words: those that Anserini takes for each language."""

from collections.abc import Callable
from typing import Any

from splade_anserini.artifacts.manifests import kind_of_manifest, read_manifest
from splade_anserini.artifacts.text_index_manifest import TextIndexManifest
from splade_anserini.errors import JavaError
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.text_options import DEFAULT_LANGUAGE, SPLIT_AT_WHITE_SPACE
from splade_anserini.records import Language, StrPath


def analyzer_of(language: Language) -> Any:
    """Return the analyzer for a language; that of English removes stop words and stems as Porter.

    Raises `JavaError` when the running Java cannot segment Thai.
    """
    from jnius import autoclass

    if language == DEFAULT_LANGUAGE:
        return autoclass("io.anserini.analysis.DefaultEnglishAnalyzer").newDefaultInstance()
    if language in SPLIT_AT_WHITE_SPACE:
        return autoclass("org.apache.lucene.analysis.core.WhitespaceAnalyzer")()
    if language == "th" and not autoclass("org.apache.lucene.analysis.th.ThaiTokenizer").DBBI_AVAILABLE:
        raise JavaError(
            "The running Java cannot segment Thai.",
            expected="a Java with the module jdk.localedata",
            do="Set JAVA_HOME to a full Java 21 or newer.",
        )
    return autoclass("io.anserini.analysis.AnalyzerMap").getLanguageSpecificAnalyzer(language)


def open_analyzer(language: Language = DEFAULT_LANGUAGE) -> Callable[[str], list[str]]:
    """Return a function that splits a text into the words that a text index would hold; it starts Java."""
    start_jvm()
    from jnius import autoclass

    with JAVA_LOCK:
        analyzer, utilities = analyzer_of(language), autoclass("io.anserini.analysis.AnalyzerUtils")

    def words(text: str) -> list[str]:
        with JAVA_LOCK:
            return [str(word) for word in utilities.analyze(analyzer, text)]

    return words


def language_of_index(index: StrPath) -> Language:
    """Return the language of a text index: what its manifest says, without one English."""
    if kind_of_manifest(index) != "text-index":
        return DEFAULT_LANGUAGE
    manifest = read_manifest(index, TextIndexManifest)
    return manifest.language if manifest else DEFAULT_LANGUAGE
