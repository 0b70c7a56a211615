"""How long solvers may go on: iterations, seconds, and the interrupt key; what is found by then is kept."""

from __future__ import annotations

import math
import time

__all__ = ["Budget"]


class Budget:
    """Counts iterations and watches the clock; `spent` says to stop, and nothing else happens.

    Parameters
    ----------
    max_iterations : float
        Newton steps (or iterations of a library's solver) in all.
    time_limit : float
        Seconds from now.
    """

    def __init__(self, max_iterations: float = math.inf, time_limit: float = math.inf) -> None:
        self.iterations_left = max_iterations
        self._end = time.monotonic() + time_limit
        self.interrupted = False

    @property
    def seconds_left(self) -> float:
        """Seconds until the limit, inf without one, never negative."""
        return max(self._end - time.monotonic(), 0.0)

    @property
    def spent(self) -> bool:
        """Whether solvers have to stop."""
        return self.interrupted or self.iterations_left <= 0 or self.seconds_left <= 0

    def step(self) -> bool:
        """Take one iteration; False when there is none left."""
        if self.spent:
            return False
        self.iterations_left -= 1
        return True
