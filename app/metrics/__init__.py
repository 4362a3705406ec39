"""What the bridge counts, and the text Prometheus reads.

LAW: every metric is declared here. Web processes and the worker beside them count into files of one folder, and
whichever web process is asked adds them all up; a worker that serves its own metrics counts in its memory alone. So no
count is told in two places. What can be read off the store (what waits, what is dead) is read when it is asked for.
prometheus_client decides when it is imported whether it counts into files: nothing here imports it before it must.
"""

from app.metrics.counters import PrometheusMeter, meter
from app.metrics.exposition import CONTENT_TYPE, FRESH_SECONDS, once_a_second, program_version, text
from app.metrics.folder import FOLDER_VARIABLE, count_alone, join, mark_process_dead, prepare

__all__ = [
    "CONTENT_TYPE",
    "FOLDER_VARIABLE",
    "FRESH_SECONDS",
    "PrometheusMeter",
    "count_alone",
    "join",
    "mark_process_dead",
    "meter",
    "once_a_second",
    "prepare",
    "program_version",
    "text",
]
