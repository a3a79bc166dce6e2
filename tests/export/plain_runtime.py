"""Predictions with an exported file by onnxruntime, NumPy and Pillow alone, from its metadata."""

import json

import numpy as np
import onnxruntime
from PIL import Image


class PlainModel:
    """An exported file, used as a program without unimask would."""

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        entries = self.session.get_modelmeta().custom_metadata_map
        self.metadata = {key: json.loads(value) for key, value in entries.items()}

    def preprocess(self, image):
        """Return the input of one image (c, H, W), and the size of the image within it."""
        rules, (height, width) = self.metadata["preprocessing"], self.metadata["input"]["size"]
        scale = rules["shortest_edge"] / min(image.shape[:2])
        scale = min(scale, rules["longest_edge"] / max(image.shape[:2]))
        size = [scale * side for side in image.shape[:2]]
        size = [int(side + 0.5) for side in size]
        scale = min(1.0, height / size[0], width / size[1])
        size = [int(side * scale + 0.5) for side in size]
        resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
        dtype = self.metadata["input"]["dtype"]
        mean = np.array(rules["mean"])
        padded = np.empty((height, width, 3), dtype)
        padded[:] = np.rint(mean) if dtype == "uint8" else mean
        padded[: size[0], : size[1]] = resized
        return padded.transpose(2, 0, 1), size

    def run(self, pixel_values, task=None):
        """Return class and mask logits of a batch."""
        inputs = {"pixel_values": pixel_values}
        if self.metadata["takes_task"]:
            index = self.metadata["tasks"].index(task)
            inputs["task"] = np.full(len(pixel_values), index, np.int64)
        return self.session.run(["class_logits", "mask_logits"], inputs)
