"""Characters for the text of properties."""

from hypothesis import strategies as st

# Those of `st.text()`, which takes 2.5 s of processor time to find them through its codec.
ANY = st.characters(exclude_categories=["Cs"])
