"""What the real Sentinel-1 products say of themselves (spec/catalogue 5.12 for the first ones)."""

from tests.real_products.model import Product

SENTINEL_1 = {
    "S1A_EW_RAW__0CDV_20180227T144704_20180227T144706_020793_023A68_401B.SAFE": Product(
        "s1-l0-annotation", "2018-02-27T14:47:04.973656Z", "2018-02-27T14:47:06.722008Z", geometry="Polygon",
        bbox=(52.4759, -13.9029, 56.2016, -13.2193),
        attributes={
            "orbitNumber": 20793, "relativeOrbitNumber": 71, "cycleNumber": 133, "orbitDirection": "ASCENDING",
            "polarisationChannels": ["VH", "VV"], "operationalMode": "EW", "datatakeID": 146024,
            "instrumentConfigurationID": "6", "productConsolidation": "PARTIAL", "sliceProductFlag": False,
            "sliceNumber": 1, "totalSlices": 1, "startTimeFromAscendingNode": 5689719.49,
            "processingCenter": "DLR-Oberpfaffenhofen", "processingDate": "2018-06-02T02:15:42.192222Z",
        },
    ),
    "S1A_IW_GRDH_1ADV_20180227T145413_20180227T145438_020794_023A69_632A.SAFE": Product(
        "s1-l1", "2018-02-27T14:54:13.192073Z", "2018-02-27T14:54:38.190463Z", geometry="Polygon", swath_km=250,
        bbox=(47.968777, 12.378204, 50.603825, 14.337382),
        attributes={
            "orbitNumber": 20794, "relativeOrbitNumber": 72, "cycleNumber": 133, "orbitDirection": "ASCENDING",
            "polarisationChannels": ["VV", "VH"], "operationalMode": "IW", "datatakeID": 146025,
            "instrumentConfigurationID": "6", "timeliness": "NRT-3h", "swathIdentifier": ["IW"],
            "sliceProductFlag": True, "sliceNumber": 2, "totalSlices": 23, "startTimeFromAscendingNode": 193285.8,
            "processingCenter": "Airbus DS-Newport", "processorVersion": "002.82",
            "processingDate": "2018-05-31T08:09:22.160101Z",
        },
    ),
    "S1A_IW_GRDH_1SDV_20180227T145344_20180227T145413_020794_023A69_C0B5.SAFE": Product(
        "s1-l1", "2018-02-27T14:53:44.184986Z", "2018-02-27T14:54:13.190581Z", geometry="Polygon", swath_km=250,
        bbox=(48.27924, 10.625828, 50.958828, 12.829241),
        attributes={
            "orbitNumber": 20794, "relativeOrbitNumber": 72, "cycleNumber": 133, "orbitDirection": "ASCENDING",
            "polarisationChannels": ["VV", "VH"], "operationalMode": "IW", "datatakeID": 146025,
            "instrumentConfigurationID": "6", "timeliness": "NRT-3h", "swathIdentifier": ["IW"],
            "sliceProductFlag": True, "sliceNumber": 1, "totalSlices": 23, "startTimeFromAscendingNode": 164278.8,
            "processingCenter": "Airbus DS-Newport", "processorVersion": "002.82",
            "processingDate": "2018-05-31T08:23:39.379021Z",
        },
    ),
    "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE": Product(
        "s1-l1", "2021-08-09T17:39:53.153776Z", "2021-08-09T17:40:18.152800Z", geometry="Polygon", swath_km=250,
        bbox=(1.512143, 44.536255, 5.188996, 46.436539),
        attributes={
            "orbitNumber": 39156, "relativeOrbitNumber": 59, "cycleNumber": 238, "orbitDirection": "ASCENDING",
            "polarisationChannels": ["VV", "VH"], "operationalMode": "IW", "datatakeID": 302867,
            "instrumentConfigurationID": "7", "timeliness": "NRT-3h", "swathIdentifier": ["IW"],
            "sliceProductFlag": True, "sliceNumber": 7, "totalSlices": 20, "startTimeFromAscendingNode": 726683.9,
            "processingCenter": "Airbus Defence and Space-Toulouse", "processorVersion": "003.31",
            "processingDate": "2021-08-09T20:08:52.914621Z",
        },
    ),
    "S1A_IW_RAW__0ADV_20171213T121123_20171213T121947_019684_021735_51B1.SAFE": Product(
        "s1-l0-annotation", "2017-12-13T12:11:23.682488Z", "2017-12-13T12:19:47.264351Z", geometry="Polygon",
        swath_km=250,
        bbox=(80.8613, 18.3765, 90.3636, 49.0506),
        attributes={
            "orbitNumber": 19684, "relativeOrbitNumber": 12, "cycleNumber": 127, "orbitDirection": "ASCENDING",
            "polarisationChannels": ["VH", "VV"], "operationalMode": "IW", "datatakeID": 137013,
            "instrumentConfigurationID": "6", "productConsolidation": "FULL", "sliceProductFlag": False,
            "sliceNumber": 1, "totalSlices": 20, "startTimeFromAscendingNode": 296088.912,
            "processingCenter": "Airbus DS-Newport", "processingDate": "2017-12-13T12:56:34.154089Z",
        },
    ),
    "S1A_IW_RAW__0SDV_20171213T121623_20171213T121656_019684_021735_C6DB.SAFE": Product(
        "s1-l0-standard", "2017-12-13T12:16:23.685188Z", "2017-12-13T12:16:56.085136Z", geometry="Polygon",
        swath_km=250,
        bbox=(83.6235, 36.5091, 86.8273, 38.7338),
        attributes={
            "orbitNumber": 19684, "relativeOrbitNumber": 12, "cycleNumber": 127, "orbitDirection": "ASCENDING",
            "polarisationChannels": ["VH", "VV"], "operationalMode": "IW", "datatakeID": 137013,
            "instrumentConfigurationID": "6", "productConsolidation": "SLICE", "sliceProductFlag": True,
            "sliceNumber": 13, "startTimeFromAscendingNode": 596091.608, "processingCenter": "Airbus DS-Newport",
            "processingDate": "2017-12-13T12:56:32.634114Z",
        },
    ),
    "S1A_IW_RAW__0SVH_20200120T124746_20200120T125111_030884_038B5E_9470.SAFE": Product(
        "s1-l0-standard", "2020-01-20T12:47:46.019051Z", "2020-01-20T12:51:11.706993Z", geometry="Polygon",
        swath_km=250,
        bbox=(-105.6059, 17.7208, -100.6624, 30.4307),
        attributes={
            "orbitNumber": 30884, "relativeOrbitNumber": 12, "cycleNumber": 191, "orbitDirection": "DESCENDING",
            "polarisationChannels": ["VH"], "operationalMode": "IW", "datatakeID": 232286,
            "instrumentConfigurationID": "6", "productConsolidation": "FULL", "sliceProductFlag": False,
            "startTimeFromAscendingNode": 2466932.111, "processingCenter": "DLR-Oberpfaffenhofen",
            "processingDate": "2021-04-19T14:45:16.778287Z",
        },
    ),
    "S1A_WV_OCN__2SSV_20190518T160559_20190518T161434_027284_0313A0_46F2.SAFE": Product(
        "s1-l2-wave", "2019-05-18T16:05:58.900932Z", "2019-05-18T16:14:35.206550Z", geometry="Polygon",
        bbox=(-154.165375, 26.240786, -143.111969, 56.886929),
        attributes={
            "orbitNumber": 27284, "relativeOrbitNumber": 87, "cycleNumber": 170, "orbitDirection": "DESCENDING",
            "polarisationChannels": ["VV"], "operationalMode": "WV", "datatakeID": 201632,
            "instrumentConfigurationID": "6", "timeliness": "Fast-24h", "swathIdentifier": ["WV1", "WV2"],
            "sliceProductFlag": False, "startTimeFromAscendingNode": 2021647.0,
            "processingCenter": "Airbus DS-Newport", "processorVersion": "002.91",
            "processingDate": "2019-05-18T18:02:18.000000Z",
        },
    ),
    "S1A_WV_RAW__0SSV_20180913T214325_20180913T214422_023685_0294F4_41D5.SAFE": Product(
        "s1-l0-wave", "2018-09-13T21:43:25.265938Z", "2018-09-13T21:44:22.567970Z", geometry="LineString",
        bbox=(105.8055, -65.5655, 108.5909, -62.29),
        attributes={
            "orbitNumber": 23685, "relativeOrbitNumber": 163, "cycleNumber": 149, "orbitDirection": "DESCENDING",
            "polarisationChannels": ["VV"], "operationalMode": "WV", "datatakeID": 169204,
            "instrumentConfigurationID": "6", "productConsolidation": "END", "sliceProductFlag": False,
            "startTimeFromAscendingNode": 4000363.154, "processingCenter": "DLR-Oberpfaffenhofen",
            "processingDate": "2018-10-15T08:40:20.997755Z",
        },
    ),
    "S1B_IW_RAW__0SDV_20171213T121623_20171213T121656_019684_021735_C6DS.SAFE": Product(
        "s1-l0-standard", "2018-02-27T12:51:14.794304Z", "2018-02-27T12:53:00.422905Z", geometry="Polygon",
        swath_km=400,
        bbox=(-98.2395, 66.8368, -82.486, 73.8984),
        problems=(
            "beginningDateTime is 2018-02-27T12:51:14.794304Z in the metadata but 2017-12-13T12:16:23",
            "endingDateTime is 2018-02-27T12:53:00.422905Z in the metadata but 2017-12-13T12:16:56",
            "orbitNumber is 9809 in the metadata but 19684 in the name",
        ),
        attributes={
            "orbitNumber": 9809, "relativeOrbitNumber": 158, "cycleNumber": 62, "orbitDirection": "DESCENDING",
            "polarisationChannels": ["HV"], "operationalMode": "EW", "datatakeID": 72627,
            "instrumentConfigurationID": "1", "productConsolidation": "FULL", "sliceProductFlag": False,
            "startTimeFromAscendingNode": 1743818.281, "processingCenter": "DLR-Oberpfaffenhofen",
            "processingDate": "2018-09-17T14:47:54.825363Z",
        },
    ),
    "S1B_WV_RAW__0ASV_20181001T115404_20181001T115416_012958_017EEF_95EE.SAFE": Product(
        "s1-l0-wave-annotation", "2018-10-01T11:54:04.689476Z", "2018-10-01T11:54:16.457985Z", geometry="LineString",
        bbox=(-121.9204, -75.4484, -120.3411, -74.8571),
        attributes={
            "orbitNumber": 12958, "relativeOrbitNumber": 157, "cycleNumber": 80, "orbitDirection": "DESCENDING",
            "polarisationChannels": ["VV"], "operationalMode": "WV", "datatakeID": 98031,
            "instrumentConfigurationID": "1", "productConsolidation": "END", "sliceProductFlag": False,
            "sliceNumber": 1, "totalSlices": 1, "startTimeFromAscendingNode": 4228623.501,
            "processingCenter": "DLR-Oberpfaffenhofen", "processingDate": "2018-10-29T08:31:11.270308Z",
        },
    ),
    "S1B_WV_SLC__1SDV_20181001T134431_20181001T135927_012959_017EF8_00EB.SAFE": Product(
        "s1-l1-wave", "2018-10-01T13:44:31.248354Z", "2018-10-01T13:59:27.633176Z", geometry="Polygon",
        bbox=(63.62265, -58.707996, 84.809326, -5.011662),
        attributes={
            "orbitNumber": 12959, "relativeOrbitNumber": 158, "cycleNumber": 80, "orbitDirection": "ASCENDING",
            "polarisationChannels": ["VV"], "operationalMode": "WV", "datatakeID": 98040,
            "instrumentConfigurationID": "1", "timeliness": "NRT-3h", "swathIdentifier": ["WV1", "WV2"],
            "sliceProductFlag": True, "sliceNumber": 1, "totalSlices": 1, "startTimeFromAscendingNode": 4930362.0,
            "processingCenter": "Airbus DS-Newport", "processorVersion": "002.82",
            "processingDate": "2018-10-30T12:14:25.116339Z",
        },
    ),
    "S1B_WV_SLC__1SSV_20210403T083025_20210403T084452_026300_032390_D542.SAFE": Product(
        "s1-l1-wave", "2021-04-03T08:30:25.749829Z", "2021-04-03T08:44:52.841818Z", geometry="Polygon",
        bbox=(-47.919838, -15.888272, -34.533089, 36.159458),
        attributes={
            "orbitNumber": 26300, "relativeOrbitNumber": 24, "cycleNumber": 157, "orbitDirection": "DESCENDING",
            "polarisationChannels": ["VV"], "operationalMode": "WV", "datatakeID": 205712,
            "instrumentConfigurationID": "1", "timeliness": "Fast-24h", "swathIdentifier": ["WV1", "WV2"],
            "sliceProductFlag": False, "startTimeFromAscendingNode": 2368312.0,
            "processingCenter": "Airbus Defence and Space-Toulouse", "processorVersion": "003.31",
            "processingDate": "2021-04-03T11:16:59.534365Z",
        },
    ),
    "S1C_S4_GRDH_1SDH_20250118T171404_20250118T171421_000638_000538_4B8B.SAFE": Product(
        "s1-l1", "2025-01-18T17:14:04.727079Z", "2025-01-18T17:14:21.971707Z", geometry="Polygon", swath_km=80,
        bbox=(8.441154, 45.158257, 9.708185, 46.32309),
        attributes={
            "orbitNumber": 638, "relativeOrbitNumber": 15, "cycleNumber": 7, "orbitDirection": "ASCENDING",
            "polarisationChannels": ["HH", "HV"], "operationalMode": "SM", "datatakeID": 1336,
            "instrumentConfigurationID": "4", "timeliness": "Fast-24h", "swathIdentifier": ["S4"],
            "sliceProductFlag": True, "sliceNumber": 1, "totalSlices": 1, "startTimeFromAscendingNode": 735424.9,
            "processingCenter": "Production Service-SERCO", "processorVersion": "003.90",
            "processingDate": "2025-01-18T17:29:43.865787Z",
        },
    ),
}  # fmt: skip
