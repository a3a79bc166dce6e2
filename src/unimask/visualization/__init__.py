"""Drawings of segments over images, and the colours of classes."""
