"""What people see, made of values: pages with their one style, charts, reports as text and CSV, a link's story.

LAW: values in, text and markup out. It knows neither Flask nor a store nor a service, so the console, the sandbox's
page and the HTML report look alike. Everything that comes from outside is escaped here. The library that draws a
report's charts is loaded with the first of them: a process that shows none does not carry it.
"""
