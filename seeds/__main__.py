"""
`python -m seeds [--env …] [--essential-only] [--module NAME]`: the same as `platform seed`.
"""

import sys

from platform_core.cli import main

main(["seed", *sys.argv[1:]])
