"""`python -m refsys`: the command, where its script is not on the path."""

from refsys.cli.main import main

main()
