"""E7: a language model as judge, calibrated against people.

`prompt` quotes what is judged, `verdict` reads what the judge says, `judge` asks, `pairs` asks in
both orders, `calibration` tells how far the judge agrees with people and corrects for its error,
`metric` makes it a metric that gates may stand on.
"""
