"""One thread for the linear algebra of a solve, where threadpoolctl (the `fast` extra) can see to it."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any

__all__ = ["one_blas_thread"]


def one_blas_thread() -> contextlib.AbstractContextManager[Any]:
    """Keep BLAS to one thread inside a `with`; nothing happens without threadpoolctl.

    The matrices here are small: two threads of OpenBLAS on busy cores took 380 ms where one took 2 (201 letters).
    """
    controller = _controller()
    return contextlib.nullcontext() if controller is None else controller.limit(limits=1, user_api="blas")


@cache
def _controller() -> Any | None:
    try:
        import threadpoolctl
    except ImportError:
        return None
    return threadpoolctl.ThreadpoolController()
