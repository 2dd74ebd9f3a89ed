"""``hansard completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "hansard"
VARIABLE = "_HANSARD_COMPLETE"  # click's name for a program called hansard


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what a shell needs to complete commands and options.

    \b
    bash:  hansard completion bash > ~/.local/share/bash-completion/completions/hansard
    zsh:   hansard completion zsh > ~/.zfunc/_hansard
    fish:  hansard completion fish > ~/.config/fish/completions/hansard.fish
    """  # noqa: D301 - click wants the character
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, PROGRAM, VARIABLE).source())
