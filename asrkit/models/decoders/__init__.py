"""Attention decoders: what writes tokens while looking at an encoder's output.

Both offer the same: ``forward(tokens, encoded)`` to logits of all tokens at once, ``start`` and ``step``
to go token by token with a state, and ``maps`` to see where they looked. Tokens are inputs: ``<sos/eos>``
comes first, and the logits after token u are those of token u + 1.
"""
