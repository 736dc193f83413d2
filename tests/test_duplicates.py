import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.errors import RecordError
from splade_anserini.formats.parsing import duplicates
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, digest_of, duplicate_error, refuse_duplicates
from splade_anserini.formats.parsing.lines import Location


def repeated(ids: list[str]) -> set[bytes]:
    with DuplicateFinder() as finder:
        for id_ in ids:
            finder.add(id_)
        return set().union(*finder.repeated())


def refuse(ids: list[str]) -> None:
    with DuplicateFinder() as finder:
        for id_ in ids:
            finder.add(id_)
        refuse_duplicates(finder, lambda: ((Location("f", line), id_) for line, id_ in enumerate(ids, 1)), "id")


@given(st.lists(st.text("abc", max_size=3), max_size=40))
def test_exactly_the_ids_that_were_added_twice_are_repeated(ids: list[str]) -> None:
    assert repeated(ids) == {digest_of(id_) for id_, count in Counter(ids).items() if count > 1}


def test_digests_in_files_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "BUFFER_SIZE", 64)
    ids = [str(n) for n in range(3000)]
    assert repeated(ids) == set()
    assert repeated([*ids, "0", "1234", "0"]) == {digest_of("0"), digest_of("1234")}


def test_repeated_digests_are_yielded_in_sets_of_limited_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "SUSPECTS", 2)
    with DuplicateFinder() as finder:
        for n in [*range(500), *range(500)]:
            finder.add(str(n))
        sizes = [len(digests) for digests in finder.repeated()]
    assert max(sizes) == 2
    assert sum(sizes) == 500


def test_the_message_names_the_duplicate_and_the_first_location() -> None:
    with pytest.raises(RecordError, match=r"^f, line 4: duplicate id 'b' \(first seen at line 2\)\.\n"):
        refuse(["a", "b", "c", "b"])


def test_the_message_names_the_first_file_when_it_is_another_one() -> None:
    error = duplicate_error(Location("f", 4), "b", Location("g", 2, "row"), "document id")
    assert str(error).startswith("f, line 4: duplicate document id 'b' (first seen at g, row 2).\n")


def test_ids_that_share_a_digest_are_not_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "digest_of", lambda _: bytes(16))
    refuse(["a", "b", "c"])
    with pytest.raises(RecordError, match="line 3"):
        refuse(["a", "b", "a"])


def test_the_files_are_removed_at_the_end_also_after_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(duplicates, "BUFFER_SIZE", 16)

    def fail_in_the_middle() -> None:
        with DuplicateFinder() as finder:
            finder.add("a")
            assert any(tmp_path.rglob("*"))
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_the_middle()
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "BUFFER_SIZE", 1024)

    def peak(ids: int) -> int:
        with DuplicateFinder() as finder:
            tracemalloc.start()
            for n in range(ids):
                finder.add(str(n))
            _, peak_bytes = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return peak_bytes

    # 64 buffers of 1 KiB each hold 4,096 digests; 60,000 of them would be 960 kB.
    assert peak(60_000) < 1.2 * peak(10_000) < 300_000
