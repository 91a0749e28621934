"""The tape: reuse, depth, freeing, hooks, modes, in-place changes, and what is never shared."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from oracle import check, normal

import minicnn
import minicnn.nn.functional as F
from minicnn.autograd import Function
from minicnn.errors import AutogradError, DtypeError, ShapeError
from minicnn.kernels import current_backend


def leaf(*values: float) -> minicnn.Tensor:
    return minicnn.tensor(values, dtype=minicnn.float64, requires_grad=True)


# -------------------------------------------------------------------------------- reuse and depth


def test_nodes_used_more_than_once():
    def twice(lib, a):
        b = a + a
        return b * b

    def diamond(lib, a):
        b = a * 2
        return b.exp() * b.sin() + b.sum() * a

    def fan(lib, a):
        parts = [a * i for i in range(1, 6)]
        return sum(parts[1:], parts[0]) * parts[2]

    for function in (twice, diamond, fan):
        check(function, normal(np.random.default_rng(0), 3, 4))


def test_a_leaf_on_both_sides_and_several_outputs():
    check(lambda lib, a: (a * a, a.sum(), a.t()), normal(np.random.default_rng(0), 3, 3))
    check(lambda lib, a, b: (a @ b, b), normal(np.random.default_rng(0), 3, 3), np.eye(3))


def test_unused_inputs_and_constants_get_no_gradient():
    check(lambda lib, a, b: a * 2, np.ones(3), np.ones(3))
    check(lambda lib, a, b: a * b.detach(), np.ones(3), np.ones(3))


@pytest.mark.parametrize("depth", [3_000, 100_000])
def test_deep_graphs(depth):
    x = leaf(1.0, 2.0)
    y = x
    for _ in range(depth):
        y = y + 1
    y.backward(minicnn.tensor([3.0, 4.0], dtype=minicnn.float64))
    assert x.grad.tolist() == [3, 4]


def test_a_deep_graph_may_be_dropped_without_backward():
    script = """
import minicnn
x = minicnn.ones(1, requires_grad=True)
y = x
for _ in range(100_000):
    y = y * 1.0
del y
print("still here")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "still here\n"), done.stderr


def test_a_wide_sum_of_views():
    x = minicnn.ones(200, 3, requires_grad=True)
    total = minicnn.zeros(3)
    for row in x:
        total = total + row * row
    total.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * np.ones((200, 3)))


# ------------------------------------------------------------------------ accumulation and freeing


def test_gradients_add_up_over_backwards():
    x = leaf(1.0, 2.0)
    for times in (1, 2, 3):
        (x * 3).sum().backward()
        assert x.grad.tolist() == [3 * times] * 2
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_an_old_grad_that_the_user_holds_does_not_change():
    x = leaf(1.0)
    x.sum().backward()
    held = x.grad
    x.sum().backward()
    assert held.tolist() == [1]
    assert x.grad.tolist() == [2]


