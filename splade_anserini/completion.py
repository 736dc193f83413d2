"""The command `completion`: the script with which a shell completes commands and options."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of


def command(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="Your shell.")],
    output: Annotated[Path | None, typer.Option(help="File to write to. [default: standard output]")] = None,
    overwrite: cli.Overwrite = False,
) -> None:
    """Print the script with which a shell completes commands, options, and the values of options.

    It is read from the commands as they are now: write it again after an upgrade. Put it where the shell looks for
    such scripts, as in the examples, and open another shell; for zsh the directory must be in fpath.

    \b
    Examples:
      splade-anserini completion bash --output ~/.local/share/bash-completion/completions/splade-anserini
      splade-anserini completion zsh --output ~/.zfunc/_splade-anserini
      splade-anserini completion fish --output ~/.config/fish/completions/splade-anserini.fish
    """
    from splade_anserini.__main__ import COMMANDS
    from splade_anserini.artifacts.files import whole_file
    from splade_anserini.artifacts.outputs import require_new_file
    from splade_anserini.cli.completion import completed_command, completion_script

    if output is not None:
        require_new_file(output, overwrite=overwrite)
    modules = {name: import_module(f"splade_anserini.{name.replace('-', '_')}") for name in COMMANDS}
    script = completion_script(
        shell, [completed_command(name, COMMANDS[name], module.command) for name, module in modules.items()]
    )
    if output is None:
        typer.echo(script, nl=False)
        return
    with whole_file(output) as file:
        file.write(script.encode())
    typer.echo(f"{output}: {len(modules)} commands")


if __name__ == "__main__":
    main_of(command)
