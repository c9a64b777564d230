"""The role `console`: pages and API over HTTP, on port 8701. Read in this order:

`route` (what a line of the route table says), `door` (a request's way: who asks, may they, what do they ask, the answer), `viewer` and
`sessions` (who asks), `answers` (every refusal with its words), `role` (what runs). The table itself is `console/api/__init__.py` for the
API and `console/pages/__init__.py` for the pages; both go through the same door, so a permission is written once, beside its route.
"""
