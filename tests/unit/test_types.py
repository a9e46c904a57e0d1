"""The tables of product types: what each name is, where it is stored, and what is told of a table that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from refsys.core.errors import ConfigurationError, HostileInput, UnknownProduct
from refsys.core.products import canonical_name
from refsys.missions import load_types, storage_base
from refsys.missions.functions import count_slices, slice_count

TYPES = load_types()
START = datetime(2021, 8, 9, 17, 39, 53, tzinfo=UTC)

#: type, product type, satellite, key without the date; below it names that are so
EXAMPLES_TEXT = """
s1-l0-standard IW_RAW__0S A Sentinel-1/SAR/IW_RAW__0S
    S1A_IW_RAW__0SDV_20171213T121623_20171213T121656_019684_021735_C6DB.SAFE
s1-l0-standard S3_RAW__0S C Sentinel-1/SAR/S3_RAW__0S
    S1C_S3_RAW__0SSH_20250118T171404_20250118T171421_000638_000538_4B8B.SAFE
s1-l0-standard EN_RAW__0S D Sentinel-1/SAR/EN_RAW__0S
    S1D_EN_RAW__0SDH_20260118T171404_20260118T171421_000638_000538_4B8B.SAFE
s1-l0-annotation EW_RAW__0C A Sentinel-1/SAR/EW_RAW__0C
    S1A_EW_RAW__0CDV_20180227T144704_20180227T144706_020793_023A68_401B.SAFE
s1-l0-annotation IW_RAW__0N B Sentinel-1/SAR/IW_RAW__0N
    S1B_IW_RAW__0NDV_20180227T144704_20180227T144706_020793_023A68_401B.SAFE
s1-l0-wave WV_RAW__0S A Sentinel-1/SAR/WV_RAW__0S
    S1A_WV_RAW__0SSV_20180913T214325_20180913T214422_023685_0294F4_41D5.SAFE
s1-l0-wave RF_RAW__0S A Sentinel-1/SAR/RF_RAW__0S
    S1A_RF_RAW__0SVH_20200120T110827_20200120T110831_030884_038B5E_18C1.SAFE
s1-l0-wave-annotation WV_RAW__0A B Sentinel-1/SAR/WV_RAW__0A
    S1B_WV_RAW__0ASV_20181001T115404_20181001T115416_012958_017EEF_95EE.SAFE
s1-l0-notch N3_RAW__0S C Sentinel-1/SAR/N3_RAW__0S
    S1C_N3_RAW__0SDV_20200120T110827_20200120T110831_030884_038B5E_18C1.SAFE
s1-l0-test ZE_RAW__0S A Sentinel-1/SAR/ZE_RAW__0S
    S1A_ZE_RAW__0SDV_20200120T110827_20200120T110831_030884_038B5E_18C1.SAFE
s1-l0-test Z3_RAW__0S A Sentinel-1/SAR/Z3_RAW__0S
    S1A_Z3_RAW__0S___20200120T110827_20200120T110831_030884_038B5E_18C1.SAFE
s1-l0-housekeeping HK_RAW__0_ A Sentinel-1/HK/HK_RAW__0_
    S1A_HK_RAW__0____20200120T110827_20200120T110831_030884_038B5E_18C1.SAFE
s1-l0-housekeeping GP_RAW__0_ A Sentinel-1/GP/GP_RAW__0_
    S1A_GP_RAW__0____20200120T110827_20200120T110831_030884________18C1.SAFE
s1-l1 IW_GRDH_1S A Sentinel-1/SAR/IW_GRDH_1S
    S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE
    S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8_COG.SAFE
s1-l1 EW_GRDM_1S A Sentinel-1/SAR/EW_GRDM_1S
    S1A_EW_GRDM_1SDH_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE
s1-l1 IW_SLC__1S B Sentinel-1/SAR/IW_SLC__1S
    S1B_IW_SLC__1SDV_20210401T052622_20210401T052650_026269_032297_EFA4.SAFE
s1-l1 S4_GRDF_1S C Sentinel-1/SAR/S4_GRDF_1S
    S1C_S4_GRDF_1SDH_20250118T171404_20250118T171421_000638_000538_4B8B.SAFE
s1-l1 IW_SL1__1_ A Sentinel-1/SAR/IW_SL1__1_
    S1A_IW_SL1__1_DV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE
s1-l1-wave WV_SLC__1S B Sentinel-1/SAR/WV_SLC__1S
    S1B_WV_SLC__1SSV_20210403T083025_20210403T084452_026300_032390_D542.SAFE
s1-l1-wave WV_GRDM_1A A Sentinel-1/SAR/WV_GRDM_1A
    S1A_WV_GRDM_1ASV_20180913T214325_20180913T214422_023685_0294F4_70D1.SAFE
s1-l2 IW_OCN__2S A Sentinel-1/SAR/IW_OCN__2S
    S1A_IW_OCN__2SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE
s1-l2-wave WV_OCN__2S A Sentinel-1/SAR/WV_OCN__2S
    S1A_WV_OCN__2SSV_20190518T160559_20190518T161434_027284_0313A0_46F2.SAFE
s1-etad IW_ETA__AX A Sentinel-1/SAR/IW_ETA__AX
    S1A_IW_ETA__AXDV_20230806T211729_20230806T211757_049760_05FBCB_9DD6.SAFE
