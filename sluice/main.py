"""The command `sluice`.

Which half of the project is meant is decided before either is imported: they don't know each other.
"""

import sys
from importlib.metadata import version


def main() -> int:
    """Run the command line; returns the exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--version"]:
        print(f"sluice {version('sluice')}")
        return 0
    if arguments[:1] == ["switch"]:
        from switch.main import main as switch

        return switch(arguments[1:])
    from controller.cli.main import main as controller

    return controller(arguments)


if __name__ == "__main__":
    sys.exit(main())
