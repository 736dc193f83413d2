"""Encoding in pipelines of Ray Data: a class for `map_batches`, and a datasink that writes shards and a manifest.

    pool = ray.data.ActorPoolStrategy(size=4)
    dataset = dataset.map_batches(SpladeBatchEncoder, fn_constructor_kwargs={"encoder": "splade-mini-v2"}, compute=pool)
    dataset.write_datasink(ImpactDatasink("impacts", encoder="splade-mini-v2"))

It needs Ray, which `pip install 'splade-anserini[ray]'` installs.
"""

import gzip
import heapq
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from splade_anserini.artifacts.files import PARTIAL, require_free, whole_directory
from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.conversion.directory import write_directory
from splade_anserini.encoding.document import SpladeDocumentEncoder
from splade_anserini.encoding.opening import default_scale, open_encoder
from splade_anserini.encoding.options import EncodeOptions, EncoderOptions
from splade_anserini.errors import InputError, OutputError
from splade_anserini.formats.corpus_fields import RECOGNIZED, CorpusOptions, document_of
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.records import ImpactDocument, StrPath
from splade_anserini.workers.ray_cluster import import_ray

if TYPE_CHECKING:
    import pyarrow as pa

ray = import_ray()
from ray.data import Datasink  # noqa: E402  # after the error that says what to install
from ray.data.block import BlockAccessor  # noqa: E402

_PROBE = "probe"


class SpladeBatchEncoder:
    """Encodes batches of documents, for `Dataset.map_batches`.

    A batch has columns for ids, texts and perhaps titles; they are recognized by their names, or named by `fields`, as
    in a file. The result has the columns `id`, `contents`, `tokens` (lists of strings), `impacts` (lists of integers,
    of the same length) and `columns`, which are passed on, such as a row number. These are the columns of
    `convert --format parquet`, and `index` reads Parquet files of them.

    `encoder` is what `open_encoder` takes, `scale` by default the encoder's. Threads are, by default, the processors
    that Ray gives to the actor. Raises what `open_encoder` and `SpladeDocumentEncoder` raise, and `RecordError` for a
    row that is not a document.
    """

    def __init__(
        self,
        encoder: StrPath,
        *,
        options: EncoderOptions | None = None,
        scale: float | None = None,
        top_k: int | None = None,
        contents: bool = True,
        fields: CorpusOptions = RECOGNIZED,
        columns: Sequence[str] = (),
    ) -> None:
        options = options or EncoderOptions()
        if not options.threads:
            options = replace(options, threads=_assigned_threads())
        self._encoder = SpladeDocumentEncoder(
            open_encoder(encoder, options), scale=scale or default_scale(encoder), top_k=top_k, contents=contents
        )
        self._fields = fields
        self._columns = tuple(columns)

    def __call__(self, batch: Mapping[str, Any]) -> "pa.Table":
        """Encode a batch, column → values, of the format "numpy", the default of `map_batches`."""
        import pyarrow as pa

        if not isinstance(batch, Mapping):
            raise InputError(f"A batch is a {type(batch).__name__}.", do='Leave batch_format out, or use "numpy".')
        values = {name: _listed(column) for name, column in batch.items()}
        if missing := [name for name in self._columns if name not in values]:
            raise InputError(f"The dataset has no column {missing[0]!r}; it has {', '.join(values)}.")
        documents = [
            document_of(
                dict(zip(values, row, strict=True)), Location("the dataset", number, "row of a batch"), self._fields
            )
            for number, row in enumerate(zip(*values.values(), strict=True), 1)
        ]
        with closing(self._encoder.encode(documents)) as encoded:
            impacts = list(encoded)
        columns = {
            "id": pa.array([document.id for document in impacts], pa.string()),
            "contents": pa.array([document.contents for document in impacts], pa.string()),
            "tokens": pa.array([list(document.vector) for document in impacts], pa.list_(pa.string())),
            "impacts": pa.array([list(document.vector.values()) for document in impacts], pa.list_(pa.int32())),
        }
        return pa.table(columns | {name: pa.array(values[name]) for name in self._columns})


def _listed(column: Any) -> list[Any]:
    """Return a column of a batch as a list of Python's own types."""
    return list(column.tolist()) if hasattr(column, "tolist") else list(column)


def _assigned_threads() -> int:
    """Return how many processors Ray has given to this actor; 0, all, outside of an actor."""
    if not ray.is_initialized() or (context := ray.get_runtime_context()).get_actor_id() is None:
        return 0
    return max(1, int(context.get_assigned_resources().get("CPU", 1)))


class Part(NamedTuple):
    """Rows that one task has written, in order."""

    file: str
    first: Any
    """The least value of the column that gives the order."""
    last: Any


