"""The papers' tables, run again: which runs there are, what each gave, and the tables that follow from them."""
