"""Test-time augmentation: views of an image, and one prediction from those of all views."""
