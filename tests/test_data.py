"""Datasets, samplers and collating against torch.utils.data; what a loader promises."""

from __future__ import annotations

import collections
import json

import numpy as np
import pytest
import torch
import torch.utils.data as theirs
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import data, random
from minicnn.errors import ArgumentError, DataError, DtypeError

Point = collections.namedtuple("Point", "x y")


class Numbers(data.Dataset):
    """0, 1, 2, … n-1."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if not -self.n <= index < self.n:
            raise IndexError(index)
        return index % self.n


class Noisy(Numbers):
    """Each number with a random one, as an augmenting transform would draw it."""

    def __getitem__(self, index):
        return index, data.sample_rng().random()


class Row(data.IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return ((i, data.sample_rng().random()) for i in range(self.n))


def contents(loader):
    """All batches of an epoch as nested lists."""
    return [
        [part.tolist() for part in batch] if isinstance(batch, list) else batch.tolist()
        for batch in loader
    ]


# ------------------------------------------------------------------------------------ datasets


def test_tensor_dataset_gives_rows():
    x, y = minicnn.rand(5, 2, 3), np.arange(5)
    dataset = data.TensorDataset(x, y)
    image, label = dataset[3]
    assert len(dataset) == 5
    assert image.tolist() == x[3].tolist()
    assert label.item() == 3


def test_tensor_dataset_names_shapes_that_do_not_fit():
    with pytest.raises(DataError, match=r"\(5, 2\), \(4,\)"):
        data.TensorDataset(minicnn.rand(5, 2), minicnn.rand(4))


def test_concatenation_counts_through():
    both = Numbers(3) + Numbers(4) + Numbers(2)
    reference = theirs.ConcatDataset([range(3), range(4), range(2)])
    assert len(both) == 9
    assert [both[i] for i in range(-9, 9)] == [reference[i] for i in range(-9, 9)]
    with pytest.raises(IndexError):
        both[9]


@pytest.mark.parametrize("make", [lambda: data.ConcatDataset([]), data.TensorDataset])
def test_joining_nothing_is_refused(make):
    with pytest.raises(ArgumentError, match="at least one"):
        make()


@given(st.integers(1, 60), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_random_split_gives_torch_s_lengths_for_fractions(n, weights):
    fractions = [weight / sum(weights) for weight in weights]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # torch's about empty parts
        expected = [len(part) for part in theirs.random_split(range(n), fractions)]
    parts = data.random_split(Numbers(n), fractions)
    assert [len(part) for part in parts] == expected
    assert sorted(sample for part in parts for sample in part) == list(range(n))


def test_random_split_is_random_and_seeded():
    def split(seed):
        return [list(part) for part in data.random_split(Numbers(50), [30, 20], generator=seed)]

    assert split(1) == split(1) == split(minicnn.Generator().manual_seed(1))
    assert split(1) == split(np.random.default_rng(1))
    assert split(1) != split(2)
    minicnn.manual_seed(5)
    first = split(None)
    assert first != split(None)
    minicnn.manual_seed(5)
    assert split(None) == first


@pytest.mark.parametrize("lengths", [[30, 21], [-1, 51], [0.5, 0.4], [1.5, -0.5], [1]])
def test_random_split_refuses_lengths_that_do_not_add_up(lengths):
    with pytest.raises(ArgumentError, match="add up to"):
        data.random_split(Numbers(50), lengths)


def test_random_split_counts_a_single_1_as_a_sample_but_1_0_as_everything():
    assert [len(p) for p in data.random_split(Numbers(1), [1])] == [1]
    assert [len(p) for p in data.random_split(Numbers(9), [1.0])] == [9]


# ------------------------------------------------------------------------------------ samplers


@given(st.integers(1, 30), st.integers(1, 8), st.booleans())
def test_batch_sizes_are_torch_s(n, size, drop_last):
    ours = data.BatchSampler(data.SequentialSampler(range(n)), size, drop_last)
    reference = theirs.BatchSampler(range(n), size, drop_last)
    assert list(ours) == list(reference)
    assert len(ours) == len(reference)


def test_random_sampler_draws_as_told():
    assert sorted(data.RandomSampler(range(9), generator=1)) == list(range(9))
    twice = list(data.RandomSampler(range(9), num_samples=14, generator=1))
    assert len(twice) == 14
    assert set(twice[:9]) == set(range(9))
    replaced = list(data.RandomSampler(range(9), True, 200, generator=1))
    assert len(replaced) == 200
    assert set(replaced) == set(range(9))
    assert list(data.RandomSampler([])) == []


# ----------------------------------------------------------------------------------- collating


def as_torch(value):
    """The same sample with torch's tensors."""
    if isinstance(value, minicnn.Tensor):
        return torch.from_numpy(value.numpy())
    if isinstance(value, Point):
        return Point(*map(as_torch, value))
    if isinstance(value, list | tuple):
        return type(value)(map(as_torch, value))
    if isinstance(value, dict):
        return {key: as_torch(item) for key, item in value.items()}
    return value


