"""Files: weights and checkpoints in the safetensors format, written whole or not at all."""

from minicnn.io.atomic import atomic_write, atomic_write_text, check_writable
from minicnn.io.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from minicnn.io.weights import load_weights, read_header, save_weights

__all__ = [
    "Checkpoint",
    "atomic_write",
    "atomic_write_text",
    "check_writable",
    "load_checkpoint",
    "load_weights",
    "read_header",
    "save_checkpoint",
    "save_weights",
]
