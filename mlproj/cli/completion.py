"""``mlproj completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from mlproj.cli.console import out


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script of a shell: commands, options, entry points, parameters, runs.

    \b
    Examples:
      eval "$(mlproj completion bash)"                    in ~/.bashrc
      eval "$(mlproj completion zsh)"                     in ~/.zshrc
      mlproj completion fish | source                     in config.fish
    """
    from mlproj.cli.app import app

    found = get_completion_class(shell)
    assert found is not None
    out(found(app, {}, "mlproj", "_MLPROJ_COMPLETE").source())
    return 0
