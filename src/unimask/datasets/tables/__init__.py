"""Datasets of Hugging Face's `datasets`: tables whose cells hold images and labels."""
