"""How masks and files are written down: pure functions, round trips tested."""
