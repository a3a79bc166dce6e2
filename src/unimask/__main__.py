"""`python -m unimask` is `unimask`."""

from unimask.cli import main

main()
