"""Division of large images into overlapping tiles, and joining of the tiles' predictions."""
