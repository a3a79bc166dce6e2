"""Datasets of Hugging Face's `datasets`: tables whose cells hold pictures and labels."""
