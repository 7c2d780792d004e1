"""What may be wrong with an installation, found before users find it."""

from service.doctor.examination import examine
from service.doctor.finding import Finding

__all__ = ["Finding", "examine"]
