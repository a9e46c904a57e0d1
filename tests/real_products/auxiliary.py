"""What the real auxiliaries and masks say of themselves."""

from tests.real_products.model import FOREVER, Product

AUXILIARIES = {
    "S1A_AUX_CAL_V20171017T080000_G20171013T101200.SAFE": Product(
        "s1-aux-safe", "2017-10-17T08:00:00.000000Z", FOREVER,
        attributes={
            "productType": "AUX_CAL", "platformSerialIdentifier": "A", "instrumentConfigurationID": "6",
            "productGeneration": "2017-10-13T10:12:00.000000Z", "processingCenter": "CLS-Brest",
        },
    ),
    "S1A_AUX_PP2_V20171017T080000_G20171013T101254.SAFE": Product(
        "s1-aux-safe", "2017-10-17T08:00:00.000000Z", FOREVER,
        attributes={
            "productType": "AUX_PP2", "productGeneration": "2017-10-13T10:12:54.000000Z",
            "processingCenter": "CLS-Brest",
        },
    ),
    "S1__AUX_ICE_V20160501T120000_G20160502T043607.SAFE": Product(
        "s1-aux-safe", "2016-05-01T12:00:00.000000Z", FOREVER,
        attributes={
            "productType": "AUX_ICE", "instrumentConfigurationID": "1", "processingCenter": "PDMC",
            "productGeneration": "2016-05-02T04:36:07.059812Z", "processingDate": "2016-05-02T04:36:07.036303Z",
        },
    ),
    "S1__AUX_WAV_V20110801T000000_G20111026T141850.SAFE": Product(
        "s1-aux-safe", "2011-08-01T00:00:00.000000Z", FOREVER,
        attributes={
            "productType": "AUX_WAV", "processingCenter": "Frascati",
            "productGeneration": "2011-10-26T14:18:50.000000Z",
        },
    ),
    "S1__AUX_WND_V20160423T120000_G20160422T060059.SAFE": Product(
        "s1-aux-safe", "2016-04-23T12:00:00.000000Z", FOREVER,
        attributes={"productType": "AUX_WND", "productGeneration": "2016-04-22T06:00:59.747123Z"},
    ),
    "S1__AUX_TEC_V20190805T000000_20190805T235959_G20200210T102615.SAFE": Product(
        "s1-aux-atmosphere", "2019-08-05T00:00:00.000000Z", "2019-08-05T23:59:59.000000Z",
        attributes={
            "productType": "AUX_TEC", "processorName": "Get_TEC_SAFE", "processorVersion": "001.00",
            "productGeneration": "2020-02-10T10:26:15.000000Z",
        },
    ),
    "S1A_OPER_AUX_RESORB_OPOD_20171213T143838_V20171213T102737_20171213T134507.EOF": Product(
        "s1-orbit", "2017-12-13T10:27:37.000000Z", "2017-12-13T13:45:07.000000Z",
        attributes={
            "productType": "AUX_RESORB", "platformSerialIdentifier": "A", "platformShortName": "SENTINEL-1",
            "selectedOrbitNumber": 19683, "selectedOrbitFirstAzimuthTimeUtc": "2017-12-13T10:27:47.593331Z",
            "fileVersion": "0001", "processingCenter": "OPOD", "processingDate": "2017-12-13T14:38:38.000000Z",
            "processorVersion": "1.4.0",
        },
    ),
    "S1A_OPER_MPL_ORBPRE_20171208T200309_20171215T200309_0001.EOF": Product(
        "s1-planned-orbit", "2017-12-08T20:03:09.000000Z", "2017-12-15T20:03:09.000000Z",
        attributes={
            "productType": "MPL_ORBPRE", "platformSerialIdentifier": "A", "processingCenter": "FOS",
            "processorName": "NAPEOS", "processingDate": "2017-12-08T20:02:13.000000Z",
        },
    ),
    "S1A_OPER_AUX_OBMEMC_PDMC_20140201T000000.xml": Product(
        "s1-memory-map", "2014-02-01T00:00:00.000000Z", "2099-12-31T23:59:59.000000Z",
        attributes={
            "productType": "AUX_OBMEMC", "processingDate": "2014-02-12T12:28:19.000000Z", "processingCenter": "PDMC",
        },
    ),
    "S1A_OPER_REP__SUP___20181208T070000_20181208T111500_0001.EOF": Product(
        "s1-plan", "2018-12-08T07:00:00.000000Z", "2018-12-08T11:15:00.000000Z",
        attributes={
            "productType": "REP__SUP__", "processorName": "MCS", "processingDate": "2018-12-07T00:00:00.000000Z",
            "processingCenter": "FOS", "processorVersion": "1.0", "fileVersion": "0001", "fileClass": "OPER",
        },
    ),
    "S1__OPER_MSK__LAND__V20140403T210200_G20190711T113000.EOF": Product(
        "s1-mask", "2014-04-03T21:02:00.000000Z", FOREVER,
        attributes={"productType": "MSK__LAND_", "processingCenter": "S1PDGS", "processorVersion": "S1PRO-004"},
    ),
    "S1__OPER_MSK__LAND__V20140403T210200_G20200914T080808.EOF": Product(
        "s1-mask", "2014-04-03T21:02:00.000000Z", FOREVER,
        attributes={"productType": "MSK__LAND_", "processingDate": "2020-09-14T08:08:08.000000Z"},
    ),
    "S1__OPER_MSK_EW_SLC_V20140427T000000_G20210108T170000.EOF": Product(
        "s1-mask", "2014-04-27T00:00:00.000000Z", FOREVER,
        attributes={"productType": "MSK_EW_SLC", "processorVersion": "S1PRO-2319"},
    ),
    "S3A_AX___BA__AX_20040702T223000_20040704T042158_20171130T082116___________________WER_D_AL____.SEN3": Product(
        "s3-aux", "2004-07-02T22:30:00.000000Z", "2004-07-04T04:21:58.000000Z",
        attributes={
            "productType": "AX___BA__AX", "timeliness": "AL", "qualityIndicator": "OPASSED", "productClass": "AX",
            "processingDate": "2017-11-30T08:21:16.000000Z", "baselineCollection": "___", "generatingCentre": "WER",
            "classId": "D_AL____", "processorVersion": "1.0", "instanceId": None,
        },
    ),
}  # fmt: skip
