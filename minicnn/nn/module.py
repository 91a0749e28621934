"""Module: a piece of a network that owns parameters, buffers and other modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self

from minicnn import autograd
from minicnn.device import is_device
from minicnn.errors import ArgumentError, CheckpointError, MiniCNNError
from minicnn.kernels import on_gpu
from minicnn.tensor import RemovableHook, Tensor

STATE_KEYS = ("state_dict", "model_state_dict", "model")  # a state's in what people `torch.save`


class Parameter(Tensor):
    """A leaf tensor that a module registers by itself when it is assigned as an attribute."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data.array if isinstance(data, Tensor) else data)
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found different."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of all layers and networks: subclass it, assign layers in `__init__`, write `forward`.

    Parameters, buffers and submodules are found by attribute assignment; `state_dict` names them
    by their path, such as "features.0.weight". Source: `torch.nn.Module`.
    """

    training: bool
    # Buffers that a state dict may lack: those that old versions of a layer did not have.
    optional_state: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "training", True)
        set_(self, "_parameters", {})
        set_(self, "_buffers", {})
        set_(self, "_not_saved", set())
        set_(self, "_modules", {})
        set_(self, "_forward_hooks", [])
        set_(self, "_forward_pre_hooks", [])

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            for pre_hook in tuple(self._forward_pre_hooks):  # a hook may remove itself
                changed = pre_hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
            result = self.forward(*args, **kwargs)
            for hook in tuple(self._forward_hooks):
                changed = hook(self, args, result)
                if changed is not None:
                    result = changed
            return result
        except MiniCNNError as error:
            self._locate(error)
            raise

    def _locate(self, error: MiniCNNError) -> None:
        """Tell the error which layer it came from; each module it passes on its way knows more."""
        layer = error.__dict__.setdefault("layer", self)
        path = next((name for name, module in self.named_modules() if module is layer), "")
        error.where = f'{type(layer).__name__} "{path}"' if path else type(layer).__name__

    # --------------------------------------------------------------------------- registration

    def __setattr__(self, name: str, value: Any) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() before assigning {name!r}"
            )
        owned = (self._parameters, self._buffers, self._modules)
        if isinstance(value, Parameter):
            self._claim(name, self._parameters)
            self._parameters[name] = value
        elif isinstance(value, Module):
            self._claim(name, self._modules)
            self._modules[name] = value
        elif any(name in table for table in owned):
            if value is not None and not (name in self._buffers and isinstance(value, Tensor)):
                expected = (
                    "a Module"
                    if name in self._modules
                    else "a Parameter"
                    if name in self._parameters
                    else "a Tensor"
                )
                raise ArgumentError(
                    f"{type(self).__name__}.{name}: expected {expected} or None, "
                    f"got {type(value).__name__}."
                    " Assign one, or delete the attribute first."
                )
            next(table for table in owned if name in table)[name] = value
        else:
            object.__setattr__(self, name, value)

    def _claim(self, name: str, table: dict) -> None:
        """Make `name` free for `table`: one name means one thing."""
        self.__dict__.pop(name, None)
        for other in (self._parameters, self._buffers, self._modules):
            if other is not table:
                other.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(table, {})
            if name in found:
                return found[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Register a parameter; None holds its place, as for a layer without bias."""
        self._claim(name, self._parameters)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Register a tensor that is state but not trained; saved in `state_dict` if persistent."""
        self._claim(name, self._buffers)
        self._buffers[name] = tensor
        (self._not_saved.discard if persistent else self._not_saved.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Register a submodule under `name`."""
        if not name or "." in name:
            raise ArgumentError(
                f'add_module: a name must be non-empty and without ".", got {name!r}.'
                " Use letters, digits and '_'."
            )
        if name not in self._modules and hasattr(self, name):
            raise ArgumentError(
                f"add_module: {type(self).__name__} has an attribute {name!r} already. "
                "Use another name, or delete it first."
            )
        self._modules[name] = module

    register_module = add_module

    def register_forward_hook(self, hook: Callable[[Module, tuple, Any], Any]) -> RemovableHook:
        """Call `hook(module, args, output)` after each forward; a result replaces the output."""
        self._forward_hooks.append(hook)
        return RemovableHook(self._forward_hooks, hook)

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple], Any]) -> RemovableHook:
        """Call `hook(module, args)` before each forward; a result replaces the arguments."""
        self._forward_pre_hooks.append(hook)
        return RemovableHook(self._forward_pre_hooks, hook)

    # -------------------------------------------------------------------------------- walking

    def children(self) -> Iterator[Module]:
        """The direct submodules."""
        return (module for _, module in self.named_children())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_modules(
        self, prefix: str = "", _seen: set[int] | None = None
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it with their paths, each once; the root's path is ""."""
        seen = set() if _seen is None else _seen
        if id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their paths, each once."""
        return self._named_members("_parameters", prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their paths, each once."""
        return self._named_members("_buffers", prefix, recurse)

    def _named_members(self, table: str, prefix: str, recurse: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name, tensor in getattr(module, table).items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield (f"{path}.{name}" if path else name), tensor

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as "features.0"; "" is this one."""
        module = self
        for part in target.split(".") if target else ():
            found = module._modules.get(part)
            if found is None:
                raise AttributeError(f"{type(self).__name__} has no submodule {target!r}")
            module = found
        return module

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module below, then on this one."""
        for module in self.children():
            module.apply(function)
        function(self)
        return self

    # --------------------------------------------------------------------------------- state

    def train(self, mode: bool = True) -> Self:
        """Switch to training behaviour (dropout, batch statistics), all modules below included."""
        object.__setattr__(self, "training", bool(mode))
        for module in self.children():
            module.train(mode)  # not past a module whose own train() keeps part of it frozen
        return self

    def eval(self) -> Self:
        """Switch to evaluation behaviour."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the parameters' gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move parameters and buffers to a device, or convert the floating-point ones to a dtype.

        In place: the tensors stay the same objects, since optimizers hold on to them.
        """
        given = [a.device if isinstance(a, Tensor) else a for a in (*args, kwargs.get("device"))]
        device = next((a for a in given if is_device(a)), None)
        for module in self.modules():
            for table in (module._parameters, module._buffers):
                for tensor in table.values():
                    if tensor is None:
                        continue
                    if tensor.is_floating_point():
                        tensor.array = tensor.detach().to(*args, **kwargs).array
                    elif device is not None:
                        tensor.array = tensor.detach().to(device).array
                    if tensor.grad is not None:
                        tensor.grad = tensor.grad.to(*args, **kwargs)
        return self

    def float(self) -> Self:
        """Convert to float32."""
        return self.to("float32")

    def double(self) -> Self:
        """Convert to float64."""
        return self.to("float64")

    def cpu(self) -> Self:
        """Move to the CPU."""
        return self.to(device="cpu")

    def cuda(self, device: Any = None) -> Self:
        """Move to the current GPU, or to the one given by number or name."""
        return self.to(device="cuda" if device is None else device)

    def state_dict(self, prefix: str = "") -> OrderedDict[str, Tensor]:
        """All parameters and persistent buffers by path; tensors that share the module's memory."""
        state: OrderedDict[str, Tensor] = OrderedDict()
        for name, tensor in self._own_state():
            state[prefix + name] = tensor.detach()
        for name, module in self._modules.items():
            if module is not None:
                state.update(module.state_dict(f"{prefix}{name}."))
        return state

    def _own_state(self) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in {**self._parameters, **self._buffers}.items():
            if tensor is not None and name not in self._not_saved:
                yield name, tensor

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy the tensors (or arrays) of a state dict into this module.

        Everything is checked before anything is changed. Raises CheckpointError that lists missing
        and unexpected keys (if `strict`) and shapes that differ.
        """
        if not isinstance(state_dict, Mapping):
            raise CheckpointError(
                f"load_state_dict: expected a dict of tensors, got {type(state_dict).__name__}. "
                "Give what state_dict() or io.load_weights() returned."
            )
        own: dict[str, Tensor] = {}
        for path, module in self.named_modules_with_repeats():
            for name, parameter_or_buffer in module._own_state():
                key = f"{path}.{name}" if path else name
                if key in state_dict or name not in module.optional_state:
                    own[key] = parameter_or_buffer
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        given = {key: _array_of(key, state_dict[key]) for key in own if key in state_dict}
        wrong = [
            f"{key} has shape {tuple(array.shape)}, the model needs {tuple(own[key].shape)}"
            for key, array in given.items()
            if tuple(array.shape) != tuple(own[key].shape)
        ]
        problems = [f"missing: {', '.join(missing)}"] if missing and strict else []
        problems += [f"unexpected: {', '.join(unexpected)}"] if unexpected and strict else []
        problems += wrong
        if problems:
            raise CheckpointError(
                f"load_state_dict: the state does not fit {type(self).__name__}: "
                f"{'; '.join(problems)}. {_remedy(state_dict, own)}"
            )
        with autograd.no_grad():
            for key, array in given.items():
                own[key].copy_(Tensor(array))
        return IncompatibleKeys(missing, unexpected)

    def named_modules_with_repeats(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """As `named_modules`, with a module that is registered twice under both its paths."""
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules_with_repeats(f"{prefix}.{name}" if prefix else name)

    # ---------------------------------------------------------------------------------- text

    def extra_repr(self) -> str:
        """What stands between the brackets of this module's text."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {module!r}" for name, module in self._modules.items()]
        extra = self.extra_repr()
        if not children:
            return f"{type(self).__name__}({extra})"
        lines = [*([extra] if extra else []), *children]
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def _remedy(state: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """What to do with a state that does not fit, where its keys tell."""
    for key in STATE_KEYS:
        if isinstance(state.get(key), Mapping):
            return f"Give what lies under {key!r}: load_state_dict(state[{key!r}])."
    if own and all(f"module.{key}" in state for key in own):
        return (
            "It was saved from a DataParallel model. Strip the prefix: "
            "{k.removeprefix('module.'): v for k, v in state.items()}."
        )
    return "Build the model that the state was saved from."


def _array_of(key: str, value: Any) -> Any:
    array = value.array if isinstance(value, Tensor) else value
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise CheckpointError(
            f"load_state_dict: {key} is a {type(value).__name__}, not a tensor."
            " Give what state_dict() returned."
        )
    is_ours = hasattr(array, "__array_namespace__") or on_gpu(array)
    return array if is_ours else array.__array__()
