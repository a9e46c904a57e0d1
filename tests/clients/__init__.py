"""Strangers' clients against the running system: `make test-clients`.

Their packages are in an environment of their own. `python -m tests.clients` starts the system and runs
`with_NAME.py` of each client there, as a program.
"""
