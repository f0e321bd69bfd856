"""Care for stores: is a journal whole, what exactly is wrong, what is lost."""

from aurora_es.care.findings import Finding
from aurora_es.care.verify import VerifiedSegment, VerifyReport, verify

__all__ = ["Finding", "VerifiedSegment", "VerifyReport", "verify"]
