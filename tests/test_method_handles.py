"""Loops that are composed of Java's method handles."""

from typing import Any

import pytest

from splade_anserini.lucene import start_jvm
from splade_anserini.lucene.java.method_handles import (
    ARRAY_LIST,
    BYTES,
    ITERATOR,
    LIST,
    STRING,
    array_length,
    as_callable,
    as_function,
    as_type,
    bind,
    bind_int,
    chain,
    hidden_classes,
    less_than,
    next_element,
    sequence,
    swap_arguments,
    virtual_method,
    while_has_next,
)

pytestmark = pytest.mark.slow

BUILDER = "java.lang.StringBuilder"


@pytest.fixture(scope="module")
def autoclass() -> Any:
    start_jvm()
    from jnius import autoclass

    return autoclass


def test_a_loop_runs_for_each_element_of_an_iterator_and_can_be_called_again(autoclass: Any) -> None:
    words, output = autoclass(ARRAY_LIST)(), autoclass(BUILDER)()
    append = as_type(bind(virtual_method(BUILDER, "append", BUILDER, STRING), output), "void", STRING)
    body = chain(next_element(STRING), sequence(append, append))
    loop = as_callable(chain(bind(virtual_method(LIST, "iterator", ITERATOR), words), while_has_next(body)))
    for word in ["a", "naïve", "😀"]:
        words.add(word)
    loop.call()
    assert output.toString() == "aanaïvenaïve😀😀"
    words.clear()
    loop.call()
    assert output.toString() == "aanaïvenaïve😀😀"


def test_a_function_takes_two_arguments_in_either_order(autoclass: Any) -> None:
    repeat = virtual_method(STRING, "repeat", STRING, "int")
    swapped = swap_arguments(repeat, STRING, "int", STRING)
    assert as_function(repeat).apply("ab", 3) == as_function(swapped).apply(3, "ab") == "ababab"


def test_the_length_of_an_array_is_an_int(autoclass: Any) -> None:
    length = chain(virtual_method(STRING, "getBytes", BYTES), array_length(BYTES))
    assert as_callable(bind(length, autoclass(STRING)("abc"))).call() == 3


def test_an_int_argument_can_be_fixed(autoclass: Any) -> None:
    output = autoclass(BUILDER)()
    append = bind(virtual_method(BUILDER, "append", BUILDER, "int"), output)
    as_callable(bind_int(append, 0, -7)).call()
    assert output.toString() == "-7"


@pytest.mark.parametrize(("value", "expected"), [(-(2**31), "true"), (2**31 - 2, "true"), (2**31 - 1, "false")])
def test_less_than_compares_ints_up_to_the_limit(autoclass: Any, value: int, expected: str) -> None:
    output = autoclass(BUILDER)()
    append = bind(virtual_method(BUILDER, "append", BUILDER, "boolean"), output)
    as_callable(chain(bind_int(less_than(2**31 - 1), 0, value), append)).call()
    assert output.toString() == expected


def test_an_exception_in_java_is_raised(autoclass: Any) -> None:
    from jnius import JavaException

    empty = autoclass(ARRAY_LIST)()
    take = as_callable(chain(bind(virtual_method(LIST, "iterator", ITERATOR), empty), next_element(STRING)))
    with pytest.raises(JavaException, match="NoSuchElementException"):
        take.call()


def test_objects_of_hidden_classes_can_be_returned(autoclass: Any) -> None:
    from jnius import JavaException, cast

    functions = autoclass("java.util.ArrayList")()
    functions.add(autoclass("java.util.function.Function").identity())
    with pytest.raises(JavaException, match="NoClassDefFoundError"):
        functions.get(0)
    with hidden_classes():
        function = functions.get(0)
    assert cast("java.util.function.Function", function).apply("same") == "same"
