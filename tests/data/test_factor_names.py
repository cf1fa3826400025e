"""Transcription factors under the names that people and data sets give them."""

import pytest

from scdual.data._factor_names import ALIASES, FactorLookup, spelled_factor, undecorated
from scdual.data._regulators import transcription_factors


@pytest.mark.parametrize(
    ("asked", "in_data"),
    [
        ("PU.1", "SPI1"),
        ("pu1", "SPI1"),
        ("Spi1", "SPI1"),
        ("SPI1", "Spi1"),
        ("T-bet", "TBX21"),
        ("OCT3/4", "Pou5f1"),
        ("BMAL1", "ARNTL"),
        ("TP53", "Trp53"),
        ("NKX2.1", "NKX2-1"),
        ("C/EBPbeta", "CEBPB"),
        ("STAT1", "GRCh38_STAT1"),
        ("STAT1", "hg19__STAT1"),
        ("STAT1", "STAT1_ENSG00000115415"),
        ("STAT1", "STAT1_ENSG00000115415.14"),
    ],
)
def test_another_name_of_a_factor_is_found(asked: str, in_data: str) -> None:
    found = FactorLookup(["LYZ", in_data]).find(asked)
    assert found is not None
    assert (found.position, found.is_same) == (1, False)


def test_the_spelling_of_the_data_comes_first() -> None:
    lookup = FactorLookup(["spi1", "SPI1", "PU.1"])
    for position, name in enumerate(("spi1", "SPI1", "PU.1")):
        assert lookup.find(name) == (position, True)


@pytest.mark.parametrize("asked", ["GATA1", "SPI", "", "STAT11"])
def test_a_factor_that_is_not_there_is_not_found(asked: str) -> None:
    assert FactorLookup(["SPI1", "STAT1", "SOX2-OT"]).find(asked) is None


@pytest.mark.parametrize("symbol", ["NKX2-1", "HLA-DRA", "RP11-34P13.7", "SPI1", "MT-CO1"])
def test_a_plain_symbol_stays(symbol: str) -> None:
    assert undecorated(symbol) == symbol


@pytest.mark.parametrize(
    ("symbol", "organism", "factor"),
    [
        ("stat1", "human", "STAT1"),
        ("Stat1", "human", "STAT1"),
        ("STAT1", "mouse", "Stat1"),
        ("GRCh38_STAT1", "human", "STAT1"),
        ("STAT1_ENSG00000115415", "human", "STAT1"),
        ("STAT1-1", "human", "STAT1"),
        ("STAT1", "human", None),
        ("NKX2-1", "human", None),
        ("LYZ_ENSG00000090382", "human", None),
        ("SOX2-OT", "human", None),
        ("Actb", "human", None),
    ],
)
def test_a_factor_is_recognised_under_another_spelling(symbol: str, organism: str, factor: str | None) -> None:
    assert spelled_factor(symbol, organism) == factor  # type: ignore[arg-type]


def test_aliases_are_of_factors_and_of_one_each() -> None:
    groups = [group.split() for group in ALIASES.split(";")]
    symbols = [group[0] for group in groups]
    names = [name for group in groups for name in group]
    assert transcription_factors(symbols, "human").all()
    assert len(set(names)) == len(names)
    assert min(map(len, groups)) > 1
