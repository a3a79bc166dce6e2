"""Fixed splits of the datasets of all comparisons, and folders that link their files."""
