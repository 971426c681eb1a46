"""A rule that cannot be had without a database library."""

import time

from sqlalchemy import func

NOW = func.now
BEGAN = time.time()
