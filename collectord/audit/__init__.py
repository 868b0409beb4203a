"""Is this dataset worth training on, and what should the backlog hold next? Pure answers, then views.

`gather` reads the index once into `facts`; each answer is a pure function of those values; `document`
joins them into one JSON document, and the terminal and HTML views show nothing that is not in it.
"""
