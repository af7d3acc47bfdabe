"""`python -m automtl` is the `automtl` command."""

from automtl.cli.main import main

main()
