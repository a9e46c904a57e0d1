"""What the real session information blocks say of themselves."""

from tests.real_products.model import Product

_SESSION = "L20171109175634707000125"
_START = "2017-12-13T14:59:48.000000Z"

SESSIONS = {
    f"DCS_02_{_SESSION}_ch{channel}_DSIB.xml": Product(
        "session-information", _START, "2017-12-13T15:17:25.000000Z",
        attributes={
            "productType": "SESSION", "sessionIdentifier": _SESSION, "stationUnitId": "02", "channel": channel,
            "sessionCreated": _START, "sessionFinished": "2017-12-13T15:16:58.000000Z", "dataSize": 36014692600,
            "blockNames": [f"DCS_02_{_SESSION}_ch{channel}_DSDB_{number:05d}.raw" for number in range(1, 36)],
        },
    )
    for channel in (1, 2)
}  # fmt: skip
