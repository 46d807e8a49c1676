"""The native library: its matrix product on every kind of processor this one can stand for, building and loading."""

import ctypes
import dataclasses
import os
import subprocess
import sys

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest
from llvmlite import ir

from symgrad.codegen import native, registers, tiles, twins
from symgrad.codegen.factors import Pairs
from symgrad.codegen.host import describe, host
from symgrad.codegen.intrinsics import INTRINSICS
from symgrad.codegen.threads import BARRIER
from symgrad.expression.precision import STORED

INTEGER, POINTER = ctypes.c_int64, ctypes.c_void_p
MATMUL = ctypes.CFUNCTYPE(
    None, POINTER, INTEGER, INTEGER, POINTER, INTEGER, INTEGER, POINTER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER,
    INTEGER, INTEGER, INTEGER, POINTER,
)  # fmt: skip
DTYPES = ("float32", "float64", "bfloat16")  # of factors
TOLERANCE = {"float32": 1e-5, "float64": 1e-12, "bfloat16": 1e-5}
# Around every tile height and vector length in use, primes, and more than one block of depth, columns and rows.
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 14, 15, 16, 17, 27, 28, 31, 32, 33, 47, 53, 65, 127, 255, 256, 257, 259)
WORK = np.empty(tiles.WORK_BYTES, np.uint8)


def targets():
    """This host, and the lesser ones whose code it can run."""
    here = host()
    names = ["generic"]
    if here.triple.startswith("x86_64") and here.vector_bytes >= 32 and here.has_fma:
        names.append("haswell")
    return [here, *(describe(name, "", here.triple) for name in names)]