def test_a_second_backward_needs_retain_graph():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(AutogradError, match=r"second time.*retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [4, 8]


def test_a_shared_part_freed_by_one_loss_is_named_by_the_other():
    x = leaf(1.0, 2.0)
    shared = x.exp()
    (shared * 2).sum().backward()
    with pytest.raises(AutogradError, match=r"^Exp: .*second time"):
        (shared * 3).sum().backward()


def test_backward_frees_what_forward_saved():
    x = minicnn.ones(10, requires_grad=True)
    y = x.exp()
    kept = weakref.ref(y)
    z = y.sum()
    node = z.grad_fn
    del y
    gc.collect()
    z.backward()
    assert kept() is None
    assert node.next_functions == ()
    assert node.freed


def test_the_graph_has_no_reference_cycles():
    gc.collect()
    gc.disable()
    try:
        x = minicnn.ones(5, requires_grad=True)
        y = ((x * 2).exp() + x).sum()
        y.grad_fn.next_functions[0].mark = mark = minicnn.zeros(1)
        alive = weakref.ref(mark)
        del mark
        assert alive() is not None
        del y
        assert alive() is None  # reference counting alone was enough
    finally:
        gc.enable()


def test_no_graph_is_kept_for_inputs_without_gradient():
    y = minicnn.ones(3) * 2
    assert y.grad_fn is None
    assert y.is_leaf
    assert not y.requires_grad


# --------------------------------------------------------------------------- what backward accepts


def test_backward_of_a_vector_needs_a_gradient():
    x = leaf(1.0, 2.0)
    with pytest.raises(AutogradError, match=r"^backward: .*\(2,\).*mean\(\)\.backward\(\)"):
        (x * 2).backward()
    with pytest.raises(ShapeError, match=r"^backward: .*\(3,\).*\(2,\)"):
        (x * 2).backward(minicnn.ones(3))
    with pytest.raises(DtypeError, match=r"^backward: .*float"):
        (x * 2).sum().backward(1.0)
    (x[:1] * 2).backward()  # one element counts as a scalar
    assert x.grad.tolist() == [2, 0]


def test_backward_without_a_graph_is_refused():
    with pytest.raises(AutogradError, match=r"^backward: .*requires_grad=True"):
        minicnn.ones(1).backward()
    x = leaf(1.0)
    with minicnn.no_grad():
        y = x * 2
    with pytest.raises(AutogradError, match=r"no_grad"):
        y.backward()


def test_create_graph_is_refused():
    x = leaf(1.0)
    y = (x * x).sum()
    with pytest.raises(AutogradError, match=r"create_graph=True.*derivatives of derivatives"):
        y.backward(create_graph=True)
    with pytest.raises(AutogradError, match=r"create_graph=True"):
        minicnn.autograd.grad(y, x, create_graph=True)


def test_the_gradient_takes_the_leafs_dtype():
    x = minicnn.ones(2, dtype=minicnn.float32, requires_grad=True)
    y = x.double() * minicnn.ones(2, dtype=minicnn.float64)
    assert y.dtype == minicnn.float64
    y.backward(minicnn.ones(2))  # a float32 cotangent for a float64 result
    assert x.grad.dtype == minicnn.float32


# ---------------------------------------------------------------------------------- autograd.grad


def test_grad_returns_instead_of_adding():
    def function(lib):
        a = lib.tensor([1.0, 2.0], dtype=lib.float64, requires_grad=True)
        b = lib.tensor([3.0, 4.0], dtype=lib.float64, requires_grad=True)
        middle = a * b
        out = (middle * middle).sum()
        found = lib.autograd.grad(out, [a, middle, b], retain_graph=True)
        again = lib.autograd.grad(out, b)
        assert a.grad is None
        assert b.grad is None
        return [g.tolist() for g in (*found, *again)]

    assert function(minicnn) == function(torch)


def test_grad_with_given_cotangents_and_several_outputs():
    def function(lib):
        x = lib.tensor([1.0, 2.0], dtype=lib.float64, requires_grad=True)
        weights = [lib.tensor([1.0, 10.0], dtype=lib.float64), lib.tensor([2.0], dtype=lib.float64)]
        return lib.autograd.grad([x * x, x[:1] * 3], x, weights)[0].tolist()

    assert function(minicnn) == function(torch)


def test_grad_of_what_the_output_does_not_depend_on():
    x, other = leaf(1.0), leaf(2.0)
    with pytest.raises(AutogradError, match=r"input 1.*allow_unused=True"):
        minicnn.autograd.grad((x * 2).sum(), [x, other])
    found = minicnn.autograd.grad((x * 2).sum(), [x, other], allow_unused=True)
    assert found[0].tolist() == [2]
    assert found[1] is None
    with pytest.raises(AutogradError, match=r"does not require a gradient"):
        minicnn.autograd.grad((x * 2).sum(), minicnn.ones(1))


def test_grad_leaves_other_leaves_alone():
    x, other, seen = leaf(1.0), leaf(2.0), []
    other.register_hook(lambda g: seen.append(g))
    minicnn.autograd.grad((x * other).sum(), x)
    assert other.grad is None
    assert seen == []


def test_grad_of_the_output_itself():
    y = leaf(1.0) * 2
    assert minicnn.autograd.grad(y, y)[0].tolist() == [1]


# ------------------------------------------------------------------------------------------- hooks


def hooked(lib):
    """Gradients of a network of hooks: read, replaced, removed, on leaves and in between."""
    log = []
    x = lib.tensor([1.0, 2.0], dtype=lib.float64, requires_grad=True)
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda g: log.append(("y", g.tolist())))
    y.register_hook(lambda g: g * 10)
    removed = y.register_hook(lambda g: log.append(("never", g.tolist())))
    removed.remove()
    removed.remove()
    x.register_hook(lambda g: log.append(("x", g.tolist())))
    x.register_hook(lambda g: g + 1)
    (y * y).sum().backward()
    return log, x.grad.tolist(), y.grad.tolist()


