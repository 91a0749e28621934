"""Pickles that mean harm, put together by hand: what each tries, and the words that refuse it."""

from __future__ import annotations

import struct
from io import BytesIO

import helpers_pickles as raw
import pytest
from helpers_fuzz import outcome

from minicnn.errors import CheckpointError
from minicnn.io import pickles, torchfile

MARKER = "code_was_run"  # a file that attacks would make where they run


@pytest.fixture(autouse=True)
def nothing_was_run(tmp_path, monkeypatch):
    """No attack may leave its mark."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / MARKER).exists()


def short_text(text: str) -> bytes:
    return b"\x8c" + bytes([len(text.encode())]) + text.encode()


# ------------------------------------------------------------------------------ code that would run

TOUCH = f"touch {MARKER}"
CALLS = {
    "os.system": raw.call("os system", TOUCH),
    "posix.system": raw.call("posix system", TOUCH),
    "builtins.eval": raw.call("builtins eval", f"open({MARKER!r}, 'w')"),
    "builtins.exec": raw.call("builtins exec", f"open({MARKER!r}, 'w')"),
    "__builtin__.open": raw.call("__builtin__ open", MARKER, "w"),
    "subprocess.Popen": raw.call("subprocess Popen", ("touch", MARKER)),
    "torch.storage._load_from_bytes": raw.call("torch.storage _load_from_bytes", "x"),
    "torch._utils._rebuild_device_tensor_from_numpy": raw.name(
        "torch._utils _rebuild_device_tensor_from_numpy"
    ),
    "torch.load": raw.call("torch load", "x"),
    "torch.hub.load": raw.call("torch.hub load", "x"),
    "builtins.getattr": raw.name("builtins getattr"),
    "functools.partial": raw.name("functools partial"),
    "numpy.core.multiarray._reconstruct": raw.name("numpy.core.multiarray _reconstruct"),
    "_codecs.encode": raw.call("_codecs encode", "x", "latin1"),
    "builtins.bytearray": raw.name("builtins bytearray"),
    "torch.FloatStorage.__init__": raw.name("torch FloatStorage.__init__"),
    "collections.OrderedDict.__class__": raw.name("collections OrderedDict.__class__"),
    "torch.nn.parameter.Parameter.__reduce__": raw.name("torch.nn.parameter Parameter.__reduce__"),
    "minicnn.io.save_torch": raw.name("minicnn.io save_torch"),
    "os.FloatStorage": raw.name("os FloatStorage"),
    "torch_evil.FloatStorage": raw.name("torch_evil FloatStorage"),
    "..": raw.name(". "),
    "'x\\x1b[31m.y'": raw.name("x\x1b[31m y"),
}


@pytest.mark.parametrize("wrap", [raw.zipped, raw.legacy], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", CALLS)
def test_foreign_names_are_named_and_never_called(name, wrap, tmp_path):
    body = b"}" + raw.value("weight") + CALLS[name] + b"s"
    said = outcome(torchfile.load_torch, tmp_path / "x.pth", wrap(body))
    assert f"it names {name}" in said
    assert "Save" in said or "save" in said


@pytest.mark.parametrize("protocol", [b"\x80\2", b"\x80\4"])
def test_foreign_names_from_the_stack_and_memo(protocol, tmp_path):
    stack = short_text("os") + b"\x94" + short_text("system") + b"\x93"
    memo = short_text("system") + b"\x940h\0"  # POP is no instruction for data either
    for body, words in (
        (stack + raw.value((TOUCH,)) + b"R", "it names os.system"),
        (memo, "instruction POP"),
        (raw.value(1) + short_text("system") + b"\x93", "a name in it is no text"),
    ):
        said = outcome(torchfile.load_torch, tmp_path / "x.pth", raw.zipped(body, start=protocol))
        assert words in said


def test_a_name_may_not_break_the_message(tmp_path):
    long = raw.name("os " + "x" * 500)
    assert "…" in outcome(torchfile.load_torch, tmp_path / "x.pth", raw.zipped(long))
    endless = raw.name("os " + "x" * 5000)
    said = outcome(torchfile.load_torch, tmp_path / "x.pth", raw.zipped(endless))
    assert "a name in it has no end" in said


# ----------------------------------------------------------------------------------- instructions

OTHERS = {
    "INST": b"(ios\nsystem\n",
    "OBJ": b"(" + raw.name("torch Size") + b"o",
    "EXT1": b"\x82\1",
    "EXT2": b"\x83\1\0",
    "EXT4": b"\x84\1\0\0\0",
    "NEWOBJ_EX": b"))}\x92",
    "PERSID": b"P0\n",
    "LONG4": b"\x8b\xff\xff\xff\x7f",
    "LONG": b"L" + b"9" * 100_000 + b"L\n",
    "INT": b"I01\n",
    "STRING": b"S'\\x41'\n",
    "UNICODE": b"V\\u0041\n",
    "BYTEARRAY8": b"\x96" + struct.pack("<Q", 2**62),
    "BINBYTES8": b"\x8e" + struct.pack("<Q", 2**62),
    "NEXT_BUFFER": b"\x97",
    "FROZENSET": b"(\x91",
    "DUP": b"N2",
    "POP_MARK": b"(1",
    "DICT": b"(d",
    "0xff": b"\xff",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_instructions_are_named(name, tmp_path):
    said = outcome(torchfile.load_torch, tmp_path / "x.pth", raw.zipped(OTHERS[name]))
    assert f"the pickle instruction {name}, not meant for data" in said


def test_every_instruction_on_every_small_stack():
    """Whatever lies there: numbers, texts, containers, names, tensors, nothing."""
    ordered, counter = raw.call("collections OrderedDict"), raw.call("collections Counter")
    stacks = [b"", b"(", b"K\1", b"N)", b"]", b"]K\1", b"}", b"}(K\1", b"}K\1K\2", b"()", b"(K\1]",
              b"X\1\0\0\0aX\1\0\0\0b", raw.name("torch Size") + b")", raw.tensor(),
              raw.tensor() + b"}", ordered + b"}", ordered + b"K\1K\2", counter + b"]K\1", b")K\1",
              raw.name("torch.nn.parameter Parameter") + b")", raw.name(raw.FLOATS) + b")",
              raw.name("torch.nn.parameter Parameter") + b")\x81(K\1K\2K\3t"]  # fmt: skip
    tails = [b"", b"\0" * 9, b"\1a\n", b"\0\0\0\0\0\0\0\0)R"]
    taken = set()
    for stack in stacks:
        numbers = None if raw.tensor() in stack else {}
        for code in range(256):
            for tail in tails if code in b"cXqrhj\x8a\x8c" else tails[:1]:
                try:
                    torchfile.load_torch(BytesIO(raw.legacy(stack + bytes([code]) + tail, numbers)))
                    taken.add(code)
                except CheckpointError as error:
                    assert "\n" not in str(error)  # noqa: PT017 - most of thousands do raise
    known = {code[0] for code in pickles.STEPS}
    assert taken <= known | {ord(".")}
    assert len(taken) > 12


# ------------------------------------------------------------------------------------ the machine


def nest(opening: bytes, closing: bytes, depth: int) -> bytes:
    return opening * depth + b"N" + closing * depth


def wide(depth: int) -> bytes:
    """A list of ten times a list of ten times …: ten to the `depth` values in 25·depth bytes."""
    lists = b"".join(b"q%c](" % i + b"h%c" % i * 10 + b"e" for i in range(depth))
    return b"(]" + lists + b"t"


DEEP = 60_000  # enough to overflow the stack of whoever goes down by recursion
MANY = 50_000  # the limit for these tests, to save time
ITEMS = [b"M" + struct.pack("<H", i) + b"N" for i in range(2000)]
PAIRS = b"".join(b"](" + item + b"e" for item in ITEMS)
TIGHT = 2**61 - 1  # integers that differ by it have one hash

MACHINE: dict[str, tuple[bytes, str]] = {  # what stands between PROTO 2 and STOP
    "nothing": (b"", "leaves 0 values"),
    "two values": (b"NN", "leaves 2 values"),
    "an open mark": (b"N(", "leaves 0 values"),
    "many marks": (b"(" * DEEP, "leaves 0 values"),
    "empty stack": (b"s", "takes what it has not made"),
    "no mark": (b"Nt", "takes what it has not made"),
    "no memo": (b"h\5", "takes what it has not made"),
    "long text": (b"X\xff\xff\xff\xff", "ends where 4,294,967,295 more"),
    "longest text": (b"\x8d" + b"\xff" * 8, "ends where 18,446,744,073,709,551,615 more"),
    "longest frame": (b"\x95" + b"\xff" * 8, "ends where 18,446,744,073,709,551,615 more"),
    "long integer": (b"\x8a\xff" + bytes(100), "ends where 255 more"),
    "not UTF-8": (b"X\2\0\0\0\xff\xfe", "a text in it is not UTF-8"),
    "a name not UTF-8": (b"c\xff\n\xff\n", "a text in it is not UTF-8"),
    "deep tuple": (nest(b"", b"\x85", DEEP), "more than 100 deep"),
    "deep list": (nest(b"](", b"e", DEEP), "more than 100 deep"),
    "deep dict": (nest(b"}K\1", b"s", DEEP), "more than 100 deep"),
    "deep by sharing": (b"](" + b"](" * 60 + b"e" * 60 + b"q\0" + b"](" * 60 + b"h\0" + b"e" * 61,
                        "more than 100 deep"),
    "deep key": (b"}" + nest(b"", b"\x85", DEEP) + b"Ns", "a tuple that is no plain key"),
    "a list as key": (b"}]Ns", "a list that is no plain key"),
    "a tensor as key": (b"}" + raw.tensor() + b"Ns", "a Tensor that is no plain key"),
    "keys of one hash": (
        b"}(" + b"".join(raw.value(TIGHT * 2**8 * i) + b"N" for i in range(1, 9)) + b"u",
        "a int that is no plain key",
    ),
    "its own item": (b"]q\0h\0a", "holds itself"),
    "its own value": (b"}q\0K\1h\0s", "holds itself"),
    "its own item's item": (b"]q\0h\0\x85a", "holds itself"),
    "odd items": (b"}(NNNu", "puts 3 keys and values"),
    "items for a list": (b"](NNu", "2 keys and values into a list"),
    "an item for a tuple": (b")Na", "appends to a tuple"),
    "an item for a dict": (b"}(NNe", "appends to a dict"),
    "ten to the thirtieth values": (wide(30), "repeated ones included, are more than 50,000"),
    "copies of an OrderedDict": (
        b"(" + raw.name("collections OrderedDict") + b"q\0](" + PAIRS + b"e\x85q\1"
        + b"h\0h\1R" * 2000 + b"t", "an OrderedDict would take it above"),
    "copies of a Counter": (
        b"(" + raw.name("collections Counter") + b"q\0}(" + b"".join(ITEMS)
        + b"u\x85q\1" + b"h\0h\1R" * 2000 + b"t", "a Counter would take it above"),
    "too many instructions": (b"N" * MANY, "more than 50,000 pickle"),
    "attributes of a list": (b"]}b", "sets attributes of a list"),
    "attributes of a tensor": (raw.tensor() + b"}b", "sets attributes of a Tensor"),
    "an object of a function": (raw.name("torch Size") + b")\x81", "something that is no class"),
    "an object of a number": (b"K\1)\x81", "something that is no class"),
    "a call of a number": (b"K\1)R", "calls something with 0 arguments"),
    "a call of a dtype": (raw.call("torch float32", 1), "calls something with 1 arguments"),
    "a call of a class": (raw.call("torch.nn.parameter Parameter", 1), "calls something with 1"),
    "arguments in a list": (raw.name("torch Size") + b"]R", "calls a function without arguments"),
    "too few arguments": (raw.call(raw.V2, 1, 2), "with 2 arguments, which does not fit"),
    "a function as value": (b"}K\1" + raw.name("torch Size") + b"s", "a Named stands where"),
    "a class as value": (raw.name("torch.nn.parameter Parameter"), "a type stands where"),
    "a storage class as value": (raw.name(raw.FLOATS), "a StorageType stands where"),
    "a storage as value": (raw.storage(), "a Storage stands where"),
    "OrderedDict of a number": (raw.call("collections OrderedDict", 1), "has no list of items"),
    "OrderedDict of numbers": (raw.call("collections OrderedDict", b"](K\1e"), "no list of items"),
    "OrderedDict of odd lists": (raw.call("collections OrderedDict", b"](](NNNee"), "no list of"),
    "OrderedDict with a list as key": (
        raw.call("collections OrderedDict", b"](](]Nee"), "a list that is no plain key"),
    "Counter of a list": (raw.call("collections Counter", b"]"), "has no dict of counts"),
    "a size of a text": (raw.call("torch Size", "ab"), "no tuple of at most 64"),
    "a size below 0": (raw.call("torch Size", (-1,)), "no number from 0 on"),
}  # fmt: skip


@pytest.mark.parametrize("name", MACHINE)
def test_the_machine_keeps_within_bounds(name, tmp_path, monkeypatch):
    body, words = MACHINE[name]
    if "50,000" in words:
        monkeypatch.setattr(pickles, "MAX_STEPS", MANY)
    assert words in outcome(torchfile.load_torch, tmp_path / "x.pth", raw.zipped(body))


def test_memo_numbers_take_no_room(tmp_path):
    body = b"]r\xff\xff\xff\xffr\xfe\xff\xff\xff"
    assert outcome(torchfile.load_torch, tmp_path / "x.pth", raw.zipped(body)) == ""


@pytest.mark.parametrize("start", [b"", b"\x80\0", b"\x80\xff", b"\x80\1"])
def test_pickles_begin_with_their_protocol(start, tmp_path):
    said = outcome(torchfile.load_torch, tmp_path / "x.pth", raw.zipped(b"N", start=start))
    assert "no pickle of protocol 2 to 5" in said
