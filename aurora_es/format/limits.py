"""Limits of the format; every length read from disk is checked against one of these first."""

from __future__ import annotations

RECORD_BYTES_MAX = 1 << 24
COMMIT_BYTES_MAX = 1 << 28
FRAMES_IN_COMMIT_MAX = 65_535
FRAME_BYTES_TARGET = 1 << 14
# A frame holds one record of the greatest size at least, its commit id and its tracking record.
FRAME_RAW_BYTES_MAX = RECORD_BYTES_MAX + (1 << 17)
TRACKING_NAME_BYTES_MAX = 1 << 16
# Deeper nesting could be written on a shallow stack and not be read again on a deep one.
METADATA_DEPTH_MAX = 64
VERSION_MIN, VERSION_MAX = -(1 << 63), (1 << 63) - 1
# The last microsecond of the year 9999: what a datetime can say.
TIMESTAMP_MAX = 253_402_300_799_999_999
POSITION_MAX = (1 << 64) - 1  # what a header can hold
NOTIFICATION_ID_MAX = (1 << 63) - 1
MANIFEST_BYTES_MAX = 1 << 26
# A fence of this many blocks takes 128 MiB of memory, for a run of a thousand million entries.
RUN_BLOCKS_MAX = 1 << 24
RUN_DIRECTORY_BYTES_MAX = 1 << 26
RUN_TOPICS_BYTES_MAX = 1 << 20
# More than a segment of 1 GiB and one commit of the greatest size can hold.
FRAME_TABLE_ENTRIES_MAX = 1 << 24
# Behind the last complete commit of a tail there is one write at most, and zeros ahead of the next.
TAIL_SLACK_BYTES_MAX = 1 << 30