@pytest.fixture(scope="module", params=targets(), ids=lambda target: target.cpu)
def products(request):
    """matmul of each dtype, compiled for one target, called with NumPy matrices."""
    linked = [native.link(native.build(dtype, request.param), native.SYMBOLS[dtype]) for dtype in DTYPES]
    functions = {d: MATMUL(one.addresses[tiles.symbol(d)]) for d, one in zip(DTYPES, linked, strict=True)}

    def multiply(a, b, c, add=0, runs=(1, 0, 0), dtype=None):
        def strides(matrix):
            return [stride // matrix.itemsize for stride in matrix.strides]

        functions[dtype or str(a.dtype)](
            a.ctypes.data, *strides(a), b.ctypes.data, *strides(b), c.ctypes.data, strides(c)[0],
            *c.shape, a.shape[1], *runs, add, WORK.ctypes.data,
        )  # fmt: skip
        return c

    multiply.target = request.param
    yield multiply
    for one in linked:
        one.close()


@pytest.fixture(scope="module")
def addresses():
    return {name: address for d in DTYPES for name, address in native.load(d, native.build(d)).items()}


def stored(random, shape, dtype, transposed, padding):
    """A random matrix inside an array whose other elements are NaN."""
    rows, columns = shape[::-1] if transposed else shape
    whole = np.full((rows, columns + padding), np.nan, STORED[dtype])
    whole[:, :columns] = random.standard_normal((rows, columns))
    return whole[:, :columns].T if transposed else whole[:, :columns]


def factors(dtype, *matrices):
    """Matrices as they are multiplied."""
    return [twins.rounded(m) if dtype == "bfloat16" else m for m in matrices]


def relative_error(c, a, b, dtype):
    a, b = (m.astype(np.float64) for m in factors(dtype, a, b))
    return np.max(np.abs(c - a @ b) / (np.abs(a) @ np.abs(b) + 1e-300), initial=0.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_agree_with_numpy_and_stay_inside_their_arrays(products, dtype):
    random = np.random.default_rng(7)
    for _ in range(500):
        rows, columns, depth = (int(size) for size in random.choice(SIZES, 3))
        a = stored(random, (rows, depth), dtype, random.integers(2), 8 * int(random.integers(3)))
        b = stored(random, (depth, columns), dtype, random.integers(2), int(random.integers(3)))
        guarded = np.full((rows + 2, columns + 5), 7.0, a.dtype)
        c = products(a, b, guarded[1:-1, 2 : 2 + columns], dtype=dtype)
        assert relative_error(c, a, b, dtype) < TOLERANCE[dtype], (rows, columns, depth, a.strides, b.strides)
        c[...] = 7
        assert (guarded == 7).all(), (rows, columns, depth)


GUARDED = """
import ctypes, itertools, mmap, sys
import numpy as np
sys.path.insert(0, {folder!r})
from test_tiles import DTYPES, MATMUL, SIZES, STORED, WORK, native, targets, tiles

libc, page = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE
kept = []

def guarded(at_end, count, item):
    "Memory for so many entries with pages around that nobody may touch."
    room = -(-max(1, count * item) // page) * page
    memory = mmap.mmap(-1, room + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for guard in (start, start + page + room):
        assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0
    kept.append(memory)
    return start + page + (room - count * item if at_end else 0)

random = np.random.default_rng(16)
for target, dtype in itertools.product(targets(), DTYPES):
    library = native.link(native.build(dtype, target), native.SYMBOLS[dtype])
    multiply, item = MATMUL(library.addresses[tiles.symbol(dtype)]), np.dtype(STORED[dtype]).itemsize
    for _ in range(60):
        rows, columns, depth = (int(size) for size in random.choice(SIZES, 3))
        ends = random.integers(2, size=3)
        a, b, c = (guarded(*w, item) for w in zip(ends, (2 * rows * depth, 2 * depth * columns, rows * columns)))
        a_strides = [(2 * depth, 1), (1, 2 * rows), (2 * depth, 2), (2, 2 * rows)][random.integers(4)]
        b_strides = [(2 * columns, 1), (1, 2 * depth), (2 * columns, 2), (2, 2 * depth)][random.integers(4)]
        if ends[0]:  # the last entry of all lies before the guard
            a += item * (2 * rows * depth - 1 - (rows - 1) * a_strides[0] - (depth - 1) * a_strides[1])
        if ends[1]:
            b += item * (2 * depth * columns - 1 - (depth - 1) * b_strides[0] - (columns - 1) * b_strides[1])
        print(dtype, rows, columns, depth, a_strides, b_strides, ends, flush=True)
        multiply(a, *a_strides, b, *b_strides, c, columns, rows, columns, depth, 1, 0, 0, 0, WORK.ctypes.data)
"""


@pytest.mark.skipif(os.name != "posix", reason="guard pages by mprotect")
def test_nothing_outside_the_matrices_is_touched():
    code = GUARDED.format(folder=os.path.dirname(__file__))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout[-200:], done.stderr[-2000:])


def with_zeros(random, a):
    """A copy in which rectangles, columns and all but a few entries are zero, one or the other."""
    a = a.copy(order="K")
    for _ in range(4):
        rows, columns = (sorted(random.integers(0, size + 1, 2)) for size in a.shape)
        a[slice(*rows), slice(*columns)] = 0
    a[:, random.random(a.shape[1]) < random.random()] = 0
    a[random.random(a.shape) < random.choice([0, 0.9])] = -0.0 if random.integers(2) else 0
    return a


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_zero_in_a_whole_tile_makes_no_difference(products, dtype):
    random = np.random.default_rng(13)
    for _ in range(200):
        rows, columns, depth = (int(size) for size in random.choice([1, 7, 8, 29, 56, 127, 160, 259, 300], 3))
        a = with_zeros(random, stored(random, (rows, depth), dtype, random.integers(2), 0))
        b = stored(random, (depth, columns), dtype, random.integers(2), int(random.integers(3)))
        c = products(a, b, np.full((rows, columns), np.nan, a.dtype), dtype=dtype)
        assert relative_error(c, a, b, dtype) < TOLERANCE[dtype], (rows, columns, depth, a.strides, b.strides)
        single = [products(a[r : r + 1], b, np.empty_like(c[:1]), dtype=dtype) for r in range(rows)]  # never left out
        assert np.array_equal(np.concatenate(single), c), (rows, columns, depth, a.strides, b.strides)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.4e38])
