"""What the real Sentinel-3 products say of themselves (one granule and the product of 2004 are synthetic)."""

from tests.real_products.model import Product

SENTINEL_3 = {
    "S3A_SL_0_SLT__G_20040702T235915_20040703T000415_20150424T160530___________________WER_D_______.ISIP": Product(
        "s3-granule", "2004-07-02T23:59:15.906000Z", "2004-07-03T00:04:15.906000Z",
        attributes={
            "granuleNumber": 16, "granulePosition": "NONE", "dumpStart": "2004-07-02T22:44:15.906000Z",
            "qualityIndicator": "APPROVED", "processingDate": "2015-04-24T16:05:30.000000Z",
        },
    ),
    "S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002.SEN3": Product(
        "s3-olci", "2021-10-21T07:38:27.254946Z", "2021-10-21T07:41:12.194233Z", geometry="Polygon", swath_km=1270,
        bbox=(-44.0441, -83.51, 13.0151, -68.2251),
        attributes={
            "timeliness": "NR", "baselineCollection": "002", "orbitNumber": 29567, "lastOrbitNumber": 29567,
            "relativeOrbitNumber": 334, "cycleNumber": 77, "orbitDirection": "DESCENDING",
            "instrumentShortName": "OLCI", "salineWaterCover": 44.0, "brightCover": 99.0,
            "dumpStart": "2021-10-21T06:56:52.978714Z", "processingCenter": "Cloud Service Provider",
            "processingDate": "2021-10-21T09:13:57.000000Z",
        },
    ),
    "S3A_OL_2_WFR____20210604T001016_20210604T001316_20210604T021918_0179_072_273_1440_MAR_O_NR_003.SEN3": Product(
        "s3-olci", "2021-06-04T00:10:15.867265Z", "2021-06-04T00:13:15.867265Z", geometry="Polygon", swath_km=1270,
        bbox=(-180, 76.7724, 180, 90),
        attributes={
            "timeliness": "NR", "baselineCollection": "003", "orbitNumber": 27581, "lastOrbitNumber": 27581,
            "relativeOrbitNumber": 273, "cycleNumber": 72, "orbitDirection": "ASCENDING",
            "instrumentShortName": "OLCI", "cloudCover": 67.0, "landCover": 0.0, "salineWaterCover": 0.0,
            "dumpStart": "2021-06-04T00:06:18.027897Z", "granulePosition": "NONE", "processingCenter": "Darmstadt",
            "processingDate": "2021-06-04T02:19:18.000000Z",
        },
    ),
    "S3A_SL_1_RBT____20210930T220914_20210930T221214_20211002T102150_0180_077_043_5400_LN2_O_NT_004.SEN3": Product(
        "s3-slstr", "2021-09-30T22:09:13.843538Z", "2021-09-30T22:12:13.843538Z", geometry="Polygon", swath_km=1420,
        bbox=(-3.34105, -39.7421, 15.4906, -25.8488),
        attributes={
            "timeliness": "NT", "baselineCollection": "004", "orbitNumber": 29276, "lastOrbitNumber": 29276,
            "relativeOrbitNumber": 43, "cycleNumber": 77, "orbitDirection": "ASCENDING",
            "instrumentShortName": "SLSTR", "cloudCover": 80.216007, "landCover": 0.0, "salineWaterCover": 100.0,
            "dumpStart": "2021-09-30T19:17:12.009979Z", "granulePosition": "NONE",
            "processingCenter": "Cloud Service Provider", "processingDate": "2021-10-02T10:21:50.000000Z",
        },
    ),
    "S3A_SR_2_LAN____20210611T011438_20210611T012436_20210611T024819_0598_072_373______LN3_O_NR_004.SEN3": Product(
        "s3-sral", "2021-06-11T01:14:37.943332Z", "2021-06-11T01:24:36.460617Z", geometry="Polygon",
        bbox=(-19.9677, -81.3739, 110.573, -67.0245),
        attributes={
            "timeliness": "NR", "baselineCollection": "004", "orbitNumber": 27681, "lastOrbitNumber": 27681,
            "relativeOrbitNumber": 373, "cycleNumber": 72, "orbitDirection": "DESCENDING",
            "instrumentShortName": "SRAL", "landCover": 0.0, "openOceanCover": 3.0, "continentalIceCover": 97.0,
            "dumpStart": "2021-06-11T00:24:36.367818Z", "granulePosition": "NONE",
            "processingCenter": "Cloud Service Provider", "processingDate": "2021-06-11T02:48:19.000000Z",
        },
    ),
    "S3A_SY_2_SYN____20210325T005418_20210325T005718_20210325T142858_0180_070_031_1620_LN2_O_ST_002.SEN3": Product(
        "s3-synergy", "2021-03-25T00:54:18.019583Z", "2021-03-25T00:57:18.019583Z", geometry="MultiPolygon",
        swath_km=1270,
        bbox=(133.924, 69.3884, -162.535, 83.7777),
        attributes={
            "timeliness": "ST", "baselineCollection": "002", "orbitNumber": 26569, "lastOrbitNumber": 26569,
            "relativeOrbitNumber": 31, "cycleNumber": 70, "orbitDirection": "DESCENDING",
            "instrumentShortName": "SYNERGY", "cloudCover": 8.166911, "landCover": 2.368632,
            "salineWaterCover": 94.483109, "dumpStart": "2021-03-25T00:47:11.739165Z", "granulePosition": "NONE",
            "processingCenter": "Cloud Service Provider", "processingDate": "2021-03-25T14:28:58.000000Z",
        },
    ),
    "S3B_OL_1_EFR____20040703T003000_20040703T003200_20160204T070933_DDDD_001_002_FFFF_WER_D_NR_NNN.SEN3": Product(
        "s3-olci", "2004-07-03T00:30:00.906000Z", "2004-07-03T00:32:00.906000Z", geometry="Polygon",
        bbox=(-75.312935, -14.93704, -14.312935, -11.387472),
        problems=(
            "relativeOrbitNumber is 2, but orbit 9895 of satellite B has 383",
        ),
        attributes={
            "timeliness": "NR", "baselineCollection": "NNN", "orbitNumber": 9895, "lastOrbitNumber": 9895,
            "relativeOrbitNumber": 2, "cycleNumber": 1, "orbitDirection": "DUMMY-TEXT", "instrumentShortName": "OLCI",
            "dumpStart": "2004-07-03T00:28:17.706000Z", "granulePosition": "FIRST", "processingCenter": "dummy-text",
            "processingDate": "2016-02-04T07:09:33.000000Z",
        },
    ),
    "S3B_OL_2_LRR____20210731T214325_20210731T222741_20210802T020007_2656_055_186______LN1_O_NT_002.SEN3": Product(
        "s3-olci", "2021-07-31T21:43:24.821272Z", "2021-07-31T22:27:41.127860Z", geometry="MultiPolygon",
        swath_km=1270,
        bbox=(-180, -53.7609, 180, 90),
        attributes={
            "timeliness": "NT", "baselineCollection": "002", "orbitNumber": 17013, "lastOrbitNumber": 17013,
            "relativeOrbitNumber": 186, "cycleNumber": 55, "orbitDirection": "ASCENDING",
            "instrumentShortName": "OLCI", "cloudCover": 51.0, "landCover": 1.0, "salineWaterCover": 35.0,
            "dumpStart": "2021-07-31T21:43:22.995185Z", "granulePosition": "FIRST",
            "processingCenter": "Cloud Service Provider", "processingDate": "2021-08-02T02:00:07.000000Z",
        },
    ),
    "S3B_SL_2_WST____20210419T051754_20210419T065853_20210420T160434_6059_051_247______MAR_O_NT_003.SEN3": Product(
        "s3-slstr", "2021-04-19T05:17:54.047806Z", "2021-04-19T06:58:53.371850Z", geometry="Polygon", swath_km=1420,
        bbox=(-180, -85.8995, 180, 90),
        attributes={
            "timeliness": "NT", "baselineCollection": "003", "orbitNumber": 15534, "lastOrbitNumber": 15535,
            "relativeOrbitNumber": 247, "cycleNumber": 51, "orbitDirection": "DESCENDING",
            "instrumentShortName": "SLSTR", "cloudCover": 67.421502, "landCover": 30.535053,
            "salineWaterCover": 69.464947, "dumpStart": "2021-04-19T04:25:20.828448Z", "granulePosition": "FIRST",
            "processingCenter": "Darmstadt", "processingDate": "2021-04-20T16:04:34.000000Z",
        },
    ),
}  # fmt: skip
