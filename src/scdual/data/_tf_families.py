r"""Rules for transcription factor symbols, grouped by DNA-binding-domain family.

Gene names are given out by family, so a family is a few symbol roots with numbers: ``SOX\d+`` covers twenty genes.
Each entry below is a string of patterns between spaces; a symbol belongs to the family when one pattern fits all of it.
Fitting the whole symbol keeps neighbours out: ``SOX2-OT`` (a long non-coding RNA), ``STATH``, ``ATF7IP``.

The families follow the classes of Lambert et al. 2018 (doi:10.1016/j.cell.2018.01.029) and the HGNC gene groups; the
rules are our own compilation. Symbols renamed in recent years stand in both forms (``ARNTL|BMAL1``, ``T|TBXT``).
Genes without a DNA-binding domain are left out, except the few partners that are always counted with their family.
`benchmarks/regulators.py` measures how well the rules agree with published lists.
"""

# Human spelling. A mouse symbol is compared after turning it to upper case (Gata1 -> GATA1).
FAMILIES: dict[str, str] = {
    # --- basic domains -----------------------------------------------------------------------------------------------
    "bHLH": r"""
        AHRR? ARNT2? ARNTL2? BMAL[12] CLOCK NPAS[1-4] EPAS1 HIF[13]A SIM[12] NCOA[1-3]
        ASCL[1-5] ATOH[178] BHLHA(9|15) BHLHE(22|23|40|41) FERD3L FIGLA HAND[12] HELT HES[1-7] HEY[12L]
        LYL1 TAL[12] MESP[12] MSC MSGN1 MYF[56] MYOD1 MYOG NEUROD[1246] NEUROG[1-3] NHLH[12] OLIG[1-3] PTF1A SCX
        SOHLH[12] TCF(3|4|12|15|21|23|24) TCFL5 TWIST[12] TFAP4
        MAX MNT MXD[134] MXI1 MYC[LN]? MLX(IPL?)? MITF TFE[3BC] USF[1-3] SREBF[12]
    """,
    # ID proteins lack the basic region: they act by holding bHLH partners off the DNA.
    "bHLH inhibitors": r"ID[1-4]",
    "bZIP": r"""
        ATF[1-7] ATF6B BACH[12] BATF[23]? CEBP[ABDEGZ] CREB[135] CREB3L[1-4] CREBL2 CREBZF CREM
        DBP HLF TEF NFIL3 DDIT3 XBP1 FOSB? FOSL[12] JUN[BD]? JDP2 MAF[ABFGK]? NRL NFE2 NFE2L[1-3]
    """,
    "AP-2": r"TFAP2[A-E]",
    # --- zinc-coordinating domains -----------------------------------------------------------------------------------
    "nuclear receptor": r"""
        NR[0-6][A-I]\d AR PGR VDR ESR[12] ESRR[ABG] HNF4[AG] PPAR[ADG] RAR[ABG] ROR[ABC] RXR[ABG] THR[AB]
    """,
    "GATA": r"GATA[1-6] GATAD2[AB] TRPS1 ZGLP1",
    # The numbered zinc fingers (ZNF in human, Zfp in mouse) differ between species: HUMAN_FAMILIES, MOUSE_FAMILIES.
    "C2H2 zinc finger with a BTB or SCAN domain": r"""
        ZBTB\d+[ABC]? ZSCAN\d+[A-F]? ZKSCAN\d+ BCL6B? GZF1 HIC[12] HINFP MYNN MZF1 PATZ1 PEG3 ZIM[123]
    """,
    "C2H2 zinc finger, few fingers": r"""
        KLF\d+ SP[1-9] EGR[1-4] WT1 GLI[1-4] GLIS[1-3] ZIC[1-5] GFI1B? SNAI[1-3] SCRT[12] OVOL[1-3] INSM[12]
        IKZF[1-5] OSR[12] FEZF[12] YY[12] MAZ VEZF1 MTF1 PLAG1 PLAGL[12] BCL11[AB] ZFPM[12] ZEB[12] TSHZ[1-3]
    """,
    "C2H2 zinc finger, many fingers": r"""
        SALL[1-4] HIVEP[1-3] PRDM\d+ MECOM CTCF CTCFL REST RREB1 CASZ1 ZF[XY] ZXD[ABC] GTF3A HKR1 RBAK REPIN1 RLF
        ZFAT ZIK1 E4F1 FIZ1 WIZ ADNP2? BNC[12] MYT1L? ST18 TRERF1 SLC2A4RG
    """,
    "zinc finger, other or single": r"""
        AEBP2 AKAP8L? ATMIN CHAMP1 DPF[13] DZIP1 JAZF1 KAT7 L3MBTL[134] NFX1 NFXL1 FLYWCH1 TRAFD1 ZMAT[14] ZBED\d
    """,
    "THAP": r"THAP\d+",
    "DM": r"DMRT[123] DMRTA[12] DMRTB1 DMRTC[12]",
    "CXXC": r"CXXC[145] DNMT1 FBXL19 KDM2[AB] KMT2[AB] TET[123]",
    "GCM": r"GCM[12]",
    # --- helix-turn-helix domains ------------------------------------------------------------------------------------
    "homeodomain, HOX and NK clusters": r"""
        HOX[ABCD]\d+ CDX[124] PDX1 GSX[12] EVX[12] EN[12] MNX1 MEOX[12] GBX[12] NKX\d-\d+ TLX[123] LBX[12]
        HHEX HLX HMX[123] MSX[123] DLX[1-6] EMX[12] BARX[12] BARHL[12] DBX[12] BSX VAX[12] VENTX NANOG NOTO
    """,
    "homeodomain, paired-like": r"""
        ALX[134] ARGFX ARX CRX DMBX1 DPRX DRGX PRRXL1 DUX DUX[1-4] DUXA ESX1 GSC2? HESX1 ISX LEUTX MIXL1 NOBOX OTP
        OTX[12] PHOX2[AB] PITX[123] PROP1 PRRX[12] RAX2? RHOXF[12] SEBOX SHOX2? TPRX1 UNCX VSX[12]
    """,
    "homeodomain, TALE": r"IRX[1-6] MEIS[123] MKX PBX[1-4] PKNOX[12] TGIF[12] TGIF2L[XY]",
    "homeodomain, LIM": r"ISL[12] LHX[1-9] LMX1[AB]",
    "homeodomain, other": r"SIX[1-6] HNF1[AB] HDX HMBOX1 HOMEZ ANHX ZFHX[234] ZHX[123]",
    "CUT": r"CUX[12] ONECUT[123] SATB[12]",
    "POU": r"POU[1-6]F\d POU5F1B",
    "PAX": r"PAX[1-9]",
    "forkhead": r"FOX[A-S]\d FOXD4L\d",
    "ETS": r"EHF ELF[1-5] ELK[134] ERF ERG ETS[12] ETV[1-7] ETV3L FEV FLI1 GABPA SPDEF SPI1 SPI[BC]",
    "IRF": r"IRF[1-9]",
    "heat shock factor": r"HSF[1-5] HSF[XY][12]",
    "E2F": r"E2F[1-8] TFDP[123]",
    # RFXANK and RFXAP hold RFX5 on the promoters of MHC class II genes.
    "RFX": r"RFX[1-8] RFXANK RFXAP",
    "MYB and SANT": r"""
        MYB MYBL[12] MYPOP MYSM1 CDC5L DMTF1 TERF[12] TTF1 SNAPC4 ZZZ3 MSANTD[134]
    """,
    "TEA": r"TEAD[1-4]",
    "ARID": r"ARID[35][AB] ARID3C ARID2 KDM5B",
    "PROX": r"PROX[12]",
    "CENPB and pipsqueak": r"CENPB CENPBD1 JRKL? TIGD[1-7] LCORL? POGK",
    # --- beta scaffolds and immunoglobulin folds ---------------------------------------------------------------------
    "Rel": r"RELA? RELB NFKB[12] NFATC[1-4] NFAT5",
    "STAT": r"STAT[12346] STAT5[AB]",
    "p53": r"TP(53|63|73)",
    # CBFB touches no DNA itself but stabilises RUNX on it.
    "RUNX": r"RUNX[123] CBFB",
    "T-box": r"T TBXT TBX\d+ TBR1 EOMES MGA",
    "EBF": r"EBF[1-4]",
    "RBPJ": r"RBPJL?",
    "Grainyhead and CP2": r"GRHL[123] TFCP2 TFCP2L1 UBP1",
    "MADS": r"MEF2[A-D] SRF",
    "TATA-binding": r"TBP TBPL[12]",
    "MYRF": r"MYRFL?",
    # --- minor groove ------------------------------------------------------------------------------------------------
    "SOX": r"SOX\d+ SRY",
    "TCF/LEF and other sequence-specific HMG boxes": r"TCF7 TCF7L[12] LEF1 BBX CIC HBP1 HMG20[AB]",
    "AT-hook": r"HMGA[12] AHCTF1 AHDC1 AKNA ASH1L CBX2 DNTTIP1 PHF21A PRR12 SCML4 SETBP1 SRCAP",
    # --- other folds -------------------------------------------------------------------------------------------------
    # SMAD2 binds DNA in one isoform only; SMAD6 and SMAD7 are the inhibitors of the pathway.
    "SMAD": r"SMAD[1-79]",
    "NFI": r"NFI[ABCX]",
    "NF-Y and histone-fold": r"NFY[ABC] DR1 DRAP1",
    "methyl-CpG binding": r"MBD[12346] MECP2 BAZ2[AB] SETDB[12]",
    "SAND": r"AIRE DEAF1 GMEB[12] SP100 SP110 SP140L?",
    "SKI and DACH": r"SKI SKIL SKOR[12] DACH[12]",
    "CAMTA": r"CAMTA[12]",
    "CSRNP": r"CSRNP[123]",
    "cold shock": r"YBX[123] LIN28[AB]",
    "CRC": r"LIN54",
    "GTF2I": r"GTF2I GTF2IRD1 GTF2IRD2B?",
    "MTERF": r"MTERF[1-4]",
    "purine-rich element": r"PUR[ABG]",
    "on their own": r"""
        AEBP1 ARHGAP35 BPTF CARF CGGBP1 CPEB1 GPBP1 GPBP1L1 KCNIP3 MTF2 NACC2 NKRF NRF1 PHF1 PHF19 POU2AF1 PREB
        SAFB2? SPEN SPZ1 TCF20 TSC22D1
    """,
}