s1-etad-wave WV_ETA__AX B Sentinel-1/SAR/WV_ETA__AX
    S1B_WV_ETA__AXSV_20200815T173048_20200815T173116_022937_02B897_E56D.SAFE
s1-spp-orbit ___OBS__SS A Sentinel-1/SAR/___OBS__SS
    S1A____OBS__SS___20200828T135345_20200828T153229_034108_09E8
    S1A____OBS__SS___20211208T014130_20211208T032014_040911_018A.SAFE
s1-spp-wave REP_MBU_ A Sentinel-1/SAR/REP_MBU_
    s1a-wv1-mbu-vv-20200828t135345-20200828t153229-034108-03f6a1-001_09E8.bufr
session-block RAW A Sessions/S1A_20241114143038056552
    DCS_04_S1A_20241114143038056552_ch1_DSDB_00001.raw
session-information SESSION - Sessions/L20171109175634707000125
    DCS_02_L20171109175634707000125_ch1_DSIB.xml
s1-plan-other REP__MACP_ A Sentinel-1/PLAN/REP__MACP_
    S1A_OPER_REP__MACP__20130712T015902_20130712T050411_0001
s1-plan-short REP_SUP A Sentinel-1/PLAN/REP_SUP
    S1A_OPER_REP_SUP__20181208T070000_20181208T111500_0001.EOF
s1-plan-short-other REP_MACP A Sentinel-1/PLAN/REP_MACP
    S1A_OPER_REP_MACP_20130712T015902_20130712T050411_0001
s1-l0-report REP_L0PSA_ B Sentinel-1/PLAN/REP_L0PSA_
    S1B_OPER_REP_L0PSA__PDMC_20200303T093232_V20200303T170000_20200303T190000.EOF
s2-plan MPL__NPPF_ A Sentinel-2/PLAN/MPL__NPPF_
    S2A_OPER_MPL__NPPF__20180720T110000_20180806T140000_0001.EOF
s2-plan-other SRA_BANSEG - Sentinel-2/PLAN/SRA_BANSEG
    S2__OPER_SRA_BANSEG_PDMC_20180720T110000_V20180720T110000_20180806T140000
s3-plan SRA_GSUNAV - Sentinel-3/PLAN/SRA_GSUNAV
    S3__OPER_SRA_GSUNAV_PDMC_20180720T110000_V20180720T110000_20180806T140000.xml
s3-plan-other SRA_GSUNAV B Sentinel-3/PLAN/SRA_GSUNAV
    S3B_OPER_SRA_GSUNAV_PDMC_20180720T110000_V20180720T110000_20180806T140000
edrs-plan MPL_RQ1_OA - EDRS/PLAN/MPL_RQ1_OA
    EDR_OPER_MPL_RQ1_OA_20200303T093232_V20200303T170000_20200310T170000.xml
edrs-plan-other SER_SR2_OC - EDRS/PLAN/SER_SR2_OC
    EDR_OPER_SER_SR2_OC_20200303T093232
s1-aux-safe AUX_CAL A Sentinel-1/AUX/AUX_CAL
    S1A_AUX_CAL_V20171017T080000_G20171013T101200.SAFE
s1-aux-safe AUX_ICE - Sentinel-1/AUX/AUX_ICE
    S1__AUX_ICE_V20160501T120000_G20160502T043607.SAFE
s1-aux-safe AUX_ML2 - Sentinel-1/AUX/AUX_ML2
    S1__AUX_ML2_V20140616T133700_G20220228T095041.SAFE
s1-aux-atmosphere AUX_TEC - Sentinel-1/AUX/AUX_TEC
    S1__AUX_TEC_V20190805T000000_20190805T235959_G20200210T102615.SAFE
s1-aux-troposphere AUX_TRO - Sentinel-1/AUX/AUX_TRO
    S1__AUX_TRO_V20190805T000000_20190805T235959_G20200210T102615.SAFE
s1-orbit AUX_RESORB A Sentinel-1/AUX/AUX_RESORB
    S1A_OPER_AUX_RESORB_OPOD_20171213T143838_V20171213T102737_20171213T134507.EOF
s1-orbit AUX_POEORB B Sentinel-1/AUX/AUX_POEORB
    S1B_OPER_AUX_POEORB_OPOD_20210318T121438_V20180226T225942_20180228T005942.EOF
s1-orbit AUX_PREORB A Sentinel-1/AUX/AUX_PREORB
    S1A_OPER_AUX_PREORB_OPOD_20210330T075430_V20210330T070718_20210330T134218.EOF
s1-orbit AUX_RESATT A Sentinel-1/AUX/AUX_RESATT
    S1A_OPER_AUX_RESATT_OPOD_20210330T075430_V20210330T070718_20210330T134218.EOF
s1-planned-orbit MPL_ORBPRE A Sentinel-1/AUX/MPL_ORBPRE
    S1A_OPER_MPL_ORBPRE_20171208T200309_20171215T200309_0001.EOF
s1-planned-orbit MPL_ORBSCT A Sentinel-1/AUX/MPL_ORBSCT
    S1A_OPER_MPL_ORBSCT_20140507T150704_99999999T999999_0020.EOF
