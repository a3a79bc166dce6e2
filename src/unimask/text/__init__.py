"""Sentences about images and tasks, and their tokens."""
