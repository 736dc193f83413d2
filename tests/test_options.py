"""Option dataclasses: one declaration for commands and Python functions."""

import inspect
import math
import shlex
import subprocess
import sys
from typing import Literal

import pytest

from splade_anserini.cli import console
from splade_anserini.cli.console import _Lines, duration, errors_as_sentences, main_of
from splade_anserini.cli.renamed_options import current_spelling
from splade_anserini.errors import InputError
from splade_anserini.lucene.feedback import Feedback
from splade_anserini.options import option, options, recorded_options
from splade_anserini.retrieval.options import SearchOptions, TwoStepOptions


@options
class Fruit:
    """What is eaten."""

    kind: Literal["apple", "pear"] = option(default="apple", help="Its kind.")
    pieces: int = option(default=2, least=1, greatest=9, help="How many.")
    ripe: float | None = option(default=None, above=0, below=1, parser=lambda text: float(text) / 100, help="Percent.")
    names: tuple[str, ...] = option(default=(), help="Their names; repeat for several.")
    peel: bool = option(default=True, help="Peel it.", recorded=False)
    seeds: int = option(default=0, help="How many seeds.", recorded=False)


@options
class Eater:
    """Who eats."""

    pieces: int = option(default=2, least=1, greatest=9, help="How many.")
    name: str = option(help="A name.")


eaten: list[tuple[Fruit, Eater]] = []


def eat(fruit: Fruit, eater: Eater) -> None:
    """Eat."""
    eaten.append((fruit, eater))


def run(*arguments: str) -> object:
    eaten.clear()
    with pytest.raises(SystemExit) as leaving:
        main_of(eat, arguments)
    return leaving.value.code or 0


def test_fields_are_options_and_groups_share_those_of_the_same_name() -> None:
    assert run("--name", "Eve", "--pieces", "3", "--names", "a", "--names", "b", "--no-peel") == 0
    assert eaten == [(Fruit(pieces=3, names=("a", "b"), peel=False), Eater(name="Eve", pieces=3))]
    assert run("--name", "Eve") == 0
    assert eaten == [(Fruit(), Eater(name="Eve"))]


def test_a_range_has_the_same_message_from_python_and_from_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"^--pieces must be at least 1, got 0\.$"):
        Fruit(pieces=0)
    with pytest.raises(InputError, match=r"^--pieces must be at most 9, got 10\.$"):
        Fruit(pieces=10)
    with pytest.raises(InputError, match=r"^--kind must be apple or pear, got 'plum'\.$"):
        Fruit(kind="plum")  # type: ignore[arg-type]
    assert run("--name", "Eve", "--pieces", "0") == 2
    assert capsys.readouterr().err == "error: --pieces must be at least 1, got 0.\n"
    assert run("--name", "Eve", "--kind", "plum") == 2
    assert capsys.readouterr().err == "error: --kind must be apple or pear, got 'plum'.\n"


@pytest.mark.parametrize(("value", "message"), [(0, "above 0, got 0"), (1, "below 1, got 1"), (math.nan, "above 0")])
def test_limits_themselves_may_be_out_of_range(value: float, message: str) -> None:
    with pytest.raises(InputError, match=f"^--ripe must be {message}"):
        Fruit(ripe=value)


def test_a_parser_turns_text_into_a_value() -> None:
    assert run("--name", "Eve", "--ripe", "50") == 0
    assert eaten[0][0].ripe == 0.5


def test_only_what_decides_an_output_is_recorded() -> None:
    assert recorded_options(Fruit(names=("a",))) == {
        "kind": "apple",
        "pieces": 2,
        "ripe": None,
        "names": ["a"],
    }


def test_h_is_help_and_a_mistyped_option_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-h") == 0
    text = capsys.readouterr().out
    assert "--peel / --no-peel" in text
    assert "How many seeds.  [default: 0]" in text
    assert run("--piece", "3", "--name", "Eve") == 2
    assert "--pieces" in capsys.readouterr().err


