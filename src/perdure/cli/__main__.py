"""`python -m perdure.cli`: the command line, where the command `perdure` isn't on the path."""

from perdure.cli import main

if __name__ == "__main__":
    main()
