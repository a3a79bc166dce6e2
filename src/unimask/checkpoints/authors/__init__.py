"""Weight files of the papers' authors."""
