"""Sentences about pictures and tasks, and their tokens."""
