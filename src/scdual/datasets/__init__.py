"""Counts to try things on: real ones that ship with scanpy, and simulated ones with a known signed network."""

from scdual.data._datasets import pbmc68k
from scdual.data._simulate import simulate
from scdual.data._simulate_mudata import simulate_mudata

__all__ = ["pbmc68k", "simulate", "simulate_mudata"]
