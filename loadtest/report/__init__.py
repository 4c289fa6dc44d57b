"""The report: raw times to report.json, Markdown, HTML and plots.

Start reading at build.py.
"""
