"""Winograd's transforms: their matrices, found in exact arithmetic, and the code made from them.

A polynomial of degree n is known by its values at n + 1 points, and the values of a product are the
products of the values: one multiplication each. Taking m outputs of a correlation with 3 weights is
such a product, transposed, so m + 2 multiplications do where the definition has 3*m:

    y = A ((G w) * (B d))       y m outputs, w 3 weights, d m + 2 pixels, * number by number

G and A hold the powers of the points, B Lagrange's interpolation polynomials. The last point is
infinity: the value there is the leading coefficient. In two dimensions a matrix is applied to the
columns of a tile and then to its rows, so m*m outputs take (m + 2)**2 multiplications for 9*m*m.

Which points is free, and decides how rounding errors grow. 0 and pairs +p, -p were searched through
in steps of 1/8 for the smallest error; a pair's two rows are equal but for signs, so the sums of
the terms of either kind are made once, then added and subtracted. For 64 channels of random numbers
the largest error, relative to the largest output, was

    outputs     points                      error       also tried
    3 x 3       0, +-3/4, 3/2               1.3e-6      0, +-1, 2                 1.7e-6
    4 x 4       0, +-5/8, +-5/4             1.4e-6      0, +-1, +-2               6.0e-6
    5 x 5       0, +-1/2, +-1, 2            5.8e-6      0, +-1, +-2, 1/2          5.9e-6
    6 x 6       0, +-1/2, +-1, +-2          1.2e-5      0, +-1/2, +-1, +-3/2      9.7e-6

The last two are not used: `_winograd` says what they would gain.

S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and S. Gray, Fast Algorithms for
Convolutional Neural Networks, 2015; the matrices after A. Toom and S. Cook.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from llvmlite import ir
from numba import int64

from ._vectors import Emitter, emitted

TAPS = 3
POINTS = {
    3: ("0", "3/4", "-3/4", "3/2"),
    4: ("0", "5/8", "-5/8", "5/4", "-5/4"),
}  # of tiles of m x m outputs, infinity left out
Matrix = list[list[float]]


def matrices(m: int) -> tuple[Matrix, Matrix, Matrix]:
    """Return A (m, m + 2), G (m + 2, 3) and B (m + 2, m + 2) for m outputs."""
    points = [Fraction(p) for p in POINTS[m]]
    G, B = [], []
    for p in points:
        others = [q for q in points if q != p]
        weight = Fraction(1)
        for q in others:
            weight *= p - q
        G.append([p**k / weight for k in range(TAPS)])
        B.append([*_polynomial(others), Fraction(0)])
    G.append([Fraction(int(k == TAPS - 1)) for k in range(TAPS)])
    B.append(_polynomial(points))
    A = [[p**i for p in points] + [Fraction(int(i == m - 1))] for i in range(m)]
    return _floats(A), _floats(G), _floats(B)


def _polynomial(roots: list[Fraction]) -> list[Fraction]:
    """Return the coefficients of the product of (x - root), the constant one first."""
    found = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *found], [root * c for c in found] + [Fraction(0)]
        found = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return found


def _floats(matrix: list[list[Fraction]]) -> Matrix:
    return [[float(number) for number in row] for row in matrix]


# ------------------------------------------------------------------------------ emitting


def _total(e: Emitter, terms: list[tuple[float, Any]]) -> Any:
    """Return the sum of factor * vector."""
    terms = sorted(((f, v) for f, v in terms if f), key=lambda term: term[0] != 1)
    if not terms:
        return None
    (factor, total), *rest = terms
    if factor != 1:
        total = e.builder.fmul(_every_lane(e, factor), total)
    for factor, vector in rest:
        if factor == 1:
            total = e.builder.fadd(total, vector)
        elif factor == -1:
            total = e.builder.fsub(total, vector)
        else:
            total = e.fma(_every_lane(e, factor), vector, total)
    return total


def _every_lane(e: Emitter, number: float) -> Any:
    return ir.Constant(e.vector, [ir.Constant(e.number, number)] * e.lanes)


def _twins(rows: Matrix) -> dict[int, int]:
    """Return pairs of rows that differ by signs only."""
    pairs: dict[int, int] = {}
    for i, row in enumerate(rows):
        for k in range(i):
            if k not in pairs and row != rows[k] and list(map(abs, row)) == list(map(abs, rows[k])):
                pairs[k] = i
                break
    return pairs


def product(e: Emitter, matrix: Matrix, x: list[Any]) -> list[Any]:
    """Return matrix @ x for vectors x."""
    columns, x = [list(column) for column in zip(*matrix, strict=True)], list(x)
    for j, k in _twins(columns).items():
        x[j], x[k] = e.builder.fadd(x[j], x[k]), e.builder.fsub(x[j], x[k])
        one, two = columns[j], columns[k]
        columns[j] = [a if a == b else 0.0 for a, b in zip(one, two, strict=True)]
        columns[k] = [a if a != b else 0.0 for a, b in zip(one, two, strict=True)]
    rows = [list(row) for row in zip(*columns, strict=True)]
    y: list[Any] = [None] * len(rows)
    for i, k in _twins(rows).items():
        terms = list(zip(rows[i], rows[k], x, strict=True))
        same = _total(e, [(a, v) for a, b, v in terms if a == b])
        other = _total(e, [(a, v) for a, b, v in terms if a != b])
        y[i], y[k] = e.builder.fadd(same, other), e.builder.fsub(same, other)
    return [
        _total(e, list(zip(row, x, strict=True))) if done is None else done
        for row, done in zip(rows, y, strict=True)
    ]


def square(e: Emitter, matrix: Matrix, x: list[list[Any]]) -> list[list[Any]]:
    """Return matrix @ x @ matrix^T for a table of vectors."""
    half = [product(e, matrix, list(column)) for column in zip(*x, strict=True)]
    return [product(e, matrix, list(row)) for row in zip(*half, strict=True)]


def _input(m: int) -> Any:
    """Make the function that transforms a vector of channels of a tile."""
    size, (_, _, B) = m + TAPS - 1, matrices(m)

    def transform(e, x, at, v, step):
        d = [
            [e.load(e.at(x, e.builder.load(e.at(at, i * size + j)))) for j in range(size)]
            for i in range(size)
        ]
        for row in square(e, B, d):
            for vector in row:
                e.store(vector, v)
                v = e.at(v, step)

    return emitted(transform)


def _weights(m: int) -> Any:
    """Make the function that transforms a vector of filters' weights of a channel."""
    _, G, _ = matrices(m)

    def transform(e, w, w_step, u, step):
        taps = []
        for _ in range(TAPS * TAPS):
            taps.append(e.load(w))
            w = e.at(w, w_step)
        for row in square(e, G, [taps[i : i + TAPS] for i in range(0, 9, TAPS)]):
            for vector in row:
                e.store(vector, u)
                u = e.at(u, step)

    return emitted(transform)


def _output(m: int) -> Any:
    """Make the function that turns a vector of filters of a tile back; is a number not finite?"""
    size, (A, _, _) = m + TAPS - 1, matrices(m)

    def transform(e, s, step, bias, y, row, column):
        builder, table = e.builder, []
        for _ in range(size * size):
            table.append(e.load(s))
            s = e.at(s, step)
        bias, total = e.load(bias), None
        for line in square(e, A, [table[i * size : (i + 1) * size] for i in range(size)]):
            to = y
            for vector in line:
                number = builder.fadd(vector, bias)
                total = number if total is None else builder.fadd(total, number)
                e.store(number, to)
                to = e.at(to, column)
            y = e.at(y, row)
        odd = builder.fcmp_unordered("uno", builder.fsub(total, total), total)
        return builder.zext(builder.bitcast(odd, ir.IntType(e.lanes)), ir.IntType(64))

    return emitted(transform, int64)


INPUT = {m: _input(m) for m in POINTS}
WEIGHTS = {m: _weights(m) for m in POINTS}
OUTPUT = {m: _output(m) for m in POINTS}