def test_hooks_run_as_in_torch():
    assert hooked(minicnn) == hooked(torch)


def test_a_hook_registered_twice_is_removed_once():
    calls = []
    x = leaf(1.0)
    hook = lambda g: calls.append(1)  # noqa: E731 - the same function twice
    first, _ = x.register_hook(hook), x.register_hook(hook)
    first.remove()
    first.remove()
    x.sum().backward()
    assert len(calls) == 1


def test_a_hook_may_remove_itself():
    x, calls = leaf(1.0), []
    handles = []
    for i in range(3):
        handles.append(x.register_hook(lambda g, i=i: (calls.append(i), handles[i].remove())[0]))
    x.sum().backward()
    x.sum().backward()
    assert calls == [0, 1, 2]


def test_hooks_that_cannot_be():
    with pytest.raises(AutogradError, match=r"^register_hook: "):
        minicnn.ones(1).register_hook(print)
    with pytest.raises(AutogradError, match=r"^retain_grad: "):
        minicnn.ones(1).retain_grad()
    x = leaf(1.0)
    x.register_hook(lambda g: minicnn.ones(5))
    with pytest.raises(ShapeError, match=r"^hook: .*\(5,\).*\(1,\)"):
        x.sum().backward()


def test_retain_grad():
    x = leaf(1.0, 2.0)
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad
    assert not y.is_leaf
    (y * y).sum().backward(retain_graph=True)
    assert y.grad.tolist() == [4, 8]
    z = x * 2
    (z * z).sum().backward()
    assert z.grad is None
    x.retain_grad()  # on a leaf: nothing to do
    assert not x.retains_grad


# ----------------------------------------------------------------------------- recording on and off


def recorded() -> bool:
    return (minicnn.ones(1, requires_grad=True) * 1).requires_grad


@minicnn.no_grad
def bare_decorator():
    """Kept."""
    return recorded()


@minicnn.no_grad()
def decorator_with_brackets():
    return recorded()


@minicnn.inference_mode()
def inferring():
    return recorded()


@minicnn.enable_grad()
def enabled():
    return recorded()


def test_modes_as_decorators():
    assert not bare_decorator()
    assert bare_decorator.__doc__ == "Kept."
    assert not decorator_with_brackets()
    assert not inferring()
    with minicnn.no_grad():
        assert enabled()
    assert recorded()


def test_modes_nest_and_survive_errors():
    with minicnn.no_grad():
        assert not minicnn.is_grad_enabled()
        with minicnn.enable_grad():
            assert recorded()
            with minicnn.inference_mode():
                assert not recorded()
            assert recorded()
        assert not recorded()
    assert minicnn.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), minicnn.no_grad():
        raise ZeroDivisionError
    assert recorded()
    block = minicnn.no_grad()
    with block, block:
        assert not recorded()
    assert recorded()
    with minicnn.inference_mode(False):
        assert recorded()
    with minicnn.inference_mode(True):
        assert not recorded()


def test_set_grad_enabled_as_a_call_and_as_a_block():
    with minicnn.set_grad_enabled(False):
        assert not recorded()
        with minicnn.set_grad_enabled(True):
            assert recorded()
        assert not recorded()
    assert recorded()
    minicnn.set_grad_enabled(False)
    try:
        assert not recorded()
    finally:
        minicnn.set_grad_enabled(True)
    assert recorded()


def test_no_grad_holds_in_its_own_thread_only():
    found = []
    with minicnn.no_grad():
        worker = threading.Thread(target=lambda: found.append(recorded()))
        worker.start()
        worker.join()
    assert found == [True]


def test_threads_record_side_by_side():
    """Each thread's gradient is its own, while all write on tapes that share a leaf."""
    shared = minicnn.tensor(normal(np.random.default_rng(0), 6, 6), requires_grad=True)
    errors = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(40):
            own = minicnn.tensor(normal(rng, 6, 6), requires_grad=True)
            out = own
            for _ in range(5):
                out = (out @ shared).tanh() + own
            cotangent = normal(rng, 6, 6)
            (got,) = minicnn.autograd.grad(out, own, minicnn.tensor(cotangent))
            t_own = torch.tensor(own.detach().numpy(), requires_grad=True)
            t_out = t_own
            for _ in range(5):
                t_out = (t_out @ torch.tensor(shared.detach().numpy())).tanh() + t_own
            (want,) = torch.autograd.grad(t_out, t_own, torch.tensor(cotangent))
            if not np.allclose(got.numpy(), want.numpy(), rtol=1e-9, atol=1e-12):
                errors.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


