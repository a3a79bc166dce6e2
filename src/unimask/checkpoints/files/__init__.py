"""Containers of tensors: pickle, `torch.save`, safetensors."""