s1-antenna-errors AUX_ECE A Sentinel-1/AUX/AUX_ECE
    S1A_OPER_AMV_ERRMAT_MPC__20200121T040010_V20000101T000000_20200121T040010.EOF
s1-mask MSK__LAND_ - Sentinel-1/AUX/MSK__LAND_
    S1__OPER_MSK__LAND__V20140403T210200_G20190711T113000.EOF
s1-mask MSK_OCEAN_ - Sentinel-1/AUX/MSK_OCEAN_
    S1__OPER_MSK_OCEAN__V20140403T210200_G20190711T113000.EOF
s1-memory-map AUX_OBMEMC A Sentinel-1/AUX/AUX_OBMEMC
    S1A_OPER_AUX_OBMEMC_PDMC_20140201T000000.xml
s1-plan REP__SUP__ A Sentinel-1/PLAN/REP__SUP__
    S1A_OPER_REP__SUP___20181208T070000_20181208T111500_0001.EOF
s2-l1c S2MSI1C A Sentinel-2/MSI/L1C
    S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE
s2-l1c S2MSI1C C Sentinel-2/MSI/L1C
    S2C_MSIL1C_20250908T042701_N0511_R133_T60HWE_20250908T070248.SAFE
s2-l2a S2MSI2A B Sentinel-2/MSI/L2A
    S2B_MSIL2A_20191228T210519_N0212_R071_T01CCV_20201003T104658.SAFE
s2-l0u MSI_L0U_DS B Sentinel-2/MSI/MSI_L0U_DS
    S2B_OPER_MSI_L0U_DS_SGS__20220422T185216_S20220413T114741_N00.00
s2-granule MSI_L0__GR A Sentinel-2/MSI/MSI_L0__GR
    S2A_OPER_MSI_L0__GR_SGS__20191001T101733_S20191001T083650_D01_N02.08
s2-granule-l1 MSI_L1B_GR B Sentinel-2/MSI/MSI_L1B_GR
    S2B_OPER_MSI_L1B_GR_EPAE_20191001T101733_S20191001T083650_D12_N02.08
s2-datastrip MSI_L0__DS A Sentinel-2/MSI/MSI_L0__DS
    S2A_OPER_MSI_L0__DS_SGS__20200420T205828_S20200322T173347_N02.08
s2-datastrip-l1 MSI_L1C_DS B Sentinel-2/MSI/MSI_L1C_DS
    S2B_OPER_MSI_L1C_DS_EPAE_20200420T205828_S20200322T173347_N02.09
s2-datastrip-l2 MSI_L2A_DS B Sentinel-2/MSI/MSI_L2A_DS
    S2B_OPER_MSI_L2A_DS_REFS_20230601T211358_S20230528T222546_N04.00
s2-tile-l1c MSI_L1C_TL A Sentinel-2/MSI/MSI_L1C_TL
    S2A_OPER_MSI_L1C_TL_VGS4_20210908T070248_A032448_T46RER_N03.01
s2-tile-l2a MSI_L2A_TL A Sentinel-2/MSI/MSI_L2A_TL
    S2A_OPER_MSI_L2A_TL_2APS_20230626T022157_A041826_T01WCP_N05.09
s2-true-colour-l1c MSI_L1C_TC B Sentinel-2/MSI/MSI_L1C_TC
    S2B_OPER_MSI_L1C_TC_EPAE_20191001T102654_A013417_T39UWP_N02.08.jp2
s2-true-colour-l2a MSI_L2A_TC B Sentinel-2/MSI/MSI_L2A_TC
    S2B_OPER_MSI_L2A_TC_REFS_20230601T211358_A032516_T59GPL_N04.00.jp2
s2-true-colour-folder-l1c MSI_L1C_TC B Sentinel-2/MSI/MSI_L1C_TC
    S2B_OPER_MSI_L1C_TC_EPAE_20191001T102654_A013417_T39UWP_N02.08
s2-true-colour-folder-l2a MSI_L2A_TC B Sentinel-2/MSI/MSI_L2A_TC
    S2B_OPER_MSI_L2A_TC_REFS_20230601T211358_A032516_T59GPL_N04.00
s2-sad AUX_SADATA A Sentinel-2/AUX/AUX_SADATA
    S2A_OPER_AUX_SADATA_EPAE_20190222T003515_V20190221T190438_20190221T204519_A019158_WF_LN
s2-hktm PRD_HKTM__ A Sentinel-2/HKTM/PRD_HKTM__
    S2A_OPER_PRD_HKTM___20191203T051837_20191203T051842_0001.SAFE
    S2A_OPER_PRD_HKTM___20191203T051837_20191203T051842_0001
s2-aux GIP_VIEDIR A Sentinel-2/AUX/GIP_VIEDIR
    S2A_OPER_GIP_VIEDIR_MPC__20151117T131048_V20150703T000000_21000101T000000_B8A
s2-aux-file AUX_UT1UTC - Sentinel-2/AUX/AUX_UT1UTC
    S2__OPER_AUX_UT1UTC_PDMC_20190725T000000_V20190726T000000_20200725T000000.txt
s2-esacci AUX_ESACCI - Sentinel-2/AUX/AUX_ESACCI
    ESACCI-LC-L4-Snow-Cond-500m-P13Y7D-2000-2012-v2.0
