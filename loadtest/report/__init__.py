"""Reports: raw times in, report.json, report.md, report.html and plots out.

A report can be rebuilt from its raw times at any time. Start reading at build.py, verdict.py and
html_page.py.
"""
