"""RNNatomy: what a recurrent network has learnt, taken apart with small, pure functions.

Each module stands alone; import the one you need, such as ``from rnnatomy import svd``.
"""
