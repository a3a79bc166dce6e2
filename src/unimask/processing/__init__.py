"""Pictures to tensors, and logits to segments: pure functions."""
