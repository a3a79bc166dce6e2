"""Model folders in the Hugging Face schema."""
