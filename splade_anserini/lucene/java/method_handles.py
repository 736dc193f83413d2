"""Loops that run inside Java, composed of method handles.

A call from Python to Java costs microseconds and a string more, so a loop over documents or hits that makes some calls
for each costs more than Lucene's own work. `java.lang.invoke` composes methods to one, which Java compiles as if it had
been written in Java, and Python calls it once for a whole batch. So there is no Java source to build and to ship.
"""

from functools import cache
from typing import Any

OBJECT, STRING, BYTES = "java.lang.Object", "java.lang.String", "[B"
ITERATOR, LIST = "java.util.Iterator", "java.util.List"

_BOXES = {"void": "Void", "boolean": "Boolean", "int": "Integer", "long": "Long", "float": "Float", "double": "Double"}


def virtual(owner: str, name: str, returns: str, *takes: str) -> Any:
    """Return a handle of a method, (owner, takes…) → returns; all are names of classes as Java's `Class` has them."""
    return _lookup().findVirtual(java_class(owner), name, _type(returns, *takes))


def static(owner: str, name: str, returns: str, *takes: str) -> Any:
    """Return a handle of a static method, (takes…) → returns."""
    return _lookup().findStatic(java_class(owner), name, _type(returns, *takes))


def constructor(owner: str, *takes: str) -> Any:
    """Return a handle that makes an object, (takes…) → owner."""
    return _lookup().findConstructor(java_class(owner), _type("void", *takes))


def field(owner: str, name: str, kind: str) -> Any:
    """Return a handle that reads a field, (owner) → kind."""
    return _lookup().findGetter(java_class(owner), name, java_class(kind))


def typed(handle: Any, returns: str, *takes: str) -> Any:
    """Return the handle with other types, cast as in Java; what it returns is dropped for "void"."""
    return handle.asType(_type(returns, *takes))


def bound(handle: Any, *values: Any) -> Any:
    """Return the handle with its first arguments, objects and no primitives, given once and for all."""
    for value in values:
        handle = handle.bindTo(value)
    return handle


def chain(first: Any, *others: Any) -> Any:
    """Return a handle that hands what each returns to the next."""
    for handle in others:
        first = _handles().filterReturnValue(first, handle)
    return first


def sequence(*actions: Any) -> Any:
    """Return a handle that calls handles with the same arguments, one after the other; all but the last return void."""
    done = actions[0]
    for action in actions[1:]:
        done = _handles().foldArguments(action, done)
    return done


def fold_first(made: Any, action: Any) -> Any:
    """Return `action` with its first argument made anew by `made`, which takes none."""
    return _handles().foldArguments(action, made)


def drop_argument(handle: Any, position: int, kind: str) -> Any:
    """Return a handle that takes, and ignores, one argument more."""
    return _handles().dropArguments(handle, position, java_class(kind))


def without(handle: Any, position: int, kind: str) -> Any:
    """Return the handle with null for its argument at `position`, an object of `kind`."""
    nothing = _handles().constant(java_class(kind), None)
    return _handles().collectArguments(handle, position, nothing)


def on_argument(handle: Any, position: int, change: Any) -> Any:
    """Return a handle whose argument at `position` goes through `change` first."""
    return _handles().filterArguments(handle, position, change)


def next_of(kind: str) -> Any:
    """Return a handle that takes the next element of an iterator, (Iterator) → kind."""
    return typed(virtual(ITERATOR, "next", OBJECT), kind, ITERATOR)


def while_next(body: Any, *, with_argument: str | None = None) -> Any:
    """Return a loop that calls `body`, (Iterator) → void, until the iterator has no more; `body` takes from it.

    With `with_argument`, loop and body take an object of this class before the iterator.
    """
    more = virtual(ITERATOR, "hasNext", "boolean")
    if with_argument:
        more = drop_argument(more, 0, with_argument)
    return _handles().whileLoop(None, more, body)


def while_true(more: Any, body: Any) -> Any:
    """Return a loop that calls `body` as long as `more` says so; both take the same object, `body` returns nothing."""
    return _handles().whileLoop(None, more, body)


def not_equal(value: int) -> Any:
    """Return a handle that says whether an int, none above `value`, is another, (int) → boolean."""
    compare = bound_int(static("java.lang.Integer", "compare", "int", "int", "int"), 1, value)
    # -1 or 0, of which Java takes the last bit for the truth.
    return _handles().explicitCastArguments(compare, _type("boolean", "int"))


def duplicate_argument(handle: Any, returns: str, kind: str) -> Any:
    """Return a handle that gives one argument to both places of `handle`, (kind, kind) → returns."""
    return _handles().permuteArguments(handle, _type(returns, kind), 0, 0)


def task(handle: Any) -> Any:
    """Return a `Callable` of a handle without arguments."""
    from jnius import cast

    kind = "java.util.concurrent.Callable"
    return cast(kind, _autoclass("java.lang.invoke.MethodHandleProxies").asInterfaceInstance(java_class(kind), handle))


def number(value: int) -> Any:
    """Return a Java Integer, as handles take an int to be bound; a bare Python int would reach Java as garbage."""
    return _autoclass("java.lang.Integer")(value)


def bound_int(handle: Any, position: int, value: int) -> Any:
    """Return the handle with its int argument at `position` given once and for all."""
    return _handles().insertArguments(handle, position, number(value))


def bound_number(handle: Any, position: int, kind: str, value: float) -> Any:
    """Return the handle with its argument at `position`, of the primitive `kind`, given once and for all."""
    return _handles().insertArguments(handle, position, _autoclass(f"java.lang.{_BOXES[kind]}")(value))


def as_array(items: Any, kind: str) -> Any:
    """Return a handle that copies a Java List of objects of the class `kind`, () → kind[]."""
    array, objects = f"[L{kind};", f"[L{OBJECT};"
    empty = bound_int(_handles().arrayConstructor(java_class(array)), 0, 0)
    return chain(empty, typed(bound(virtual(LIST, "toArray", objects, objects), items), array, array))


@cache
def java_class(name: str) -> Any:
    """Return Java's `Class` of that name; "int" and "void" are primitives, "[B" is an array of bytes."""
    if name in _BOXES:
        return _autoclass(f"java.lang.{_BOXES[name]}").TYPE
    return _autoclass("java.lang.Class").forName(name)


@cache
def _type(returns: str, *takes: str) -> Any:
    kinds = _autoclass("java.lang.invoke.MethodType")
    if not takes:
        return kinds.methodType(java_class(returns))
    return kinds.methodType(java_class(returns), [java_class(name) for name in takes])


@cache
def _lookup() -> Any:
    return _handles().publicLookup()


def _handles() -> Any:
    return _autoclass("java.lang.invoke.MethodHandles")


def _autoclass(name: str) -> Any:
    from jnius import autoclass

    return autoclass(name)
