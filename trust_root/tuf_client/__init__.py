"""The general client: any repository that keeps the specification of The Update Framework (1.0.31).

`trust_root/client.py` opens what we sign, in its one spelling. This package reads what others sign.
"""
