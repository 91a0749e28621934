"""Optimizer: what all of them share - parameter groups, state, and its dictionary."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minicnn import autograd
from minicnn.device import beside, computing_on
from minicnn.errors import ArgumentError, CheckpointError
from minicnn.kernels import backend_of
from minicnn.nn.module import Parameter
from minicnn.ops.shaping import c_order
from minicnn.tensor import Tensor


class Optimizer:
    """Base class: holds `param_groups`, each a dict of "params" and its hyper-parameters.

    `params` is an iterable of tensors, of (name, tensor) pairs, or of dicts with "params" and
    options that override the defaults for that group. A subclass writes `_update`.

    Options that all share: `maximize` climbs instead of descending. `foreach`, `fused` and
    `capturable` say how PyTorch is to do the same work, and change nothing here; `differentiable`
    is refused, since this engine has no derivatives of steps.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        if isinstance(params, Tensor | dict):
            raise ArgumentError(
                f"{type(self).__name__}: expected an iterable of tensors or dicts, got one "
                f"{type(params).__name__}. Pass model.parameters(), or a list."
            )
        if not isinstance(params, Iterable):
            raise ArgumentError(
                f"{type(self).__name__}: expected tensors or dicts, got {params!r}. "
                "Pass model.parameters()."
            )
        groups = list(params)
        if not groups:
            raise ArgumentError(
                f"{type(self).__name__}: got no parameters. Pass model.parameters()."
            )
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Optimise further tensors, with options of their own."""
        params = group.get("params") if isinstance(group, dict) else None
        if not isinstance(params, Iterable):
            raise ArgumentError(
                f"{type(self).__name__}: a group must be a dict with tensors under 'params', got "
                f"{group!r}. Write {{'params': layer.parameters(), 'lr': 1e-3}}."
            )
        params = [params] if isinstance(params, Tensor) else list(params)
        options = {**self.defaults, **{k: v for k, v in group.items() if k != "params"}}
        if params and isinstance(params[0], tuple):
            options["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise ArgumentError(
                    f"{type(self).__name__}: can only optimise tensors, got {type(p).__name__}."
                    " Give model.parameters()."
                )
            if not p.is_leaf:
                raise ArgumentError(
                    f"{type(self).__name__}: can only optimise leaf tensors, not computed ones."
                    " Give model.parameters(), or call .detach().requires_grad_()."
                )
            if id(p) in known:
                raise ArgumentError(
                    f"{type(self).__name__}: a parameter appears in more than one group."
                    " Name each parameter once."
                )
            known.add(id(p))
        self._check(options)
        self.param_groups.append({"params": params, **options})

    def _check(self, options: dict[str, Any]) -> None:
        """Raise ArgumentError for hyper-parameters out of range."""
        for name in ("lr", "weight_decay", "momentum", "eps"):
            value = options.get(name, 0.0)
            if not isinstance(value, int | float | np.number) or not value >= 0:
                raise ArgumentError(
                    f"{type(self).__name__}: {name} must be a number >= 0, got {value!r}."
                    " Correct it."
                )
        if options.get("differentiable"):
            raise ArgumentError(
                f"{type(self).__name__}: differentiable=True asks for gradients through the step, "
                "which this engine does not record. Leave it out."
            )
        if options.get("fused") and options.get("foreach"):
            raise ArgumentError(
                f"{type(self).__name__}: fused and foreach are two ways of the same step. "
                "Leave out one; here neither changes anything."
            )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient; `closure` recomputes the loss first."""
        loss = None
        if closure is not None:
            with autograd.enable_grad():
                loss = closure()
        for group in self.param_groups:
            given = [p for p in group["params"] if p.grad is not None]
            if not self._step_together(given, group):
                for p in given:
                    self._step_one(p, group)
        return loss

    def _step_together(self, params: list[Parameter], group: dict[str, Any]) -> bool:
        """Step all of a group at once where the rung can, or return False."""
        return False

    def _for_many(self, name: str, params: list[Parameter]) -> Callable[..., Any] | None:
        """The rung's function that steps all these parameters in one launch, if it has one.

        A GPU takes longer to be asked for a step than to make one: it pays there.
        """
        if len(params) < 2 or type(params[0].array) is np.ndarray:
            return None
        alike = {(p.dtype, p.device, p.is_contiguous()) for p in params}
        if len(alike) > 1 or not params[0].is_contiguous():
            return None
        return backend_of(params[0].array).beyond(name)

    def _gradients(self, params: list[Parameter], group: dict[str, Any]) -> list[Any]:
        sign = -1 if group.get("maximize") else 1
        return [c_order(p.grad.array if sign > 0 else -p.grad.array) for p in params]

    def _step_one(self, p: Parameter, group: dict[str, Any]) -> None:
        # Kernels take C-contiguous memory; a parameter that is not gets its new values copied back.
        array, grad = c_order(p.array), c_order(p.grad.array)
        if group.get("maximize"):
            grad = -grad
        with computing_on(array):
            self._update(array, grad, self._state_beside(p), group)
        if array is not p.array:
            p.array[...] = array
        p._version.n += 1

    def _state_beside(self, p: Parameter) -> dict[str, Any]:
        """What is kept of `p`, where it is now: a model may move after steps were made."""
        state = self.state.setdefault(p, {})
        for key, value in state.items():
            elsewhere = isinstance(value, Tensor) and type(value.array) is not type(p.array)
            if elsewhere and key != "step":
                value.array = beside(value.array, p.array)
        return state

    def _update(self, array: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change `array` in place by one step down `grad`."""
        raise NotImplementedError

    # --------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """State and groups with parameters as numbers in order, as in PyTorch."""
        params = [p for g in self.param_groups for p in g["params"]]
        number = {id(p): i for i, p in enumerate(params)}
        groups = [
            {
                **{k: v for k, v in g.items() if k != "params"},
                "params": [number[id(p)] for p in g["params"]],
            }
            for g in self.param_groups
        ]
        state = {number[id(p)]: dict(values) for p, values in self.state.items() if values}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned; sizes of groups must agree."""
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= state_dict.keys():
            raise CheckpointError(
                f"{type(self).__name__}.load_state_dict: the state must be a dict with 'state' and "
                f"'param_groups', got {type(state_dict).__name__}. Give what state_dict() returned."
            )
        groups = state_dict["param_groups"]
        ours = [len(g["params"]) for g in self.param_groups]
        theirs = [len(g["params"]) for g in groups]
        if ours != theirs:
            raise CheckpointError(
                f"{type(self).__name__}.load_state_dict: groups of {theirs} parameters "
                f"do not fit {ours}."
                " Make the optimizer of the same model, with the same groups."
            )
        params = [p for g in self.param_groups for p in g["params"]]
        order = [i for g in groups for i in g["params"]]
        loaded: dict[Tensor, dict[str, Any]] = {}
        for i, p in zip(order, params, strict=True):
            if i in state_dict["state"]:
                loaded[p] = {k: _own_copy(k, v, p) for k, v in state_dict["state"][i].items()}
        self.state = loaded
        for ours_, theirs_ in zip(self.param_groups, groups, strict=True):
            ours_.update({k: v for k, v in theirs_.items() if k != "params"})

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join([*lines, ")"])


def _own_copy(key: str, value: Any, p: Tensor) -> Any:
    if not isinstance(value, Tensor):
        if not hasattr(value, "__array__"):
            return value
        value = Tensor(np.asarray(value))  # NumPy's, or another library's
    if value.ndim and value.shape != p.shape:
        raise CheckpointError(
            f"load_state_dict: {key} has shape {tuple(value.shape)}, its parameter "
            f"{tuple(p.shape)}."
            " Load the state of an optimizer of the same model."
        )
    return value.detach().clone() if key == "step" else value.detach().to(p.device, copy=True)