def assert_same(ours, reference):
    if isinstance(reference, torch.Tensor):
        assert isinstance(ours, minicnn.Tensor)
        assert str(ours.dtype) == str(reference.dtype).removeprefix("torch.")
        assert tuple(ours.shape) == tuple(reference.shape)
        assert ours.tolist() == reference.tolist()
    elif isinstance(reference, dict):
        assert type(ours) is type(reference)
        assert list(ours) == list(reference)
        for key in reference:
            assert_same(ours[key], reference[key])
    elif isinstance(reference, list | tuple):
        assert type(ours) is type(reference)
        assert len(ours) == len(reference)
        for a, b in zip(ours, reference, strict=True):
            assert_same(a, b)
    else:
        assert ours == reference


SAMPLES = {
    "tensors": [minicnn.rand(2, 3), minicnn.rand(2, 3)],
    "tensors of two dtypes": [minicnn.arange(2), minicnn.rand(2)],
    "tensors without dimensions": [minicnn.tensor(1), minicnn.tensor(2)],
    "uint8 arrays": [np.ones((2, 2), np.uint8), np.zeros((2, 2), np.uint8)],
    "float64 arrays": [np.ones(3), np.zeros(3)],
    "arrays of two dtypes": [np.ones(3, np.int64), np.ones(3, np.float32)],
    "transposed arrays": [np.arange(6.0).reshape(2, 3).T, np.arange(6.0).reshape(3, 2)],
    "ints": [1, -2],
    "bools": [True, False],
    "bool and int": [True, 2],
    "floats": [0.1, 2.0],
    "float and int": [0.5, 2],
    "int and float": [2, 0.5],
    "float32 scalars": [np.float32(0.1), np.float32(2)],
    "float64 scalars": [np.float64(0.1), np.float64(2)],
    "float16 scalars": [np.float16(0.1), np.float16(2)],
    "int32 scalars": [np.int32(1), np.int32(2)],
    "int64 and float32 scalars": [np.int64(1), np.float32(2.5)],
    "bool scalars": [np.True_, np.False_],
    "strings": ["cat", "dog"],
    "bytes": [b"cat", b"dog"],
    "tuples": [(minicnn.rand(2), 1, "a"), (minicnn.rand(2), 2, "b")],
    "lists": [[1, 2.5], [2, 3.5]],
    "empty tuples": [(), ()],
    "named tuples": [Point(1, (2.0, 3)), Point(2, (3.0, 4))],
    "dictionaries": [{"b": 1, "a": [1.5, 2]}, {"a": [2.5, 3], "b": 2}],
    "single": [(1.5, {"k": np.float32(2)})],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_collating_is_torch_s(name):
    batch = SAMPLES[name]
    reference = theirs.default_collate([as_torch(sample) for sample in batch])
    assert_same(data.default_collate(batch), reference)


def test_collating_keeps_a_mapping_s_type():
    batch = [collections.defaultdict(int, a=1), collections.defaultdict(int, a=2)]
    found = data.default_collate(batch)
    assert found.default_factory is int
    assert found["a"].tolist() == [1, 2]
    assert batch[0]["a"] == 1


def test_collating_copies():
    array = np.zeros(3)
    data.default_collate([array])[0, 0] = 1
    assert array.tolist() == [0, 0, 0]


def test_collating_lets_gradients_through():
    x = minicnn.rand(3, requires_grad=True)
    data.default_collate([x, x]).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), np.zeros((3, 4, 4))],
         r"shapes differ: \(1, 4, 4\) in sample 0, \(3, 4, 4\) in sample 2"),
        ([minicnn.rand(2), minicnn.rand(3)], r"\(2,\) in sample 0, \(3,\) in sample 1"),
        ([(1, np.zeros(2)), (2, np.zeros(()))], r"\(2,\) in sample 0\[1\], \(\) in sample 1\[1\]"),
        ([{"a": [1, 2]}, {"a": [1]}], r"lengths differ: 2 in sample 0\['a'\], 1 in sample 1"),
        ([{"a": 1}, {"b": 1}], r"keys differ: 'a' in sample 0, 'b' in sample 1"),
        ([1, "a"], "types differ: int in sample 0, str in sample 1"),
        ([minicnn.rand(2), 3], "types differ: Tensor in sample 0, int in sample 1"),
        ([], "no samples"),
    ],
)  # fmt: skip
def test_collating_names_what_does_not_fit(batch, message):
    with pytest.raises(DataError, match=message) as caught:
        data.default_collate(batch)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value", [None, object(), np.array(["a"]), np.array([1j]), np.array([None]), 2**70]
)
def test_collating_refuses_what_is_no_number(value):
    with pytest.raises(DtypeError, match=r"sample 0\[1\] is of (d?)type"):
        data.default_collate([(1, value), (2, value)])


