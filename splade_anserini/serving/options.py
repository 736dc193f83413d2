"""The options of the command `serve`. Importing this module loads nothing heavy."""

from splade_anserini.modeling.options import remote_code_option
from splade_anserini.options import option, options

MOST_THREADS = 16
"""Threads that encode, where the options do not say how many."""


@options
class ServedOptions:
    """What is served."""

    index: tuple[str, ...] = option(
        metavar="[NAME=]DIR",
        help="Impact index, or the name of an index card. Several indexes: repeat the option. Requests name an index "
        "by NAME, by default that of the directory; without a name they search the first.",
    )
    bm25: tuple[str, ...] = option(
        default=(),
        metavar="[NAME=]DIR",
        help="Text index of the same collection as the index NAME, for the engines bm25 and hybrid.",
    )
    encoder: str | None = option(
        default=None,
        help="Encoder of queries: card name, encoder directory, or Hugging Face id or directory.",
        unset="the one that each index records",
    )
    query_idf: float | None = option(
        default=None,
        least=0,
        greatest=10,
        metavar="ALPHA",
        help="Multiply each impact of a query by idf^ALPHA of the token in the index.",
        unset="what each index records of its encoder",
    )
    sample_queries: str | None = option(
        default=None,
        metavar="TOPICS",
        help="Queries that the page at / offers: topics, as search reads them.",
        unset="it offers none",
    )
    writable: bool = option(default=False, help="Requests may add, replace and delete documents.")
    threads: int = option(
        default=0,
        least=0,
        help=f"Queries that are encoded at once, each on one processor. 0: one per core, at most {MOST_THREADS}.",
    )
    device: str = option(default="auto", help="auto, cpu, cuda, cuda:n or mps.")
    trust_remote_code: bool = remote_code_option()
    verify: bool = option(default=False, help="Check all files of the indexes for damage first, also of large ones.")
    force: bool = option(default=False, help="Accept an encoder or a scale that is not that of the documents.")


@options
class ServerOptions:
    """Where the service listens, and who may use it."""

    host: str = option(default="127.0.0.1", help="Address. 0.0.0.0: all of this machine, which others can reach.")
    port: int = option(default=8080, least=0, greatest=65535, help="Port. 0: one that is free.")
    api_keys: str | None = option(
        default=None,
        metavar="FILE",
        help="File with the keys that requests may have, one on a line; # begins a comment. Others are refused.",
        unset="requests need no key",
    )
    reload: float = option(
        default=2.0,
        least=0,
        metavar="SECONDS",
        help="How often to look whether an index was changed; it is opened beside the old one. 0: only on SIGHUP.",
    )
    grace: float = option(
        default=30.0, least=0, metavar="SECONDS", help="After SIGTERM: how long requests may take to finish."
    )


@options
class LimitOptions:
    """What a request may ask for, and how many may wait."""

    max_hits: int = option(default=1000, least=1, help="Greatest k of a request.")
    max_query: int = option(default=4000, least=1, metavar="CHARACTERS", help="Longest text of a query.")
    max_body: int = option(default=1_000_000, least=1, metavar="BYTES", help="Largest body of a request.")
    queue: int = option(default=128, least=1, help="Requests at once, running or waiting. More are refused with 503.")
    timeout: float = option(
        default=10.0, above=0, metavar="SECONDS", help="A request that takes longer is answered 504."
    )
    cache: int = option(default=1000, least=0, help="Answers that are kept for repeated requests. 0: none.")
