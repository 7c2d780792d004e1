"""Which companies a fund newly invests in next quarter, measured on imported filings."""
