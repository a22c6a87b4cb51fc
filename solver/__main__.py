"""`python -m solver` is the `fuseproof` command."""

import sys


def run() -> int:
    """Run the command; Ctrl-C while its modules are being loaded ends it quietly, too."""
    try:
        from solver.cli import main
    except KeyboardInterrupt:
        return 3
    return main()


if __name__ == "__main__":
    sys.exit(run())
