"""Changes Pyserini as it is imported: it needs no network, and its searchers can be shared by threads."""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from splade_anserini.lucene import pyserini_changes


def adapt_pyserini() -> None:
    """Change Pyserini as `pyserini_changes` describes, and let it be imported without network access.

    Modules that are imported already are changed at once.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    for name, change in _CHANGES.items():
        if name in sys.modules:
            change(sys.modules[name])
    sys.meta_path.insert(0, _Finder())


_CHANGES = {
    "pyserini.index.lucene._base": pyserini_changes.change_index_reader,
    "pyserini.search.lucene._impact_searcher": pyserini_changes.change_impact_searcher,
    "pyserini.search.lucene._searcher": pyserini_changes.change_searcher,
    "pyserini.server.mcp.mcpyserini": pyserini_changes.change_mcp_server,
}


class _Finder(MetaPathFinder):
    """Finds the modules of Pyserini that are changed, and leaves all others to Python's own finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return Python's own description of a module, with a loader that changes it."""
        if fullname not in {_CATALOG, *_CHANGES}:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            loader = DeferringLoader if fullname == _CATALOG else _ChangingLoader
            spec.loader = loader(spec.loader.name, spec.loader.path)
        return spec


class _ChangingLoader(SourceFileLoader):
    """Loads a module and changes it."""

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, then change it."""
        super().exec_module(module)
        _CHANGES[module.__name__](module)


class DeferringLoader(SourceFileLoader):
    """Loads a module whose dictionaries look up their values when they are first needed, not during the import.

    Only dictionaries at the top level of the module with values of the form `NAME[…]` change. Pyserini 2.4 downloads
    its list of indexes for two such values, so that it cannot be imported without network access.
    """

    def get_code(self, fullname: str) -> CodeType | None:
        """Compile the source with its dictionaries deferred, unless the module cannot download anything."""
        path = self.get_filename(fullname)
        source = self.get_data(path)
        if b"urlopen" not in source:
            return super().get_code(fullname)
        # Not by way of super(): the cached bytecode is that of the unchanged module.
        tree = ast.fix_missing_locations(_Deferral().visit(ast.parse(source, path)))
        code: CodeType = compile(tree, path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module."""
        vars(module)[_DEFERRED] = _DeferredDict
        super().exec_module(module)


_CATALOG = "pyserini.prebuilt_index_info"
_DEFERRED = "_splade_anserini_deferred"


class _Deferral(ast.NodeTransformer):
    """{"a": NAME["b"]}  →  _splade_anserini_deferred({"a": lambda: NAME["b"]})"""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.expr:
        if not node.values or not all(
            isinstance(value, ast.Subscript) and isinstance(value.value, ast.Name) for value in node.values
        ):
            return node
        nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        values = [ast.Lambda(nothing, value) for value in node.values]
        return ast.Call(ast.Name(_DEFERRED, ast.Load()), [ast.Dict(node.keys, list[ast.expr](values))], [])


class _DeferredDict(Mapping[Any, Any]):
    """A mapping from keys to what functions return."""

    def __init__(self, functions: Mapping[Any, Callable[[], Any]]) -> None:
        self._functions = functions

    def __getitem__(self, key: Any) -> Any:
        return self._functions[key]()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._functions)

    def __len__(self) -> int:
        return len(self._functions)
