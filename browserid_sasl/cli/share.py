"""What goes into PREFIX/share: manual pages, and completion for shells.

python -m browserid_sasl.cli.share PREFIX     # writes them
python -m browserid_sasl.cli.share            # says where they go, below PREFIX
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from click.shell_completion import get_completion_class

from browserid_sasl.cli.manual import page
from browserid_sasl.cli.programs import PROGRAMS, Program

_COMPLETIONS = {
    "bash": "share/bash-completion/completions/{}",
    "zsh": "share/zsh/site-functions/_{}",
    "fish": "share/fish/vendor_completions.d/{}.fish",
}
"""Where each shell looks, below a prefix."""


def files() -> Iterator[tuple[str, str]]:
    """Path below the prefix, and content, of each file."""
    for program in PROGRAMS:
        section = program.section
        yield f"share/man/man{section}/{program.name}.{section}", page(program)
        for shell, place in _COMPLETIONS.items():
            yield place.format(program.name), completion(program, shell)


def completion(program: Program, shell: str) -> str:
    """What a shell reads to complete the words of a program.

    :param shell: ``bash``, ``zsh`` or ``fish``.
    """
    of_shell = get_completion_class(shell)
    if of_shell is None:
        raise ValueError(f"there is no completion for {shell}")
    variable = f"_{program.name.replace('-', '_').upper()}_COMPLETE"
    made = of_shell(program.command, {}, program.name, variable)
    return made.source_template % made.source_vars()


def main(arguments: Sequence[str]) -> int:
    """Write the files, or say where they go."""
    for place, content in files():
        if not arguments:
            print(place)
            continue
        path = Path(arguments[0]) / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        path.chmod(0o644)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
