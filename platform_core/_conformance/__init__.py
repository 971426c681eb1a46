"""
Grades a module by running it: `platform modules check --conformance PATH`; private to the kernel.

    PATH ─ environment ─► a virtual environment, servers and a folder of its own, thrown away afterwards
         ─ runner      ─► each check in a process of its own, with a time limit: `alone`, then one file per kind
         ─ grades      ─► what it comes to
         ─ report, badge ─► for people, for scripts, for a README

`catalogue` is the one list of checks; the page in the documentation is written from it. Checks that need a running
platform use the published test kit, so that a module's author can do the same by hand.
"""
