"""Course enrolment with dynamic consistency boundaries: the DCB recorder of aurora_es at work."""
