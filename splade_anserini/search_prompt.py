"""The prompt of `search`: queries are typed one after the other, and their hits are shown and explained."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from splade_anserini.errors import InputError, SpladeAnseriniError, counted
from splade_anserini.explaining.result_text import TextStyle, result_text
from splade_anserini.explaining.weights import read_weights
from splade_anserini.one_query import note_without_texts
from splade_anserini.suggestions import did_you_mean, nearest

if TYPE_CHECKING:
    from splade_anserini.explaining.search_result import SearchResult
    from splade_anserini.explaining.session import SearchSession

PROMPT = "query> "

_HISTORY_LINES = 1000

_HELP = """\
Type a query, or
  :explain 2            why hit 2 has its score, term by term
  :compare 1 2          why hit 1 is above hit 2
  :doc 2                hit 2 with all its stored fields
  :weights              what the query becomes
  :weights pain=1.2 mission=0
                        search again with these weights; 0 drops a token. JSON and @FILE are read, too
  :weights off          the weights of the encoder again
  :filter year>=1990    only documents that fulfil this, too; :filter off for all
  :k 20                 20 hits for each query
  :help                 this
  :quit                 the end, as Ctrl-D; Ctrl-C cancels a line
"""


def history_path() -> Path:
    """Return the file in which queries are remembered: splade-anserini/search_history in the user's state directory.

    Raises `RuntimeError` for a user without a home.
    """
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "splade-anserini" / "search_history"


class SearchPrompt:
    """Reads queries and commands, and prints what they find, until the end of the input."""

    def __init__(
        self,
        session: "SearchSession",
        style: TextStyle | None = None,
        read: Callable[[str], str] = input,
        write: Callable[[str], object] = sys.stdout.write,
    ) -> None:
        """`read` returns a line, without its end, for a prompt; it raises `EOFError` at the end of the input."""
        self._session, self._style = session, style
        self._read, self._write = read, write
        self._text: str | None = None
        self._weights: Mapping[str, float] = {}
        self._result: SearchResult | None = None
        self._has_noted = False
        self._commands: dict[str, Callable[[str], None]] = {
            "explain": self._explain,
            "compare": self._compare,
            "doc": self._show_document,
            "weights": self._change_weights,
            "filter": self._add_filter,
            "k": self._set_hits,
            "help": self._help,
        }

    def run(self) -> None:
        """Read and answer lines until :quit or the end of the input; errors are printed and do not end it."""
        documents = counted(self._session.documents, "document")
        self._write(f"{self._session.index}: {documents}. Type a query, or :help; Ctrl-D ends.\n")
        with _history():
            while True:
                try:
                    line = self._read(PROMPT).strip()
                    if line in {":quit", ":q", ":exit"}:
                        return
                    self.answer(line)
                except EOFError:
                    self._write("\n")
                    return
                except KeyboardInterrupt:
                    self._write("\n")
                except (SpladeAnseriniError, OSError) as error:
                    self._write(f"error: {error}\n")

    def answer(self, line: str) -> None:
        """Answer one line: a query, or a command after a colon. Raises `InputError` for what cannot be answered."""
        if not line:
            return
        if not line.startswith(":"):
            self._search(line, {})
            return
        name, _, rest = line[1:].partition(" ")
        commands = [command for command in self._commands if name and command.startswith(name)]
        if len(commands) != 1:
            names = [*self._commands, "quit"]
            hint = did_you_mean([f":{command}" for command in nearest(name, names)])
            raise InputError(f":{name} is not a command.", do=hint or "Type :help.")
        self._commands[commands[0]](rest.strip())

    def _search(self, text: str, weights: Mapping[str, float]) -> None:
        result = self._session.search(text, weights)
        self._text, self._weights, self._result = text, weights, result
        self._write(result_text(result, self._style))
        self._has_noted = self._has_noted or note_without_texts(result, self._session)

    def _explain(self, rest: str) -> None:
        self._write(self._session.explanation(self._last_result(), _rank(rest)))

    def _compare(self, rest: str) -> None:
        ranks = [_rank(part) for part in rest.split()]
        if len(ranks) != 2:
            raise InputError(f"{rest!r} are not two hits.", expected="two ranks, as in :compare 1 2")
        self._write(self._session.comparison(self._last_result(), *ranks))

    def _show_document(self, rest: str) -> None:
        rank = _rank(rest)
        document = self._session.document(self._last_result(), rank)
        if document is None:
            raise InputError(f"Index {self._session.index} stores no documents.", do="Build it with --store-text.")
        self._write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())

    def _change_weights(self, rest: str) -> None:
        self._last_result()
        text = self._text or ""
        if not rest:
            self._write(self._session.query_text(text, self._weights))
        elif rest in {"off", "reset"}:
            self._search(text, {})
        else:
            self._search(text, {**self._weights, **_weights(rest)})

    def _add_filter(self, rest: str) -> None:
        if not rest:
            self._write(f"{' and '.join(self._session.filters) or 'There are no filters.'}\n")
            return
        self._session.set_filters(() if rest == "off" else (*self._session.filters, rest))
        if self._text is not None:
            self._search(self._text, self._weights)

    def _set_hits(self, rest: str) -> None:
        if not rest:
            self._write(f"{counted(self._session.hits, 'hit')} for each query\n")
            return
        self._session.hits = _whole_number(rest, ":k 20")
        if self._text is not None:
            self._search(self._text, self._weights)

    def _help(self, rest: str) -> None:  # noqa: ARG002  # as other commands
        self._write(_HELP)
        with suppress(RuntimeError):
            self._write(f"Queries are remembered in {history_path()}.\n")

    def _last_result(self) -> "SearchResult":
        if self._result is None:
            raise InputError("There are no hits yet.", do="Type a query first.")
        return self._result


def _rank(text: str) -> int:
    return _whole_number(text or "1", ":explain 2")


def _whole_number(text: str, example: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise InputError(f"{text!r} is not a number of at least 1.", expected=f"a number, as in {example}")
    return int(text)


def _weights(text: str) -> Mapping[str, float]:
    """Return weights that are typed as token=weight, or as for --query-weights."""
    if text.startswith(("{", "@")):
        return read_weights(text)
    weights = {}
    for part in shlex.split(text) if "'" in text or '"' in text else text.split():
        token, _, weight = part.rpartition("=")
        try:
            weights[token] = float(weight)
        except ValueError:
            token = ""
        if not token:
            raise InputError(f"{part!r} is not a weight.", expected="token=weight, such as pain=1.2 mission=0")
    return weights


@contextmanager
def _history() -> Iterator[None]:
    """Keep the lines that are typed for later sessions, where Python has readline and the user a home."""
    try:
        import readline

        path = history_path()
    except (ImportError, RuntimeError):
        yield
        return
    readline.set_history_length(_HISTORY_LINES)
    with suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        # A history that cannot be written is not worth an error.
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            readline.write_history_file(path)
