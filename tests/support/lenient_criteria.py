"""Criteria that refuse nothing, for phases too short to be valid on a busy machine."""

from loadtest.analysis.validity import Thresholds
from loadtest.commands import Criteria

REFUSE_NOTHING = Criteria(
    Thresholds(lateness_ms=1e6, achieved_share=0.0, client_cpu_share=9.0, other_cpu_share=9.0)
)
