"""Which genes may regulate: organism, families of transcription factors, and the choices a user can make."""

import numpy as np
import pandas as pd
import pytest

from scdual.data._regulators import guess_organism, resolve_regulators, transcription_factors

HUMAN_FACTORS = (
    "GATA1 GATA3 SOX2 SOX17 HOXA9 HOXD13 FOXP3 FOXD4L1 KLF4 STAT5B IRF8 TP53 MYC MYCN MAX JUN FOSL2 CEBPA SPI1 ETV6 "
    "ETS1 RUNX1 TBX21 TBXT T EOMES PAX5 POU5F1 NANOG NKX2-5 NR4A1 ESR1 AR NFKB1 RELA NFATC1 ZNF143 ZNF280A ZBTB16 "
    "ZEB1 CTCF REST YY1 SP1 E2F1 MEF2C TCF7 LEF1 SMAD3 RFX5 TEAD4 BCL11A IKZF1 PRDM1 EGR1 ATF4 XBP1 HIF1A ARNTL BMAL1"
)
MOUSE_FACTORS = (
    "Gata1 Sox2 Hoxa9 Foxp3 Klf4 Stat5b Irf8 Trp53 Myc Jun Cebpa Spi1 Runx1 Tbx21 T Pax5 Pou5f1 Nanog Nkx2-5 Nr4a1 "
    "Nr1h3 Zfp143 Zfp128 Zfp354c Znf512b Zscan4c Zbtb16 Rhox6 Obox5 Zfy1 Gfi1b Ikzf1"
)
NOT_FACTORS = (
    "GAPDH ACTB CD3E CD4 LYZ HLA-DRA B2M RPL6 RPS4X MT-CO1 SOD1 SOX2-OT STATH ATF7IP IRF2BP2 IRF2BPL TP53BP1 TP53I3 "
    "ZFP36 ZFP36L1 ZNF598 ZNF622 ZNF337-AS1 ZNF788P ZBTB8OS ZNFX1 GATAD1 MYCBP2 MAFIP ARNTP JUNDP ESRP1 ARF1 TBXAS1 "
    "MAPK1 SPN SPP1 SP140LP TCF25 RELL1 KLRB1 FOXRED1 SMAD5-AS1 EN LINC00115 RP11-34P13.7 C1orf112 E2F GATA"
)


@pytest.mark.parametrize("symbol", HUMAN_FACTORS.split())
def test_well_known_human_factors_are_called(symbol: str) -> None:
    assert transcription_factors([symbol], "human").all()


@pytest.mark.parametrize("symbol", MOUSE_FACTORS.split())
def test_well_known_mouse_factors_are_called(symbol: str) -> None:
    assert transcription_factors([symbol], "mouse").all()


@pytest.mark.parametrize("symbol", NOT_FACTORS.split())
def test_other_genes_are_not_called(symbol: str) -> None:
    assert not transcription_factors([symbol], "human").any()
    assert not transcription_factors([symbol.capitalize()], "mouse").any()


def test_symbols_of_the_other_organism_are_not_called() -> None:
    assert not transcription_factors(["Gata1", "gata1", "Trp53", "Zfp128", "Rhox6"], "human").any()
    assert not transcription_factors(["GATA1", "gata1", "TP53", "ZNF143"], "mouse").any()


def test_call_does_not_depend_on_the_other_genes() -> None:
    factors, others = HUMAN_FACTORS.split(), NOT_FACTORS.split()
    names = factors + others
    called = transcription_factors(names, "human")
    assert called.dtype == bool
    assert called.tolist() == [True] * len(factors) + [False] * len(others)
    np.testing.assert_array_equal(transcription_factors(names[::-1], "human"), called[::-1])


def test_no_genes_give_an_empty_mask() -> None:
    called = transcription_factors([], "human")
    assert called.shape == (0,)
    assert called.dtype == bool


def test_unknown_organism_is_an_error() -> None:
    with pytest.raises(ValueError, match="'fly'"):
        transcription_factors(["GATA1"], "fly")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "organism"),
    [
        (["GATA1", "CD3E", "MT-CO1", "C1orf112", "RP11-34P13.7"], "human"),
        (["Gata1", "Cd3e", "mt-Co1", "1700012B09Rik", "H2-K1"], "mouse"),
        (["ENSG00000102145", "ENSG00000198851.9"], "human"),
        (["ENSMUSG00000031162", "ENSMUSG00000032093.2"], "mouse"),
        (["GATA1", "CD3E", "TP53", "ENSG00000102145", "Gata1"], "human"),
        (["Gata1", "Cd3e", "Trp53", "Actb", "AI987944"], "mouse"),
        (["GATA1", "CD3E", "Gata1", "Cd3e"], None),
        (["GATA1", "1", "2", "3"], None),
        (["gata1a", "cd4-1", "mt-nd1"], None),
        (["Gene1", "Gene2"], None),
        (["G1", "G2", "gene_3"], None),
        (["ENSRNOG00000003300", "ENSDARG00000013477"], None),
        ([], None),
    ],
)
def test_guess_organism(names: list[str], organism: str | None) -> None:
    assert guess_organism(names) == organism


