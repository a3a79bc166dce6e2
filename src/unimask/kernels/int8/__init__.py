"""Matrix products and convolutions of 8-bit integers on a CPU, for inference."""

from unimask.kernels.int8.convolution import Int8Convolution
from unimask.kernels.int8.linear import Int8Linear, chained
from unimask.kernels.int8.marks import computes_in_int8, set_int8
from unimask.kernels.int8.quantization import Quantized, quantize, quantize_weight
from unimask.kernels.int8.support import find_int8_obstacle

__all__ = [
    "Int8Convolution",
    "Int8Linear",
    "Quantized",
    "chained",
    "computes_in_int8",
    "find_int8_obstacle",
    "quantize",
    "quantize_weight",
    "set_int8",
]
