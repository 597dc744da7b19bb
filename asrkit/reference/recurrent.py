"""Recurrent networks: a cell that is one step of time, unrolled over sequences of different lengths.

A cell maps a frame and the state before it to the state after it. Unrolling applies it to every frame; going
backward through the same steps, last to first, is back-propagation through time (Werbos, 1990). The state is
a tuple of arrays [B, H], of which the first, h, is the output.

Gates that share their inputs are rows of one matrix, in PyTorch's order.
"""

from typing import Any

import numpy as np

from asrkit.reference.initialisation import orthogonal, xavier_uniform
from asrkit.reference.layer import Layer
from asrkit.reference.layers import sigmoid
from asrkit.reference.masks import Lengths, padding_mask
from asrkit.reference.notation import Array

State = tuple[Array, ...]


class Cell(Layer):
    """One step of a recurrent network.

    Parameters, with G gates: weight_ih [G · H, D], weight_hh [G · H, H], bias_ih, bias_hh [G · H].
    """

    gates = 1
    states = 1

    def __init__(self, inputs: int, hidden: int, generator: np.random.Generator) -> None:
        self.hidden = hidden
        rows = self.gates * hidden
        super().__init__(
            weight_ih=np.concatenate(
                [xavier_uniform(generator, (hidden, inputs)) for _ in range(self.gates)]
            ),
            weight_hh=np.concatenate([orthogonal(generator, (hidden, hidden)) for _ in range(self.gates)]),
            bias_ih=np.zeros(rows),
            bias_hh=np.zeros(rows),
        )

    def start(self, batch: int) -> State:
        """The state before the first frame, all zero."""
        return tuple(np.zeros((batch, self.hidden)) for _ in range(self.states))

    def forward(self, x: Array, state: State) -> tuple[State, Any]:
        """(x [B, D], state before) -> (state after, what backward will need)."""
        raise NotImplementedError

    def backward(self, d_state: State, cache: Any) -> tuple[Array, State]:
        """(gradient of the state after, cache) -> (dx [B, D], gradient of the state before)."""
        raise NotImplementedError

    def sums(self, x: Array, h: Array) -> tuple[Array, Array]:
        """W_ih x + b_ih and W_hh h + b_hh, each [B, G · H]."""
        from_input = x @ self.params["weight_ih"].T + self.params["bias_ih"]
        from_state = h @ self.params["weight_hh"].T + self.params["bias_hh"]
        return from_input, from_state

    def sums_backward(self, d_input: Array, d_state: Array, x: Array, h: Array) -> tuple[Array, Array]:
        """Gradients of x and h from the gradients of the two `sums`; adds to the parameters' gradients."""
        self.grads["weight_ih"] += d_input.T @ x
        self.grads["bias_ih"] += d_input.sum(axis=0)
        self.grads["weight_hh"] += d_state.T @ h
        self.grads["bias_hh"] += d_state.sum(axis=0)
        return d_input @ self.params["weight_ih"], d_state @ self.params["weight_hh"]


class RNNCell(Cell):
    """h' = tanh(W x + b + U h + c) (Elman, "Finding Structure in Time", 1990)."""

    def forward(self, x: Array, state: State) -> tuple[State, Any]:
        (h,) = state
        from_input, from_state = self.sums(x, h)
        after = np.tanh(from_input + from_state)
        return (after,), (x, h, after)

    def backward(self, d_state: State, cache: Any) -> tuple[Array, State]:
        x, h, after = cache
        d_sum = d_state[0] * (1.0 - after**2)
        dx, dh = self.sums_backward(d_sum, d_sum, x, h)
        return dx, (dh,)


class GRUCell(Cell):
    """Gated recurrent unit (Cho et al., 2014, equations 5 to 8).

        r = σ(reset)    z = σ(update)    n = tanh(W_n x + b_n + r (U_n h + c_n))    h' = (1 − z) n + z h

    The gates are in the order r, z, n. As in PyTorch and cuDNN, r is applied after U_n, not before.
    """

    gates = 3

    def forward(self, x: Array, state: State) -> tuple[State, Any]:
        (h,) = state
        from_input, from_state = self.sums(x, h)
        r_x, z_x, n_x = np.split(from_input, 3, axis=-1)
        r_h, z_h, n_h = np.split(from_state, 3, axis=-1)
        r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
        n = np.tanh(n_x + r * n_h)
        return ((1.0 - z) * n + z * h,), (x, h, r, z, n, n_h)

    def backward(self, d_state: State, cache: Any) -> tuple[Array, State]:
        x, h, r, z, n, n_h = cache
        (d_after,) = d_state
        d_n = d_after * (1.0 - z) * (1.0 - n**2)
        d_z = d_after * (h - n) * z * (1.0 - z)
        d_r = d_n * n_h * r * (1.0 - r)
        d_input = np.concatenate([d_r, d_z, d_n], axis=-1)
        d_recurrent = np.concatenate([d_r, d_z, d_n * r], axis=-1)
        dx, dh = self.sums_backward(d_input, d_recurrent, x, h)
        return dx, (dh + d_after * z,)