GENES = ["ACTB", "GATA1", "CD3E", "SOX2", "GAPDH", "KLF4", "STAT1", "LYZ", "MYC"]
FACTOR_POSITIONS = [1, 3, 5, 6, 8]


def test_auto_takes_the_factors_of_the_guessed_organism() -> None:
    assert resolve_regulators("auto", GENES).tolist() == FACTOR_POSITIONS
    mouse = [name.capitalize() for name in GENES]
    assert resolve_regulators("auto", mouse).tolist() == FACTOR_POSITIONS


def test_auto_warns_and_takes_every_gene_when_factors_are_few() -> None:
    with pytest.warns(UserWarning, match="Only 4 human transcription factors found among 8 genes .*all 8 genes"):
        positions = resolve_regulators("auto", GENES[:-1])
    assert positions.tolist() == list(range(8))


def test_minimum_decides_what_few_means() -> None:
    assert resolve_regulators("auto", GENES, minimum=5).tolist() == FACTOR_POSITIONS
    with pytest.warns(UserWarning, match="at least 6"):
        assert len(resolve_regulators("auto", GENES, minimum=6)) == len(GENES)


def test_auto_warns_when_the_organism_is_unclear() -> None:
    with pytest.warns(UserWarning, match="organism is unclear"):
        assert len(resolve_regulators("auto", ["gene_1", "gene_2"])) == 2


def test_organism_takes_its_factors_however_few() -> None:
    assert resolve_regulators("human", ["ACTB", "GATA1"]).tolist() == [1]
    assert resolve_regulators("mouse", ["Trp53", "Actb"]).tolist() == [0]


def test_organism_without_factors_is_an_error() -> None:
    with pytest.raises(ValueError, match="no mouse transcription factor among 9 genes"):
        resolve_regulators("mouse", GENES)


@pytest.mark.parametrize("kind", [list, tuple, set, np.array, pd.Index, pd.Series, iter])
def test_names_give_sorted_positions(kind: type) -> None:
    positions = resolve_regulators(kind(["SOX2", "ACTB"]), GENES)
    assert positions.tolist() == [0, 3]
    assert np.issubdtype(positions.dtype, np.integer)


def test_permuting_genes_permutes_positions() -> None:
    order = np.random.default_rng(0).permutation(len(GENES))
    shuffled = [GENES[i] for i in order]
    for regulators in ("auto", "human", ["SOX2", "ACTB"]):
        names = {GENES[i] for i in resolve_regulators(regulators, GENES)}
        assert {shuffled[i] for i in resolve_regulators(regulators, shuffled)} == names


def test_missing_names_are_listed() -> None:
    with pytest.raises(ValueError, match=r"2 of 3 regulators .*\['NOPE', 'Sox2'\]"):
        resolve_regulators(["SOX2", "NOPE", "Sox2"], GENES)


