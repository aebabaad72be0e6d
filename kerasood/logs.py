"""The one channel on which the library speaks: Python's logger "kerasood".

A library call prints nothing by itself; the commands show this channel on their console. Progress
is logged as info, and what a user must know as a warning.
"""

import logging

log = logging.getLogger("kerasood")
log.addHandler(logging.NullHandler())
