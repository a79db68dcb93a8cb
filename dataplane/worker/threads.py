"""How many threads the numerical libraries of a worker use."""

import importlib
import os

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def is_settable() -> bool:
    """Whether libraries that are loaded already can be told."""
    try:
        importlib.import_module("threadpoolctl")
    except ImportError:
        return False
    return True


def use(count: int) -> None:
    """Let libraries use `count` threads: those that are loaded later by the environment, those that are loaded by being
    told.

    Only one thread may have been used so far when the process was forked: threads do not survive a fork.
    """
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    if count > 1:
        importlib.import_module("threadpoolctl").threadpool_limits(limits=count)