@pytest.mark.parametrize(
    ("regulators", "genes", "message"),
    [
        (["SOX2", "SOX2"], GENES, "more than once"),
        (["SOX2"], ["SOX2", "ACTB", "SOX2"], "several genes of the same name"),
        ([], GENES, "empty list"),
        (["Sox2"], GENES, "'Sox2' and 'SOX2' differ in capitals only"),
        (["ENSG00000000001"], ["ENSG00000000001.1", "ENSG00000000001.2"], "could be each of .* the version you mean"),
        (["ENSG00000000001.1", "ENSG00000000001.2"], ["ENSG00000000001"], "more than once"),
    ],
)
def test_unclear_names_are_an_error(regulators: list[str], genes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_regulators(regulators, genes)


def test_a_mask_instead_of_names_is_an_error() -> None:
    with pytest.raises(TypeError, match="boolean mask into a `var` column"):
        resolve_regulators(np.array([True, False]), ["SOX2", "ACTB"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "regulators", [5, True, {"SOX2": 1}, pd.DataFrame({"SOX2": [1]})], ids=lambda value: type(value).__name__
)
def test_what_is_no_choice_is_an_error_that_lists_the_choices(regulators: object) -> None:
    with pytest.raises(TypeError, match="expected 'auto', 'human', 'mouse', a list of gene names, .* or None"):
        resolve_regulators(regulators, GENES)  # type: ignore[arg-type]


@pytest.mark.parametrize("strange", [np.nan, None, 7157], ids=str)
def test_a_name_that_is_no_text_is_an_error_that_shows_it(strange: object) -> None:
    with pytest.raises(TypeError, match=f"`regulators` holds {strange} of type"):
        resolve_regulators(["SOX2", strange], GENES)  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("text", "meant"), [("humna", "human"), ("Mouse", "mouse"), ("AUTO", "auto"), ("regulatr", "regulator")]
)
def test_a_near_miss_gets_a_suggestion(text: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"Did you mean '{meant}'"):
        resolve_regulators(text, ["ACTB", "SOX2"], make_var(regulator=[True, False]))


def test_blanks_around_a_name_do_not_count() -> None:
    assert resolve_regulators(["SOX2 "], GENES).tolist() == [3]


def test_none_takes_every_gene() -> None:
    assert resolve_regulators(None, GENES).tolist() == list(range(len(GENES)))


def make_var(**columns: list) -> pd.DataFrame:
    return pd.DataFrame(columns)


@pytest.mark.parametrize("dtype", ["bool", "boolean"])
def test_boolean_column_selects(dtype: str) -> None:
    var = make_var(mine=[False, True, True]).astype(dtype)
    assert resolve_regulators("mine", ["A", "B", "C"], var).tolist() == [1, 2]


def test_keyword_wins_over_a_column_of_that_name() -> None:
    var = make_var(human=[True, False])
    with pytest.warns(UserWarning, match="not the column 'human' of `var`"):
        assert resolve_regulators("human", ["ACTB", "GATA1"], var).tolist() == [1]


def test_unknown_column_names_the_boolean_ones() -> None:
    var = make_var(mine=[True, False], score=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"'GATA1'` is not .* boolean columns are \['mine'\].*\['GATA1'\]"):
        resolve_regulators("GATA1", ["ACTB", "GATA1"], var)
    with pytest.raises(ValueError, match=r"boolean columns are \[\]"):
        resolve_regulators("mine", ["ACTB", "GATA1"])


def test_column_that_is_not_boolean_is_an_error() -> None:
    var = make_var(
        score=[1.0, 2.0], text=["True", "False"], none=[True, None], gaps=pd.array([True, None], dtype="boolean")
    )
    for column in var.columns:
        with pytest.raises(TypeError, match="expected True or False"):
            resolve_regulators(column, ["ACTB", "GATA1"], var)


def test_two_columns_of_one_name_are_an_error() -> None:
    var = pd.DataFrame([[True, False], [True, False]], columns=["mine", "mine"])
    with pytest.raises(ValueError, match="`var` has 2 columns 'mine', expected one"):
        resolve_regulators("mine", ["ACTB", "GATA1"], var)


def test_column_without_true_is_an_error() -> None:
    with pytest.raises(ValueError, match="False for all 2 genes"):
        resolve_regulators("mine", ["ACTB", "GATA1"], make_var(mine=[False, False]))


def test_var_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 rows for 2 gene names"):
        resolve_regulators(None, ["ACTB", "GATA1"], make_var(mine=[True]))


ENSEMBL = [f"ENSG{i:011d}" for i in range(len(GENES))]


@pytest.mark.parametrize("regulators", ["auto", "human"])
@pytest.mark.parametrize("suffix", ["", ".12"])
@pytest.mark.parametrize("column", ["gene_symbols", "feature_name", "gene_short_name"])
def test_ensembl_ids_use_symbols_from_var(regulators: str, suffix: str, column: str) -> None:
    var = make_var(**{column: GENES}).astype("category")
    assert resolve_regulators(regulators, [name + suffix for name in ENSEMBL], var).tolist() == FACTOR_POSITIONS


def test_missing_symbols_are_no_factors() -> None:
    var = make_var(gene_symbols=[None, np.nan, "GATA1"])
    assert resolve_regulators("human", ENSEMBL[:3], var).tolist() == [2]


def test_ensembl_ids_without_symbols() -> None:
    with pytest.warns(UserWarning, match="no column of symbols"):
        assert len(resolve_regulators("auto", ENSEMBL)) == len(ENSEMBL)
    with pytest.raises(ValueError, match="Add a `var` column of symbols"):
        resolve_regulators("human", ENSEMBL, make_var(other=GENES))


def test_named_ensembl_ids_match_without_version() -> None:
    versioned = [f"{name}.3" for name in ENSEMBL]
    assert resolve_regulators([ENSEMBL[4], f"{ENSEMBL[2]}.1"], versioned).tolist() == [2, 4]


def test_var_is_left_unchanged() -> None:
    var = make_var(gene_symbols=GENES, mine=[True] * len(GENES))
    before = var.copy(deep=True)
    resolve_regulators("auto", ENSEMBL, var)
    resolve_regulators("mine", ENSEMBL, var)
    pd.testing.assert_frame_equal(var, before)
