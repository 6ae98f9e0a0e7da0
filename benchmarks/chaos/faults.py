"""All faults and attacks, in the order in which they are played."""

from __future__ import annotations

from chaos import (
    access_attacks,
    connection_faults,
    desk_faults,
    process_faults,
    request_attacks,
    upstream_faults,
)
from chaos.trial import Fault

GATEWAY: tuple[Fault, ...] = (
    upstream_faults.upstream_refuses,
    upstream_faults.upstream_hangs,
    upstream_faults.upstream_resets,
    upstream_faults.upstream_sends_garbage,
    upstream_faults.upstream_sends_too_much,
    upstream_faults.upstream_sends_500s,
    upstream_faults.upstream_is_slow,
    process_faults.gateway_killed,
    process_faults.disk_full,
    process_faults.clock_jumps,
    connection_faults.idle_connections,
    connection_faults.slow_headers,
    connection_faults.slow_bodies,
    connection_faults.slow_chunks,
    connection_faults.huge_bodies,
    request_attacks.invalid_json,
    request_attacks.invalid_utf8,
    request_attacks.deep_nesting,
    request_attacks.huge_numbers,
    request_attacks.duplicate_keys,
    request_attacks.compressed_bombs,
    access_attacks.header_injection,
    access_attacks.forged_feedback,
    access_attacks.foreign_key,
    access_attacks.path_tricks,
)
DESK: tuple[Fault, ...] = (
    desk_faults.model_server_killed,
    desk_faults.workers_killed,
    desk_faults.supervisor_killed,
    desk_faults.database_locked,
    desk_faults.database_gone,
    desk_faults.postgres_gone,
)
"""Those that take a whole `tuneloop up`."""
FAULTS = (*GATEWAY, *DESK)
