"""Completion of commands, options and values in a shell."""

import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
import typer

from splade_anserini.__main__ import COMMANDS
from splade_anserini.cli.completion import CompletedCommand, CompletedOption, completion_script
from splade_anserini.cli.console import application
from tests.cli_runner import run_stage


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outcome = run_stage("completion", "bash")
    assert outcome.code == 0, outcome.err
    path = tmp_path_factory.mktemp("completion") / "bash"
    path.write_text(outcome.out)
    return path


def completed(script: Path, *lines: str) -> list[list[str]]:
    """Return what bash offers at the end of each line; words are separated by single spaces."""
    calls = [
        f'COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _splade_anserini; echo "${{COMPREPLY[*]}}"'
        for line in lines
    ]
    done = subprocess.run(
        ["bash", "-c", "\n".join([f"source {script}", *calls])], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.slow
class TestBash:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("splade-anserini enc", ["encode"]),
            ("splade-anserini --v", ["--version"]),
            ("splade-anserini encode --prec", ["--precision"]),
            ("splade-anserini train --se", ["--set"]),
            ("splade-anserini evaluate --format ''", ["table", "json", "csv", "latex", "markdown"]),
            ("splade-anserini evaluate --format = m", ["markdown"]),
            ("splade-anserini evaluate --format =", ["table", "json", "csv", "latex", "markdown"]),
            ("splade-anserini list me", ["measures"]),
            ("splade-anserini completion z", ["zsh"]),
            ("splade-anserini encode --encoder splade-mi", ["splade-mini", "splade-mini-v2"]),
            ("splade-anserini search --index cranfield", ["cranfield.splade-mini", "cranfield.splade-mini-v2"]),
            # The shell completes names of files.
            ("splade-anserini encode --corpus s", []),
            ("splade-anserini info i", []),
            ("splade-anserini nothing --x", []),
        ],
    )
    def test_what_is_offered(self, script: Path, line: str, expected: list[str]) -> None:
        assert completed(script, line) == [expected]

    def test_all_commands_and_all_their_options(self, script: Path) -> None:
        (commands, *options) = completed(
            script, "splade-anserini ''", *(f"splade-anserini {name} --" for name in COMMANDS)
        )
        assert commands == [*COMMANDS, "--help", "--version"]
        for name, offered in zip(COMMANDS, options, strict=True):
            command = typer.main.get_command(
                application(import_module(f"splade_anserini.{name.replace('-', '_')}").command)
            )
            names = [flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)]
            assert set(offered) == {flag for flag in names if flag.startswith("--")} | {"--help"}, name


COMMAND = CompletedCommand(
    "list",
    "what's [there]: a $list",
    (
        CompletedOption(("--format",), "How to `print` the user's [result]: \\", True, ("table", "json"), False),
        CompletedOption(("--output",), "A file", True, (), True),
        CompletedOption(("--all", "--no-all"), "", False, (), False),
    ),
    ("encoders", "formats"),
)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_valid_whatever_help_says(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(completion_script(shell, [COMMAND]))  # type: ignore[arg-type]
    done = subprocess.run([shell, "-n", tmp_path / "script"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_fish_offers_options_with_their_help_and_values(tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    (tmp_path / "script").write_text(completion_script("fish", [COMMAND]))
    lines = ["splade-anserini li", "splade-anserini list --forma", "splade-anserini list --format t"]
    commands = [f"source {tmp_path / 'script'}", *(f"complete -C '{line}'" for line in lines)]
    done = subprocess.run(["fish", "-c", "; ".join(commands)], capture_output=True, text=True, check=True)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["list", "--format", "table"]


def test_a_shell_that_is_not_known_is_refused() -> None:
    outcome = run_stage("completion", "tcsh")
    assert (outcome.code, "'tcsh'" in outcome.err) == (2, True), outcome.err


def test_the_script_is_written_to_a_file_that_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "completions" / "splade-anserini"
    assert run_stage("completion", "fish", "--output", path).code == 0
    assert path.read_text() == run_stage("completion", "fish").out
    again = run_stage("completion", "fish", "--output", path)
    assert (again.code, "already exists" in again.err) == (2, True), again.err
    assert run_stage("completion", "fish", "--output", path, "--overwrite").code == 0
