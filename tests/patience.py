"""How long tests wait for what happens at once: only a test that fails waits that long.

A shared machine stalls, now and then for most of a minute, and no test may take that for a fault. So a
bound that is there only to end a hang is this one, however short what it bounds; it is below the time
that pytest gives a test, so that what fails is the line that waits and not the whole test.
"""

PATIENCE_SECONDS = 180.0
