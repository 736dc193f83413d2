"""What changes in Pyserini when this package has started Java: threads, wrong paths, names of encoders, MCP server."""

import inspect
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

from splade_anserini.lucene.java.abandoned import close_when_freed
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.query_encoders import check_query_encoder, open_own_query_encoder


def change_impact_searcher(module: ModuleType) -> None:
    """Change LuceneImpactSearcher: for threads, wrong paths, names of encoders, and queries of over 1,024 tokens."""
    from splade_anserini.lucene.index_reader import allow_long_queries

    class_ = module.LuceneImpactSearcher
    allow_long_queries()
    class_._init_query_encoder_from_str = staticmethod(_with_named_encoders(class_._init_query_encoder_from_str))  # noqa: SLF001
    _check_paths_and_take_turns(class_)


def change_searcher(module: ModuleType) -> None:
    """Change LuceneSearcher: for threads, and wrong paths."""
    _check_paths_and_take_turns(module.LuceneSearcher)


def change_index_reader(module: ModuleType) -> None:
    """Change LuceneIndexReader and Document: for threads, and wrong paths; and it is closed when it is freed.

    It has no method for that, and LuceneImpactSearcher opens one.
    """
    class_ = module.LuceneIndexReader
    class_.__init__ = _with_closed_reader(class_.__init__)
    _check_paths_and_take_turns(class_)
    take_turns(module.Document)


def change_mcp_server(module: ModuleType) -> None:
    """Let the MCP server offer the indexes of its configuration, if it has one, as the option of the REST server does.

    Without it, the server looks for the name of a local impact index among those that Pyserini provides, and fails.
    """
    get_backend = module.get_backend

    @wraps(get_backend)
    def configured(config_path: str | None = None, *, no_prebuilt_indexes: bool = False) -> Any:
        return get_backend(config_path, no_prebuilt_indexes=no_prebuilt_indexes or bool(config_path))

    setattr(module, get_backend.__name__, configured)


def _check_paths_and_take_turns(class_: Any) -> None:
    class_.__init__ = _with_checked_index(class_.__init__)
    take_turns(class_)


def take_turns(class_: Any) -> None:
    """Let the constructor and the public methods of a class hold `JAVA_LOCK`.

    Without it, threads that share a searcher of Pyserini get wrong hits without an error (see `java.threads`).
    """
    for name, method in list(vars(class_).items()):
        is_public = name == "__init__" or not name.startswith("_")
        # A generator would hold the lock until it is called, and not while it runs.
        if is_public and inspect.isfunction(method) and not inspect.isgeneratorfunction(method):
            setattr(class_, name, _in_turn(method))


def _in_turn[**P, R](method: Callable[P, R]) -> Callable[P, R]:
    @wraps(method)
    def locked(*args: P.args, **kwargs: P.kwargs) -> R:
        with JAVA_LOCK:
            return method(*args, **kwargs)

    return locked


def _with_checked_index(init: Any) -> Any:
    """Return a constructor that refuses a damaged index, and a path without one, where Lucene would create it."""

    @wraps(init)
    def checked(self: Any, index_dir: Any, *args: Any, **kwargs: Any) -> None:
        from splade_anserini.lucene.index_reader import check_index_files

        check_index_files(index_dir)
        init(self, index_dir, *args, **kwargs)
        # Pyserini's constructor has no way to force anything: what does not fit is a warning.
        check_query_encoder(index_dir, getattr(self, "query_encoder", None), force=True)

    return checked


def _with_closed_reader(init: Any) -> Any:
    @wraps(init)
    def opened(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        close_when_freed(self, self.reader)

    return opened


def _with_named_encoders(open_encoder: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that opens the encoders of this package by name, and all others with `open_encoder`."""

    @wraps(open_encoder)
    def opened(query_encoder: Any) -> Any:
        own = open_own_query_encoder(query_encoder) if query_encoder else None
        return own or open_encoder(query_encoder)

    return opened
