import subprocess
import sys

import pytest

from splade_anserini import __version__
from splade_anserini.__main__ import COMMANDS
from splade_anserini.cli.console import errors_as_sentences
from splade_anserini.errors import InputError, JavaError, RecordError
from tests.cli_runner import run_stage


def splade_anserini(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "splade_anserini", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_without_a_stage_the_command_lists_the_stages(arguments: tuple[str, ...]) -> None:
    done = splade_anserini(*arguments)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")][: len(COMMANDS)] == list(
        COMMANDS
    )


def test_it_knows_its_version() -> None:
    assert splade_anserini("--version").stdout == f"splade-anserini {__version__}\n"


def test_an_unknown_stage_is_a_usage_error() -> None:
    done = splade_anserini("serch")
    assert done.returncode == 2
    assert done.stderr == "error: 'serch' is not a command. Did you mean search or serve?\n"


@pytest.mark.parametrize("stage", COMMANDS)
def test_an_unknown_option_is_a_usage_error(stage: str) -> None:
    done = run_stage(stage, "--nonsense")
    assert done.code == 2
    assert "No such option" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("stage", COMMANDS)
def test_help_is_the_same_both_ways_in(stage: str) -> None:
    module = [sys.executable, "-m", f"splade_anserini.{stage.replace('-', '_')}", "--help"]
    one = subprocess.run(module, capture_output=True, text=True, check=True).stdout
    other = splade_anserini(stage, "--help").stdout
    assert one.split("\n", 1)[1] == other.split("\n", 1)[1]
    assert other.startswith(f"Usage: splade-anserini {stage}")


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("no"), 2), (RecordError("f", 3, "no"), 2), (JavaError("no"), 1), (OSError(5, "broken", "disk"), 2)],
)
def test_an_error_is_printed_without_a_traceback_and_leaves_with_its_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving, errors_as_sentences():
        raise error
    assert leaving.value.code == code
    assert capsys.readouterr().err.startswith("error: ")


def test_a_message_says_what_was_found_what_was_expected_and_what_to_do() -> None:
    error = RecordError("corpus.jsonl", 7, "no text", expected="a text", do="Add one.")
    assert str(error) == "corpus.jsonl, line 7: no text.\nExpected a text.\nAdd one."