s2-esacci-file AUX_ESACCI - Sentinel-2/AUX/AUX_ESACCI
    ESACCI-LC-L4-WB-Map-150m-P13Y-2000-v4.0.tif
s3-olci-l1 OL_1_EFR___ A Sentinel-3/OLCI/OL_1_EFR___
    S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002.SEN3
s3-olci-l2 OL_2_LRR___ B Sentinel-3/OLCI/OL_2_LRR___
    S3B_OL_2_LRR____20210731T214325_20210731T222741_20210802T020007_2656_055_186______LN1_O_NT_002.SEN3
s3-olci-calibration OL_1_RAC___ A Sentinel-3/OLCI/OL_1_RAC___
    S3A_OL_1_RAC____20210731T214325_20210731T214341_20210802T020007_0016_055_186______LN1_O_NR_002.SEN3
s3-slstr-l1 SL_1_RBT___ A Sentinel-3/SLSTR/SL_1_RBT___
    S3A_SL_1_RBT____20210930T220914_20210930T221214_20211002T102150_0180_077_043_5400_LN2_O_NT_004.SEN3
s3-slstr-l2 SL_2_FRP___ B Sentinel-3/SLSTR/SL_2_FRP___
    S3B_SL_2_FRP____20210930T220914_20210930T221214_20211002T102150_0180_077_043_5400_LN2_O_NR_004.SEN3
s3-sral-l1 SR_1_SRA_A_ A Sentinel-3/SRAL/SR_1_SRA_A_
    S3A_SR_1_SRA_A__20210611T011438_20210611T012436_20210611T024819_0598_072_373______LN3_O_NR_004.SEN3
s3-sral-l2 SR_2_LAN___ A Sentinel-3/SRAL/SR_2_LAN___
    S3A_SR_2_LAN____20210611T011438_20210611T012436_20210611T024819_0598_072_373______LN3_O_NR_004.SEN3
s3-sral-calibration SR_1_CAL___ A Sentinel-3/SRAL/SR_1_CAL___
    S3A_SR_1_CAL____20210611T011438_20210611T012436_20210611T024819_0598_072_373______LN3_O_NR_004.SEN3
s3-mwr-l1 MW_1_MWR___ A Sentinel-3/MWR/MW_1_MWR___
    S3A_MW_1_MWR____20210611T011438_20210611T012436_20210611T024819_0598_072_373______LN3_O_NR_004.SEN3
s3-mwr-calibration MW_1_CAL___ A Sentinel-3/MWR/MW_1_CAL___
    S3A_MW_1_CAL____20210611T011438_20210611T012436_20210611T024819_0598_072_373______LN3_O_NR_004.SEN3
s3-synergy-l1 SY_1_MISR__ A Sentinel-3/SYNERGY/SY_1_MISR__
    S3A_SY_1_MISR___20210325T005418_20210325T005718_20210325T142858_0180_070_031_1620_LN2_O_NT_002.SEN3
s3-synergy-l2 SY_2_AOD___ A Sentinel-3/SYNERGY/SY_2_AOD___
    S3A_SY_2_AOD____20210325T005418_20210325T005718_20210325T142858_0180_070_031_1620_LN2_O_NT_002.SEN3
s3-vegetation SY_2_V10___ A Sentinel-3/SYNERGY/SY_2_V10___
    S3A_SY_2_V10____20210321T110000_20210331T110000_20210407T120000_AUSTRALASIA_______LN2_O_NT_002.SEN3
s3-browse SY_2_VG1_BW B Sentinel-3/BROWSE/SY_2_VG1_BW
    S3B_SY_2_VG1_BW_20210321T110000_20210331T110000_20210407T120000_SOUTH_EAST_ASIA___LN2_O_NT_002.SEN3
s3-product GN_1_GNS___ A Sentinel-3/OTHER/GN_1_GNS___
    S3A_GN_1_GNS____20210325T005418_20210325T005718_20210325T142858_0180_070_031______LN1_O_NR_002.SEN3
s3-olci-l0 OL_0_EFR___ A Sentinel-3/OLCI/OL_0_EFR___
    S3A_OL_0_EFR____20210325T005418_20210325T005718_20210325T142858_0180_070_031_1620_LN1_O_NR_002.SEN3
s3-slstr-l0 SL_0_SLT___ B Sentinel-3/SLSTR/SL_0_SLT___
    S3B_SL_0_SLT____20210325T005418_20210325T005718_20210325T142858_0180_070_031_1620_LN1_O_NR_002.SEN3
s3-sral-l0 SR_0_CAL___ A Sentinel-3/SRAL/SR_0_CAL___
    S3A_SR_0_CAL____20210325T005418_20210325T005718_20210325T142858_0180_070_031______LN1_O_NR_002.SEN3
s3-mwr-l0 MW_0_MWR___ A Sentinel-3/MWR/MW_0_MWR___
    S3A_MW_0_MWR____20210325T005418_20210325T005718_20210325T142858_0180_070_031______LN1_O_NR_002.SEN3
s3-doris-l0 DO_0_NAV___ A Sentinel-3/DORIS/DO_0_NAV___
    S3A_DO_0_NAV____20210325T005418_20210325T005718_20210325T142858_0180_070_031______LN1_O_AL____.SEN3
