"""Bundles: what lies on disk, and what it means.

A bundle is a folder with one exported classifier and its manifest; a registry is a folder of
families of bundles. Every file is parsed and verified here, and a bundle is published in one step.
Start reading at bundle.py, registry.py and traffic.py.
"""
