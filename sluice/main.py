"""The command `sluice`.

Which half of the project is meant is decided before either is imported: they don't know each other.
"""

import os
import sys

NOT_READ = 1
"""Exit code when nobody reads what is printed, as typer and rich have it."""


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough, as in `sluice events | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_READ
    return code


def _run() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] == ["switch"]:
        from switch import grpc_core

        grpc_core.prepare()
        from switch.main import main as switch

        return switch(arguments[1:])
    from controller.cli.main import main as controller

    return controller(arguments)


if __name__ == "__main__":
    sys.exit(main())