# -------------------------------------------------------------------------------- in-place changes


def test_a_saved_array_changed_in_place_is_noticed():
    def cases(lib):
        def changed_after(use, change):
            x = lib.tensor([1.0, 2.0, 3.0], dtype=lib.float64, requires_grad=True)
            middle = x * 1
            y = use(middle)
            change(middle)
            y.sum().backward()
            return x.grad.tolist()

        uses = {
            "mul": lambda m: m * m,
            "mul by a view": lambda m: m[1:] * 2 + m[1:] * m[1:],
            "exp saves its output": lambda m: m.exp(),
            "add saves nothing": lambda m: m + 1,
            "relu": lambda m: m.relu(),
            "log": lambda m: m.log(),
        }
        changes = {
            "add_": lambda m: m.add_(1),
            "index": lambda m: m.__setitem__(0, 5.0),
            "through detach": lambda m: m.detach().mul_(2),
            "nothing": lambda m: None,
        }
        found = {}
        for use_name, use in uses.items():
            for change_name, change in changes.items():
                try:
                    found[use_name, change_name] = changed_after(use, change)
                except RuntimeError:
                    found[use_name, change_name] = "refused"
        return found

    ours, theirs = cases(minicnn), cases(torch)
    assert ours == theirs
    assert "refused" in ours.values()


def test_an_output_saved_for_backward_changed_in_place_is_noticed():
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.mul_(2)  # exp saved y
    with pytest.raises(AutogradError, match=r"^Exp: .*in place.*version 1, expected 0.*clone"):
        y.sum().backward()


def test_labels_changed_before_backward_are_noticed(rung):
    logits = minicnn.tensor(normal(np.random.default_rng(0), 3, 4), requires_grad=True)
    labels = minicnn.tensor([0, 1, 2])
    with minicnn.use_backend(rung):
        loss = F.cross_entropy(logits, labels)
    labels.fill_(3)
    with pytest.raises(AutogradError, match=r"^SoftmaxCrossEntropy: .*in place"):
        loss.backward()


def test_optimizers_changes_are_noticed():
    w = leaf(1.0, 2.0)
    y = (w * w).sum()
    w.grad = minicnn.ones(2, dtype=minicnn.float64)
    minicnn.optim.SGD([w], lr=0.1).step()
    with pytest.raises(AutogradError, match=r"in place"):
        y.backward()


