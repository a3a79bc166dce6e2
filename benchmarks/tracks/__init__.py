"""Measurement of tracking on rendered traffic, whose true ids are known."""
