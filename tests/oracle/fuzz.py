"""A longer run of the solver against brute force: python -m tests.oracle.fuzz 0 1000.

Prints every seed that goes wrong, and exits with 1 if any did.
"""

from __future__ import annotations

import argparse
import sys

from solver.objective import Objective
from tests.oracle.brute_force import BruteForce, TooLargeError
from tests.oracle.test_oracle import FAMILIES, HEIGHTS, WIDTHS, check, draw


def main() -> int:
    """Solve the problems of a range of seeds for every objective."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int, nargs="?", default=0, help="first seed")
    parser.add_argument("last", type=int, nargs="?", default=1000, help="seed after the last")
    parser.add_argument("--size", type=int, default=2, help="size of the maps of graphs")
    args = parser.parse_args()
    wrong = 0
    for family, rules in FAMILIES.items():
        solved = large = 0
        for seed in range(args.first, args.last):
            problem = draw(family, seed, args.size)
            try:
                points = BruteForce(problem, rules, WIDTHS, HEIGHTS).points()
            except TooLargeError:
                large += 1
                continue
            for objective in Objective:
                try:
                    check(f"seed {seed}, {family}", problem, rules, objective, points)
                except Exception as error:  # whatever it is, the other seeds go on
                    wrong += 1
                    print(f"WRONG: {type(error).__name__}: {error}", flush=True)
            solved += 1
        print(f"{family}: {solved} problems x {len(Objective)} objectives, {large} too large")
    print(f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
