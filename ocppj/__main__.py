"""``python -m ocppj`` is the command ``ocppj``."""

from .cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
