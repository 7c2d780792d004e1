"""Examples of requests and answers for the OpenAPI document."""

from typing import Any, TypeAlias

from service.funds.disclaimer import DISCLAIMER

# Any: JSON.
Json: TypeAlias = dict[str, Any]

_FRAME: Json = {
    "recommendation_id": "5d2c8c54a1f14b6f8a3f0c6c1f9a2b7e",
    "model_version": "20260131T120000123456Z-0a1b2c3d",
    "catalog": "funds",
    "data_date": "2025-12-31",
    "filed_until": "2026-02-17",
    "disclaimer": DISCLAIMER,
}
_FUND: Json = {"fund_id": "0001036325", "name": "DAVIS"}
_COMPANY: Json = {"company_id": "001084", "name": "AGCO Corporation", "sector": "Industrials"}
_OTHER: Json = {"company_id": "244199", "name": "Deere & Company", "sector": "Industrials"}
_SUMMARY: Json = {
    **_FUND,
    "cik": "0001036325",
    "quarter": "2025Q4",
    "quarter_end": "2025-12-31",
    "filed": "2026-02-12",
    "num_holdings": 104,
    "value_usd": 1.9e10,
}
_CHANGES: Json = {"new": 6, "increased": 31, "reduced": 48, "held": 19, "closed": 4}

FUNDS: Json = {**_FRAME, "total": 1, "funds": [_SUMMARY]}
COMPANIES: Json = {**_FRAME, "total": 1, "companies": [_COMPANY]}
FUND: Json = {
    **_FRAME,
    **_SUMMARY,
    "holdings": [
        {**_COMPANY, "rank": 1, "value_usd": 1.6e8, "portfolio_share": 0.008, "change": "reduced"}
    ],
    "sectors": [
        {
            "sector": "Industrials",
            "num_companies": 9,
            "value_usd": 1.1e9,
            "portfolio_share": 0.06,
        }
    ],
    "history": [
        {
            "quarter": "2025Q4",
            "quarter_end": "2025-12-31",
            "filed": "2026-02-12",
            "num_holdings": 104,
            "value_usd": 1.9e10,
            **_CHANGES,
        }
    ],
}
SUITABILITY: Json = {
    "k": 10,
    "country": ["United States"],
    "size": ["Large Cap", "Mid Cap"],
    "exclude_sector": ["Energy"],
    "exclude": ["001084"],
    "max_per_sector": 2,
}
INVESTMENTS: Json = {
    **_FRAME,
    **_FUND,
    "quarter": "2025Q4",
    "investments": [
        {
            **_COMPANY,
            "rank": 1,
            "score": 2.41,
            "source": "model",
            "held": False,
            "formerly_held": True,
            "num_funds": 31,
            "reasons": [
                {
                    "kind": "domain",
                    "field": "sector",
                    "value": "Industrials",
                    "portfolio_share": 0.12,
                    "usual_share": 0.09,
                    "num_companies": 9,
                },
                {
                    "kind": "funds",
                    "num_funds": 12,
                    "funds": [
                        {
                            "fund_id": "0000200217",
                            "name": "DODGE & COX",
                            "similarity": 0.61,
                            "portfolio_share": 0.011,
                        }
                    ],
                },
                {"kind": "companies", "companies": [{**_OTHER, "similarity": 0.83}]},
            ],
        }
    ],
    "rules": [{"rule": "held", "removed": 104}, {"rule": "sector", "removed": 2914}],
    "unknown_excluded": [],
    "degraded": False,
}
SIMILAR: Json = {
    **_FRAME,
    **_FUND,
    "by": "portfolio",
    "funds": [{**_SUMMARY, "rank": 1, "similarity": 0.61, "overlap": 0.34, "num_common": 41}],
}
COMPANY: Json = {
    **_FRAME,
    **_COMPANY,
    "num_holders": 31,
    "value_usd": 7.2e8,
    "metadata": {"name": "AGCO Corporation", "sector": "Industrials", "country": "United States"},
    "history": [
        {
            "quarter": "2025Q4",
            "quarter_end": "2025-12-31",
            "num_holders": 31,
            "value_usd": 7.2e8,
            **_CHANGES,
        }
    ],
}
INVESTORS: Json = {
    **_FRAME,
    **_COMPANY,
    "num_holders": 31,
    "holders": [
        {
            **_FUND,
            "rank": 1,
            "quarter": "2025Q4",
            "value_usd": 1.6e8,
            "portfolio_share": 0.008,
            "change": "reduced",
        }
    ],
    "expected": [
        {**_FUND, "fund_id": "0000200217", "name": "DODGE & COX", "rank": 1, "score": 2.7}
    ],
}
_MOMENTUM: Json = {"num_holders": 31, "entered": 5, "left": 2, "momentum": 0.09}
TRENDS: Json = {
    **_FRAME,
    "quarter": "2025Q4",
    "per_fund": 20,
    "num_funds": 96,
    "companies": [
        {**_COMPANY, "rank": 1, "num_funds": 14, "score": 2.9, "funds": [_FUND], **_MOMENTUM}
    ],
    "sectors": [{"sector": "Industrials", "num_funds": 61, "expected_share": 0.17, **_MOMENTUM}],
}
