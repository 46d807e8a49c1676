"""The processor that code is generated for: its name, features, vector width and register tile.

It asks LLVM, never /proc/cpuinfo, and reads NUMBA_CPU_NAME and NUMBA_CPU_FEATURES as Numba does, so that the native
library and the kernels Numba compiles are meant for the same machine. It must not know what is computed, nor import
Numba.
"""

import os
import platform
import re
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm  # type: ignore[import-untyped]

ITEM_BYTES = {"float32": 4, "float64": 8}

# (vector bytes, vector registers, has fused multiply-add) -> (rows, vectors) of the register tile: as many accumulators
# as leave registers for the vectors of B and one broadcast element of A. 14 x 2 is what measured best of the AVX-512
# shapes; 6 x 2 is the classic one of AVX2. Whatever is not listed gets PLAIN, which is correct on every machine.
TILES = {(64, 32, True): (14, 2), (32, 16, True): (6, 2), (32, 16, False): (6, 2), (16, 32, True): (8, 2)}
PLAIN = (4, 2)
LINE = 64  # bytes that a cache brings at once; buffers begin on one

# What is compiled to find out what a processor has: no table of names to keep, and explicit features count too.
PROBE = """
define void @widest(ptr %a) {
  %x = load <16 x float>, ptr %a, align 4
  %y = fadd <16 x float> %x, %x
  store <16 x float> %y, ptr %a, align 4
  ret void
}
define float @fused(float %x, float %y) {
  %z = call float @llvm.fma.f32(float %x, float %y, float %x)
  ret float %z
}
declare float @llvm.fma.f32(float, float, float)
"""
BFLOAT16 = """
define void @rounded(ptr %a, ptr %b) {
  %x = load <16 x float>, ptr %a, align 4
  %y = fptrunc <16 x float> %x to <16 x bfloat>
  store <16 x bfloat> %y, ptr %b, align 4
  ret void
}
"""


@dataclass(frozen=True)
class Host:
    """One code generation target. `features` is LLVM's string, for example `+avx2,+fma`."""

    cpu: str
    features: str
    triple: str
    vector_bytes: int
    registers: int
    has_fma: bool
    has_bfloat16: bool = False  # products of bfloat16 pairs: AVX512-BF16

    def lanes(self, dtype: str) -> int:
        """Elements of `dtype` ("float32" or "float64") in one vector register."""
        return self.vector_bytes // ITEM_BYTES[dtype]

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and vectors of the register tile of the matrix product."""
        return TILES.get((self.vector_bytes, self.registers, self.has_fma), PLAIN)

    @property
    def asks_ahead(self) -> bool:
        """Whether each step of a tile asks for memory that is needed later.

        Steps of AVX2's tile are so short that the requests cost more: products take 7-14 % longer with them (Zen 3).
        """
        return self.vector_bytes == 64

    def target_machine(self, level: int = 3, jit: bool = True) -> llvm.TargetMachine:
        """A new LLVM target machine; each one may be given to one execution engine only."""
        initialize_llvm()
        # Numba's choice: MCJIT wants static relocation on x86.
        relocation = "static" if self.triple.startswith(("x86", "i386", "i686")) else "default"
        target = llvm.Target.from_triple(self.triple)
        return target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=level, reloc=relocation, codemodel="jitdefault", jit=jit
        )


@cache
def initialize_llvm() -> None:
    """Make LLVM's own target, assembly printer and parser available; cheap to call again."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()  # for instructions that are written by name


@cache
def host() -> Host:
    """The processor of this process, or the one the environment names (read once)."""
    triple = llvm.get_process_triple()
    return describe(*requested_cpu(triple), triple)


def requested_cpu(triple: str) -> tuple[str, str]:
    """CPU name and features: this machine's, unless NUMBA_CPU_NAME or NUMBA_CPU_FEATURES say otherwise.

    Numba keeps this machine's features when only the name is given (except for `generic`). Here a named CPU never
    inherits them: code for `haswell` must run on a haswell.
    """
    name, features = os.environ.get("NUMBA_CPU_NAME") or None, os.environ.get("NUMBA_CPU_FEATURES")
    actual = llvm.get_host_cpu_name()
    if features is None:
        if name is None or name == actual:
            return actual, llvm.get_host_cpu_features().flatten()
        # LLVM aborts the process for a name it does not know, unless told that x86-64 is a 64-bit machine.
        features = "+64bit,+sse2" if triple.startswith("x86_64") and name != "generic" else ""
    return name or actual, features


def describe(cpu: str, features: str, triple: str) -> Host:
    """What LLVM can use on the CPU of that name with these features."""
    machine = Host(cpu, features, triple, 16, 16, False).target_machine(level=1)
    assembly = machine.emit_assembly(llvm.parse_assembly(PROBE))
    vector_bytes = 64 if "%zmm" in assembly else 32 if "%ymm" in assembly else 16
    # Older LLVM cannot put every such rounding into instructions, and ends the process over it.
    asked = vector_bytes == 64 and llvm.llvm_version_info >= (20,)
    has_bfloat16 = asked and "vcvtneps2bf16" in machine.emit_assembly(llvm.parse_assembly(BFLOAT16))
    many = vector_bytes == 64 or triple.startswith(("aarch64", "arm64"))
    # Without the instruction LLVM calls the C library's fmaf, which is exact and very slow.
    has_fma = re.search(r"\bfmaf\b", assembly) is None
    return Host(cpu, features, triple, vector_bytes, 32 if many else 16, has_fma, has_bfloat16)


def facts() -> dict[str, str]:
    """What a person wants to know of the machine, in words, for `symgrad info`."""
    here = host()
    rows, vectors = here.tile
    return {
        "processor": f"{here.cpu} ({platform.machine()}, {platform.system()})",
        "cores this process may use": str(usable_cores()),
        "vectors": f"{8 * here.vector_bytes} bits, {here.registers} registers"
        + (", fused multiply-add" if here.has_fma else ""),
        "register tile": f"{rows} x {vectors * here.lanes('float32')} float32",
        "products of bfloat16": "AVX512-BF16" if here.has_bfloat16 else "put together from float32 (no AVX512-BF16)",
    }


def usable_cores() -> int:
    """The number of cores that this process may run on: its affinity where the system knows it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