s3-gnss-l0 GN_0_GNS___ A Sentinel-3/GNSS/GN_0_GNS___
    S3A_GN_0_GNS____20210325T005418_20210325T005718_20210325T142858_0180_070_031______LN1_O_NR_002.SEN3
s3-telemetry TM_0_NAT___ A Sentinel-3/TM/TM_0_NAT___
    S3A_TM_0_NAT____20210930T220914_20210930T235014_20211002T102150_6059_077_043______SVL_O_NR_002.SEN3
s3-granule SL_0_SLT__G A Sentinel-3/GRANULES/SL_0_SLT__G
    S3A_SL_0_SLT__G_20040702T235915_20040703T000415_20150424T160530___________________WER_D_______.ISIP
s3-aux AX___BA__AX A Sentinel-3/AUX/AX___BA__AX
    S3A_AX___BA__AX_20040702T223000_20040704T042158_20171130T082116___________________WER_D_AL____.SEN3
s3-aux AX___MA1_AX - Sentinel-3/AUX/AX___MA1_AX
    S3__AX___MA1_AX_20210324T210000_20210325T090000_20210325T061000___________________ECW_O_SN_001.SEN3
s3-aux OL_1_CAL_AX B Sentinel-3/AUX/OL_1_CAL_AX
    S3B_OL_1_CAL_AX_20200101T000000_20991231T235959_20200201T120000___________________MPC_O_AL_008.SEN3
"""


def examples() -> Iterator[tuple[str, str, str, str, str]]:
    heading: list[str] = []
    for line in EXAMPLES_TEXT.strip().splitlines():
        if line.startswith(" "):
            kind, product_type, platform, key = heading
            yield kind, line.strip(), product_type, platform.strip("-"), key
        else:
            heading = line.split()


EXAMPLES = list(examples())

UNKNOWN = [
    "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8",
    "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE.zip",
    "s1a_iw_grdh_1sdv_20210809t173953_20210809t174018_039156_049f13_6ff8.safe",
    "xS1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE",
    "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFEx",
    "S1A_XX_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE",
    "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER.SAFE",
    "S2B_OPER_MSI_L1C_TC_EPAE_20191001T102654_A013417_T39UWP_N02.08.png",
    "S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002.ISIP",
    "DCS_02_L20171109175634707000125_ch1_DSDB_00001.raw.part",
    "EDR_OPER_MPL_RQ0_OA_20200303T093232.xml",
    "LC08_L1TP_042034_20170616_20170629_01_T1",
    "README.md",
]

ROW = """types:
  - id: my-type
    about: a type of the user
    name: 'S1A_MINE_(?P<number>\\d)'
    product_type: "MINE_{number}"
    mission: S1
    instrument: SAR
    level: L1
    storage: [Sentinel-1, MINE, "{product_type}"]
    documents: {manifest: manifest.safe}
    manifest: manifest
    attributes:
      beginningDateTime: manifest//startTime
      endingDateTime: manifest//stopTime
"""


def told(tmp_path: Path, text: str) -> str:
    """What is told of a user's table, the folder left out."""
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_types([tmp_path])
    return str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(("kind", "name", "product_type", "platform", "key"), EXAMPLES, ids=[e[1] for e in EXAMPLES])
def test_a_name_is_recognised_by_one_type_and_stored_by_day(
    kind: str, name: str, product_type: str, platform: str, key: str
) -> None:
    assert [found.type.id for found in TYPES.matching(name)] == [kind]
    recognised = TYPES.recognise(name)
    assert (recognised.product_type, recognised.platform) == (product_type, platform)
    assert storage_base(recognised, START) == f"{key}/2021/08/09"
    assert storage_base(recognised, None) == key


def test_every_type_has_an_example() -> None:
    assert {example[0] for example in EXAMPLES} == set(TYPES.types)


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_names_are_unknown_and_the_error_says_what_to_do(name: str) -> None:
    with pytest.raises(UnknownProduct) as caught:
        TYPES.recognise(name)
    assert str(caught.value).startswith(f"{name}: no product type has such a name (add a row")


@pytest.mark.parametrize(
    "name", ["../S1A.SAFE", "", f"{EXAMPLES[0][1]}\n", f"{EXAMPLES[0][1]}/", EXAMPLES[0][1][:-1] + "\u0395"]
)
def test_what_cannot_be_a_name_is_hostile(name: str) -> None:
    with pytest.raises(HostileInput):
        TYPES.recognise(name)


def test_no_real_name_is_taken_for_two_types(shared_data: Path) -> None:
    folders = [
        shared_data / name
        for name in ("sentinel-1", "sentinel-2", "sentinel-3", "auxiliary", "masks/s1-l1", "masks/s1-l2")
    ]
    names = [canonical_name(path.name) for folder in folders for path in folder.iterdir()]
    assert len(names) > 40
    for name in names:
        assert len(list(TYPES.matching(name))) == 1, name


