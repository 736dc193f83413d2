"""`search` for one query: its hits as text or as one JSON object, and queries that are typed at a prompt."""

import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.cli.results import print_or_write
from splade_anserini.errors import NOTE, InputError
from splade_anserini.lucene.feedback import Feedback
from splade_anserini.options import changed_options
from splade_anserini.retrieval.engine_options import EngineOptions
from splade_anserini.retrieval.options import QueryOptions, QuerySource, SearchOptions, SearchOutput, TwoStepOptions

if TYPE_CHECKING:
    from splade_anserini.encoding import ImpactQueryEncoder
    from splade_anserini.explaining.result_text import TextStyle
    from splade_anserini.explaining.search_result import SearchResult
    from splade_anserini.explaining.session import SearchSession

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Searching:
    """An index and how it is searched."""

    index: Path
    query: QueryOptions
    hits: SearchOptions
    two_step: TwoStepOptions
    feedback: Feedback
    engine: EngineOptions

    @contextmanager
    def opened(self) -> "Iterator[SearchSession]":
        """Open the index for one query after the other."""
        from splade_anserini.explaining.session import Bm25Session, ImpactSession
        from splade_anserini.lucene import ImpactSearcher, open_bm25_searcher
        from splade_anserini.lucene.filters import check_filters, parse_filters
        from splade_anserini.lucene.query_weights import QueryWeights

        self._check()
        if self.engine.bm25:
            with open_bm25_searcher(self.index, options=self.engine.bm25_options) as texts:
                yield Bm25Session(texts, self.hits.hits)
            return
        check_filters(self.index, parse_filters(self.engine.filter))
        encoder, power = self._query_encoder()
        with ImpactSearcher(self.index) as searcher:
            session = ImpactSession(searcher, encoder, QueryWeights(searcher, power), self.hits, self.two_step)
            session.set_filters(self.engine.filter)
            yield session

    def _query_encoder(self) -> "tuple[ImpactQueryEncoder, float]":
        """Return the query encoder and the power of idf."""
        from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
        from splade_anserini.lucene.index_reader import require_impact_index
        from splade_anserini.retrieval.query_settings import query_idf_for
        from splade_anserini.retrieval.query_vectors import open_query_encoder_for

        require_impact_index(self.index, force=self.query.force)
        manifest, name = read_manifest(self.index, IndexManifest), f"Index {self.index}"
        encoder = open_query_encoder_for(manifest, name, self.query, low_latency=True)
        return encoder, query_idf_for(manifest, self.query, name)

    def _check(self) -> None:
        """Raise `InputError` for options that one query cannot have."""
        from splade_anserini.lucene.two_step import check_candidates

        given = {
            name for group in (self.query, self.hits, self.two_step, self.engine) for name in changed_options(group)
        }
        given |= {"--feedback"} if self.feedback.method else set()
        for option, reason in _REFUSED.items():
            if option in given:
                raise InputError(
                    f"{option} cannot be used with one query: {reason}.", do=f"Leave {option} out, or use --topics."
                )
        if self.engine.bm25:
            known = {"--bm25", "--k1", "--b", "--language", "--hits", "--threads", "--verify"}
            if unfit := sorted(given - known):
                raise InputError(f"{unfit[0]} has no effect with --bm25.", do=f"Leave {unfit[0]} or --bm25 out.")
        elif unused := changed_options(self.engine.bm25_options):
            raise InputError(f"{unused[0]} needs --bm25.", do=f"Leave {unused[0]} out, or add --bm25.")
        check_candidates(self.two_step.candidates, self.hits.hits)


_REFUSED = {
    "--feedback": "the query is expanded in Java, where its terms cannot be seen",
    "--hybrid": "scores that are fused are not sums of terms",
    "--hybrid-method": "scores that are fused are not sums of terms",
    "--hybrid-weight": "scores that are fused are not sums of terms",
    "--searcher": "its terms are read from Lucene",
    "--ray": "its terms are read from one index on this machine",
    "--ray-address": "its terms are read from one index on this machine",
    "--check-exact": "it compares runs",
    "--max-passage": "the hits are passages",
    "--remove-query": "the query has no id",
    "--pre-encoded": "the query is a text",
    "--topics-field": "the query is a text",
}
"""Options that one query cannot have, and why."""


def require_queries(source: QuerySource) -> None:
    """Raise `InputError` when there are no queries, and nobody can type them."""
    if source.query is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError(
            "Neither --topics nor --query is given, and without a terminal there is no prompt.",
            do="Add --topics for a run, or --query for the hits of one query.",
        )


def show(text: str, weights: str | None, searching: Searching, written: SearchOutput) -> None:
    """Search for one query, and print its hits or write them to `written.output`."""
    from splade_anserini.artifacts.outputs import require_new_file
    from splade_anserini.explaining.weights import read_weights

    written.check_one_query()
    edits: Mapping[str, float] = read_weights(weights) if weights else {}
    if written.output is not None:
        require_new_file(written.output, overwrite=written.overwrite)
    with searching.opened() as session:
        result = session.search(text, edits)
        shown = _rendered(result, written)
        note_without_texts(result, session)
    print_or_write(shown, written.output)


def _rendered(result: "SearchResult", written: SearchOutput) -> str:
    import orjson

    from splade_anserini.explaining.result_text import TextStyle, result_text

    if written.is_json:
        return orjson.dumps(result.values(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
    return result_text(result, TextStyle() if written.output else terminal_style())


def note_without_texts(result: "SearchResult", session: "SearchSession") -> bool:
    """Log a note when the hits have no texts because the index stores none; return whether it was logged."""
    if not result.hits or any(hit.document for hit in result.hits):
        return False
    _log.log(
        NOTE, "Index %s stores no texts to show; build it with --store-text to see titles and passages.", session.index
    )
    return True


def terminal_style() -> "TextStyle":
    """Return how results are written to standard output: bold words on a terminal, unless NO_COLOR is set."""
    from splade_anserini.explaining.result_text import BOLD, TextStyle

    if not sys.stdout.isatty():
        return TextStyle()
    columns = shutil.get_terminal_size().columns
    has_colors = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return TextStyle(*BOLD, columns) if has_colors else TextStyle(columns=columns)


def at_prompt(searching: Searching, written: SearchOutput) -> None:
    """Search for queries that are typed, until the end of the input."""
    from splade_anserini.search_prompt import SearchPrompt

    written.check_one_query()
    if written.output is not None or written.format == "json":
        name = "--output" if written.output is not None else "--format json"
        raise InputError(f"{name} needs --query or --topics.", do=f"Add one of them, or leave {name} out.")
    with searching.opened() as session:
        SearchPrompt(session, terminal_style()).run()
