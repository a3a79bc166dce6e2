"""Run the command line as `python -m unimask`."""

from unimask.cli import main

main()