class LSTMCell(Cell):
    """Long short-term memory (Hochreiter, Schmidhuber, 1997; with the forget gate of Gers et al., 2000).

        i, f, o = σ(...)    g = tanh(...)    c' = f c + i g    h' = o tanh c'

    The gates are in the order i, f, g, o. State: (h, c).
    """

    gates = 4
    states = 2

    def forward(self, x: Array, state: State) -> tuple[State, Any]:
        h, c = state
        i_sum, f_sum, g_sum, o_sum = np.split(sum(self.sums(x, h)), 4, axis=-1)
        i, f, g, o = sigmoid(i_sum), sigmoid(f_sum), np.tanh(g_sum), sigmoid(o_sum)
        c_after = f * c + i * g
        tanh_c = np.tanh(c_after)
        return (o * tanh_c, c_after), (x, h, c, i, f, g, o, tanh_c)

    def backward(self, d_state: State, cache: Any) -> tuple[Array, State]:
        x, h, c, i, f, g, o, tanh_c = cache
        d_h, d_c = d_state
        d_c = d_c + d_h * o * (1.0 - tanh_c**2)
        d_sum = np.concatenate(
            [
                d_c * g * i * (1.0 - i),
                d_c * c * f * (1.0 - f),
                d_c * i * (1.0 - g**2),
                d_h * tanh_c * o * (1.0 - o),
            ],
            axis=-1,
        )
        dx, dh = self.sums_backward(d_sum, d_sum, x, h)
        return dx, (dh, d_c * f)


class Unrolled(Layer):
    """A cell applied over time, forward or in reverse, to sequences of different lengths.

    In padding the state stands still and the output is zero. In reverse the padding comes first, so that each
    sequence starts from the zero state at its own last frame.
    """

    def __init__(self, cell: Cell, reverse: bool = False) -> None:
        super().__init__()
        self.cell, self.reverse = cell, reverse
        self.include(cell=cell)

    def forward(self, x: Array, lengths: Lengths) -> Array:
        """(x [B, T, D], lengths [B]) -> y [B, T, H]."""
        batch, frames, self.inputs = x.shape
        self.valid = padding_mask(lengths, frames)[..., None]
        self.order = list(reversed(range(frames))) if self.reverse else list(range(frames))
        self.caches = {}
        y = np.zeros((batch, frames, self.cell.hidden))
        state = self.cell.start(batch)
        for t in self.order:
            valid = self.valid[:, t]
            after, self.caches[t] = self.cell.forward(np.where(valid, x[:, t], 0.0), state)
            state = tuple(np.where(valid, new, old) for new, old in zip(after, state, strict=True))
            y[:, t] = np.where(valid, state[0], 0.0)
        return y

    def backward(self, dy: Array) -> Array:
        """dy [B, T, H] -> dx [B, T, D], zero in the padding.

        No gradient needs to cross padding: it lies between the sequence and the start state, which is no
        parameter, or after the end, where the gradient is zero.
        """
        batch, frames, _ = dy.shape
        dx = np.zeros((batch, frames, self.inputs))
        d_state = self.cell.start(batch)
        for t in reversed(self.order):
            valid = self.valid[:, t]
            d_h, *d_rest = d_state
            d_after = tuple(np.where(valid, d, 0.0) for d in (d_h + dy[:, t], *d_rest))
            dx[:, t], d_state = self.cell.backward(d_after, self.caches[t])
        return dx


class Bidirectional(Layer):
    """One cell ahead and one in reverse, their outputs side by side (Schuster, Paliwal, 1997)."""

    def __init__(self, ahead: Cell, back: Cell) -> None:
        super().__init__()
        self.ahead, self.back = Unrolled(ahead), Unrolled(back, reverse=True)
        self.include(ahead=ahead, back=back)

    def forward(self, x: Array, lengths: Lengths) -> Array:
        """(x [B, T, D], lengths [B]) -> y [B, T, 2H]."""
        return np.concatenate([self.ahead.forward(x, lengths), self.back.forward(x, lengths)], axis=-1)

    def backward(self, dy: Array) -> Array:
        """dy [B, T, 2H] -> dx [B, T, D]."""
        d_ahead, d_back = np.split(dy, 2, axis=-1)
        return self.ahead.backward(d_ahead) + self.back.backward(d_back)
