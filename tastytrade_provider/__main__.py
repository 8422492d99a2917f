"""`python -m tastytrade_provider` is the command line."""

from .cli import main

main()
