"""The pages that a browser shows: the playground and the family's page.

They hold no data and load nothing from another host: what they show they ask the API for, with
the reader's own key. Start reading at files.py, which reads them.
"""
