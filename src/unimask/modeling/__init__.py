"""Image tensor to class and mask logits."""
