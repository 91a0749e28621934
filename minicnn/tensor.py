"""Tensor: an array that remembers how it was computed. Names and semantics are PyTorch's."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn import autograd, dtypes
from minicnn.autograd import Variable
from minicnn.device import device as Device
from minicnn.device import device_of, is_device
from minicnn.errors import AutogradError, DtypeError, ShapeError
from minicnn.kernels import on_gpu
from minicnn.methods.arithmetic import Arithmetic
from minicnn.methods.inplace import InPlace
from minicnn.methods.reduction import Reduction
from minicnn.methods.shaping import Shaping
from minicnn.ops import elementwise, shaping
from minicnn.printing import tensor_text


class Size(tuple):
    """A tensor's shape: a tuple of integers that prints as `minicnn.Size([3, 126, 126])`."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements, the product of all sizes."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"minicnn.Size([{', '.join(map(str, self))}])"

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: Any) -> Size:
        return Size(tuple(self) + tuple(other))

    def __radd__(self, other: Any) -> Size:
        return Size(tuple(other) + tuple(self))

    def __mul__(self, count: Any) -> Size:
        return Size(tuple(self) * count)

    __rmul__ = __mul__


class Tensor(Arithmetic, Reduction, Shaping, InPlace):
    """An n-dimensional array with reverse-mode differentiation.

    Made by `minicnn.tensor`, `minicnn.rand` and their like; `Tensor(array)` shows an existing
    NumPy array, or CuPy array, without copying it. `.array` is that array. Indexing, arithmetic,
    broadcasting, views and dtype promotion follow PyTorch.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        if not hasattr(data, "__array_namespace__") and not on_gpu(data):  # CuPy 14 has none
            data = np.asarray(data, None if isinstance(data, np.generic) else np.float32)
        super().__init__(data)
        if requires_grad:
            self.requires_grad_()

    # ------------------------------------------------------------------------------ what it is

    @property
    def shape(self) -> Size:
        """The sizes of all dimensions."""
        return Size(self.array.shape)

    @property
    def device(self) -> Device:
        """Where the memory is: the CPU, or a GPU by its number, `device(type='cuda', index=0)`."""
        return device_of(self.array)

    @property
    def is_cuda(self) -> bool:
        """Whether the memory is a GPU's."""
        return on_gpu(self.array)

    @property
    def grad_fn(self) -> autograd.Node | None:
        """The recorded operation that made this tensor; None for a leaf."""
        return self._node

    @property
    def nbytes(self) -> int:
        """The bytes that the elements take."""
        return self.array.nbytes

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return (
            self.shape
            if dim is None
            else self.shape[shaping.normalize_axis("size", dim, self.ndim)]
        )

    def dim(self) -> int:
        """The number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self.array.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """How many elements lie between neighbours along each dimension."""
        strides = shaping.element_strides(self.array)
        return strides if dim is None else strides[dim]

    def is_contiguous(self) -> bool:
        """Whether the elements lie in memory in C order without gaps."""
        return bool(self.array.flags.c_contiguous)

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating-point one."""
        return dtypes.is_floating(self.dtype)

    def data_ptr(self) -> int:
        """The address of the first element: equal for tensors that share it."""
        if on_gpu(self.array):
            return self.array.data.ptr
        return self.array.__array_interface__["data"][0]

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a tensor without dimensions. Use .numel().")
        return self.array.shape[0]

    def __repr__(self) -> str:
        return tensor_text(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else format(str(self), spec)

    # -------------------------------------------------------------------------- values and copies

    def item(self) -> Any:
        """The single element as a Python number."""
        if self.array.size != 1:
            raise ShapeError(
                f"item: a tensor of shape {self.array.shape} has no single value."
                " Use .tolist(), or index one element."
            )
        return self.array.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.array.tolist()

    def numpy(self) -> np.ndarray:
        """The NumPy array inside, sharing memory; refused on a GPU, or with a gradient tracked."""
        if self._requires_grad:
            raise AutogradError(
                "numpy: this tensor requires a gradient. Use tensor.detach().numpy()."
            )
        if on_gpu(self.array):
            raise DtypeError(
                f"numpy: this tensor is on {self.device}, and NumPy's arrays are on the CPU. "
                "Use tensor.cpu().numpy()."
            )
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return (self.array if self._can_share() else self.numpy()).__dlpack__(**kwargs)

    def _can_share(self) -> bool:
        """Whether another library's GPU tensors may show this memory: `numpy` for the CPU's."""
        return on_gpu(self.array) and not self._requires_grad

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise ShapeError(
                f"bool: the truth of a tensor of shape {self.array.shape} is ambiguous. "
                "Use .any() or .all()."
            )
        return bool(self.array.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __index__(self) -> int:
        if self.array.dtype.kind not in "iu":
            raise TypeError(
                f"only an integer tensor can be an index, got {self.dtype}. Convert with .long()."
            )
        return self.item()

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a tensor without dimensions. Use .item().")
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any().item())

    def clone(self) -> Tensor:
        """A copy in new memory, through which gradients flow."""
        return elementwise.clone(self)

    def __copy__(self) -> Tensor:
        return self.clone()

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise AutogradError("deepcopy: only leaf tensors can be copied. Use .detach().clone().")
        copy = type(self)(self.array.copy())
        copy._requires_grad = self._requires_grad
        copy.grad = None if self.grad is None else self.grad.detach().clone()
        memo[id(self)] = copy
        return copy

    def detach(self) -> Tensor:
        """The same memory, cut off from the tape."""
        view = Tensor(self.array)
        view._version = self._version
        view._is_view = self._is_view
        view._moves = self._version.moves
        return view

    @property
    def data(self) -> Tensor:
        """The same memory as a tensor of its own, whose changes backward does not notice."""
        return Tensor(self.array)

    @data.setter
    def data(self, other: Tensor) -> None:
        self.array = other.array

    # ------------------------------------------------------------------------------- dtype, device

    def to(
        self, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False, **_: Any
    ) -> Tensor:
        """In another dtype or on another device; itself if nothing changes (unless `copy`)."""
        for arg in args:
            if isinstance(arg, Tensor):
                dtype, device = arg.dtype, arg.device
            elif is_device(arg):
                device = arg
            elif arg is not None and not isinstance(arg, bool):  # booleans: non_blocking, copy
                dtype = arg
        result = self if dtype is None else elementwise.cast(self, dtype)
        result = result if device is None else elementwise.move(result, device)
        return result.clone() if copy and result is self else result

    def type(self, dtype: Any = None) -> Any:
        """The dtype's name, or the tensor cast to `dtype`."""
        return f"minicnn.{self.dtype}" if dtype is None else self.to(dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """Cast to the other tensor's dtype."""
        return self.to(other.dtype)

    def float(self) -> Tensor:
        """Cast to float32."""
        return self.to(dtypes.float32)

    def double(self) -> Tensor:
        """Cast to float64."""
        return self.to(dtypes.float64)

    def half(self) -> Tensor:
        """Cast to float16, for storage: the kernels compute in float32 and float64."""
        return self.to(dtypes.float16)

    def long(self) -> Tensor:
        """Cast to int64."""
        return self.to(dtypes.int64)

    def int(self) -> Tensor:
        """Cast to int32."""
        return self.to(dtypes.int32)

    def bool(self) -> Tensor:
        """Cast to bool: True where not zero."""
        return self.to(dtypes.bool_)

    def byte(self) -> Tensor:
        """Cast to uint8."""
        return self.to(dtypes.uint8)

    def cpu(self) -> Tensor:
        """On the CPU."""
        return self.to(device="cpu")

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Tensor:  # type: ignore[valid-type]
        """On the current GPU, or on the one given by number or name."""
        return self.to(device="cuda" if device is None else device)

    def get_device(self) -> int:  # type: ignore[valid-type]
        """The GPU's number; -1 for the CPU."""
        return self.array.device.id if on_gpu(self.array) else -1

    def pin_memory(self) -> Tensor:
        """Accepted as in PyTorch, and itself: copies to a GPU are not asynchronous here."""
        return self

    # -------------------------------------------------------------------------------- gradients

    @property
    def requires_grad(self) -> bool:  # type: ignore[valid-type]
        """Whether gradients flow to this tensor; settable on leaves."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:  # type: ignore[valid-type]
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:  # type: ignore[valid-type]
        """Ask for (or give up) a gradient in place; only leaves of floating-point dtype can."""
        if not self.is_leaf and not requires_grad:
            raise AutogradError(
                "requires_grad_: this tensor was computed; use .detach() to cut it off"
            )
        if requires_grad and not self.is_floating_point():
            raise DtypeError(
                f"requires_grad_: only floating-point tensors can have gradients, got "
                f"{self.dtype}. Convert with .float()."
            )
        self._requires_grad = bool(requires_grad)
        return self

    def backward(
        self, gradient: Any = None, retain_graph: Any = False, create_graph: Any = False
    ) -> None:
        """Add d(self · gradient)/d(leaf) to every leaf's `.grad`; see `autograd.backward`."""
        autograd.backward(self, gradient, retain_graph, create_graph)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHook:
        """Call `hook(gradient)` when this gradient is ready; what it returns replaces it."""
        if not self._requires_grad:
            raise AutogradError(
                "register_hook: this tensor does not require a gradient."
                " Call .requires_grad_() first."
            )
        if self._node is None:
            self._hooks = hooks = self._hooks if self._hooks is not None else []
        else:
            hooks = self._node._hooks.setdefault(self._slot, [])
        hooks.append(hook)
        return RemovableHook(hooks, hook)

    def retain_grad(self) -> None:
        """Keep this intermediate result's gradient in `.grad`, as leaves do."""
        if not self._requires_grad:
            raise AutogradError(
                "retain_grad: the tensor does not require a gradient. Call .requires_grad_() first."
            )
        if self._node is not None and not self._retains_grad:
            self._retains_grad = True
            self._node._retained.append(weakref.ref(self))

    @property
    def retains_grad(self) -> bool:  # type: ignore[valid-type]
        """Whether `retain_grad` was called on this intermediate result."""
        return self._retains_grad


class RemovableHook:
    """What registering a hook returns; `remove()` takes the hook back."""

    def __init__(self, hooks: list, hook: Any) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        """Take the hook back; a second time does nothing."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)
        self._hooks = []  # the same function may be registered twice; it is taken back once


Variable.result_class = Tensor
