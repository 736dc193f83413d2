"""The options of `search` that say what searches. Importing this module loads nothing heavy."""

from typing import TYPE_CHECKING, Literal

from splade_anserini.errors import InputError
from splade_anserini.lucene.text_options import Bm25Options
from splade_anserini.options import changed_options, option, options
from splade_anserini.workers.options import WorkerOptions

if TYPE_CHECKING:
    from splade_anserini.retrieval.fusion import FusionOptions

type HybridMethod = Literal["rrf", "interpolation"]


@options
class EngineOptions(Bm25Options):
    """What searches."""

    bm25: bool = option(default=False, help="Search a text index with BM25, as Anserini; --feedback expands the query.")
    searcher: Literal["lucene", "pyserini"] | None = option(
        default=None,
        help="Lucene's IndexSearcher, or Pyserini's LuceneImpactSearcher: the same run, slower.",
        unset="lucene; with --feedback pyserini",
    )
    hybrid: str | None = option(
        default=None, help="bm25:DIRECTORY, a text index of the same collection: its BM25 ranking is fused in."
    )
    hybrid_method: HybridMethod = option(
        default="interpolation",
        help="With --hybrid: score / greatest + weight × BM25 / greatest, or reciprocal rank fusion.",
    )
    hybrid_weight: float = option(
        default=0.5, least=0, help="With --hybrid-method interpolation: the weight of BM25; the other is 1."
    )
    filter: tuple[str, ...] = option(
        default=(),
        metavar="CONDITION",
        help="Find only documents that fulfil it: FIELD=VALUE, !=, >=, <=, > or <, as year>=1990; repeat for several, "
        "of which a document must match all. Fields are those of index --filter-fields.",
        recorded="set",
    )
    ray: bool = option(
        default=False,
        help="Search each shard of a sharded index in an actor of Ray, in a cluster on this machine.",
        recorded=False,
    )
    ray_address: str | None = option(
        default=None,
        metavar="ADDRESS",
        help="Use a Ray cluster that runs: auto, HOST:PORT or ray://HOST:PORT. Its nodes need the same file system.",
        unset="start one on this machine",
        recorded=False,
    )

    def __post_init__(self) -> None:
        if self.hybrid_method == "rrf" and "--hybrid-weight" in changed_options(self):
            raise InputError("--hybrid-weight has no effect with --hybrid-method rrf.", do="Leave one of them out.")
        if self.filter:
            from splade_anserini.lucene.filters import parse_filters

            parse_filters(self.filter)
            if self.hybrid:
                raise InputError(
                    "--filter and --hybrid exclude each other: text indexes have no fields for filters.",
                    do="Leave one of them out.",
                )
            if self.searcher == "pyserini":
                raise InputError("--filter needs --searcher lucene, got pyserini.", do="Leave --searcher out.")

    def fusion(self, hits: int) -> "FusionOptions":
        """How the rankings of the impact index and of BM25 are fused, with --hybrid."""
        from splade_anserini.retrieval.fusion import FusionOptions
        from splade_anserini.retrieval.hybrid import scores_with_bm25

        if self.hybrid_method == "rrf":
            return FusionOptions(depth=hits, hits=hits)
        return scores_with_bm25(self.hybrid_weight, hits)

    @property
    def bm25_options(self) -> Bm25Options:
        """How BM25 scores, with --bm25 or --hybrid."""
        return Bm25Options(k1=self.k1, b=self.b, language=self.language)

    @property
    def on_ray(self) -> WorkerOptions | None:
        """The options of the actors of Ray; None without Ray."""
        options = WorkerOptions(ray=self.ray, ray_address=self.ray_address)
        return options if options.on_ray else None
