"""Operators with one meaning and several implementations, held equal by tests."""
