"""Python's garbage collector in a process that serves pages."""

import gc

# A page makes tens of thousands of objects that live as long as it does: at Python's own threshold of 700 the collector
# looks through everything in the middle of one page in ten, which then takes half as long again.
YOUNG_MAX = 20_000


def settle() -> None:
    """Leave alone for good what importing has made, and look through what comes less often.

    Called once, when everything is imported.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, *gc.get_threshold()[1:])
