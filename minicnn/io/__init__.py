"""Files: weights and checkpoints in the safetensors format, written whole or not at all.

Torch's own files are read and written too, without torch: `load_torch`, `save_torch`.
"""

from minicnn.io.atomic import atomic_write, atomic_write_text, check_writable
from minicnn.io.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from minicnn.io.torchfile import load_torch
from minicnn.io.torchwrite import save_torch
from minicnn.io.weights import load_weights, read_header, save_weights

__all__ = [
    "Checkpoint",
    "atomic_write",
    "atomic_write_text",
    "check_writable",
    "load_checkpoint",
    "load_torch",
    "load_weights",
    "read_header",
    "save_checkpoint",
    "save_torch",
    "save_weights",
]
