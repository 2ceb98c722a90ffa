"""`python -m pipelines.command`: the command, where `zsar` is not installed."""

from pipelines.command.main import main

main()
