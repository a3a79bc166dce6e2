"""Weights of backbones pretrained on ImageNet."""
