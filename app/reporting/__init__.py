"""Reports as people read them: text, CSV, one HTML page with charts.

LAW: dictionaries in (``services.report``), text out. Only commands come here: the library that draws weighs too much
for a process that stays.
"""
