"""Loops that run inside Java, composed of method handles.

A call from Python to Java costs microseconds, and more when it passes a string. A loop in Python that makes a few calls
for each document or hit would therefore cost more than Lucene's own work. `java.lang.invoke` composes methods into one
method handle, which Java compiles as if it had been written in Java, and Python calls it once for a whole batch. No
Java source has to be built or shipped.

Types are given by the names that Java's `Class.forName` takes, primitives as "int", and written here as
(argument types) → return type.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

OBJECT, STRING, INTEGER, BYTES = "java.lang.Object", "java.lang.String", "java.lang.Integer", "[B"
ITERATOR, LIST, ARRAY_LIST, MAP = "java.util.Iterator", "java.util.List", "java.util.ArrayList", "java.util.Map"
BYTE_OUTPUT = "java.io.ByteArrayOutputStream"

_BOXES = {"void": "Void", "boolean": "Boolean", "int": "Integer", "long": "Long", "float": "Float", "double": "Double"}


def virtual_method(owner: str, name: str, returns: str, *takes: str) -> Any:
    """Return a handle of an instance method, (owner, takes…) → returns."""
    return _lookup().findVirtual(java_class(owner), name, _method_type(returns, *takes))


def static_method(owner: str, name: str, returns: str, *takes: str) -> Any:
    """Return a handle of a static method, (takes…) → returns."""
    return _lookup().findStatic(java_class(owner), name, _method_type(returns, *takes))


def constructor(owner: str, *takes: str) -> Any:
    """Return a handle of a constructor, (takes…) → owner."""
    return _lookup().findConstructor(java_class(owner), _method_type("void", *takes))


def field_getter(owner: str, name: str, kind: str) -> Any:
    """Return a handle that reads a field, (owner) → kind."""
    return _lookup().findGetter(java_class(owner), name, java_class(kind))


def as_type(handle: Any, returns: str, *takes: str) -> Any:
    """Return the handle with other types, cast as in Java; with "void" its result is dropped."""
    return handle.asType(_method_type(returns, *takes))


def bind(handle: Any, *values: Any) -> Any:
    """Return the handle with its first arguments fixed to these objects; for primitives, see `bind_int`."""
    for value in values:
        handle = handle.bindTo(value)
    return handle


def bind_int(handle: Any, position: int, value: int) -> Any:
    """Return the handle with its int argument at `position` fixed."""
    return bind_primitive(handle, position, "int", value)


def bind_primitive(handle: Any, position: int, kind: str, value: float) -> Any:
    """Return the handle with its argument at `position`, of the primitive type `kind`, fixed.

    The value is boxed for the call: pyjnius would pass a bare Python number as an object of arbitrary content.
    """
    return _handles().insertArguments(handle, position, _autoclass(f"java.lang.{_BOXES[kind]}")(value))


def bind_string(handle: Any, position: int, text: str) -> Any:
    """Return the handle with its String argument at `position` fixed."""
    return _handles().insertArguments(handle, position, _autoclass(STRING)(text))


def bind_object(handle: Any, position: int, value: Any) -> Any:
    """Return the handle with its argument at `position` fixed to this object; for strings, see `bind_string`."""
    return _handles().insertArguments(handle, position, value)


def supply_argument(handle: Any, position: int, supplier: Any) -> Any:
    """Return the handle without its argument at `position`, which `supplier`, () → object, supplies at each call."""
    return _handles().collectArguments(handle, position, supplier)


def constant(kind: str, value: Any) -> Any:
    """Return a handle without arguments whose result, of the class `kind`, is always `value`."""
    return _handles().constant(java_class(kind), value)


def chain(first: Any, *others: Any) -> Any:
    """Return a handle that passes the result of each handle to the next: others(first(…))."""
    for handle in others:
        first = _handles().filterReturnValue(first, handle)
    return first


def sequence(*actions: Any) -> Any:
    """Return a handle that calls handles one after the other with the same arguments; all but the last return void."""
    combined = actions[0]
    for action in actions[1:]:
        combined = _handles().foldArguments(action, combined)
    return combined


def fold_first(supplier: Any, action: Any) -> Any:
    """Return `action` without its first argument, which `supplier`, () → object, supplies at each call."""
    return _handles().foldArguments(action, supplier)


def drop_argument(handle: Any, position: int, kind: str) -> Any:
    """Return a handle that takes one more argument, at `position`, and ignores it."""
    return _handles().dropArguments(handle, position, java_class(kind))


def null_argument(handle: Any, position: int, kind: str) -> Any:
    """Return the handle with null as its argument at `position`, an object of the class `kind`."""
    null = _handles().constant(java_class(kind), None)
    return _handles().collectArguments(handle, position, null)


def filter_argument(handle: Any, position: int, function: Any) -> Any:
    """Return a handle that applies `function` to its argument at `position` and passes the result to `handle`."""
    return _handles().filterArguments(handle, position, function)


def duplicate_argument(handle: Any, returns: str, kind: str) -> Any:
    """Return a handle that passes its one argument twice to `handle`, (kind, kind) → returns."""
    return _handles().permuteArguments(handle, _method_type(returns, kind), 0, 0)


def swap_arguments(handle: Any, returns: str, first: str, second: str) -> Any:
    """Return a handle that takes its two arguments in the other order, (first, second) → returns."""
    return _handles().permuteArguments(handle, _method_type(returns, first, second), 1, 0)


def array_length(kind: str) -> Any:
    """Return a handle of `array.length`, (kind) → int, for the class of an array such as "[B"."""
    return _handles().arrayLength(java_class(kind))


def next_element(kind: str) -> Any:
    """Return a handle of `(kind) iterator.next()`, (Iterator) → kind."""
    return as_type(virtual_method(ITERATOR, "next", OBJECT), kind, ITERATOR)


def while_has_next(body: Any, *, with_argument: str | None = None) -> Any:
    """Return the loop `while (iterator.hasNext()) body(iterator);`, (Iterator) → void; `body` calls next().

    With `with_argument`, loop and body take an object of this class before the iterator.
    """
    has_next = virtual_method(ITERATOR, "hasNext", "boolean")
    if with_argument:
        has_next = drop_argument(has_next, 0, with_argument)
    return _handles().whileLoop(None, has_next, body)


def while_true(condition: Any, body: Any) -> Any:
    """Return the loop `while (condition(x)) body(x);`; both take the same object, `body` returns void."""
    return _handles().whileLoop(None, condition, body)


def less_than(limit: int) -> Any:
    """Return a handle of `value < limit` for ints up to `limit`, (int) → boolean."""
    compare = bind_int(static_method(INTEGER, "compare", "int", "int", "int"), 1, limit)
    # It returns -1 or 0. As a boolean, Java takes the last bit: -1 is true, 0 is false.
    return _handles().explicitCastArguments(compare, _method_type("boolean", "int"))


def add_to_list(items: Any, kind: str) -> Any:
    """Return a handle of `items.add(element)`, (kind) → void, for a Java ArrayList."""
    return as_type(bind(virtual_method(ARRAY_LIST, "add", "boolean", OBJECT), items), "void", kind)


def list_to_array(items: Any, kind: str) -> Any:
    """Return a handle of `items.toArray(new kind[0])`, () → kind[], for a Java List."""
    array, objects = f"[L{kind};", f"[L{OBJECT};"
    empty = bind_int(_handles().arrayConstructor(java_class(array)), 0, 0)
    return chain(empty, as_type(bind(virtual_method(LIST, "toArray", objects, objects), items), array, array))


def as_callable(handle: Any) -> Any:
    """Return a `java.util.concurrent.Callable` that calls a handle without arguments."""
    return _as_interface("java.util.concurrent.Callable", handle)


def as_function(handle: Any) -> Any:
    """Return a `java.util.function.BiFunction` that calls a handle with two arguments.

    pyjnius passes it numbers as Integer or Float, and strings: bytes only as strings.
    """
    return _as_interface("java.util.function.BiFunction", handle)


def _as_interface(kind: str, handle: Any) -> Any:
    from jnius import cast

    with hidden_classes():
        proxy = _autoclass("java.lang.invoke.MethodHandleProxies").asInterfaceInstance(java_class(kind), handle)
    return cast(kind, proxy)


@contextmanager
def hidden_classes() -> Iterator[None]:
    """Let Java return objects of hidden classes in the block: lambdas, and since Java 22 the proxies of handles.

    pyjnius looks up the class of an object by its name, and a hidden class has none that can be looked up.
    """
    from jnius import reflect

    look_up = reflect.autoclass

    def autoclass(name: str, *options: Any, **keywords: Any) -> Any:
        # The name of a hidden class ends with an address, where no other class has a digit.
        return look_up(OBJECT if ".0x" in name else name, *options, **keywords)

    reflect.autoclass = autoclass
    try:
        yield
    finally:
        reflect.autoclass = look_up


@cache
def java_class(name: str) -> Any:
    """Return Java's `Class` of that name: "int" and "void" are primitives, "[B" is an array of bytes."""
    if name in _BOXES:
        return _autoclass(f"java.lang.{_BOXES[name]}").TYPE
    return _autoclass("java.lang.Class").forName(name)


@cache
def _method_type(returns: str, *takes: str) -> Any:
    method_type = _autoclass("java.lang.invoke.MethodType")
    if not takes:
        return method_type.methodType(java_class(returns))
    return method_type.methodType(java_class(returns), [java_class(name) for name in takes])


@cache
def _lookup() -> Any:
    return _handles().publicLookup()


def _handles() -> Any:
    return _autoclass("java.lang.invoke.MethodHandles")


def _autoclass(name: str) -> Any:
    from jnius import autoclass

    return autoclass(name)