HUMAN_FAMILIES: dict[str, str] = {
    # ZNF numbers run from 2 to about 900, nearly all of them KRAB zinc fingers. A final P or -AS1 (pseudogene, antisense)
    # does not fit the pattern.
    "C2H2 zinc finger, numbered": r"ZNF\d+[A-G]? ZFP\d+B?",
}

MOUSE_FAMILIES: dict[str, str] = {
    # Mouse numbers are given out on their own: Zfp128 is not ZNF128. Some genes are now spelt Znf, as in human.
    "C2H2 zinc finger, numbered": r"Z(fp|nf)\d+[a-d]? Zfy[12]",
    "p53": r"Trp(53|63|73)",
    "MYC retrogenes": r"Bmyc Mycs",
    "homeodomain, rodent clusters": r"Obox\d Rhox\d+ Duxf3 Duxbl\d Cphx\d Crxos Tgif2lx[12]",
    "MTERF": r"Mterf1[ab]",
}

# Named like zinc finger factors, but zinc fingers also bind RNA and proteins. Human numbers.
NOT_HUMAN = r"""
    ZFP36               # tristetraprolin: destabilises messenger RNA
    ZNF185 ZNF106       # cytoskeleton (LIM domain); RNA-binding, splicing
    ZNF330 ZNF593 ZNF622 # nucleolus and assembly of ribosomes
    ZNF598 ZNF645       # ubiquitin ligases, the first of stalled ribosomes
    ZNF638 ZNF326 ZNF346 ZNF385A # RNA-binding: splicing, double-stranded RNA
    ZNF365              # centrosome
"""

# The same genes under their mouse names (Znf is taken as Zfp); Zfp259 (now Zpr1) carries growth signals to the nucleus.
NOT_MOUSE = r"""
    Zfp36 Zfp106 Zfp185 Zfp259 Zfp330 Zfp593 Zfp598 Zfp622 Zfp638 Zfp326 Zfp346 Zfp365 Zfp385a
"""
