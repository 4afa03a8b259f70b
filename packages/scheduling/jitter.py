"""The one-sided offset of a fire: a hash of the job's name and the nominal, never a random number.

So two processes, a preview and a replay agree on it: offset = hash64(name, nominal) * J >> 64. The name is hashed with
BLAKE2b once; the nominal is mixed in by the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), which is a few
operations for one instant and vectorises for many.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_MIX_1: Final = 0xBF58476D1CE4E5B9
_MIX_2: Final = 0x94D049BB133111EB


@lru_cache(maxsize=200_000)
def _seed(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")


def hash64(name: str, nominal: int) -> int:
    """A 64-bit hash of a job's name and an instant; the same in every process."""
    mixed = (_seed(name) + nominal * _GOLDEN) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * _MIX_1) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * _MIX_2) & _MASK
    return mixed ^ (mixed >> 31)


def offset_ms(name: str, nominal: int, width_ms: int) -> int:
    """The offset of one fire in [0, width_ms); 0 when the width is 0 or less."""
    return hash64(name, nominal) * width_ms >> 64 if width_ms > 0 else 0


def offsets_ms(
    name: str, nominals: "npt.NDArray[np.int64]", widths_ms: "npt.NDArray[np.int64]"
) -> "npt.NDArray[np.int64]":
    """`offset_ms` of many fires at once; the same numbers. Widths are below 2**32 and of the shape of `nominals`."""
    import numpy as np

    mixed = nominals.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(_seed(name))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_MIX_1)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_MIX_2)
    mixed ^= mixed >> np.uint64(31)
    # The upper half of a product of 64 by 32 bits, in pieces that do not overflow.
    widths = np.maximum(widths_ms, 0).astype(np.uint64)
    low = (mixed & np.uint64(0xFFFFFFFF)) * widths >> np.uint64(32)
    return (((mixed >> np.uint64(32)) * widths + low) >> np.uint64(32)).astype(np.int64)