def test_zero_times_what_is_not_finite_is_nan_in_every_row(products, dtype, value):
    stays = np.isfinite(factors(dtype, np.array(value, STORED[dtype]))[0])  # bfloat16 has no number so large
    assert stays == (value == 3.4e38 and dtype != "bfloat16")
    for rows, columns, depth, at in [(28, 128, 40, (3, 0)), (30, 137, 300, (290, 136)), (57, 160, 16, (15, 127))]:
        for order in "CF":
            a = np.zeros((rows, depth), STORED[dtype], order)
            b = np.ones((depth, columns), a.dtype)
            b[at] = value
            c = products(a, b, np.empty((rows, columns), a.dtype), dtype=dtype)
            assert (c == 0).all() if stays else np.isnan(c[:, at[1]]).all() and (np.delete(c, at[1], axis=1) == 0).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_zeros_are_left_out(products, dtype):
    """Seen by the sign of a sum that is too small: -0 stays -0 where nothing is added to it."""
    if not products.target.has_fma:
        pytest.skip("a product that is rounded by itself and added to 0 is +0 in any case")
    a, b = np.zeros((28, 40), "f4"), np.full((40, 256), 1e-30, "f4")
    a[:, 0] = -1e-30
    for here in (a, np.asfortranarray(a)):
        assert np.signbit(products(here, b, np.empty((28, 256), "f4"), dtype=dtype)).all()
        assert not np.signbit(products(here[:4], b, np.empty((4, 256), "f4"), dtype=dtype)).any()  # few rows: not looked for


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transposed", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_large_products_with_strides_that_clash_in_the_cache(products, dtype, transposed):
    random = np.random.default_rng(8)
    rows, columns, depth = 530, 1030, 600
    a = stored(random, (rows, depth), dtype, transposed[0], 1024 - (rows if transposed[0] else depth))
    b = stored(random, (depth, columns), dtype, transposed[1], 2048 - (depth if transposed[1] else columns))
    c = products(a, b, np.full((rows, columns), np.nan, a.dtype), dtype=dtype)
    assert relative_error(c, a, b, dtype) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_how_the_work_is_divided(products, dtype):
    random = np.random.default_rng(9)
    rows, columns, depth = 301, 150, 530
    for transposed in (0, 1):
        a = stored(random, (rows, depth), dtype, transposed, 0)
        b = stored(random, (depth, columns), dtype, 1 - transposed, 3)
        whole = products(a, b, np.empty((rows, columns), a.dtype), dtype=dtype)
        for row, column in [(1, 1), (13, 10), (150, 75), (299, 149)]:
            parts = np.empty_like(whole)
            for r in (slice(0, row), slice(row, None)):
                for j in (slice(0, column), slice(column, None)):
                    products(a[r], b[:, j], parts[r, j], dtype=dtype)
            assert parts.tobytes() == whole.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nan_and_infinity_stay_in_their_row_and_column(products, dtype):
    a, b = np.ones((20, 40), "f4"), np.ones((40, 37), "f4")
    a[3, 5], b[7, 36] = np.nan, np.inf
    c = products(a, b, np.zeros((20, 37), "f4"), dtype=dtype)
    assert np.isnan(c[3]).all() and np.isinf(np.delete(c[:, 36], 3)).all()
    assert (np.delete(c, 3, axis=0)[:, :36] == 40).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_twin_and_intrinsic_compute_the_same_product(addresses, dtype):
    assert INTRINSICS.keys() == native.TWINS.keys()
    name = "matmul_bfloat16" if dtype == "bfloat16" else "matmul"
    matmul, flush, restore = (INTRINSICS[n] for n in (name, "flush_denormals", "restore_denormals"))

    @numba.njit(error_model="numpy")
    def kernel(a, b, c, work):
        old = flush()
        matmul(a, 3, 1, 20, b, 2, 31, 1, c, 5, 33, 20, 31, 17, 1, 0, 0, 0, work)
        restore(old)

    random = np.random.default_rng(10)
    a, b = random.random(400).astype(STORED[dtype]), random.random(600).astype(STORED[dtype])
    c, twin = np.zeros(700, a.dtype), np.zeros(700, a.dtype)
    work = np.empty(tiles.WORK_BYTES // a.itemsize, a.dtype)
    kernel(a, b, c, work)
    native.TWINS[name](a, 3, 1, 20, b, 2, 31, 1, twin, 5, 33, 20, 31, 17, 1, 0, 0, 0, work)
    np.testing.assert_allclose(c, twin, rtol=TOLERANCE[dtype])
    with pytest.raises(AssertionError, match="of 700"):
        native.TWINS[name](a, 0, 1, 20, b, 0, 31, 1, twin, 100, 33, 20, 31, 17, 1, 0, 0, 0, work)


def test_bfloat16_is_the_nearest_with_ties_to_even(products):
    """Of what lies halfway between two numbers of 8 bits, and of its neighbours; the reference is exact arithmetic."""
    random = np.random.default_rng(14)
    near = random.integers(128, 256, 4000) * 2.0 ** random.integers(-100, 100, 4000)  # numbers of 8 bits
    halves = near * (1 + 2.0 ** (random.integers(-9, -7, 4000) - np.log2(near / 2.0 ** np.floor(np.log2(near)))))
    given = np.concatenate([near, halves, -halves, [0.0, np.inf, -np.inf, np.nan, 3.4e38, 3.389e38]]).astype("f4")
    given = np.concatenate([given, np.nextafter(given, np.float32(0)), np.nextafter(given, np.float32(np.inf))])
    odd = np.array([0x7F800001, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FC00000], np.uint32).view("f4")  # NaN of every kind
    given = np.concatenate([given, odd])
    given = given[~((given != 0) & (abs(given) < 2.0**-120))]  # a processor may flush what is denormal
    want = nearest(given)
    apart = np.zeros((given.size, 3), "f4")
    apart[:, 0] = given
    for column in (given[:, None], apart[:, :1]):  # rows of A side by side, and apart
        c = products(column, np.ones((1, 1), "f4"), np.empty((given.size, 1), "f4"), dtype="bfloat16")
        np.testing.assert_array_equal(c[:, 0], want)
    for b in (given[None, :], apart[:, 0][None, :]):
        c = products(np.ones((1, 1), "f4"), b, np.empty((1, given.size), "f4"), dtype="bfloat16")
        np.testing.assert_array_equal(c[0], want)
    np.testing.assert_array_equal(twins.rounded(given), want)


def nearest(values):
    """Rounded to 8 bits of mantissa by float64 arithmetic, in which every step is exact; overflows as IEEE 754 has it."""
    with np.errstate(invalid="ignore"):  # a NaN that signals
        mantissa, exponent = np.frexp(values.astype(float))
    found = np.ldexp(np.round(mantissa * 256) / 256, exponent)
    return np.where(abs(found) >= 2.0**128, np.copysign(np.inf, found), found).astype("f4")


def as_described(pairs, builder, text, where, values):
    """The instructions as Intel's manual describes them, for numbers that are finite."""
    integers, lanes = ir.VectorType(ir.IntType(32), pairs.vector.lanes), pairs.vector.lanes
    halves = ir.VectorType(ir.IntType(16), lanes)

    def constant(value):
        return ir.Constant(integers, [value] * lanes)

    def chosen(first, second, places):
        return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))

    if text.startswith("vcvtne2ps2bf16"):
        assert (text, where) == ("vcvtne2ps2bf16 $1, $2, $0", "=v,v,v")  # the first in the lower half of the result
        parts = []
        for value in values:
            bits = builder.bitcast(value, integers)
            odd = builder.and_(builder.lshr(bits, constant(16)), constant(1))
            nearest = builder.lshr(builder.add(builder.add(bits, odd), constant(0x7FFF)), constant(16))
            parts.append(builder.trunc(nearest, halves))
        return builder.bitcast(chosen(*parts, list(range(2 * lanes))), pairs.vector.type)
    assert (text, where) == ("vdpbf16ps $3, $2, $0", "=v,0,v,v")
    total, *operands = values
    for odd in (1, 0):
        numbers = []
        for value in operands:
            both = builder.bitcast(value, ir.VectorType(ir.IntType(16), 2 * lanes))
            half = chosen(both, both, [2 * lane + odd for lane in range(lanes)])
            bits = builder.shl(builder.zext(half, integers), constant(16))
            numbers.append(builder.bitcast(bits, pairs.vector.type))
        total = pairs.vector.multiply_add(builder, *numbers, total, pairs.has_fma)
    return total


