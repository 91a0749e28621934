"""The suites by name, and the choice of cases from them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from minicnn.bench import layer_cases, memory_cases, model_cases
from minicnn.bench.cases import Batches, Case
from minicnn.errors import ArgumentError


def quick(batches: Batches) -> list[Case]:
    """A little of everything; with the rungs numpy and numba it ends within a minute."""
    picked = []
    for batch in batches or (4,):
        for layer in (layer_cases.SEEDS[i] for i in (2, 5, 7)):
            picked += layer_cases.convolution("quick", layer, batch)[:1]
        picked += layer_cases.convolution("quick", layer_cases.SEEDS[7], batch)[1:]
        picked += memory_cases.pooling((batch,))[4:6]
        picked += memory_cases.norm((batch,))[:2]
        picked += memory_cases.activations((batch,))[:1]
        picked += model_cases.network("quick", model_cases.FIRST, batch)[1:]
    return picked


def everything(batches: Batches) -> list[Case]:
    """All suites; what is in two of them comes once."""
    found: dict[str, Case] = {}
    for name, suite in SUITES.items():
        if name not in ("quick", "ladder", "all"):
            found |= {case.key: case for case in suite(batches)}
    return list(found.values())


SUITES: dict[str, Callable[[Batches], list[Case]]] = {
    "quick": quick,
    "seeds": layer_cases.seeds,
    "layers": layer_cases.layers,
    "ladder": layer_cases.ladder,
    "pooling": memory_cases.pooling,
    "norm": memory_cases.norm,
    "activations": memory_cases.activations,
    "optimizers": memory_cases.optimizers,
    "models": model_cases.models,
    "all": everything,
}


def select(suite: str, only: Iterable[str] = (), batches: Batches = ()) -> list[Case]:
    """The cases of a suite whose key has one of the texts `only` in it, case ignored.

    Raises ArgumentError for an unknown suite, and when no case is left.
    """
    if suite not in SUITES:
        near = difflib.get_close_matches(suite, SUITES, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Use one of: {', '.join(SUITES)}."
        raise ArgumentError(f"bench: there is no suite {suite!r}. {hint}")
    cases, texts = SUITES[suite](batches), [text.lower() for text in only]
    found = [c for c in cases if not texts or any(text in c.key.lower() for text in texts)]
    if not found:
        raise ArgumentError(
            f"bench: no case of suite {suite!r} has {' or '.join(map(repr, texts))} in its name. "
            f"Its {len(cases)} cases have names like {cases[0].key!r}."
        )
    return found