def test_options_that_exclude_one_another_are_refused() -> None:
    with pytest.raises(InputError, match="--candidates needs --two-step"):
        TwoStepOptions(candidates=3)
    with pytest.raises(InputError, match="--feedback-terms needs --feedback"):
        Feedback(terms=3)
    with pytest.raises(InputError, match="--rocchio-beta has no effect with --feedback rm3"):
        Feedback(method="rm3", rocchio_beta=0.5)


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        ("search", ["--two-phase", "3"], ["--two-step", "3"]),
        ("search", ["--two-phase=3", "--hits", "2"], ["--two-step", "3", "--hits", "2"]),
        ("fuse", ["--output-format", "msmarco"], ["--format", "msmarco"]),
        (
            "search",
            ["--feedback", "rm3", "--feedback-weight", "0.25"],
            ["--feedback", "rm3", "--original-query-weight", "0.75"],
        ),
        (
            "search",
            ["--feedback-weight", "0.4", "--feedback", "rocchio"],
            ["--rocchio-beta", "0.4", "--feedback", "rocchio"],
        ),
        ("profile", ["--output", "p", "--picture", "svg"], ["--output", "p", "--plot", "p/profile.svg"]),
        ("profile", ["--output", "p", "--picture", "none"], ["--output", "p"]),
        ("sweep", ["--output", "s", "--picture", "none"], ["--output", "s", "--plot", "none"]),
        ("sweep", ["--output=s", "--picture", "pdf"], ["--output=s", "--plot", "s/sweep.pdf"]),
        ("profile", ["--format", "text", "--cold"], ["--format", "table", "--cold"]),
        ("reproduce", ["x", "--force"], ["x", "--overwrite"]),
    ],
)
def test_old_spellings_are_understood_with_a_warning(
    command: str, old: list[str], new: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert current_spelling(command, old) == new
    assert "is deprecated" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("resumable", "message"), [(True, "Run the same command again to resume."), (False, "Nothing was written.")]
)
def test_an_interrupt_is_one_line_that_says_whether_to_resume(
    capsys: pytest.CaptureFixture[str], resumable: bool, message: str
) -> None:
    with pytest.raises(SystemExit) as leaving, errors_as_sentences(resumable=resumable):
        raise KeyboardInterrupt
    assert (leaving.value.code, capsys.readouterr().err) == (130, f"\nInterrupted. {message}\n")


def test_an_interrupt_of_a_command_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as leaving:
        main_of(command, [])
    assert (leaving.value.code, capsys.readouterr().err) == (130, "\nInterrupted. Nothing was written.\n")


def test_a_command_whose_reader_has_gone_ends_quietly() -> None:
    code = (
        "from splade_anserini.cli.console import main_of\n"
        "def command() -> None:\n    while True: print('line', flush=True)\n"
        "main_of(command, [])"
    )
    pipe = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/usr/bin/env", "bash", "-c", pipe], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("line\n0\n", "")


@pytest.fixture
def line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "INTERVAL", 60.0)


@pytest.mark.usefixtures("line_a_minute")
def test_without_a_terminal_progress_is_a_line_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    progress = _Lines("Encoding", 1000, "documents", lambda: now)
    for now in (30.0, 61.0, 90.0, 130.0):  # noqa: B007  # the clock reads it
        progress(100)
    assert capsys.readouterr().err.splitlines() == [
        "Encoding: 200 of 1,000 documents (20%), 4 min 8 s left",
        "Encoding: 400 of 1,000 documents (40%), 3 min 20 s left",
    ]


@pytest.mark.usefixtures("line_a_minute")
def test_what_an_interrupted_run_had_done_does_not_count_as_done_in_a_minute(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    progress = _Lines("Training", 4000, "steps", lambda: now)
    progress(3000)
    for now in (60.0, 120.0):  # noqa: B007  # the clock reads it
        progress(20)
    assert capsys.readouterr().err.splitlines() == [
        "Training: 3,020 of 4,000 steps (76%), 49 min 0 s left",
        "Training: 3,040 of 4,000 steps (76%), 48 min 0 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_python_functions_take_the_option_classes() -> None:
    from splade_anserini.search import search

    assert "SearchOptions" in str(inspect.signature(search).parameters["options"])
    assert SearchOptions().hits == 1000
    assert "typer" not in str(sys.modules["splade_anserini.options"].__dict__.keys())
