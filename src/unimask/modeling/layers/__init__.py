"""Small parts that several networks share, one a file."""