def test_orbit_and_other_single_files_are_delivered_bare_and_folders_zipped() -> None:
    bare = {kind.id for kind in TYPES.types.values() if kind.packaging == "bare"}
    assert {
        "s1-orbit",
        "s1-mask",
        "s1-memory-map",
        "s1-plan",
        "session-block",
        "s1-spp-wave",
        "s2-true-colour-l1c",
    } <= bare
    assert not {"s1-l1", "s1-aux-safe", "s1-plan-other", "s3-olci-l1", "s2-granule", "s2-aux"} & bare
    for kind in TYPES.types.values():
        assert kind.package_suffix == ("" if kind.id in bare else ".zip")
        assert all((document.pattern == "") == (kind.id in bare) for document in kind.documents)


#: what users of CDSE ask for (spec: standards 2.5, distribution 5)
EXPECTED = {
    "s1-l1": """
        beginningDateTime endingDateTime platformShortName platformSerialIdentifier instrumentShortName productType
        timeliness processingLevel processingDate processingCenter processorName processorVersion operationalMode
        polarisationChannels swathIdentifier orbitNumber relativeOrbitNumber cycleNumber orbitDirection
        startTimeFromAscendingNode completionTimeFromAscendingNode datatakeID instrumentConfigurationID sliceNumber
        totalSlices sliceProductFlag segmentStartTime productClass productComposition nssdcIdentifier
    """,
    "s1-l0-standard": """
        beginningDateTime endingDateTime platformShortName platformSerialIdentifier instrumentShortName productType
        operationalMode swathIdentifier productClass productConsolidation instrumentConfigurationID datatakeID
        sliceProductFlag sliceNumber totalSlices polarisationChannels orbitNumber relativeOrbitNumber cycleNumber
        orbitDirection processingDate processingCenter processorName processorVersion qualityNumOfElements
        qualityNumOfMissingElements
    """,
    "s1-orbit": """
        beginningDateTime endingDateTime platformShortName platformSerialIdentifier productType processingDate
        processingCenter processorVersion selectedOrbitNumber
    """,
    "s1-aux-safe": """
        beginningDateTime endingDateTime platformShortName platformSerialIdentifier productType processingDate
        processingCenter processorName processorVersion instrumentShortName instrumentConfigurationID
        productGeneration
    """,
    "s2-l2a": """
        beginningDateTime endingDateTime platformShortName platformSerialIdentifier instrumentShortName productType
        processingLevel processingDate processingCenter processorVersion operationalMode orbitNumber
        relativeOrbitNumber productGroupId datastripId granuleIdentifier tileId cloudCover illuminationZenithAngle
        qualityStatus
    """,
    "s3-olci-l1": """
        beginningDateTime endingDateTime platformShortName platformSerialIdentifier instrumentShortName productType
        timeliness baselineCollection processingLevel processingDate processingCenter processorName processorVersion
        operationalMode orbitNumber lastOrbitNumber orbitDirection relativeOrbitNumber lastRelativeOrbitNumber
        cycleNumber landCover salineWaterCover coastalCover tidalRegionCover freshInlandWaterCover cloudCover
        brightCover
    """,
    "s3-sral-l2": """
        landCover closedSeaCover continentalIceCover openOceanCover
    """,
    "s3-synergy-l2": """
        snowOrIceCover
    """,
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_types_have_the_attributes_that_users_of_the_hub_know(kind: str) -> None:
    assert set(EXPECTED[kind].split()) <= {rule.attribute.name for rule in TYPES.types[kind].attributes}


def test_attributes_have_the_hub_s_types() -> None:
    types = {name: TYPES.attributes[name].type for name in TYPES.attributes}
    assert [types[name] for name in ("orbitNumber", "cycleNumber", "sliceNumber", "datatakeID")] == ["Integer"] * 4
    assert [types[name] for name in ("cloudCover", "startTimeFromAscendingNode", "landCover")] == ["Double"] * 3
    assert [types[name] for name in ("beginningDateTime", "processingDate")] == ["DateTimeOffset"] * 2
    assert types["sliceProductFlag"] == "Boolean"
    polarisations = TYPES.attributes["polarisationChannels"]
    assert polarisations.text(["VV", "VH"]) == "VV&VH"


@pytest.mark.parametrize(
    ("mode", "duration_s", "slices"),
    [
        ("EW", 436.812, 8),
        ("EW", 434.812, 7),
        ("EW", 60, 1),
        ("EW", 68.2, 1),
        ("EW", 1, 1),
        ("IW", 70.812, 3),
        ("S3", 70.812, 3),
        ("WV", 500, 1),
    ],
)
def test_slices_of_a_datatake_are_counted(mode: str, duration_s: float, slices: int) -> None:
    whole, rest = divmod(duration_s, 60)
    attributes = {
        "beginningDateTime": "2020-01-01T00:00:00Z",
        "endingDateTime": f"2020-01-01T00:{int(whole):02d}:{rest:06.3f}Z",
    }
    assert slice_count(attributes, {"mode": mode}) == {"totalSlices": slices}


def test_slices_are_not_counted_where_the_manifest_does_or_the_mode_has_none() -> None:
    times = {"beginningDateTime": "2020-01-01T00:00:00Z", "endingDateTime": "2020-01-01T00:01:00Z"}
    assert slice_count({**times, "totalSlices": 5}, {"mode": "IW"}) == {}
    assert [slice_count(times, {"mode": mode}) for mode in ("RF", "EN", "N1", "")] == [{}] * 4
    assert slice_count({}, {"mode": "IW"}) == {}
    assert count_slices(0.0, length_s=25.0, overlap_s=7.4) == 1


def test_a_user_s_row_is_a_type(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.yaml").write_text(ROW)
    types = load_types([tmp_path])
    assert types.recognise("S1A_MINE_7").product_type == "MINE_7"
    assert set(types.types) == {*TYPES.types, "my-type"}


def test_a_user_s_row_replaces_the_packaged_one_of_its_id(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(ROW.replace("my-type", "s1-l1"))
    types = load_types([tmp_path / "mine.yaml"])
    assert types.recognise("S1A_MINE_7").type.id == "s1-l1"
    with pytest.raises(UnknownProduct):
        types.recognise("S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE")


def test_a_user_s_row_is_asked_before_the_packaged_ones(tmp_path: Path) -> None:
    name = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE"
    (tmp_path / "mine.yaml").write_text(
        ROW.replace("S1A_MINE_(", "S1A_IW_GRDH_1SDV_2021080(").replace("\\d)'", "9).*'")
    )
    assert load_types([tmp_path]).recognise(name).type.id == "my-type"


def test_a_user_s_rules_patterns_and_attributes_reach_the_packaged_rows(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "attributes: {mood: {type: String, about: how it feels}}\n"
        "patterns: {s1-satellite: 'S1(?P<satellite>[A-Z0-9])'}\n"
        "rules: {s1-level12: {mood: manifest//mood}}\n"
    )
    types = load_types([tmp_path])
    recognised = types.recognise("S19_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE")
    assert recognised.platform == "9"
    assert "mood" in {rule.attribute.name for rule in recognised.type.attributes}
    assert "mood" not in TYPES.attributes


START_RULE = "manifest//startTime"


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "problem"),
    [
        ("about:", "abuot:", 3, "abuot", "unknown key 'abuot'; nearest: 'about'"),
        ("    level: L1\n", "", 2, "level", "field required"),
        ("mission: S1", "mission: S4", 6, "mission", "input should be 'S1', 'S2', 'S3' or '', not 'S4'"),
        ("level: L1", "level: 1", 8, "level", "input should be a valid string, not 1"),
        ("MINE_(", "MINE_((", 4, "name", "not a regular expression: missing ), unterminated"),
        ("S1A_M", "%{s1-satelite}_M", 4, "name", "unknown pattern 's1-satelite'; nearest: 's1-satellite'"),
        ("MINE_{number}", "MINE_{numbr}", 5, "product_type", "unknown group 'numbr'; nearest: 'number'"),
        ("MINE_{number}", "MINE_{number", 5, "product_type", "'MINE_{number' is not a template"),
        ("MINE_{number}", "{number.__class__}", 5, "product_type", "unknown group 'number.__class__'"),
        ("{product_type}", "{product}", 9, "storage.2", "unknown group 'product'; nearest: 'product_type'"),
        ("MINE,", "../x,", 9, "storage.1", "string should match pattern"),
        ("MINE,", "'',", 9, "storage.1", "string should match pattern"),
        (
            "manifest: manifest\n",
            "manifest: manifst\n",
            11,
            "manifest",
            "'manifst' is not a document; nearest: 'manifest'",
        ),
        (
            "manifest.safe}",
            "{pattern: m.xml, requird: false}}",
            10,
            "documents.manifest.requird",
            "unknown key 'requird'; nearest: 'required'",
        ),
        (
            START_RULE,
            "manifst//startTime",
            13,
            "attributes.beginningDateTime.read",
            "'manifst' is not a document of row 'my-type'; nearest: 'manifest'",
        ),
        (
            START_RULE,
            "manifest/startTime",
            13,
            "attributes.beginningDateTime.read",
            "'manifest/startTime' is not a document",
        ),
        (
            START_RULE,
            "'manifest//start[last()]'",
            13,
            "attributes.beginningDateTime.read",
            "path '//start[last()]': '[last()]' is neither",
        ),
        (
            START_RULE,
            "{group: nummer}",
            13,
            "attributes.beginningDateTime.group",
            "unknown group of the name 'nummer'; nearest: 'number'",
        ),
        (
            START_RULE,
            "{function: leter, group: number}",
            13,
            "attributes.beginningDateTime.function",
            "unknown function 'leter'; nearest: 'letter'",
        ),
        (START_RULE, "{vlaue: 1}", 13, "attributes.beginningDateTime.vlaue", "unknown key 'vlaue'; nearest: 'value'"),
        (START_RULE, "{value: 1}", 13, "attributes.beginningDateTime.value", "1 is not a value of DateTimeOffset"),
        (START_RULE, "{upper: true}", 13, "attributes.beginningDateTime", "says nothing"),
        (
            "beginningDateTime:",
            "begginingDateTime:",
            13,
            "attributes.begginingDateTime",
            "unknown attribute 'begginingDateTime'; nearest: 'beginningDateTime'",
        ),
        (
            "    attributes:",
            "    use: [s1-bas]\n    attributes:",
            12,
            "use.0",
            "unknown set of rules 's1-bas'; nearest: 's1-base'",
        ),
        (
            "    attributes:",
            "    derive: [slices]\n    attributes:",
            12,
            "derive.0",
            "unknown function 'slices'; nearest: 'slice_count'",
        ),
        (
            "    attributes:",
            "    footprint: {rule: corner, read: manifest//a}\n    attributes:",
            12,
            "footprint.rule",
            "unknown footprint rule 'corner'; nearest: 'corners'",
        ),
        (
            "    attributes:",
            "    sensing: [beginningDateTime]\n    attributes:",
            12,
            "sensing",
            "list should have at least 2 items",
        ),
        (
            "    attributes:",
            "    sensing: [orbitNumber, endingDateTime]\n    attributes:\n      orbitNumber: {value: 1}",
            12,
            "sensing.0",
            "'orbitNumber' is a Integer, not a DateTimeOffset",
        ),
        (
            "    attributes:",
            "    packaging: bare\n    attributes:",
            10,
            "documents",
            "a product that is one file (packaging: bare)",
        ),
        (
            "    attributes:",
            "    timeliness_class: S1_NTR\n    attributes:",
            12,
            "timeliness_class.default",
            "unknown timeliness class 'S1_NTR'; nearest: 'S1_NRT'",
        ),
        (
            "    attributes:",
            "    timeliness_class: {attribute: timelines, translate: {NR: S3_NRT}}\n    attributes:",
            12,
            "timeliness_class.attribute",
            "unknown attribute 'timelines'; nearest: 'timeliness'",
        ),
        (
            "    attributes:",
            "    timeliness_class:\n      attribute: timeliness\n      translate: {NR: S3}\n    attributes:",
            14,
            "timeliness_class.translate.NR",
            "unknown timeliness class 'S3'",
        ),
        (
            "    attributes:",
            "    retention: l1\n    attributes:",
            12,
            "retention",
            "unknown retention class 'l1'; nearest: 'l1-l2'",
        ),
        (
            "    attributes:",
            "    priority: high\n    attributes:",
            12,
            "priority",
            "input should be 'housekeeping' or 'normal'",
        ),
        ('"MINE_{number}"', 'X\n    prip_type: "{number:d}"', 6, "prip_type", "'{number:d}' is not a template"),
        ('"MINE_{number}"', "../MINE", 5, "product_type", "string should match pattern"),
        ('"MINE_{number}"', 'X\n    prip_type: "{numbr}"', 6, "prip_type", "unknown group 'numbr'; nearest: 'number'"),
    ],
)
def test_what_is_wrong_with_a_row_is_told_with_file_row_line_and_column(
    tmp_path: Path, old: str, new: str, line: int, column: str, problem: str
) -> None:
    assert old in ROW
    text = told(tmp_path, ROW.replace(old, new, 1))
    assert f"mine.yaml, row 'my-type' (line {line}), column {column!r}: {problem}" in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("types: [", "mine.yaml: is not YAML: line 1, column 9"),
        ("? [a, b]\n: c\n", "mine.yaml: is not YAML: line 1, column 3: a key must be one word"),
        ("a: !!python/object/apply:os.system [ls]", "is not YAML: line 1, column 4: could not determine a constructor"),
        ("- a\n", "mine.yaml: input should be a valid dictionary"),
        ("typs: []\n", "mine.yaml (line 1), column 'typs': unknown key 'typs'; nearest: 'types'"),
        ("types:\n  a: b\n", "mine.yaml (line 1), column 'types': input should be a valid list"),
        (
            "attributes:\n  foo: {type: Strng, about: x}\n",
            "mine.yaml, row 'foo' (line 2), column 'type': input should be 'String'",
        ),
        (
            "rules:\n  s1-base:\n    productTyp: {value: x}\n",
            "mine.yaml, row 's1-base' (line 3), column 'productTyp': unknown attribute 'productTyp'; nearest: 'product",
        ),
        (
            "timeliness_classes: {MINE: {about: x, from_t0_s: 0}}",
            "row 'MINE' (line 1), column 'from_t0_s': input should be greater than 0",
        ),
        ("retention_classes: {mine: {days: 1}}", "row 'mine' (line 1), column 'about': field required"),
        (ROW.replace("my-type", "My Type"), "row 'My Type' (line 2), column 'id': string should match pattern"),
        (ROW.replace("    level: L1\n", "    level: L1\n" * 2), "line 9, column 5: the key 'level' is written twice"),
        (ROW + ROW.partition("\n")[2], "row 'my-type' (line 15), column 'id': another row has the id 'my-type'"),
    ],
)
def test_what_is_no_table_is_told_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in told(tmp_path, text)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = told(tmp_path, ROW.replace("S1A_M", "%{nope}M").replace("manifest//", "other//"))
    assert text.count("row 'my-type'") >= 3
    assert "correct the table; nothing was started" in text


def test_a_pattern_that_breaks_packaged_rows_is_told_of_them(tmp_path: Path) -> None:
    text = told(tmp_path, "patterns: {s1-polarisation: '(('}\n")
    assert "missions/sentinel1/types.yaml, row 's1-l1' " in text
    assert "not a regular expression" in text


def test_tables_that_are_not_there_are_told(tmp_path: Path) -> None:
    for path, problem in ((tmp_path, "holds no *.yaml file"), (tmp_path / "none.yaml", "cannot be read")):
        with pytest.raises(ConfigurationError, match="see `type_tables`") as caught:
            load_types([path])
        assert str(caught.value).startswith(f"{path}: {problem}")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_types([tmp_path])