IN_PLACE = {
    "add_": lambda x, o: x.add_(o),
    "sub_": lambda x, o: x.sub_(o),
    "mul_": lambda x, o: x.mul_(o),
    "div_": lambda x, o: x.div_(o),
    "pow_": lambda x, o: x.pow_(2),
    "clamp_": lambda x, o: x.clamp_(-0.5, 0.5),
    "zero_": lambda x, o: x.zero_(),
    "fill_": lambda x, o: x.fill_(3),
    "copy_": lambda x, o: x.copy_(o),
    "+=": lambda x, o: x.__iadd__(o),
    "-=": lambda x, o: x.__isub__(o),
    "*=": lambda x, o: x.__imul__(o),
    "/=": lambda x, o: x.__itruediv__(o),
    "**=": lambda x, o: x.__ipow__(3),
    "row": lambda x, o: x.__setitem__(0, o[0] * 2),
    "slice": lambda x, o: x.__setitem__((slice(None), slice(1, None)), o[:, 1:]),
    "mask": lambda x, o: x.__setitem__(x > 0, 0.0),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_recorded_in_place_changes(name):
    rng = np.random.default_rng(0)

    def function(lib, x, other):
        y = x * 2
        address = y.data_ptr()
        returned = IN_PLACE[name](y, other)
        assert returned is None or returned is y
        assert y.data_ptr() == address
        return y * x

    check(function, normal(rng, 2, 3), normal(rng, 2, 3))


def test_leaves_that_require_gradients_are_not_changed_in_place():
    x = leaf(1.0, 2.0)
    for change in (lambda: x.add_(1), lambda: x.__setitem__(0, 1.0), lambda: x.zero_()):
        with pytest.raises(AutogradError, match=r"leaf.*no_grad"):
            change()
    with minicnn.no_grad():
        x.add_(1)
        x[0] = 7.0
    assert x.tolist() == [7, 3]
    assert x.is_leaf


def test_views_of_recorded_tensors_are_not_changed_in_place():
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(AutogradError, match=r"^mul_: a view.*clone"):
        y[:1].mul_(2)
    plain = minicnn.zeros(2, dtype=minicnn.float64)
    with pytest.raises(AutogradError, match=r"^add_: a view.*clone"):
        plain[:1].add_(leaf(1.0))


def test_a_view_from_before_an_in_place_change_gives_no_wrong_gradient():
    # torch gives such a view a new history; here it says that it is out of date.
    x = leaf(1.0, 2.0)
    y = x * 2
    before = y[:1]
    y.mul_(3)
    assert before.tolist() == [6]
    for use in (lambda: before.sum(), lambda: before.backward()):
        with pytest.raises(AutogradError, match=r"view was taken before.*again"):
            use()
    with minicnn.no_grad():
        assert (before + 1).tolist() == [7]
    y[:1].sum().backward()
    assert x.grad.tolist() == [6, 0]

    base = minicnn.zeros(2, dtype=minicnn.float64)
    view = base.view(2, 1)
    base.add_(x)
    with pytest.raises(AutogradError, match=r"view was taken before"):
        view * 2


def test_views_of_parameters_outlive_an_optimizer_step():
    w = leaf(1.0, 2.0)
    view = w.view(2, 1)
    with minicnn.no_grad():
        w.mul_(10)
    view.sum().backward()
    assert view.tolist() == [[10], [20]]
    assert w.grad.tolist() == [1, 1]


def test_what_in_place_changes_refuse():
    with pytest.raises(ShapeError, match=r"^add_: .*\(2, 3\).*\(3,\)"):
        minicnn.zeros(3).add_(minicnn.zeros(2, 3))
    with pytest.raises(DtypeError, match=r"^mul_: .*float32.*int64"):
        minicnn.tensor([1, 2]).mul_(0.5)
    with pytest.raises(RuntimeError, match=r"^add_: .*read-only.*clone"):
        minicnn.zeros(1).expand(3).add_(1)
    with pytest.raises(RuntimeError, match=r"^index: .*read-only"):
        minicnn.zeros(1).expand(3)[0] = 1.0
    small = minicnn.tensor([1, 2], dtype=minicnn.uint8)
    assert small.add_(minicnn.tensor([1, 1])).tolist() == [2, 3]
    assert small.dtype == minicnn.uint8


# ----------------------------------------------------------------------- what must never be shared


def test_grad_never_aliases_the_cotangent_or_another_grad():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    cotangent = minicnn.ones(2, dtype=minicnn.float64)
    for function in (
        lambda: a + b,
        lambda: a.view(2) + b.clone(),
        lambda: minicnn.cat([a, b]).view(2, 2).sum(0),
        lambda: F.relu(a).view(1, 2).view(2) + b,
    ):
        a.grad = b.grad = None
        function().backward(cotangent)
        assert not np.shares_memory(a.grad.array, cotangent.array)
        assert not np.shares_memory(b.grad.array, cotangent.array)
        assert not np.shares_memory(a.grad.array, b.grad.array)
        a.grad.zero_()
        assert cotangent.tolist() == [1, 1]
        assert b.grad.tolist() == [1, 1]


def test_grad_is_dense_writable_and_of_the_leafs_shape():
    x = minicnn.ones(3, 4, requires_grad=True)
    for function in (lambda: x.sum(), lambda: x.t().sum(0).sum(), lambda: x.mean()):
        x.grad = None
        function().backward()
        assert x.grad.array.flags.c_contiguous
        assert x.grad.array.flags.writeable
        assert x.grad.shape == x.shape


def test_the_engine_never_adds_into_a_hooks_or_a_functions_array():
    kept = []

    class Leak(Function):
        """Its backward hands out an array that somebody else holds."""

        held = np.ones(2)

        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            return Leak.held

    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: kept.append(g))
    (Leak.apply(x) + Leak.apply(x) + x * 5).sum().backward()
    (Leak.apply(x) + x).sum().backward()
    assert Leak.held.tolist() == [1, 1]
    assert kept[0].tolist() == [7, 7]
    assert x.grad.tolist() == [9, 9]

    y = leaf(1.0, 2.0)
    y.register_hook(lambda g: kept.append(g))
    F.relu(y).sum().backward()  # a kernel's own array, which would become .grad without a copy
    y.grad.zero_()
    assert kept[-1].tolist() == [1, 1]


