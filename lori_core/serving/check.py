"""Check of what is served against its proof of life: whether the adapter is active, and if not, what is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lori_core.errors import AdapterError, ModelError
from lori_core.serving.doors import Door, folder_door, gguf_door, http_door
from lori_core.serving.proof import PROOF_FILE, Proof, read_proof
from lori_core.serving.verdict import Verdict, judge


def check_served(
    served: str, proof: Path | None = None, model: str | None = None, base: str | None = None
) -> tuple[Proof, Verdict]:
    """Asks a served model the probes of its proof.

    Args:
        served: the address of an OpenAI-compatible server, a folder, or a .gguf file.
        proof: the file; None: the one beside what is served.
        model: of a server that has several, its name there.
        base: of a folder or a LoRA GGUF, the base or its GGUF; None: the one that it names.
    Raises:
        AdapterError: there is no proof. ModelError: the server or the model does not answer.
        ConfigError: a package or the base's name is missing.
    """
    known = read_proof(_proof_of(served, proof))
    with _door(served, known, model, base) as door:
        seen = [(probe, answer) for probe in known.probes if (answer := door.ask(probe))]
        plain = [probe for probe in known.probes if not probe.chat]
        told = sum(not probe.chat for probe, _ in seen)
        if 2 * told < len(plain):
            raise ModelError("served_no_log_probs", served=served, reason=f"{told} / {len(plain)}")
        bare = [(probe, answer) for probe in plain if door.bare and (answer := door.bare(probe))]
    return known, judge(seen, bare)


def _proof_of(served: str, proof: Path | None) -> Path:
    if proof is not None:
        return proof / PROOF_FILE if proof.is_dir() else proof
    if "://" in served:
        raise AdapterError("served_proof", url=served)
    place = Path(served)
    return (place if place.is_dir() else place.parent) / PROOF_FILE


@contextmanager
def _door(served: str, proof: Proof, model: str | None, base: str | None) -> Iterator[Door]:
    if "://" in served:
        yield http_door(served, model, proof.adapter)
    elif Path(served).suffix == ".gguf":
        with gguf_door(Path(served), base) as door:
            yield door
    else:
        yield folder_door(Path(served), base)