def test_a_loader_names_the_dataset_s_index_when_shapes_differ():
    images = [np.zeros((2, 2)) if i != 5 else np.zeros((3, 2)) for i in range(8)]
    with pytest.raises(DataError, match=r"\(2, 2\) in sample 4, \(3, 2\) in sample 5"):
        list(data.DataLoader(images, batch_size=4))


def test_default_convert_turns_arrays_into_tensors():
    sample = {"a": np.ones(2), "b": (1, np.float32(2)), "c": Point("x", np.zeros(1)), "d": [3]}
    assert_same(data.default_convert(sample), theirs._utils.collate.default_convert(sample))


# ----------------------------------------------------------------------- batches and their order


@given(st.integers(1, 40), st.integers(1, 9), st.booleans(), st.integers(0, 2))
def test_a_loader_gives_torch_s_batches(n, size, drop_last, workers):
    ours = data.DataLoader(Numbers(n), size, drop_last=drop_last, num_workers=workers)
    reference = theirs.DataLoader(range(n), size, drop_last=drop_last)
    assert contents(ours) == contents(reference)
    assert len(ours) == len(reference)


def test_each_epoch_has_its_own_order():
    loader = data.DataLoader(Numbers(40), batch_size=8, shuffle=True, seed=3)
    orders = [np.concatenate(contents(loader)).tolist() for _ in range(3)]
    for order in orders:
        assert sorted(order) == list(range(40))
    assert len({tuple(order) for order in orders}) == 3
    assert list(range(40)) not in orders


def test_order_depends_on_seed_and_epoch_alone():
    def epochs(seed, **options):
        loader = data.DataLoader(Noisy(30), 7, shuffle=True, seed=seed, **options)
        return [contents(loader) for _ in range(2)]

    expected = epochs(3)
    minicnn.rand(4)  # draws from the global generator
    assert epochs(3) == expected
    assert epochs(4) != expected
    jumped = data.DataLoader(Noisy(30), 7, shuffle=True, generator=3)
    jumped.set_epoch(1)
    assert contents(jumped) == expected[1]
    assert jumped.epoch == 2


