"""Checkpoints and exports of tiny models that many tests read. Tests must not change them."""

from pathlib import Path
from typing import Any

import pytest

from splade_anserini.records import Activation, Aggregation, Pooling
from tests.tiny import SENTENCES, tiny_checkpoint, tiny_distilbert_checkpoint

SAVE = {"bert": tiny_checkpoint, "distilbert": tiny_distilbert_checkpoint}


class SharedModels:
    """Makes each checkpoint and each export when a test first asks for it, in subdirectories of `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._traces: dict[tuple[str, Aggregation, bool], bytes] = {}

    def checkpoint(self, kind: str = "bert") -> Path:
        """Return the directory of a tiny "bert" or "distilbert"."""
        directory = self._home / kind
        return directory if directory.exists() else SAVE[kind](directory)

    def export(
        self,
        kind: str = "bert",
        pooling: Pooling = "max",
        precision: Any = "fp32",
        activation: Activation = "relu",
    ) -> Path:
        """Return the directory of an export; those in fp32 also have Anserini's graph."""
        from splade_anserini.export import export
        from splade_anserini.exporting.options import ExportOptions
        from splade_anserini.modeling.checkpoint import load_checkpoint

        output = self._home / f"{kind}-{pooling}-{activation}-{precision}"
        if not output.exists():
            options = ExportOptions(
                pooling=pooling, activation=activation, precision=precision, anserini=precision == "fp32"
            )
            with pytest.MonkeyPatch.context() as monkeypatch:
                self.reuse_traces(monkeypatch)
                export(load_checkpoint(self.checkpoint(kind)), output, options, SENTENCES)
        return output

    def reuse_traces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let exports reuse the graphs of models that were traced before: tracing takes most of their time."""
        import onnx
        import onnx_ir as ir

        from splade_anserini.exporting import export as exporting
        from splade_anserini.exporting.onnx_graph import splade_graph
        from splade_anserini.modeling.identity import weights_fingerprint

        def graph(splade: Any, *, token_types: bool) -> ir.Model:
            key = (weights_fingerprint(splade.model), splade.aggregation, token_types)
            if key not in self._traces:
                proto = ir.to_proto(splade_graph(splade, token_types=token_types))
                self._traces[key] = proto.SerializeToString()
            return ir.from_proto(onnx.load_model_from_string(self._traces[key]))

        monkeypatch.setattr(exporting, "splade_graph", graph)
