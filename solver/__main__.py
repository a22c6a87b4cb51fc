"""`python -m solver` is the `fuseproof` command."""

import sys

from solver.cli import main

sys.exit(main())