@pytest.mark.parametrize("real", [False, True])
def test_pairs_put_together_give_the_bits_of_the_instructions(monkeypatch, real):
    here = host()
    if real and not here.has_bfloat16:
        pytest.skip("a processor with AVX512-BF16")
    if not real:
        monkeypatch.setattr(Pairs, "_instruct", as_described)
    random = np.random.default_rng(15)
    libraries = [
        native.link(native.build("bfloat16", dataclasses.replace(here, has_bfloat16=has)), native.SYMBOLS["bfloat16"])
        for has in (True, False)
    ]
    for transposed in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        a = with_zeros(random, stored(random, (61, 301), "float32", transposed[0], 0))
        b, found = stored(random, (301, 150), "float32", transposed[1], 1), []
        for library in libraries:
            c, (a_row, a_col, b_row, b_col) = np.zeros((61, 150), "f4"), (s // 4 for s in (*a.strides, *b.strides))
            MATMUL(library.addresses[tiles.symbol("bfloat16")])(
                a.ctypes.data, a_row, a_col, b.ctypes.data, b_row, b_col, c.ctypes.data, 150, 61, 150, 301, 1, 0, 0, 0,
                WORK.ctypes.data,
            )  # fmt: skip
            found.append(c)
        np.testing.assert_array_equal(*found)
        assert relative_error(found[0], a, b, "bfloat16") < TOLERANCE["bfloat16"]
    for library in libraries:
        library.close()


@pytest.mark.parametrize("name", ["sapphirerapids", "znver4"])
def test_a_processor_with_pairs_multiplies_by_its_instruction(name):
    """Built, not run: this machine may lack it."""
    if not host().triple.startswith("x86_64"):
        pytest.skip("an x86 processor")
    target = describe(name, "+64bit,+sse2", host().triple)
    if not target.has_bfloat16:
        pytest.skip("an older LLVM")
    module = llvm.parse_assembly(str(native.intermediate(target, "bfloat16")))
    text = target.target_machine(level=2).emit_assembly(module)
    assert text.count("vdpbf16ps") > 14 * 2 and "vcvtne2ps2bf16" in text and "vfmadd" not in text


def test_rows_are_asked_for_ahead_where_they_are_picked():
    from symgrad.models.mnist_mlp import model

    fetches = [line.strip() for line in model().source_text().splitlines() if "fetch(" in line]
    assert fetches == ["fetch(pixels, rows[min(first + i + batch_size, total_rows - 1)]*784, 784)"]
    with pytest.raises(AssertionError, match="entries 784 to 1568 of 1567"):
        native.TWINS["fetch"](np.zeros(1567), 784, 784)


def test_best_steps_use_compiled_heights_only():
    for tallest in (4, 6, 7, 8, 14):
        steps = registers.best_steps(tallest, 2)
        assert all(1 <= step <= min(tallest, left) for left, step in enumerate(steps) if left)
    steps = registers.best_steps(14, 2)
    assert steps[11] == 11 and steps[16] + steps[16 - steps[16]] == 16  # never 14 and a costly 2


def test_load_is_idempotent_and_needs_no_numba():
    code = (
        "import sys; from symgrad.codegen import native\n"
        "for d, names in native.SYMBOLS.items():\n"
        "    code = native.build(d)\n"
        "    assert native.load(d, code) == native.load(d, code) and set(native.load(d, code)) == set(names)\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_link_names_what_is_missing():
    code = native.build("float32")
    with pytest.raises(ValueError, match="does not define symgrad_nothing"):
        native.link(code, [BARRIER, "symgrad_nothing"])


def test_build_gives_the_same_bytes_and_the_digest_is_a_name():
    assert native.build("float64") == native.build("float64")
    assert len(native.source_digest()) == 64


@pytest.mark.parametrize(
    "environment",
    [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_CPU_NAME": "haswell"}, {"NUMBA_CPU_FEATURES": "+64bit,+sse2"}],
)
def test_environment_chooses_the_processor_as_for_numba(environment):
    if not host().triple.startswith("x86_64") and "generic" not in environment.values():
        pytest.skip("an x86 processor")
    code = "from symgrad.codegen.host import host; h = host(); print(h.cpu, h.features.count('avx512'), h.tile)"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_CPU")}
    run = subprocess.run(
        [sys.executable, "-c", code], env=inherited | environment, check=True, capture_output=True, text=True
    )
    expected = environment.get("NUMBA_CPU_NAME", llvm.get_host_cpu_name())
    assert run.stdout.startswith(f"{expected} 0 ")


@pytest.mark.parametrize("dtype", DTYPES)
def test_runs_of_the_depth_and_sums_that_go_on(products, dtype):
    """The windows of a convolution: rows that overlap, a depth in runs a row of the image apart."""
    random = np.random.default_rng(12)
    for height, width, channels, columns in [(5, 9, 3, 7), (3, 4, 16, 16), (4, 31, 1, 33), (2, 15, 8, 1), (7, 8, 5, 48)]:
        image = random.standard_normal((height, width, channels)).astype(STORED[dtype])
        for size in (1, 2, 3):
            for stride in (1, -1):
                kernel = random.standard_normal((height, size * channels, columns)).astype(STORED[dtype])[::stride]
                rows = width - size + 1
                a = np.lib.stride_tricks.as_strided(
                    image, (rows, size * channels), (channels * image.itemsize, image.itemsize)
                )
                runs = (height, width * channels, kernel.strides[0] // kernel.itemsize)
                want = sum(a_run @ k for a_run, k in zip(
                    [np.lib.stride_tricks.as_strided(i, a.shape, a.strides) for i in factors(dtype, image)[0]],
                    factors(dtype, kernel)[0], strict=True))  # fmt: skip
                total = np.ones((rows, columns), a.dtype)
                products(a, kernel[0], total, 0, runs, dtype)
                np.testing.assert_allclose(total, want, rtol=1e3 * TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])
                products(a, kernel[0], total, 1, runs, dtype)
                np.testing.assert_allclose(total, 2 * want, rtol=1e3 * TOLERANCE[dtype], atol=20 * TOLERANCE[dtype])
