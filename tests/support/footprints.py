"""A footprint as it is stored: two whole inputs, one of them read by two modules, and a wide one seen through rows."""

from moments import inputs, moments

from lori_core.method.footprint import Footprint

BASE = {"name": "tiny", "revision": None, "fingerprint": "f" * 64}
WIDE, DIRECTIONS = 60, 12


def measured(name: str = "math", seed: int = 0) -> Footprint:
    by_input = {
        "layers.0.q_proj": moments(inputs(200, 24, seed)),
        "layers.0.o_proj": moments(inputs(9, 16, seed + 1)),
        "layers.0.down_proj": moments(inputs(200, WIDE, seed + 2), DIRECTIONS),
    }
    read = {module: module for module in by_input} | {"layers.0.k_proj": "layers.0.q_proj"}
    return Footprint(name, read, by_input, 199, {"base": BASE, "data": {"fingerprint": "d" * 64}, "note": "計算"})
