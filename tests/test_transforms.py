"""Transforms against NumPy on the pixels, torch's arithmetic, and values worked out by hand."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from PIL import Image

import minicnn
from minicnn import data
from minicnn import transforms as T
from minicnn.errors import ArgumentError, DataError, DtypeError, MiniCNNError, ShapeError

MODES = ("L", "1", "P", "RGB", "RGBA", "LA", "CMYK", "I", "F", "I;16")


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def picture(height, width, mode="RGB"):
    """An image of random pixels in any mode."""
    image = Image.fromarray(pixels(height, width, 3))
    if mode == "I;16":
        return Image.fromarray(pixels(height, width).astype(np.uint16) * 257)
    return image.convert("L").convert(mode) if mode in ("I", "F", "LA") else image.convert(mode)


def array(image):
    return np.asarray(image)


# ------------------------------------------------------------------------------------- ToTensor


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
def test_to_tensor_scales_to_one_and_puts_channels_first(shape):
    made = pixels(*shape)
    got = T.ToTensor()(Image.fromarray(made))
    want = made.reshape(5, 7, -1).transpose(2, 0, 1) / np.float32(255)
    assert got.dtype == minicnn.float32
    np.testing.assert_array_equal(got.numpy(), want)
    np.testing.assert_array_equal(T.ToTensor()(made).numpy(), want)


def test_to_tensor_divides_as_torch_does():
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    want = torch.from_numpy(every)[None].to(torch.float32).div(255).numpy()
    np.testing.assert_array_equal(T.ToTensor()(Image.fromarray(every)).numpy(), want)


@pytest.mark.parametrize(
    ("mode", "channels", "dtype", "whole"),
    [
        ("L", 1, "float32", "uint8"),
        ("LA", 2, "float32", "uint8"),
        ("P", 1, "float32", "uint8"),
        ("RGB", 3, "float32", "uint8"),
        ("RGBA", 4, "float32", "uint8"),
        ("CMYK", 4, "float32", "uint8"),
        ("YCbCr", 3, "float32", "uint8"),
        ("1", 1, "float32", "bool"),
        ("I", 1, "int32", "int32"),
        ("I;16", 1, "int32", "int32"),
        ("F", 1, "float32", "float32"),
    ],
)
def test_every_mode_as_a_tensor(mode, channels, dtype, whole):
    image = picture(3, 5, mode)
    values = array(image).reshape(3, 5, channels).transpose(2, 0, 1)
    got, raw = T.ToTensor()(image), T.PILToTensor()(image)
    assert (str(got.dtype), got.shape) == (dtype, (channels, 3, 5))
    assert (str(raw.dtype), raw.shape) == (whole, (channels, 3, 5))
    np.testing.assert_array_equal(raw.numpy(), values)
    scaled = mode not in ("1", "I", "I;16", "F")
    np.testing.assert_array_equal(got.numpy(), values / np.float32(255) if scaled else values)


def test_sixteen_bits_do_not_become_negative():
    image = Image.fromarray(np.array([[0, 40_000, 65_535]], np.uint16))
    assert T.ToTensor()(image).tolist() == [[[0, 40_000, 65_535]]]
    assert T.PILToTensor()(image).tolist() == [[[0, 40_000, 65_535]]]
    assert T.ToTensor()(np.array([[65_535]], np.uint16)).tolist() == [[[65_535]]]


@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "int64", "float32", "float64"])
def test_arrays_that_are_not_bytes_keep_their_values_and_dtype(dtype):
    made = (pixels(3, 4, 2) > 100).astype(dtype)
    got = T.ToTensor()(made)
    assert str(got.dtype) == dtype
    np.testing.assert_array_equal(got.numpy(), made.transpose(2, 0, 1))


def test_tensors_share_nothing_with_the_image():
    made = pixels(3, 4).astype(np.float32)
    got = T.ToTensor()(made)
    got[...] = 0
    assert made.any()
    image = picture(3, 4, "F")
    T.PILToTensor()(image)[...] = -1
    assert (array(image) >= 0).all()


def test_to_tensor_gives_the_default_dtype():
    minicnn.set_default_dtype(minicnn.float64)
    try:
        for image in (picture(2, 2), picture(2, 2, "1")):
            assert T.ToTensor()(image).dtype == minicnn.float64
    finally:
        minicnn.set_default_dtype(minicnn.float32)


def test_to_tensor_takes_black_and_white():
    got = T.ToTensor()(Image.fromarray(np.eye(3, dtype=bool)))
    np.testing.assert_array_equal(got[0].numpy(), np.eye(3, dtype=np.float32))


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((2, 2), complex), "cat.png", [[1]], None])
def test_to_tensor_refuses_what_is_no_image(wrong):
    with pytest.raises(DataError, match=r"ToTensor: expected an image .* Open a file with"):
        T.ToTensor()(wrong)
    with pytest.raises(DataError, match=r"PILToTensor: expected a Pillow image"):
        T.PILToTensor()(wrong)


# ------------------------------------------------------------------------------------ Normalize

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "mean", "std"),
    [
        ((3, 5, 7), *IMAGENET),
        ((2, 3, 5, 7), *map(tuple, IMAGENET)),
        ((3, 5, 7), [0.5], [0.25]),
        ((1, 5, 7), 0.1307, 0.3081),
        ((0, 3, 2, 2), *map(np.array, IMAGENET)),
        ((3, 5, 7), minicnn.tensor([0.1, 0.2, 0.3]), [-1.0, 2.0, 3.0]),
    ],
)
def test_normalize_computes_what_torch_computes(shape, mean, std, dtype):
    x = np.random.default_rng(1).random(shape).astype(dtype)
    columns = [
        torch.tensor(np.asarray(s.numpy() if isinstance(s, minicnn.Tensor) else s)).reshape(-1)
        for s in (mean, std)
    ]
    m, s = (c.to(getattr(torch, dtype))[:, None, None] for c in columns)
    want = torch.from_numpy(x).clone().sub_(m).div_(s).numpy()
    given = minicnn.tensor(x)
    got = T.Normalize(mean, std)(given)
    assert str(got.dtype) == dtype
    np.testing.assert_array_equal(got.numpy(), want)
    np.testing.assert_array_equal(given.numpy(), x)  # not changed,
    inplace = T.Normalize(mean, std, inplace=True)(given)
    assert inplace is given  # unless that was asked for
    np.testing.assert_array_equal(given.numpy(), want)


def test_gradients_pass_through_normalize():
    x = minicnn.rand(3, 2, 2, requires_grad=True)
    T.Normalize(*IMAGENET)(x).sum().backward()
    want = np.broadcast_to(1 / np.array(IMAGENET[1], np.float32)[:, None, None], (3, 2, 2))
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (Image.new("RGB", (2, 2)), ArgumentError, r"got Image\. Put ToTensor\(\) before it"),
        (minicnn.ones(3, 2, 2, dtype=minicnn.uint8), DtypeError, "got uint8"),
        (minicnn.ones(2, 2), ShapeError, r"do not fit a tensor \(2, 2\)"),
        (minicnn.ones(4, 2, 2), ShapeError, r"do not fit a tensor \(4, 2, 2\)"),
        (minicnn.ones(1, 2, 2), ShapeError, r"do not fit a tensor \(1, 2, 2\)"),
    ],
)
def test_normalize_refuses_what_it_cannot_take(given, error, message):
    with pytest.raises(error, match=f"Normalize: .*{message}"):
        T.Normalize(*IMAGENET)(given)


# --------------------------------------------------------------------------------------- Resize


@pytest.mark.parametrize(
    ("height", "width", "arguments", "want"),
    [
        (300, 451, {"size": 256}, (256, 384)),  # 256 · 451 / 300 = 384.85
        (451, 300, {"size": 256}, (384, 256)),
        (300, 451, {"size": [256]}, (256, 384)),
        (300, 451, {"size": 300}, (300, 451)),
        (50, 50, {"size": 224}, (224, 224)),
        (150, 200, {"size": (224, 224)}, (224, 224)),
        (150, 200, {"size": [10, 30]}, (10, 30)),
        (10, 1000, {"size": 20, "max_size": 100}, (1, 100)),  # 100 · 20 / 2000
        (100, 300, {"size": 200, "max_size": 500}, (166, 500)),  # 500 · 200 / 600 = 166.67
        (300, 100, {"size": 200, "max_size": 500}, (500, 166)),
        (100, 300, {"size": 100, "max_size": 300}, (100, 300)),
        (7, 5, {"size": np.int64(3)}, (4, 3)),  # 3 · 7 / 5 = 4.2
    ],
)
def test_resize_sizes(height, width, arguments, want):
    got = T.Resize(**arguments)(picture(height, width))
    assert (got.height, got.width) == want


def antialiased(values, size):
    """Bilinear resampling of (H, W) by its definition: triangles as wide as the shrinking."""

    def weights(old, new):
        scale = old / new
        reach = max(scale, 1.0)
        centres = (np.arange(new) + 0.5) * scale
        distance = (np.arange(old)[None] + 0.5 - centres[:, None]) / reach
        w = np.maximum(0, 1 - np.abs(distance))
        return w / w.sum(1, keepdims=True)

    rows, columns = (weights(*sides) for sides in zip(values.shape, size, strict=True))
    return rows @ values.astype(float) @ columns.T


@pytest.mark.parametrize("size", [(7, 9), (20, 31), (60, 80), (33, 12)])
def test_resize_is_bilinear_and_antialiased(size):
    made = pixels(33, 41)
    got = array(T.Resize(size)(Image.fromarray(made)))
    np.testing.assert_allclose(got, antialiased(made, size), atol=1)  # Pillow rounds twice


def test_interpolation_by_mode_name_and_number():
    made = Image.fromarray(np.array([[0, 100]], np.uint8))
    nearest = [0, 0, 100, 100]
    for given in (T.InterpolationMode.NEAREST, "nearest", 0, Image.Resampling.NEAREST):
        assert array(T.Resize((1, 4), interpolation=given)(made)).tolist() == [nearest]
    for mode in T.InterpolationMode:
        resize = T.Resize((6, 5), mode)
        assert resize.interpolation is mode
        assert f"interpolation={mode.value}" in repr(resize)
        number = {"nearest-exact": 0}.get(mode.value)
        if number is None:
            number = Image.Resampling[mode.value.upper()]
        image = picture(20, 30)
        np.testing.assert_array_equal(array(resize(image)), array(image.resize((5, 6), number)))


def test_an_image_of_the_right_size_is_returned_as_it_is():
    image = picture(8, 8)
    for transform in (T.Resize(8), T.CenterCrop(8), T.RandomCrop(8), T.Pad(0)):
        assert transform(image) is image


def test_antialias_false_is_said_to_change_nothing():
    with pytest.warns(UserWarning, match="always antialiases"):
        T.Resize(4, antialias=False)
    with pytest.warns(UserWarning, match="always antialiases"):
        T.RandomResizedCrop(4, antialias=False)
    T.Resize(4, antialias=None)


# ---------------------------------------------------------------------------- CenterCrop and Pad


@pytest.mark.parametrize(
    ("whole", "part", "first"),
    # (whole - part) / 2 rounded, halves to the even number
    [(5, 2, 2), (7, 4, 2), (5, 4, 0), (7, 2, 2), (9, 4, 2), (6, 2, 2), (10, 10, 0), (9, 6, 2)],
)
def test_center_crop_rounds_halves_to_even(whole, part, first):
    made = np.arange(whole, dtype=np.uint8)
    got = array(T.CenterCrop((1, part))(Image.fromarray(made[None])))
    assert got.tolist() == [list(range(first, first + part))]
    got = array(T.CenterCrop((part, 1))(Image.fromarray(made[:, None])))
    assert got[:, 0].tolist() == list(range(first, first + part))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [8, (3, 4), (8, 4), (3, 10), (9, 11)])
def test_center_crop_of_a_smaller_image_has_a_black_border(size, mode):
    """The border first, its odd pixel at the right and below; then the crop."""
    image = picture(5, 6, mode)
    height, width = (size, size) if isinstance(size, int) else size
    values = array(image)
    y, x = max(0, height - 5), max(0, width - 6)
    border = [(y // 2, (y + 1) // 2), (x // 2, (x + 1) // 2)] + [(0, 0)] * (values.ndim - 2)
    values = np.pad(values, border)
    top, left = round((values.shape[0] - height) / 2), round((values.shape[1] - width) / 2)
    got = T.CenterCrop(size)(image)
    assert got.mode == mode
    np.testing.assert_array_equal(array(got), values[top : top + height, left : left + width])


SIDES = [
    (2, (2, 2, 2, 2)),
    ([2], (2, 2, 2, 2)),
    ((1, 3), (1, 3, 1, 3)),
    ((1, 2, 3, 0), (1, 2, 3, 0)),
    ((-1, 2, 0, -2), (-1, 2, 0, -2)),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("padding", "sides"), SIDES)
@pytest.mark.parametrize("way", ["constant", "edge", "reflect", "symmetric"])
def test_pad(way, padding, sides, mode):
    image = picture(5, 6, mode)
    left, top, right, bottom = sides
    values = array(image)[max(0, -top) : 5 + min(0, bottom), max(0, -left) : 6 + min(0, right)]
    border = [(max(0, top), max(0, bottom)), (max(0, left), max(0, right))]
    values = np.pad(values, border + [(0, 0)] * (values.ndim - 2), mode=way)
    got = T.Pad(padding, padding_mode=way)(image)
    assert got.mode == mode
    np.testing.assert_array_equal(array(got), values)
    if mode == "P":
        assert got.getpalette() == image.getpalette()


@pytest.mark.parametrize(
    ("mode", "fill", "want"),
    [
        ("RGB", 7, (7, 7, 7)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGB", [5], (5, 5, 5)),
        ("RGB", "orange", (255, 165, 0)),
        ("RGB", 7.9, (7, 7, 7)),
        ("L", 7, 7),
        ("L", (9,), 9),
        ("F", 0.25, 0.25),
        ("I;16", 40_000, 40_000),
        ("RGBA", (1, 2, 3, 4), (1, 2, 3, 4)),
    ],
)
def test_the_colour_of_a_border(mode, fill, want):
    image = picture(2, 2, mode)
    assert T.Pad(1, fill)(image).getpixel((0, 0)) == want
    assert T.RandomCrop(4, padding=1, fill=fill)(image).getpixel((0, 0)) == want
    turned = T.RandomRotation((45, 45), expand=True, fill=fill)(image.resize((9, 9)))
    assert turned.getpixel((0, 0)) == want


# ------------------------------------------------------------------------------------ RandomCrop


def places(height, width):
    """An image in which each pixel tells its place."""
    made = np.zeros((height, width, 3), np.uint8)
    made[..., 0], made[..., 1] = np.mgrid[:height, :width]
    made[..., 2] = 255
    return Image.fromarray(made)


def test_random_crop_is_anywhere_equally_often():
    crop, image = T.RandomCrop((4, 3)), places(6, 5)
    minicnn.manual_seed(0)
    counts = np.zeros((3, 3), int)
    for _ in range(1800):
        got = array(crop(image))
        top, left = got[0, 0, :2]
        counts[top, left] += 1
        np.testing.assert_array_equal(got, array(image)[top : top + 4, left : left + 3])
    assert counts.min() > 140, counts  # 200 expected, standard deviation 13
    assert counts.max() < 260, counts


def test_random_crop_puts_a_border_around_first():
    minicnn.manual_seed(0)
    crop = T.RandomCrop(8, padding=4)
    seen = {array(crop(places(8, 8)))[0, 0].tolist()[2] for _ in range(50)}
    assert seen == {0, 255}  # corners in the border and in the image
    whole = array(T.RandomCrop((6, 9), padding=(1, 2, 3, 0))(places(4, 5)))
    np.testing.assert_array_equal(whole, np.pad(array(places(4, 5)), ((2, 0), (1, 3), (0, 0))))


def test_random_crop_grows_a_small_image_on_both_sides_if_needed():
    minicnn.manual_seed(0)
    crop = T.RandomCrop((8, 4), pad_if_needed=True, padding_mode="edge")
    offsets = set()
    for _ in range(100):
        got = array(crop(places(5, 6)))
        assert got.shape == (8, 4, 3)
        first = int(np.argmax(got[:, 0, 0] > 0)) - 1  # where row 0 of the image ends
        offsets.add(first)
        top = [min(max(row - first, 0), 4) for row in range(8)]
        assert got[:, 0, 0].tolist() == top
    assert offsets == {0, 1, 2, 3}


def test_random_crop_refuses_an_image_that_is_too_small():
    with pytest.raises(
        ShapeError, match=r"size 8x8 is larger than the image, 5x9 .* pad_if_needed"
    ):
        T.RandomCrop(8)(picture(5, 9))


# ----------------------------------------------------------------------------- RandomResizedCrop


def windows(transform, image, n):
    """Top, left, height, width of n crops, read off the pixels: nearest neighbours, enlarged."""
    found = []
    for _ in range(n):
        got = array(transform(image))
        (top, left), (bottom, right) = got[0, 0, :2].astype(int), got[-1, -1, :2].astype(int)
        found.append((top, left, bottom - top + 1, right - left + 1))
    return np.array(found)


def test_random_resized_crop_draws_area_and_ratio_as_said():
    minicnn.manual_seed(0)
    crop = T.RandomResizedCrop((250, 250), interpolation="nearest")
    found = windows(crop, places(150, 200), 3000)
    area, ratio = found[:, 2] * found[:, 3] / (150 * 200), found[:, 3] / found[:, 2]
    assert 0.07 < area.min() < 0.10
    assert 0.9 < area.max() <= 1.0
    assert 0.73 < ratio.min() < 0.77
    assert 1.30 < ratio.max() < 1.36
    inner = area < 0.5  # here every draw fits, so both are as they were drawn
    assert abs(np.median(area[inner]) - 0.29) < 0.02
    assert abs(np.median(np.log(ratio[inner]))) < 0.03
    assert (found[:, 0] + found[:, 2]).max() == 150
    assert found[:, :2].min() == 0


@pytest.mark.parametrize(
    ("height", "width", "want"),
    # No draw fits, because all are larger than the image: the largest middle of an allowed ratio.
    [(10, 100, (0, 43, 10, 13)), (100, 10, (43, 0, 13, 10)), (100, 110, (0, 0, 100, 110))],
)
def test_random_resized_crop_falls_back_to_the_middle(height, width, want):
    crop = T.RandomResizedCrop(100, scale=(5, 6), interpolation="nearest")
    if want[2:] == (100, 110):
        crop = T.RandomResizedCrop((100, 110), scale=(5, 6), interpolation="nearest")
    assert windows(crop, places(height, width), 1)[0].tolist() == list(want)


def test_random_resized_crop_scales_the_part_alone():
    """What lies outside the part must not shine in."""
    minicnn.manual_seed(3)
    image = places(40, 60)
    got = T.RandomResizedCrop((16, 16))(image)
    minicnn.manual_seed(3)
    top, left, height, width = windows(
        T.RandomResizedCrop((300, 300), interpolation="nearest"), image, 1
    )[0]
    part = array(image)[top : top + height, left : left + width]
    np.testing.assert_allclose(array(got)[..., 0], antialiased(part[..., 0], (16, 16)), atol=1)


# -------------------------------------------------------------------------------- flips, rotation


@pytest.mark.parametrize(("flip", "axis"), [(T.RandomHorizontalFlip, 1), (T.RandomVerticalFlip, 0)])
def test_flip_always_never_and_sometimes(flip, axis):
    made = pixels(4, 6, 3)
    image = Image.fromarray(made)
    np.testing.assert_array_equal(array(flip(1.0)(image)), np.flip(made, axis))
    np.testing.assert_array_equal(array(flip(0.0)(image)), made)
    x = minicnn.rand(3, 4, 6)
    np.testing.assert_array_equal(flip(1)(x).numpy(), np.flip(x.numpy(), axis - 2))
    minicnn.manual_seed(0)
    sometimes = flip(0.25)
    flipped = sum(not np.array_equal(array(sometimes(image)), made) for _ in range(2000))
    assert 420 < flipped < 580  # 500 expected, standard deviation 19
    with pytest.raises(ArgumentError, match="from 0 to 1"):
        flip(2)
    with pytest.raises(ArgumentError, match="Pillow image or a Tensor"):
        flip(1)(made)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_rotation_by_right_angles_is_counter_clockwise(quarters, mode):
    image = picture(4, 6, mode)
    turned = T.RandomRotation((90 * quarters, 90 * quarters), expand=True)(image)
    assert turned.mode == mode
    np.testing.assert_array_equal(array(turned), np.rot90(array(image), quarters))


def test_rotation_cuts_off_unless_it_may_expand():
    white = Image.new("L", (60, 60), 255)
    cut, whole = (T.RandomRotation((45, 45), expand=e, fill=9)(white) for e in (False, True))
    assert cut.size == (60, 60)
    assert 84 <= whole.width <= 87  # 60 · √2 = 84.9
    assert cut.getpixel((0, 0)) == whole.getpixel((0, 0)) == 9
    assert abs((array(whole) == 255).sum() - 3600) < 120
    about_a_corner = T.RandomRotation((180, 180), center=(0, 0))(white)
    assert (array(about_a_corner)[2:, 2:] == 0).all()


def test_rotation_angles_are_uniform():
    """Read off the pixels: a dot at the right of the middle, far away, is turned."""
    minicnn.manual_seed(0)
    made = np.zeros((201, 201), np.uint8)
    made[99:102, 190:193] = 255
    image, angles = Image.fromarray(made), []
    for _ in range(400):
        y, x = np.argwhere(array(T.RandomRotation([-20, 70])(image)) > 0).mean(0)
        angles.append(np.degrees(np.arctan2(100 - y, x - 100)))
    assert -21 < min(angles) < -17
    assert 67 < max(angles) < 71
    assert abs(np.mean(angles) - 25) < 4  # standard deviation 26 / √400 = 1.3


def test_rotation_blends_pixels_if_asked():
    made = Image.fromarray(np.kron(np.eye(4), np.full((8, 8), 255)).astype(np.uint8))
    for mode, blends in (("nearest", False), ("bilinear", True), ("bicubic", True)):
        turned = array(T.RandomRotation((17, 17), interpolation=mode)(made))
        assert (len(np.unique(turned)) > 2) == blends


# ----------------------------------------------------------------------------------------- colour


def luma(rgb):
    return rgb @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.3, 2.0])
def test_brightness_contrast_and_saturation_by_their_formulas(factor):
    image = picture(12, 15)
    made = array(image).astype(float)
    mean = round(luma(made).mean())
    grey = luma(made)[..., None]
    for name, black in (("brightness", 0.0), ("contrast", mean), ("saturation", grey)):
        got = T.ColorJitter(**{name: (factor, factor)})(image)
        want = np.clip(black + (made - black) * factor, 0, 255)
        np.testing.assert_allclose(array(got), want, atol=2, err_msg=name)


@pytest.mark.parametrize("shift", [-0.5, -0.2, 0.1, 0.5])
def test_hue_turns_the_circle_of_colours(shift):
    strong = np.array([[[250, 20, 30], [10, 200, 40], [30, 60, 220], [128, 128, 128]]], np.uint8)
    got = array(T.ColorJitter(hue=(shift, shift))(Image.fromarray(strong)))
    for before, after in zip(strong[0], got[0], strict=True):
        h, s, v = colorsys.rgb_to_hsv(*before / 255)
        want = 255 * np.array(colorsys.hsv_to_rgb((h + shift) % 1, s, v))
        np.testing.assert_allclose(after, want, atol=9)  # hues are 256 steps here


def test_hue_leaves_grey_and_transparency_alone():
    jitter = T.ColorJitter(hue=(0.3, 0.3))
    for mode in ("L", "1", "LA", "I", "F", "I;16"):
        image = picture(3, 4, mode)
        np.testing.assert_array_equal(array(jitter(image)), array(image))
    image = picture(3, 4, "RGBA")
    image.putalpha(Image.fromarray(pixels(3, 4)))
    got = jitter(image)
    assert got.mode == "RGBA"
    np.testing.assert_array_equal(array(got)[..., 3], pixels(3, 4))
    np.testing.assert_array_equal(array(got)[..., :3], array(jitter(image.convert("RGB"))))


def test_color_jitter_draws_within_its_bounds_and_in_any_order():
    minicnn.manual_seed(0)
    white = Image.new("L", (1, 1), 100)
    seen = [array(T.ColorJitter(brightness=0.4)(white)).item() for _ in range(500)]
    assert 60 <= min(seen) < 62
    assert 138 < max(seen) <= 140
    assert abs(np.mean(seen) - 100) < 4  # standard deviation 23 / √500 = 1.0
    image = Image.fromarray(np.array([[40, 200]], np.uint8))
    both = T.ColorJitter(brightness=(0.5, 0.5), contrast=(0.5, 0.5))
    halved = {tuple(array(both(image))[0].tolist()) for _ in range(50)}
    assert halved == {(40, 80)}  # 0.5 · v, then to half its distance from 60; or the reverse
    clipping = T.ColorJitter(brightness=(2, 2), contrast=(0.5, 0.5))
    orders = {tuple(array(clipping(image))[0].tolist()) for _ in range(50)}
    # (80, 255) about 168 is (124, 211); (80, 160) doubled is (160, 255)
    assert len(orders) == 2
    for got, want in zip(sorted(orders), [(124, 211), (160, 255)], strict=True):
        np.testing.assert_allclose(got, want, atol=1)


def test_color_jitter_without_amounts_changes_nothing():
    image = picture(3, 3)
    assert T.ColorJitter()(image) is image


@pytest.mark.parametrize("channels", [1, 3])
def test_grayscale(channels):
    image = picture(6, 7)
    got = T.Grayscale(channels)(image)
    assert got.mode == {1: "L", 3: "RGB"}[channels]
    want = luma(array(image).astype(float))
    for band in got.split():
        np.testing.assert_allclose(array(band), want, atol=1)


# ----------------------------------------------------------------------- Compose, RandomApply, …


def test_compose_applies_in_order():
    steps = T.Compose([T.Lambda(lambda x: x + 1), T.Lambda(lambda x: x * 2)])
    assert steps(3) == 8
    assert T.Compose([])(3) == 3


def test_random_apply_applies_all_or_none():
    minicnn.manual_seed(0)
    apply = T.RandomApply([T.Lambda(lambda x: x + 1), T.Lambda(lambda x: x * 2)], p=0.3)
    results = [apply(3) for _ in range(2000)]
    assert set(results) == {3, 8}
    assert 520 < results.count(8) < 680  # 600 expected, standard deviation 20
    assert {T.RandomApply([abs], p=1)(-3), T.RandomApply([abs], p=0)(-3)} == {3, -3}


@pytest.mark.parametrize(
    ("transform", "text"),
    [
        (T.Resize(256), "Resize(size=256, interpolation=bilinear, max_size=None, antialias=True)"),
        (
            T.Resize((2, 3), T.InterpolationMode.BICUBIC),
            "Resize(size=(2, 3), interpolation=bicubic, max_size=None, antialias=True)",
        ),
        (T.CenterCrop(224), "CenterCrop(size=(224, 224))"),
        (T.RandomCrop(32, padding=4), "RandomCrop(size=(32, 32), padding=4)"),
        (
            T.RandomResizedCrop(224),
            "RandomResizedCrop(size=(224, 224), scale=(0.08, 1.0), ratio=(0.75, 1.3333), "
            "interpolation=bilinear, antialias=True)",
        ),
        (T.RandomHorizontalFlip(), "RandomHorizontalFlip(p=0.5)"),
        (T.RandomVerticalFlip(0.1), "RandomVerticalFlip(p=0.1)"),
        (
            T.RandomRotation(30),
            "RandomRotation(degrees=[-30.0, 30.0], interpolation=nearest, expand=False, fill=0)",
        ),
        (
            T.RandomRotation((0, 5), center=(1, 2)),
            "RandomRotation(degrees=[0.0, 5.0], interpolation=nearest, expand=False, "
            "center=(1, 2), fill=0)",
        ),
        (
            T.ColorJitter(brightness=0.5, hue=0.1),
            "ColorJitter(brightness=(0.5, 1.5), contrast=None, saturation=None, hue=(-0.1, 0.1))",
        ),
        (T.Grayscale(3), "Grayscale(num_output_channels=3)"),
        (T.Pad(2), "Pad(padding=2, fill=0, padding_mode=constant)"),
        (T.ToTensor(), "ToTensor()"),
        (T.PILToTensor(), "PILToTensor()"),
        (T.Normalize(mean=[0.5], std=[0.25]), "Normalize(mean=[0.5], std=[0.25])"),
        (T.Lambda(abs), "Lambda()"),
        (T.Compose([T.ToTensor()]), "Compose(\n    ToTensor()\n)"),
        (T.RandomApply([T.ToTensor()], 0.2), "RandomApply(\n    p=0.2\n    ToTensor()\n)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_reprs_are_torchvisions(transform, text):
    assert repr(transform) == text


# ------------------------------------------------------------------------------------- randomness

RANDOM = {
    "crop": T.RandomCrop(9),
    "resized crop": T.RandomResizedCrop(9),
    "flip": T.RandomHorizontalFlip(),
    "vertical flip": T.RandomVerticalFlip(),
    "rotation": T.RandomRotation(90),
    "jitter": T.ColorJitter(0.5, 0.5, 0.5, 0.5),
    "apply": T.RandomApply([T.Grayscale(3)]),
}


class Pictures(data.Dataset):
    """Twenty different pictures through a transform."""

    def __init__(self, transform):
        self.transform = T.Compose([transform, T.ToTensor()])

    def __len__(self):
        return 20

    def __getitem__(self, index):
        made = np.random.default_rng(index).integers(0, 256, (12, 12, 3), np.uint8)
        return self.transform(Image.fromarray(made))


@pytest.mark.parametrize("name", RANDOM)
def test_what_happens_depends_on_seed_epoch_and_index_alone(name):
    def epochs(batch_size, workers, seed=5):
        loader = data.DataLoader(Pictures(RANDOM[name]), batch_size, num_workers=workers, seed=seed)
        return [np.concatenate([b.numpy() for b in loader]) for _ in range(2)]

    plain = epochs(20, 0)
    assert not np.array_equal(*plain)  # other draws in the next epoch
    assert not np.array_equal(plain, epochs(20, 0, seed=6))
    for workers in (1, 3):
        np.testing.assert_array_equal(epochs(7, workers), plain)


def test_outside_a_loader_the_global_seed_decides():
    jitter, image = T.Compose(list(RANDOM.values())[1:]), picture(12, 12)

    def drawn(seed):
        minicnn.manual_seed(seed)
        return array(jitter(image)).tolist()

    assert drawn(1) == drawn(1) != drawn(2)


# --------------------------------------------------------------------------------------- misuse

MISUSE = {
    "size 0": lambda: T.Resize(0),
    "size of floats": lambda: T.Resize(2.5),
    "three sizes": lambda: T.CenterCrop((1, 2, 3)),
    "size as text": lambda: T.RandomCrop("32"),
    "interpolation": lambda: T.Resize(4, interpolation="cubic"),
    "interpolation number": lambda: T.Resize(4, interpolation=9),
    "interpolation True": lambda: T.Resize(4, interpolation=True),
    "max_size of both sides": lambda: T.Resize((4, 4), max_size=9),
    "max_size too small": lambda: T.Resize(9, max_size=9),
    "max_size leaves nothing": lambda: T.Resize(2, max_size=3)(picture(1, 10)),
    "scale upside down": lambda: T.RandomResizedCrop(4, scale=(1, 0.1)),
    "scale of one": lambda: T.RandomResizedCrop(4, scale=0.5),
    "ratio 0": lambda: T.RandomResizedCrop(4, ratio=(0, 1)),
    "p": lambda: T.RandomVerticalFlip(-0.1),
    "p nan": lambda: T.RandomApply([abs], p=float("nan")),
    "p None": lambda: T.RandomHorizontalFlip(None),
    "degrees negative": lambda: T.RandomRotation(-3),
    "degrees of three": lambda: T.RandomRotation((1, 2, 3)),
    "degrees upside down": lambda: T.RandomRotation((3, 1)),
    "degrees inf": lambda: T.RandomRotation(float("inf")),
    "rotation by boxes": lambda: T.RandomRotation(3, interpolation="box"),
    "center": lambda: T.RandomRotation(3, center=(1,)),
    "brightness": lambda: T.ColorJitter(brightness=-1),
    "contrast": lambda: T.ColorJitter(contrast=(-1, 1)),
    "saturation": lambda: T.ColorJitter(saturation=(2, 1)),
    "hue": lambda: T.ColorJitter(hue=0.6),
    "hue negative": lambda: T.ColorJitter(hue=-0.1),
    "channels": lambda: T.Grayscale(2),
    "padding of three": lambda: T.Pad((1, 2, 3)),
    "padding of floats": lambda: T.Pad(1.5),
    "padding mode": lambda: T.Pad(1, padding_mode="mirror"),
    "nothing left": lambda: T.Pad(-3)(picture(5, 6)),
    "fill of three for grey": lambda: T.Pad(1, (1, 2, 3))(picture(2, 2, "L")),
    "fill unknown": lambda: T.Pad(1, "rainbow")(picture(2, 2)),
    "fill None": lambda: T.Pad(1, None),
    "std 0": lambda: T.Normalize([0.5], [0.0]),
    "std 0 in float32": lambda: T.Normalize(0.5, 1e-60)(minicnn.ones(1, 1, 1)),
    "mean as text": lambda: T.Normalize("half", [1.0]),
    "no mean": lambda: T.Normalize([], []),
    "mean of matrices": lambda: T.Normalize([[[0.5]]], [1.0]),
    "not a list": lambda: T.Compose(T.ToTensor()),
    "a class": lambda: T.Compose([T.ToTensor]),
    "not a function": lambda: T.RandomApply([3]),
    "Lambda of a number": lambda: T.Lambda(3),
    "jitter of a palette": lambda: T.ColorJitter(brightness=0.5)(picture(2, 2, "P")),
    "no pixels": lambda: T.Resize(3)(Image.new("L", (0, 4))),
}


@pytest.mark.parametrize("case", MISUSE)
def test_misuse_is_one_line_with_a_remedy(case):
    with pytest.raises(MiniCNNError) as error:
        MISUSE[case]()
    text = str(error.value)
    assert text.split(":")[0] in T.__all__
    assert "\n" not in text
    assert len(text.split(". ")) > 1, text


TAKES_IMAGES = [
    T.Resize(4), T.CenterCrop(4), T.RandomCrop(4), T.RandomResizedCrop(4), T.RandomRotation(3),
    T.ColorJitter(0.1), T.Grayscale(), T.Pad(1),
]  # fmt: skip


@pytest.mark.parametrize("transform", TAKES_IMAGES, ids=lambda t: type(t).__name__)
def test_what_works_on_images_says_so(transform):
    name = type(transform).__name__
    with pytest.raises(ArgumentError, match=rf"{name}: .* got Tensor\. Put {name} before ToTensor"):
        transform(minicnn.ones(3, 8, 8))
    with pytest.raises(ArgumentError, match=rf"{name}: .* got ndarray\. Use PIL.Image.fromarray"):
        transform(pixels(8, 8))
