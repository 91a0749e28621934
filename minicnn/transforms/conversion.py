"""From images to tensors, and from tensors to what a network was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.data.slots import sample_array
from minicnn.errors import ArgumentError, DataError, DtypeError, ShapeError
from minicnn.io.pixels import rgb_words
from minicnn.kernels import backend_of
from minicnn.tensor import Tensor
from minicnn.transforms.arguments import is_image


class ToTensor:
    """A Pillow image or an array (H, W) or (H, W, C) as a tensor (C, H, W).

    ==========================  ==================================================
    images of 8 bits a channel  value / 255: the default dtype, float32, in [0, 1]
    mode 1, black and white     0 and 1, of that dtype
    modes I and I;16            int32, as they are
    mode F                      float32, as they are
    arrays of uint8             value / 255
    other arrays                their dtype, as they are; uint16 as int32
    ==========================  ==================================================

    Raises DataError for anything else. Source: `torchvision.transforms.ToTensor`, which makes
    16 bits int16, so that bright pixels become negative.
    """

    def __call__(self, pic: Any) -> Tensor:
        if is_image(pic) and pic.mode == "RGB":
            return _unit_range(rgb_words(pic), 3)
        array = _pixels(pic, "ToTensor")
        if array.dtype == np.bool_ and is_image(pic):
            return Tensor(_channels_first(array, dtypes.get_default_dtype()))
        if array.dtype != np.uint8:
            return Tensor(_channels_first(array, array.dtype))
        return _unit_range(np.ascontiguousarray(array), array.shape[2])

    def __repr__(self) -> str:
        return "ToTensor()"


class PILToTensor:
    """A Pillow image as a tensor (C, H, W) of its own values: uint8, or bool for mode 1, int32 for
    modes I and I;16, float32 for mode F.

    Raises DataError for anything else. Source: `torchvision.transforms.PILToTensor`.
    """

    def __call__(self, pic: Any) -> Tensor:
        if not is_image(pic):
            raise DataError(
                f"PILToTensor: expected a Pillow image, got {type(pic).__name__}. "
                "Use ToTensor for arrays."
            )
        if pic.mode == "RGB":
            pixels = rgb_words(pic)
            planes = sample_array((3, *pixels.shape[:2]), np.uint8)
            return Tensor(backend_of(pixels).byte_planes(pixels, 3, out=planes))
        array = _pixels(pic, "PILToTensor")
        return Tensor(_channels_first(array, array.dtype))

    def __repr__(self) -> str:
        return "PILToTensor()"


def _pixels(pic: Any, op: str) -> np.ndarray:
    """(H, W) or (H, W, C) of a dtype that tensors have."""
    array = np.asarray(pic) if is_image(pic) or isinstance(pic, np.ndarray) else None
    if array is not None and array.dtype.kind == "u" and array.dtype.itemsize == 2:
        array = array.astype(np.int32)  # there is no uint16 among tensors
    if array is None or array.ndim not in (2, 3) or array.dtype not in dtypes.SUPPORTED:
        got = "" if array is None else f" of {array.dtype} and shape {array.shape}"
        raise DataError(
            f"{op}: expected an image or an array (H, W) or (H, W, C), got "
            f"{type(pic).__name__}{got}. Open a file with PIL.Image.open first."
        )
    return array if array.ndim == 3 else array[:, :, None]


def _unit_range(pixels: np.ndarray, channels: int) -> Tensor:
    """Bytes (H, W, …) divided by 255, as planes in the loader's batch if there is one."""
    dtype = dtypes.get_default_dtype()
    planes = sample_array((channels, *pixels.shape[:2]), dtype)
    return Tensor(backend_of(pixels).unit_planes(pixels, channels, dtype, out=planes))


def _channels_first(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(H, W, C) as (C, H, W), copied: the image may be changed later, the tensor too."""
    H, W, C = array.shape
    result = sample_array((C, H, W), dtype)
    result[...] = array.transpose(2, 0, 1)
    return result


class Normalize:
    """(x - mean) / std for each channel of a tensor (…, C, H, W) of floats.

    Args:
        mean, std: one number for each channel, or one for all.
        inplace: change the tensor that is given, instead of a copy.

    Source: `torchvision.transforms.Normalize`. Raises ArgumentError for a std of 0, ShapeError
    where the channels are not as many, DtypeError for integers.
    """

    def __init__(self, mean: Any, std: Any, inplace: bool = False) -> None:
        self._mean, self._std = _statistics(mean, "mean"), _statistics(std, "std")
        if not self._std.all():
            raise ArgumentError(
                f"Normalize: std must not be 0, got {std}. Use std=1 for a channel without spread."
            )
        self.mean, self.std, self.inplace = mean, std, inplace

    def __call__(self, tensor: Any) -> Tensor:
        mean, std = self._checked(tensor)
        if self.inplace:
            return tensor.sub_(Tensor(mean)).div_(Tensor(std))
        if tensor.requires_grad:
            return (tensor - Tensor(mean)) / Tensor(std)
        result = sample_array(tensor.array.shape, tensor.array.dtype)
        np.subtract(tensor.array, mean, out=result)
        result /= std
        return Tensor(result)

    def _checked(self, tensor: Any) -> tuple[np.ndarray, np.ndarray]:
        """mean and std in the tensor's dtype, each (C, 1, 1) or (1, 1, 1)."""
        if not isinstance(tensor, Tensor):
            raise ArgumentError(
                f"Normalize: expected a Tensor, got {type(tensor).__name__}. "
                "Put ToTensor() before it in the Compose."
            )
        if not tensor.is_floating_point():
            raise DtypeError(
                f"Normalize: expected a tensor of floats, got {tensor.dtype}. "
                "Use ToTensor, or tensor.float() / 255."
            )
        shape = tuple(tensor.shape)
        sizes = {len(self._mean), len(self._std)} - {1}
        if len(shape) < 3 or sizes - {shape[-3]}:
            raise ShapeError(
                f"Normalize: mean {self.mean} and std {self.std} do not fit a tensor {shape}, "
                "expected as (…, C, H, W). Give one number for each channel C, or one for all."
            )
        mean, std = (s.astype(tensor.dtype)[:, None, None] for s in (self._mean, self._std))
        if not std.all():
            raise ArgumentError(
                f"Normalize: std {self.std} becomes 0 in {tensor.dtype}. Use a larger std."
            )
        return mean, std

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


def _statistics(value: Any, name: str) -> np.ndarray:
    """One number or several as float64 (C,)."""
    try:
        numbers = np.asarray(value.numpy() if isinstance(value, Tensor) else value, np.float64)
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if numbers.ndim > 1 or not numbers.size or not np.isfinite(numbers).all():
        raise ArgumentError(
            f"Normalize: {name} must be a number for each channel, got {value!r}. "
            f"Use {name}=[0.5, 0.5, 0.5]."
        )
    return numbers.reshape(-1)
