"""Training with several systems for the same number of minutes."""
