"""
The guardian's process: `python -m platform_core.embedded ORDER`, started by the owner's leash.
"""

import json
import sys

from platform_core.embedded.guardian import guard
from platform_core.embedded.order import Order

sys.exit(guard(Order(**json.loads(sys.argv[1]))))