# ------------------------------------------------------------------------------- Functions of users


def test_a_function_of_the_users_own():
    class Scale(Function):
        @staticmethod
        def forward(ctx, x, factor, *, offset=0.0):
            ctx.factor = factor
            ctx.save_for_backward(x)
            return x * factor + offset

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            assert x.shape == dy.shape
            return dy * ctx.factor, None

    x = leaf(1.0, 2.0)
    y = Scale.apply(x, 3.0, offset=1.0)
    assert y.tolist() == [4, 7]
    assert repr(y.grad_fn) == "<ScaleBackward>"
    y.sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_mistakes_in_a_function_of_the_users_own_are_named():
    class Forgetful(Function):
        @staticmethod
        def forward(ctx, x, factor):
            return x * factor

        @staticmethod
        def backward(ctx, dy):
            return dy

    class Misshapen(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            return dy[:1]

    class Scalar(Misshapen):
        given: Any = 1.0

        @staticmethod
        def backward(ctx, dy):
            return Scalar.given

    for given in (1.0, [1.0, 2.0], leaf(1.0, 2.0)):
        Scalar.given = given
        name = type(given).__name__
        with pytest.raises(AutogradError, match=rf"^Scalar\.backward: gradient 0 is a {name}\. Re"):
            Scalar.apply(leaf(1.0, 2.0)).sum().backward()
    with pytest.raises(AutogradError, match=r"^Forgetful\.backward returned 1 .* 2 arguments"):
        Forgetful.apply(leaf(1.0), 2.0).sum().backward()
    with pytest.raises(AutogradError, match=r"^Misshapen\.backward: gradient 0 .*\(1,\).*\(2,\)"):
        Misshapen.apply(leaf(1.0, 2.0)).sum().backward()


def test_backward_runs_on_the_rung_that_forward_ran_on():
    x = minicnn.tensor(normal(np.random.default_rng(0), 1, 1, 4, 4), requires_grad=True)
    used = []

    class Recorder:
        def relu(self, x, *, out=None):
            used.append("forward")
            return np.maximum(x, 0)

        def relu_grad(self, dy, y, *, out=None):
            used.append("backward")
            return dy * (y > 0)

    with minicnn.use_backend(Recorder()):
        y = F.relu(x)
    with minicnn.use_backend("numpy"):
        y.sum().backward()
    assert used == ["forward", "backward"]

    class Ask(Function):
        """Asks for the current rung instead of ctx.backend."""

        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            used.append(current_backend().name)
            return dy

    with minicnn.use_backend("loops"):
        y = Ask.apply(x)
    with minicnn.use_backend("numpy"):
        y.sum().backward()
    assert used[-1] == "loops"


def test_gradients_agree_with_finite_differences():
    """The oracle's oracle: central differences of a small network in float64, without torch."""
    rng = np.random.default_rng(0)
    x, w = normal(rng, 2, 2, 6, 5), normal(rng, 3, 2, 3, 2)
    direction, cotangent = normal(rng, *w.shape), normal(rng, 2, 3, 2, 2)

    def loss(weights: np.ndarray, requires_grad: bool = False):
        weight = minicnn.tensor(weights, requires_grad=requires_grad)
        y = F.max_pool2d(F.conv2d(minicnn.tensor(x), weight, padding=1), 3, 2, padding=(0, 1))
        return weight, (y[..., :2, :2].tanh() * minicnn.tensor(cotangent)).sum()

    weight, value = loss(w, requires_grad=True)
    value.backward()
    step = 1e-6
    ahead, behind = (loss(w + sign * step * direction)[1].item() for sign in (1, -1))
    slope = (weight.grad.numpy() * direction).sum()
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-6)


def test_a_change_in_place_of_what_no_wanted_gradient_needs_is_allowed():
    """Of y*2 only the 2 is kept; PyTorch allows this too."""
    for lib in (torch, minicnn):
        x = lib.ones(3, requires_grad=True)
        y = x * 1
        z = y * 2
        y.add_(1)
        z.sum().backward()
        assert x.grad.tolist() == [2, 2, 2]
    x, w = (minicnn.ones(3, requires_grad=True) for _ in range(2))
    y = x * 1
    z = y * w
    y.add_(1)
    with pytest.raises(AutogradError, match="changed in place"):
        z.sum().backward()
