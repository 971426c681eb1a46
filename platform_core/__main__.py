"""`python -m platform_core` is `platform`."""

from platform_core.cli import main

if __name__ == "__main__":
    main()
