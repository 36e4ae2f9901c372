"""Cells of a table to the rows of a source: one file for each kind of input, and `reader.py`, which joins them.

A kind is a class like `Features`: its constructor takes the `Input`, and `read(cell)` returns the rows of one cell,
`[P, F]` in 32 bits, or raises a `DataError` that says what is wrong with the cell.
"""