class ImpactDatasink(Datasink):
    """Writes what `SpladeBatchEncoder` returns into a directory of shards with a manifest, as `encode` does.

    The documents are ordered by the column `order_by`: by id, or by a row number that `SpladeBatchEncoder` passes on
    (`columns=["row"]`). Tasks write sorted parts, and the driver merges them into shards of `docs_per_shard`
    documents, so that the files do not depend on Ray's blocks; with the order of the corpus they are those of `encode`.

    All nodes must see the directory that contains `path`. `encoder`, `scale`, `top_k`, `contents` and `options` are
    those of `SpladeBatchEncoder`; the manifest records them. The directory appears when all is written. Raises
    `OutputError` when it is there already, or a node does not see it.
    """

    def __init__(
        self,
        path: StrPath,
        *,
        encoder: StrPath,
        options: EncoderOptions | None = None,
        encode: EncodeOptions | None = None,
        corpus: str = "",
        order_by: str = "id",
    ) -> None:
        self._path = Path(path).absolute()
        self._staging = self._path.with_name(f".{self._path.name}.parts{PARTIAL}")
        self._order_by = order_by
        self._encode = encode or EncodeOptions(scale=default_scale(encoder))
        opened = open_encoder(encoder, options)
        self._settings = EncodeSettings(
            encoder=opened.identity,
            corpus=corpus,
            scale=self._encode.scale,
            max_length=opened.max_length,
            top_k=self._encode.top_k,
            contents=self._encode.contents,
            docs_per_shard=self._encode.docs_per_shard,
            shard_id=0,
            shard_num=1,
        )

    def on_write_start(self, schema: "pa.Schema | None" = None) -> None:  # noqa: ARG002  # Ray's name
        """Make the directory for parts."""
        require_free(self._path)
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir(parents=True)
        (self._staging / _PROBE).touch()

    def write(self, blocks: Iterable[Any], ctx: Any) -> Part | None:  # noqa: ARG002  # Ray's name
        """Write the rows of one task, sorted; return the part, or None without rows."""
        if not (self._staging / _PROBE).exists():
            raise OutputError(
                f"{self._staging} is not there on the node {ray.util.get_node_ip_address()}.",
                expected="a directory that all nodes share",
                do="Choose another path, or write Parquet files.",
            )
        rows = [row for block in blocks for row in BlockAccessor.for_block(block).to_arrow().to_pylist()]
        if not rows:
            return None
        if missing := [name for name in ("id", "tokens", "impacts", self._order_by) if name not in rows[0]]:
            raise InputError(f"The dataset has no column {missing[0]!r}; it has {', '.join(rows[0])}.")
        keyed = sorted((([row[self._order_by], row["id"]], row) for row in rows), key=itemgetter(0))
        file = self._staging / f"{uuid.uuid4().hex}.jsonl.gz"
        with gzip.open(file, "wb", compresslevel=1) as output:
            for key, row in keyed:
                vector = dict(zip(row["tokens"], row["impacts"], strict=True))
                output.write(orjson.dumps([key, row.get("contents") or "", vector], option=orjson.OPT_APPEND_NEWLINE))
        return Part(file.name, keyed[0][0], keyed[-1][0])

    def on_write_complete(self, write_result: Any) -> None:
        """Merge the parts into shards, and write the manifest."""
        parts = [Part(*part) for part in write_result.write_returns if part is not None]
        with whole_directory(self._path) as partial:
            write_directory(partial, self._merged(parts), self._settings, self._encode.docs_per_shard)
        shutil.rmtree(self._staging)

    def on_write_failed(self, error: Exception) -> None:  # noqa: ARG002  # Ray's name
        """Remove the parts."""
        shutil.rmtree(self._staging, ignore_errors=True)

    def _merged(self, parts: list[Part]) -> Iterator[ImpactDocument]:
        """Yield the documents of all parts in order; only parts that overlap are open at the same time."""
        waiting = sorted(parts, key=lambda part: part.first, reverse=True)
        heap: list[tuple[Any, int, Any, Iterator[Any]]] = []
        while heap or waiting:
            while waiting and (not heap or waiting[-1].first <= heap[0][0]):
                _push(heap, len(waiting), _lines(self._staging / waiting.pop().file))
            (_, id_), number, (contents, vector), lines = heapq.heappop(heap)
            yield ImpactDocument(id_, vector, contents)
            _push(heap, number, lines)


def _push(heap: list[tuple[Any, int, Any, Iterator[Any]]], number: int, lines: Iterator[Any]) -> None:
    """Add the next line of a part, with its key; `number` decides where keys are equal."""
    for key, *rest in lines:
        heapq.heappush(heap, (key, number, rest, lines))
        return


def _lines(file: Path) -> Iterator[Any]:
    with gzip.open(file, "rb") as lines:
        yield from map(orjson.loads, lines)
