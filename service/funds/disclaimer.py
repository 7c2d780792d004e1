"""The statement that every answer about fund companies carries."""

DISCLAIMER = (
    "Computed by a statistical model from public filings, which are weeks old when they are filed"
    " and do not show every position. This is no investment advice, no offer and no forecast of"
    " returns."
)
