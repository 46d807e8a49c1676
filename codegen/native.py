"""The native library: the machine code that all models of a dtype share, from IR to addresses in this process.

`build` gives an object file, `load` and `link` put object files into memory. Where the bytes are kept between two
processes is not known here, and Numba is not needed.
"""

import hashlib
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from threading import Lock

import llvmlite.binding as llvm  # type: ignore[import-untyped]
from llvmlite import ir

from symgrad.codegen.bfloat16 import PairedProduct
from symgrad.codegen.emit import FLOATS
from symgrad.codegen.host import Host, host, initialize_llvm
from symgrad.codegen.peak import add_peak
from symgrad.codegen.peak import symbol as peak_symbol
from symgrad.codegen.threads import (
    BARRIER,
    FLUSH,
    RESTORE,
    add_barrier,
    add_denormals,
    barrier_twin,
    flush_denormals_twin,
    restore_denormals_twin,
)
from symgrad.codegen.tiles import Product, symbol
from symgrad.codegen.twins import fetch_twin, matmul_twin, rounded

# What each library defines. That for products of bfloat16 stands beside the one of float32, which has the rest.
SYMBOLS = {
    dtype: [symbol(dtype), peak_symbol(dtype), *([BARRIER, FLUSH, RESTORE] if dtype in FLOATS else [])]
    for dtype in (*FLOATS, "bfloat16")
}
SOURCES = ("bfloat16.py", "emit.py", "factors.py", "host.py", "native.py", "panels.py", "peak.py", "registers.py",
           "threads.py", "tiles.py", "zeros.py")  # fmt: skip

# What generated source calls when it runs unjitted, by the names of `intrinsics.INTRINSICS`.
TWINS: dict[str, Callable[..., object]] = {
    "matmul": matmul_twin,
    "matmul_bfloat16": partial(matmul_twin, factors=rounded),
    "barrier": barrier_twin,
    "flush_denormals": flush_denormals_twin,
    "restore_denormals": restore_denormals_twin,
    "fetch": fetch_twin,
}


@cache
def source_digest() -> str:
    """A hash of everything here that decides the object code; part of the name under which it is cached."""
    digest = hashlib.sha256(f"llvm {llvm.llvm_version_info}".encode())
    for name in SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()


def intermediate(target: Host, dtype: str) -> ir.Module:
    """The library for kernels of one dtype, or for products of bfloat16, as an llvmlite module."""
    module = ir.Module("symgrad_native")
    module.triple = target.triple
    product = (Product if dtype in FLOATS else PairedProduct)(module, target, dtype)
    product.define_driver(symbol(dtype))
    add_peak(module, product.factors, peak_symbol(dtype))
    if dtype in FLOATS:
        add_barrier(module)
        add_denormals(module)
    return module


def build(dtype: str, target: Host | None = None) -> bytes:
    """The library for kernels of one dtype as an object file for `target`, by default this host."""
    target = target or host()
    machine = target.target_machine(level=2)
    module = llvm.parse_assembly(str(intermediate(target, dtype)))
    module.data_layout = str(machine.target_data)
    module.verify()
    object_code: bytes = machine.emit_object(module)
    return object_code


class Linked:
    """Object code in memory and the addresses of its functions; it must outlive every pointer to them."""

    def __init__(self, objects: Iterable[bytes], names: Iterable[str]) -> None:
        initialize_llvm()
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), host().target_machine())
        for object_code in objects:
            self.engine.add_object_file(llvm.ObjectFileRef.from_data(object_code))
        self.engine.finalize_object()
        self.addresses = {name: self.engine.get_function_address(name) for name in names}
        missing = [name for name, address in self.addresses.items() if not address]
        if missing:
            self.close()
            raise ValueError(f"the object code does not define {', '.join(missing)}")

    def close(self) -> None:
        """Free the code. No function of it may run, now or later."""
        self.engine.close()
        self.addresses = {}


def link(objects: bytes | Iterable[bytes], names: Iterable[str]) -> Linked:
    """Put object files into memory; they may refer to each other, to the native library (after `load`) and to libc.

    Only bytes known to be whole, and code whose references all exist: LLVM ends the process on anything else.
    """
    return Linked([objects] if isinstance(objects, bytes) else objects, names)


def packed(objects: Iterable[bytes]) -> bytes:
    """Several object files as one run of bytes: each behind its length.

    >>> unpacked(packed([b"one", b"", b"three"]))
    [b'one', b'', b'three']
    """
    return b"".join(len(o).to_bytes(8, "little") + o for o in objects)


def unpacked(data: bytes) -> list[bytes]:
    """The object files of `packed`."""
    found, place = [], 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 8], "little")
        found.append(data[place + 8 : place + 8 + size])
        place += 8 + size
    return found


_lock = Lock()
_libraries: dict[str, Linked] = {}


def load(dtype: str, object_code: bytes) -> dict[str, int]:
    """Put the library of a dtype into memory for good, let later object code find its symbols, give their addresses.

    Calling it again returns the addresses of the first call.
    """
    with _lock:
        if dtype not in _libraries:
            library = link(object_code, SYMBOLS[dtype])
            for name, address in library.addresses.items():
                llvm.add_symbol(name, address)
            _libraries[dtype] = library
        return dict(_libraries[dtype].addresses)
