"""What the real Sentinel-2 products say of themselves."""

from tests.real_products.model import Product

SENTINEL_2 = {
    "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE": Product(
        "s2-l1c", "2021-09-08T04:27:01.024000Z", "2021-09-08T04:27:01.024000Z", geometry="Polygon",
        bbox=(92.99979654, 27.033537745, 93.433417639, 28.025435531),
        attributes={
            "orbitNumber": 32448, "relativeOrbitNumber": 133, "orbitDirection": "DESCENDING", "tileId": "46RER",
            "cloudCover": 88.2972, "processorVersion": "03.01", "processingDate": "2021-09-08T07:02:48.000000Z",
            "productType": "S2MSI1C", "productGroupId": "GS2A_20210908T042701_032448_N03.01",
            "operationalMode": "INS-NOBS",
            "datastripId": "S2A_OPER_MSI_L1C_DS_VGS4_20210908T070248_S20210908T043714_N03.01",
            "granuleIdentifier": "S2A_OPER_MSI_L1C_TL_VGS4_20210908T070248_A032448_T46RER_N03.01",
            "illuminationZenithAngle": 26.4931642669439, "qualityStatus": "NOMINAL", "processingCenter": "VGS4",
        },
    ),
    "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157.SAFE": Product(
        "s2-l2a", "2023-06-25T23:46:21.024000Z", "2023-06-25T23:46:21.024000Z", geometry="MultiPolygon",
        bbox=(178.474107121, 65.671649746, -178.96619, 66.705599793),
        attributes={
            "orbitNumber": 41826, "relativeOrbitNumber": 73, "orbitDirection": "DESCENDING", "tileId": "01WCP",
            "cloudCover": 15.047897000000003, "processorVersion": "05.09",
            "processingDate": "2023-06-26T02:21:57.000000Z",
            "productType": "S2MSI2A", "productGroupId": "GS2A_20230625T234621_041826_N05.09",
            "processingCenter": "2APS",
            "illuminationZenithAngle": 42.8949736512547, "qualityStatus": "NOMINAL",
        },
    ),
    "S2B_MSIL2A_20191228T210519_N0212_R071_T01CCV_20201003T104658.SAFE": Product(
        "s2-l2a", "2019-12-28T21:05:19.024000Z", "2019-12-28T21:05:19.024000Z", geometry="Polygon",
        bbox=(176.864623786, -72.992965855, 178.465761961, -72.012477888),
        attributes={
            "orbitNumber": 14683, "relativeOrbitNumber": 71, "orbitDirection": "DESCENDING", "tileId": "01CCV",
            "cloudCover": 99.99889, "processorVersion": "02.12", "processingDate": "2020-10-03T10:46:58.860000Z",
            "productType": "S2MSI2A", "productGroupId": "GS2B_20191228T210519_014683_N02.12",
            "processingCenter": "EPA_",
        },
    ),
    "S2A_OPER_MSI_L0__DS_SGS__20200420T205828_S20200322T173347_N02.08": Product(
        "s2-datastrip", "2020-03-22T17:33:47.000000Z", "2020-03-22T17:36:29.000421Z", geometry="Polygon", swath_km=300,
        bbox=(-117.078507, -45.375284, -110.366535, -34.753443),
        attributes={
            "orbitNumber": 24805, "lastOrbitNumber": 24805, "processorVersion": "02.08", "processingCenter": "SGS_",
            "productGroupId": "GS2A_20200322T173341_024805_N02.08", "qualityInfo": "100.0", "qualityStatus": "NOMINAL",
            "processingDate": "2020-04-20T20:58:28.000000Z", "instrumentShortName": "MSI",
            "orbitDirection": "DESCENDING", "relativeOrbitNumber": 69, "nssdcIdentifier": "2015-028A",
            "processingLevel": "0", "cloudCover": 0.0, "datastripId": None,
        },
    ),
    "S2A_OPER_MSI_L0__GR_SGS__20191001T101733_S20191001T083650_D01_N02.08": Product(
        "s2-granule", "2019-10-01T08:36:50.000000Z", "2019-10-01T08:36:50.000000Z", geometry="Polygon",
        bbox=(35.875485618, 48.01292232, 36.368012573, 48.425543701),
        attributes={
            "orbitNumber": 22326, "detectorId": "01", "cloudCover": 0.0, "qualityStatus": "NOMINAL",
            "datastripId": "S2A_OPER_MSI_L0__DS_SGS__20191001T101733_S20191001T083647_N02.08",
            "productGroupId": "GS2A_20191001T082741_022326_N02.08", "illuminationZenithAngle": 52.4265143179358,
            "processorVersion": "02.08", "processingCenter": "SGS_", "processingDate": "2019-10-01T10:17:33.000000Z",
            "lastOrbitNumber": 22326, "orbitDirection": "DESCENDING", "processingLevel": "0", "qualityInfo": "100.0",
            "degradedDataPercentage": 0.0,
            "granuleIdentifier": "S2A_OPER_MSI_L0__GR_SGS__20191001T101733_S20191001T083650_D01_N02.08",
        },
    ),
    "S2A_OPER_AUX_SADATA_EPAE_20190222T003515_V20190221T190438_20190221T204519_A019158_WF_LN": Product(
        "s2-sad", "2019-02-21T19:04:38.000000Z", "2019-02-21T20:45:19.000000Z",
        attributes={
            "orbitNumber": 19158, "lastOrbitNumber": 19158, "instrumentShortName": "SAD", "qualityInfo": "100.0",
            "qualityStatus": "NOMINAL", "processingCenter": "EPAE", "processingDate": "2019-02-22T00:35:39.000716Z",
            "operationalMode": "NOM", "completenessId": "F", "degradationId": "N",
        },
    ),
    "S2A_OPER_PRD_HKTM___20191203T051837_20191203T051842_0001.SAFE": Product(
        "s2-hktm", "2019-12-03T05:18:37.000850Z", "2019-12-03T05:18:42.000319Z",
        problems=("relativeOrbitNumber is 59, but orbit 23225 of satellite A has 62",),
        attributes={
            "orbitNumber": 23225, "lastOrbitNumber": 23225, "relativeOrbitNumber": 59, "instrumentShortName": "HKTM",
            "processingCenter": "Svalbard", "processingDate": "2019-12-03T05:18:41.000342Z", "cycleNumber": 162,
            "lastRelativeOrbitNumber": 59, "nssdcIdentifier": "0000-000A",
        },
    ),
    "S2B_OPER_MSI_L1C_TC_EPAE_20191001T102654_A013417_T39UWP_N02.08.jp2": Product(
        "s2-true-colour-l1c", "2019-10-01T07:41:04.000140Z", "2019-10-01T07:53:45.000380Z", geometry="Polygon",
        bbox=(50.999727904, 47.755931149, 52.493269476, 48.753013004),
        attributes={
            "orbitNumber": 13417, "lastOrbitNumber": 13417, "orbitDirection": "DESCENDING", "tileId": "39UWP",
            "cloudCover": 98.4378, "processorVersion": "02.08", "processingCenter": "EPAE", "processingLevel": "1C",
            "processingDate": "2019-10-01T10:26:54.000000Z", "productGroupId": "GS2B_20191001T073719_013417_N02.08",
            "instrumentShortName": "MSI", "qualityInfo": "100.0", "qualityStatus": "NOMINAL", "datastripId": None,
        },
    ),
    "S2B_OPER_MSI_L2A_TC_REFS_20230601T211358_A032516_T59GPL_N04.00.jp2": Product(
        "s2-true-colour-l2a", "2023-05-28T22:28:36.341948Z", "2023-05-28T22:28:36.341948Z", geometry="Polygon",
        bbox=(172.252469411, -45.234227025, 173.665513471, -44.22267012),
        attributes={
            "orbitNumber": 32516, "lastOrbitNumber": 32516, "orbitDirection": "DESCENDING", "tileId": "59GPL",
            "cloudCover": 92.619914, "processorVersion": "04.00", "processingCenter": "2BPS", "processingLevel": "2A",
            "processingDate": "2023-06-01T21:13:58.000000Z", "productGroupId": "GS2B_20230528T222549_032516_N04.00",
            "datastripId": "S2B_OPER_MSI_L2A_DS_REFS_20230601T211358_S20230528T222546_N04.00",
            "instrumentShortName": "MSI", "qualityInfo": "100.0", "qualityStatus": "NOMINAL",
        },
    ),
}  # fmt: skip
