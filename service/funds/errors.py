"""Errors of the endpoints about fund companies.

::

    ServiceError
     ├ NoFundData        404  the catalog knows no positions of fund companies
     ├ UnknownFund       404  no fund of that id
     ├ UnknownCompany    404  no company of that id
     └ AuditUnavailable  503  the audit log cannot be written, so nothing is answered
"""

from service.errors import ServiceError


class NoFundData(ServiceError):
    """The catalog knows no positions of fund companies."""

    status = 404
    title = "No fund data"


class UnknownFund(ServiceError):
    """No fund of that id is in the catalog."""

    status = 404
    title = "Unknown fund"


class UnknownCompany(ServiceError):
    """No company of that id is in the catalog."""

    status = 404
    title = "Unknown company"


class AuditUnavailable(ServiceError):
    """The audit log cannot be written, so nothing that belongs into it is answered."""

    status = 503
    title = "Audit log unavailable"
