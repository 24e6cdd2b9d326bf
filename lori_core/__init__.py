"""LoRI: low-rank adapters whose A is random and frozen and whose B is trained only where a task's mask allows."""

__version__ = "0.1.0"