@pytest.mark.parametrize(
    "make", [lambda: minicnn.Generator().manual_seed(1), lambda: np.random.default_rng(1)]
)
def test_a_generator_seeds_and_moves_on(make):
    generator = make()
    first, second = (data.DataLoader(Numbers(30), 30, True, generator=generator) for _ in range(2))
    again = data.DataLoader(Numbers(30), 30, True, generator=make())
    assert contents(first) == contents(again) != contents(second)


def test_without_a_seed_manual_seed_decides():
    loader = data.DataLoader(Noisy(30), 30, shuffle=True)

    def two_epochs(seed):
        minicnn.manual_seed(seed)
        return [contents(loader) for _ in range(2)]

    expected = two_epochs(1)
    assert expected[0] != expected[1]
    assert two_epochs(1) == expected
    assert two_epochs(2) != expected
    minicnn.manual_seed(1)
    other = data.DataLoader(Noisy(30), 30, shuffle=True)
    minicnn.manual_seed(1)
    assert [contents(other), contents(other)] == expected


def test_loaders_made_anew_in_each_epoch_shuffle_anew():
    minicnn.manual_seed(0)
    orders = [contents(data.DataLoader(Numbers(30), 30, shuffle=True)) for _ in range(2)]
    assert orders[0] != orders[1]


def test_a_loader_disturbs_no_other_random_numbers():
    def draws(use_loader):
        minicnn.manual_seed(0)
        if use_loader:
            list(data.DataLoader(Noisy(9), 3, shuffle=True, num_workers=1))
        return minicnn.rand(3).tolist(), random.next_operation()

    assert draws(True) == draws(False)


def test_setting_the_random_state_back_does_not_rewind_a_loader():
    def orders(interrupted):
        minicnn.manual_seed(0)
        loader = data.DataLoader(Numbers(30), 30, shuffle=True)
        found = []
        for _ in range(3):
            found.append(contents(loader))
            if interrupted:  # by somebody who evaluates with numbers of their own
                state = minicnn.get_rng_state()
                minicnn.manual_seed(7)
                minicnn.set_rng_state(state)
        return found

    assert orders(True) == orders(False)


@pytest.mark.parametrize("seed", [3, None])
def test_a_restored_state_gives_the_same_bits(seed):
    minicnn.manual_seed(1)
    loader = data.DataLoader(Noisy(30), 7, shuffle=True, seed=seed)
    contents(loader)
    state = json.loads(json.dumps(loader.state_dict()))
    expected = [contents(loader), contents(loader)]

    minicnn.manual_seed(2)
    resumed = data.DataLoader(Noisy(30), 7, shuffle=True, seed=9, num_workers=2)
    resumed.load_state_dict(state)
    assert [contents(resumed), contents(resumed)] == expected


def test_reading_the_state_changes_nothing():
    def epochs(ask):
        minicnn.manual_seed(1)
        loader = data.DataLoader(Noisy(30), 7, shuffle=True)
        found = []
        for _ in range(2):
            if ask:
                loader.state_dict()
            found.append(contents(loader))
        return found

    assert epochs(True) == epochs(False)


@pytest.mark.parametrize("state", [{}, {"seed": 1}, {"seed": "x", "epoch": 0}, None])
def test_a_foreign_state_is_refused(state):
    with pytest.raises(ArgumentError, match="load_state_dict"):
        data.DataLoader(Numbers(3)).load_state_dict(state)


# -------------------------------------------------------------------------- random transforms


def test_a_sample_s_random_numbers_depend_on_seed_epoch_and_index_alone():
    def drawn(epoch=0, seed=0, **options):
        loader = data.DataLoader(Noisy(20), seed=seed, **options)
        loader.set_epoch(epoch)
        return {i: u for batch in contents(loader) for i, u in zip(*batch, strict=True)}

    expected = drawn(batch_size=4)
    assert len(set(expected.values())) == 20
    assert drawn(batch_size=7, shuffle=True, num_workers=3) == expected
    assert set(drawn(epoch=1).values()).isdisjoint(expected.values())
    assert set(drawn(seed=1).values()).isdisjoint(expected.values())


