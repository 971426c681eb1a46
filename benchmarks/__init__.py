"""
What the platform costs, measured against a floor: `uv run python -m benchmarks`; see docs/performance.md.

    ground ── servers, data, people ──► floor · peers · platform serve ◄── wrk
                                              └── one table, one JSON, one picture
"""
