"""Find a transcription factor under another name: other capitals, punctuation, a prefix or suffix of its data set, an alias.

Aliases are the names that papers use for human factors, and symbols that HGNC has replaced; they hold in mouse as well.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from scdual._types import Organism
from scdual.data._regulators import transcription_factors

# Symbol of today, then others. Names that are symbols of another gene, such as TTF1 for NKX2-1, are left out.
ALIASES = """
    SPI1 PU.1; TBX21 T-bet; EOMES TBR2; TBXT T Brachyury; POU5F1 OCT4 OCT3/4; POU2F1 OCT1; POU2F2 OCT2; POU2AF1 OBF1 BOB1;
    POU3F2 BRN2; POU4F1 BRN3A; TP53 p53 Trp53; TP63 p63 Trp63; TP73 p73 Trp73; MYC c-Myc; MYCN N-Myc; MYCL L-Myc MYCL1;
    PRDM1 BLIMP1; ZBTB16 PLZF; ZBTB7B ThPOK; ZBTB7A LRF; ZBTB32 ROG; BCL11B CTIP2; IKZF1 Ikaros; IKZF2 Helios;
    IKZF3 Aiolos; RUNX1 AML1; RUNX2 CBFA1; RUNX3 AML2; ZFPM1 FOG1; KLF1 EKLF; KLF2 LKLF; KLF4 GKLF; TCF3 E2A; TCF4 E2-2;
    TCF12 HEB; TCF7 TCF-1; PAX5 BSAP; EBF1 OLF1 COE1; REL c-Rel; RELA p65; NFKB1 p50 p105; NFKB2 p52 p100; NFATC1 NFAT2;
    NFATC2 NFAT1; NFATC3 NFAT4; NFATC4 NFAT3; NFE2L2 NRF2; CEBPA C/EBPalpha; CEBPB C/EBPbeta; CEBPD C/EBPdelta;
    CEBPE C/EBPepsilon; DDIT3 CHOP GADD153; JUN c-Jun; FOS c-Fos; FOSL1 FRA1; FOSL2 FRA2; MAF c-Maf; NR3C1 GCCR;
    ESR1 ERalpha; ESR2 ERbeta; AR NR3C4; NR1H2 LXRB; NR1H3 LXRA; NR1I2 PXR; NR1D1 REV-ERBA; NR4A1 NUR77; NR4A2 NURR1;
    RORC RORgt RORgamma; PPARG PPARgamma; ARNTL BMAL1; ARNTL2 BMAL2; EPAS1 HIF2A; HIF1A HIF-1alpha; REST NRSF; HES1 HRY;
    ASCL1 MASH1; ATOH1 MATH1; NEUROG2 NGN2; NKX2-1 TITF1; CREB1 CREB; ATF4 CREB2; SREBF1 SREBP1; SREBF2 SREBP2;
    ETS1 c-ETS-1; ETV1 ER81; ETV4 PEA3; MYB c-Myb; MYBL2 B-Myb; EGR1 ZIF268 KROX24; EGR2 KROX20; SNAI1 SNAIL; SNAI2 SLUG;
    ZEB1 TCF8; ZEB2 ZFHX1B; FOXP3 SCURFIN; FOXM1 HFH11; FOXA1 HNF3A; FOXA2 HNF3B; HNF1B TCF2; ONECUT1 HNF6; PDX1 IPF1;
    YBX1 YB-1 NSEP1; YBX3 CSDA; KMT2A MLL; KDM5B JARID1B; IRF8 ICSBP ICSBP1; IRF9 ISGF3G; IRF4 MUM1 LSIRF; TFAP2A AP2A;
    TFCP2 LSF; NFIL3 E4BP4
"""

_PREFIX = re.compile(r"(GRCh3[78]|hg19|hg38|GRCm3[89]|mm10|mm39)[_-]+", re.IGNORECASE)
_ENSEMBL_SUFFIX = re.compile(r"[_\-.|]ENS[A-Z]*G\d+(\.\d+)?$")
_REPEAT = re.compile(r"[-.]\d+$")  # what `var_names_make_unique` appends


class FoundFactor(NamedTuple):
    """A gene of the data, and whether it is spelled as it was looked up."""

    position: int
    is_same: bool


class FactorLookup:
    """Look up factors among the symbols of genes.

    Parameters
    ----------
    symbols
        Symbols of the genes of the data.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self._exact: dict[str, int] = {}
        self._loose: dict[str, int] = {}
        for position, symbol in enumerate(symbols):
            self._exact.setdefault(symbol, position)
            self._loose.setdefault(_loose(undecorated(symbol)), position)

    def find(self, factor: str) -> FoundFactor | None:
        """Return where the factor is, or None. Its own spelling comes before others, and these before aliases."""
        if factor in self._exact:
            return FoundFactor(self._exact[factor], is_same=True)
        names = [_loose(undecorated(factor)), *_synonyms().get(_loose(factor), ())]
        position = next((self._loose[name] for name in names if name in self._loose), None)
        return None if position is None else FoundFactor(position, is_same=False)


def undecorated(symbol: str) -> str:
    """Return ``STAT1`` for ``GRCh38_STAT1`` and for ``STAT1_ENSG00000115415``; other symbols as they are."""
    return _ENSEMBL_SUFFIX.sub("", _PREFIX.sub("", symbol.strip(), count=1))


def spelled_factor(symbol: str, organism: Organism) -> str | None:
    """Return the symbol of the factor that a gene is under another spelling, or None; ``STAT1`` for ``stat1`` in human."""
    bare = undecorated(symbol)
    for name in (bare, _REPEAT.sub("", bare)):
        cased = name.upper() if organism == "human" else name.capitalize()
        if cased != symbol and transcription_factors([cased], organism)[0]:
            return cased
    return None


def _loose(name: str) -> str:
    """Return a name without what people leave out: ``PU1`` for ``Pu.1``."""
    return re.sub(r"[^A-Z0-9]", "", name.upper())


@cache
def _synonyms() -> dict[str, list[str]]:
    """Return for each name, written loosely, the others of the same factor."""
    found: dict[str, list[str]] = {}
    for group in ALIASES.split(";"):
        names = [_loose(name) for name in group.split()]
        for name in names:
            found.setdefault(name, []).extend(other for other in names if other != name)
    return found
