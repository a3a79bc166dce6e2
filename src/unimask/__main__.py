"""Run the command line as `python -m unimask`."""

from unimask.cli.main import main

main()
