"""Measurements against other solvers, and random problems that two of our own solvers must agree on.

`python -m benchmarks --help` from the root of the repository. Speed is never asserted anywhere: it is reported as
ratios to peers that were measured in the same run on the same machine.
"""
