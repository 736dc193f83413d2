"""Options of `search` that exclude one another, or have no effect."""

from collections.abc import Mapping

from splade_anserini.errors import InputError
from splade_anserini.lucene.feedback import Feedback
from splade_anserini.options import changed_options
from splade_anserini.retrieval.engine_options import EngineOptions
from splade_anserini.retrieval.options import QueryOptions, SearchOptions, TwoStepOptions


def check_combination(
    search_options: SearchOptions, two_step: TwoStepOptions, feedback: Feedback, engine: EngineOptions
) -> None:
    """Raise `InputError` for options that exclude one another."""
    from splade_anserini.lucene.two_step import check_candidates

    if not engine.hybrid and (unused := changed_options(engine.bm25_options)):
        raise InputError(f"{unused[0]} needs --bm25 or --hybrid.", do=f"Leave {unused[0]} out, or add one of them.")
    if not engine.hybrid and (unused := [name for name in changed_options(engine) if name.startswith("--hybrid-")]):
        raise InputError(f"{unused[0]} needs --hybrid.", do=f"Leave {unused[0]} out, or add --hybrid.")
    check_candidates(two_step.candidates, search_options.hits)
    if engine.on_ray:
        _refuse_together("--ray", {"--feedback": feedback.method, "--searcher": engine.searcher})
    if two_step.two_step is not None and engine.searcher == "pyserini":
        raise InputError("--two-step needs --searcher lucene, got pyserini.")
    if two_step.candidates is not None and search_options.max_passage is not None:
        raise InputError(
            "--candidates and --max-passage exclude each other: passages are searched until there are enough.",
            do="Leave --candidates out.",
        )
    if feedback.method is None:
        return
    if engine.searcher == "lucene":
        raise InputError("--feedback needs --searcher pyserini, got lucene.", do="Leave --searcher out.")
    # Feedback is Anserini's, which searches all documents.
    _refuse_together("--feedback", {"--two-step": two_step.two_step, "--filter": engine.filter or None})
    if two_step.check_exact:
        raise InputError(
            "--check-exact and --feedback exclude each other: feedback changes the query.", do="Leave one of them out."
        )


def _refuse_together(option: str, others: Mapping[str, object]) -> None:
    """Raise `InputError` for an option that is given together with `option`; those that are not given are None."""
    if unfit := [name for name, value in others.items() if value is not None]:
        raise InputError(f"{option} and {unfit[0]} exclude each other.", do="Leave one of them out.")


def check_text_search(
    query: QueryOptions, search_options: SearchOptions, two_step: TwoStepOptions, engine: EngineOptions
) -> None:
    """Raise `InputError` for options that have no effect on texts."""
    used = {"--bm25", "--k1", "--b", "--language", "--hits", "--remove-query", "--max-passage"}
    used |= {"--threads", "--pre-encoded", "--topics-field", "--verify"}
    for group in (engine, two_step, search_options, query):
        for name in changed_options(group):
            if name not in used:
                raise InputError(f"{name} has no effect with --bm25.", do=f"Leave {name} or --bm25 out.")
