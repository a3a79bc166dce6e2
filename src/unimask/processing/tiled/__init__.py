"""Post-processing of tiles of a large image, whose logits are never held all at once."""
