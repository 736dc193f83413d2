"""Loops that are composed of Java's method handles do what they say."""

from typing import Any

import pytest

from splade_anserini.lucene import start_jvm
from splade_anserini.lucene.java import method_handles as h

pytestmark = pytest.mark.slow

BUILDER = "java.lang.StringBuilder"


@pytest.fixture(scope="module")
def autoclass() -> Any:
    start_jvm()
    from jnius import autoclass

    return autoclass


def test_a_loop_takes_from_an_iterator_until_it_has_no_more(autoclass: Any) -> None:
    words, written = autoclass("java.util.ArrayList")(), autoclass(BUILDER)()
    append = h.typed(h.bound(h.virtual(BUILDER, "append", BUILDER, h.STRING), written), "void", h.STRING)
    body = h.chain(h.next_of(h.STRING), h.sequence(append, append))
    run = h.task(h.chain(h.bound(h.virtual(h.LIST, "iterator", h.ITERATOR), words), h.while_next(body)))
    for word in ["a", "naïve", "😀"]:
        words.add(word)
    run.call()
    assert written.toString() == "aanaïvenaïve😀😀"
    words.clear()
    run.call()
    assert written.toString() == "aanaïvenaïve😀😀"


def test_an_int_can_be_given_once_and_for_all(autoclass: Any) -> None:
    written = autoclass(BUILDER)()
    append = h.bound(h.virtual(BUILDER, "append", BUILDER, "int"), written)
    h.task(h.bound_int(append, 0, -7)).call()
    assert written.toString() == "-7"


def test_what_java_throws_inside_is_raised(autoclass: Any) -> None:
    from jnius import JavaException

    empty = autoclass("java.util.ArrayList")()
    run = h.task(h.chain(h.bound(h.virtual(h.LIST, "iterator", h.ITERATOR), empty), h.next_of(h.STRING)))
    with pytest.raises(JavaException, match="NoSuchElementException"):
        run.call()