def test_a_subset_draws_as_the_whole_does():
    whole = dict(data.DataLoader(Noisy(20), None, seed=0))
    part = dict(data.DataLoader(data.Subset(Noisy(20), [4, 17]), None, seed=0))
    assert part == {4: whole[4], 17: whole[17]}


def test_outside_a_loader_the_global_generator_draws():
    minicnn.manual_seed(3)
    expected = random.generator().random()
    minicnn.manual_seed(3)
    assert data.sample_rng().random() == expected
    next(iter(data.DataLoader(Noisy(4), 2)))
    minicnn.manual_seed(3)
    assert data.sample_rng().random() == expected


def test_a_sample_draws_a_sequence_and_an_inner_loader_has_its_own():
    class Twice(Numbers):
        def __getitem__(self, index):
            before = data.sample_rng().random()
            inner = contents(data.DataLoader(Noisy(2), 2, seed=5))
            return before, data.sample_rng().random(), inner[0][1]

    inner = contents(data.DataLoader(Noisy(2), 2, seed=5))[0][1]
    for first, second, nested in data.DataLoader(Twice(5), None, seed=0):
        assert first != second
        assert nested == inner


@pytest.mark.parametrize("kind", ["collate_fn", "__getitems__"])
def test_what_is_drawn_for_a_batch_depends_on_its_indices(kind):
    class Bulk(Numbers):
        def __getitems__(self, indices):
            return [self[i] + data.sample_rng().random() for i in indices]

    def mix(samples):
        return [sample + data.sample_rng().random() for sample in samples]

    def epochs(workers):
        minicnn.rand(1)  # so that the global generator is elsewhere each time
        collate = mix if kind == "collate_fn" else None
        dataset = Numbers(12) if collate else Bulk(12)
        loader = data.DataLoader(dataset, 4, collate_fn=collate, seed=1, num_workers=workers)
        return [np.concatenate(list(loader)).tolist() for _ in range(2)]

    first, second = expected = epochs(0)
    assert first != second
    assert len({x % 1 for x in first}) == 12
    assert epochs(3) == expected


def test_a_sampler_that_draws_from_order_rng_is_reproducible():
    class Backwards(data.Sampler):
        def __iter__(self):
            yield from data.order_rng().permutation(9).tolist()

        def __len__(self):
            return 9

    loader = data.DataLoader(Numbers(9), 3, sampler=Backwards(), seed=1)
    expected = [contents(loader), contents(loader)]
    assert expected[0] != expected[1]
    loader.set_epoch(0)
    assert [contents(loader), contents(loader)] == expected


def test_a_sampler_is_told_the_epoch():
    class Shard(data.SequentialSampler):
        def set_epoch(self, epoch):
            self.epoch = epoch

        def __iter__(self):
            return iter([self.epoch])

    loader = data.DataLoader(Numbers(9), sampler=Shard(range(1)))
    assert [contents(loader) for _ in range(3)] == [[[0]], [[1]], [[2]]]


# ------------------------------------------------------------------------------- kinds of data


def test_many_rows_are_read_in_one_go():
    reads = []

    class Watched(data.TensorDataset):
        def __getitem__(self, index):
            reads.append(index)
            return super().__getitem__(index)

    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    subset = data.Subset(data.Subset(Watched(x, y), range(9, -1, -1)), [0, 5, 7])
    images, labels = next(iter(data.DataLoader(subset, 3)))
    assert reads == []
    assert labels.tolist() == [9, 4, 2]
    assert images.tolist() == x[[9, 4, 2]].tolist()

    samples = next(iter(data.DataLoader(subset, 3, collate_fn=list)))
    assert [(image.tolist(), label.item()) for image, label in samples] == [
        (x[i].tolist(), i) for i in (9, 4, 2)
    ]


def test_columns_are_a_sequence_of_samples():
    columns = data.Columns([np.arange(4), np.arange(4) * 10])
    assert list(columns) == [(0, 0), (1, 10), (2, 20), (3, 30)]
    assert columns[-1] == (3, 30)
    assert columns[1:3] == [(1, 10), (2, 20)]


@pytest.mark.parametrize("workers", [0, 1])
def test_iterable_datasets_are_read_in_a_row(workers):
    loader = data.DataLoader(Row(7), 3, num_workers=workers, seed=0)
    batches = contents(loader)
    assert [batch[0] for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert len({u for batch in batches for u in batch[1]}) == 7
    loader.set_epoch(0)
    assert contents(loader) == batches
    dropped = data.DataLoader(Row(7), 3, drop_last=True, num_workers=workers, seed=0)
    assert contents(dropped) == batches[:2]
    assert [i for i, _ in data.DataLoader(Row(3), None, num_workers=workers)] == [0, 1, 2]
    assert list(data.DataLoader(Row(0), 3, num_workers=workers)) == []
    with pytest.raises(TypeError):
        len(loader)


def test_an_iterable_dataset_may_have_a_length():
    class Long(Row):
        def __len__(self):
            return 7

    assert len(data.DataLoader(Long(7), 3)) == 3
    assert len(data.DataLoader(Long(7), 3, drop_last=True)) == 2


def test_without_batches_samples_come_alone():
    loader = data.DataLoader([np.ones(2), "a", 3], batch_size=None)
    first, second, third = loader
    assert isinstance(first, minicnn.Tensor)
    assert (first.tolist(), second, third) == ([1, 1], "a", 3)
    assert len(loader) == 3


def test_a_batch_sampler_decides_everything():
    loader = data.DataLoader(Numbers(9), batch_sampler=[[1, 2, 3], [8]])
    assert contents(loader) == [[1, 2, 3], [8]]
    assert len(loader) == 2
    assert loader.batch_size is None


def test_any_sequence_is_a_dataset_and_any_key_an_index():
    table = {"a": 1.0, "b": 2.0}
    loader = data.DataLoader(table, 2, sampler=["b", "a"])
    assert contents(loader) == [[2.0, 1.0]]


# ------------------------------------------------------------------------------------ misuse


@pytest.mark.parametrize("dataset", [Numbers(0), [], data.Subset(Numbers(3), [])])
def test_an_empty_dataset_is_refused(dataset):
    with pytest.raises(DataError, match="is empty"):
        data.DataLoader(dataset, 4, shuffle=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"num_workers": -1}, "num_workers must be an integer >= 0, got -1"),
        ({"prefetch_factor": 0}, "prefetch_factor"),
        ({"timeout": -1}, "timeout"),
        ({"sampler": [1], "shuffle": True}, "do not shuffle"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "batch_sampler replaces"),
        ({"batch_sampler": [[1]], "drop_last": True}, "batch_sampler replaces"),
        ({"batch_size": None, "drop_last": True}, "drop_last needs batches"),
        ({"generator": 1, "seed": 1}, "not both"),
        ({"seed": "x"}, "expected a seed"),
        ({"dataset": 5}, "no __getitem__"),
        ({"dataset": Row(3), "shuffle": True}, "its own order"),
        ({"dataset": Row(3), "num_workers": 2}, "read by one thread"),
    ],
)
def test_arguments_that_cannot_be_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        data.DataLoader(**{"dataset": Numbers(5), **options})
    assert "\n" not in str(caught.value)


def test_an_epoch_is_a_count():
    with pytest.raises(ArgumentError, match="epoch must be an integer >= 0, got -1"):
        data.DataLoader(Numbers(3)).set_epoch(-1)


def test_a_loader_describes_itself():
    text = repr(data.DataLoader(Numbers(9), 4, shuffle=True, num_workers=2))
    assert text == (
        "DataLoader(Numbers of 9 samples, batch_size=4, shuffle=True, drop_last=False, "
        "num_workers=2, epoch=0)"
    )


def test_pytorch_s_name_is_the_same_module():
    import minicnn.utils.data
    from minicnn.utils.data import DataLoader

    assert minicnn.utils.data is data
    assert DataLoader is data.DataLoader
