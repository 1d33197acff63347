"""The networks, in Flax NNX, and the recurrent scan that they share.

The readout is fixed once for the whole book: ``logits = W h + b`` with ``W`` of shape
(class, hidden), the transpose of Flax's kernel.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

GATES = ("i", "f", "g", "o")
"""Order of the four gates along the last axis of the cell's kernels: in, forget, cell, out."""

LIKELIHOODS = ("bernoulli", "gaussian")
LOG_VARIANCE = (-10.0, 10.0)
"""Limits of the logarithm of a variance, so that no exponential of it overflows."""


class LSTMClassifier(nnx.Module):
    """An LSTM that reads a sequence, with a linear readout of its last hidden state.

    Per step, with input x, hidden state h and cell state c (products of gates elementwise):

        i, f, o = sigmoid(W_x x + W_h h + b),  g = tanh(W_x x + W_h h + b)
        c <- f c + i g,  h <- o tanh(c)

    Args:
        feature: size of one input frame, at least 1.
        hidden: number of units, at least 1.
        classes: number of classes, at least 2.
        rngs: source of the initial parameters.

    Reference:
        Hochreiter and Schmidhuber (1997); forget bias 1 after Gers, Schmidhuber and Cummins (2000)
        and Jozefowicz, Zaremba and Sutskever (2015).
    """

    def __init__(self, feature: int, hidden: int, classes: int, *, rngs: nnx.Rngs):
        self.cell = _lstm(feature, hidden, rngs)
        self.readout = nnx.Linear(hidden, classes, rngs=rngs)

    def __call__(self, inputs: Float[Array, "batch time feature"]) -> Float[Array, "batch class"]:
        """Return the logits read from the last hidden state."""
        (_, last), _ = _scan(self.cell, inputs, keep=False)
        return self.readout(last)

    def states(
        self, inputs: Float[Array, "batch time feature"]
    ) -> Float[Array, "batch time hidden"]:
        """Return the hidden state after every frame."""
        return unroll(self.cell, inputs)


class Trajectory(NamedTuple):
    """What a sequence-to-sequence network went through.

    Attributes:
        encoder: hidden state after each frame that the encoder read.
        decoder: hidden state after each frame that the decoder was fed.
        outputs: predicted frames, one per decoder state.
    """

    encoder: Float[Array, "batch read hidden"]
    decoder: Float[Array, "batch time hidden"]
    outputs: Float[Array, "batch time feature"]


class Seq2Seq(nnx.Module):
    """An encoder that reads a sequence, and a decoder that goes on from where it ended.

    The encoder reads all frames but the last. The decoder starts from the encoder's last state and
    the last frame, and is then fed its own outputs (closed loop), in training as in use:

        h <- cell(h, y),  y <- W h + b  or, with ``residual``,  y <- y + W h + b

    Args:
        feature: size of one frame, at least 1.
        hidden: number of units, at least 1.
        cell: "gru" or "lstm".
        tied: whether encoder and decoder are one cell, as in Su and Shlizerman.
        residual: whether the decoder predicts the change from frame to frame.
        rngs: source of the initial parameters.

    Raises:
        ValueError: if the cell is unknown.

    Reference:
        Sutskever, Vinyals and Le (2014); Cho and others (2014); Martinez, Black and Romero (2017)
        for the residual decoder; Su and Shlizerman (2020).
    """

    def __init__(
        self,
        feature: int,
        hidden: int,
        *,
        cell: str = "gru",
        tied: bool = True,
        residual: bool = False,
        rngs: nnx.Rngs,
    ):
        if cell not in CELLS:
            raise ValueError(f"cell {cell!r} is unknown: choose from {', '.join(CELLS)}.")
        self.encoder = CELLS[cell](feature, hidden, rngs)
        self.decoder = self.encoder if tied else CELLS[cell](feature, hidden, rngs)
        self.readout = nnx.Linear(hidden, feature, rngs=rngs)
        self.residual = residual

    def __call__(
        self, inputs: Float[Array, "batch read feature"], frames: int
    ) -> Float[Array, "batch time feature"]:
        """Return the predicted frames that follow the inputs."""
        return self.trajectory(inputs, frames).outputs

    def trajectory(self, inputs: Float[Array, "batch read feature"], frames: int) -> Trajectory:
        """Read the inputs, predict the frames that follow, and keep every hidden state.

        Args:
            inputs: at least two frames.
            frames: how many to predict, at least 1.

        Raises:
            ValueError: if there are too few frames to read or to predict.
        """
        if inputs.shape[1] < 2 or frames < 1:
            raise ValueError(
                f"{inputs.shape[1]} frames to read and {frames} to predict: "
                "give at least 2 to read and 1 to predict."
            )
        carry, encoder = _scan(self.encoder, inputs[:, :-1], keep=True)
        decoder, outputs = self.decode(carry, inputs[:, -1], frames)
        return Trajectory(jnp.swapaxes(encoder, 0, 1), decoder, outputs)

    def decode(
        self, carry: Any, frame: Float[Array, "batch feature"], frames: int
    ) -> tuple[Float[Array, "batch time hidden"], Float[Array, "batch time feature"]]:
        """Run the decoder in closed loop.

        Args:
            carry: of the cell, as it stands; the hidden state for a GRU.
            frame: the first that is fed.
            frames: how many to predict.

        Returns:
            The hidden state after each frame, and the predicted frames.
        """

        def step(carried: tuple[Any, Array], _: None) -> tuple[Any, tuple[Array, Array]]:
            carry, fed = carried
            carry, hidden = self.decoder(carry, fed)
            output = self.readout(hidden) + (fed if self.residual else 0.0)
            return (carry, output), (hidden, output)

        _, (hidden, outputs) = jax.lax.scan(step, (carry, frame), length=frames)
        return jnp.swapaxes(hidden, 0, 1), jnp.swapaxes(outputs, 0, 1)


class Posterior(NamedTuple):
    """A normal distribution over latent vectors for each sample, with independent coordinates.

    Attributes:
        mean: of each coordinate.
        log_variance: natural logarithm of the variance, within ``LOG_VARIANCE``.
    """

    mean: Float[Array, "batch latent"]
    log_variance: Float[Array, "batch latent"]


class LSTMVAE(nnx.Module):
    """A variational autoencoder of sequences: an LSTM reads, another draws from a latent vector.

    The encoder reads the rows; its last state h gives the posterior of the latent vector z. The
    decoder starts from a state made of z, is fed z at every step and never what it has drawn, so
    that z alone can carry the sequence (products elementwise, W and b of each map its own):

        mean, log variance = W h + b,  z = mean + exp(log variance / 2) noise
        h_0 = tanh(W z + b),  c_0 = W z + b,  h <- cell(h, z),  y = W h + b

    Args:
        frames: length of a sequence, at least 1.
        feature: size of one frame, at least 1.
        hidden: number of units of the encoder, and of the decoder.
        latent: size of the latent vector, at least 1.
        likelihood: "bernoulli", for frames in [0, 1], of which the outputs are the logits; or
            "gaussian", for real frames: the outputs are their means, and one variance for all is
            learnt (``noise``, its logarithm).
        rngs: source of the initial parameters.

    Raises:
        ValueError: if a size is below 1, or the likelihood is unknown.

    Reference:
        Kingma and Welling (2014); Bowman and others (2016) for sequences; Rybkin, Daniilidis and
        Levine (2021) for the learnt variance.
    """

    def __init__(
        self,
        frames: int,
        feature: int,
        hidden: int,
        latent: int,
        *,
        likelihood: str = "bernoulli",
        rngs: nnx.Rngs,
    ):
        _check_autoencoder(frames, feature, hidden, latent, likelihood)
        self.encoder = _lstm(feature, hidden, rngs)
        self.posterior = nnx.Linear(hidden, 2 * latent, rngs=rngs)
        self.start = nnx.Linear(latent, 2 * hidden, rngs=rngs)
        self.decoder = _lstm(latent, hidden, rngs)
        self.readout = nnx.Linear(hidden, feature, rngs=rngs)
        self.noise = _noise(likelihood)
        self.frames = frames

    def encode(self, inputs: Float[Array, "batch time feature"]) -> Posterior:
        """Return the posterior of the latent vector, read from the encoder's last state."""
        (_, last), _ = _scan(self.encoder, inputs, keep=False)
        return _posterior(self.posterior(last))

    def decode(self, latent: Float[Array, "batch latent"]) -> Float[Array, "batch time feature"]:
        """Return what is drawn from latent vectors: logits, or means if the model is Gaussian."""
        return self.readout(self.drawing(latent))

    def reading(
        self, inputs: Float[Array, "batch time feature"]
    ) -> Float[Array, "batch time hidden"]:
        """Return the encoder's hidden state after every frame."""
        return unroll(self.encoder, inputs)

    def drawing(self, latent: Float[Array, "batch latent"]) -> Float[Array, "batch time hidden"]:
        """Return the decoder's hidden state at every frame."""
        cell, hidden = jnp.split(self.start(latent), 2, axis=-1)
        fed = jnp.broadcast_to(latent[:, None], (len(latent), self.frames, latent.shape[1]))
        start = cell, jnp.tanh(hidden)
        return jnp.swapaxes(_scan(self.decoder, fed, keep=True, start=start)[1], 0, 1)


class MLPVAE(nnx.Module):
    """A variational autoencoder with two hidden layers on each side, for comparison.

    It takes the whole sequence as one vector; otherwise as ``LSTMVAE``.

    Args:
        frames: length of a sequence, at least 1.
        feature: size of one frame, at least 1.
        hidden: number of units of each hidden layer, with ReLU.
        latent: size of the latent vector, at least 1.
        likelihood: as of ``LSTMVAE``.
        rngs: source of the initial parameters.

    Raises:
        ValueError: if a size is below 1, or the likelihood is unknown.

    Reference:
        Kingma and Welling (2014); the layers are those of Burda, Grosse and Salakhutdinov (2016),
        with ReLU for their tanh.
    """

    def __init__(
        self,
        frames: int,
        feature: int,
        hidden: int,
        latent: int,
        *,
        likelihood: str = "bernoulli",
        rngs: nnx.Rngs,
    ):
        _check_autoencoder(frames, feature, hidden, latent, likelihood)
        self.read = nnx.Linear(frames * feature, hidden, rngs=rngs)
        self.read_on = nnx.Linear(hidden, hidden, rngs=rngs)
        self.posterior = nnx.Linear(hidden, 2 * latent, rngs=rngs)
        self.draw = nnx.Linear(latent, hidden, rngs=rngs)
        self.draw_on = nnx.Linear(hidden, hidden, rngs=rngs)
        self.readout = nnx.Linear(hidden, frames * feature, rngs=rngs)
        self.noise = _noise(likelihood)
        self.frames = frames

    def encode(self, inputs: Float[Array, "batch time feature"]) -> Posterior:
        """Return the posterior of the latent vector."""
        hidden = nnx.relu(self.read(inputs.reshape(len(inputs), -1)))
        return _posterior(self.posterior(nnx.relu(self.read_on(hidden))))

    def decode(self, latent: Float[Array, "batch latent"]) -> Float[Array, "batch time feature"]:
        """Return what is drawn from latent vectors: logits, or means if the model is Gaussian."""
        hidden = nnx.relu(self.draw_on(nnx.relu(self.draw(latent))))
        return self.readout(hidden).reshape(len(latent), self.frames, -1)


def unroll(
    cell: nnx.RNNCellBase, inputs: Float[Array, "batch time feature"]
) -> Float[Array, "batch time hidden"]:
    """Run a recurrent cell over a sequence from a zero state and keep every hidden state.

    Args:
        cell: any Flax recurrent cell; its output is the hidden state.
        inputs: one sequence per row of the batch, at least one frame long.

    Returns:
        The hidden state after each frame.
    """
    return jnp.swapaxes(_scan(cell, inputs, keep=True)[1], 0, 1)


def _scan(cell: Any, inputs: Array, keep: bool, start: Any = None) -> tuple[Any, Any]:
    def step(carry: Any, frame: Array) -> tuple[Any, Any]:
        carry, output = cell(carry, frame)
        return carry, output if keep else None

    if start is None:
        start = cell.initialize_carry(inputs[:, 0].shape, nnx.Rngs(0))
    return jax.lax.scan(step, start, jnp.swapaxes(inputs, 0, 1))


def orthogonal_gates(
    key: PRNGKeyArray, shape: tuple[int, int], dtype: Any = jnp.float32, **_: Any
) -> Float[Array, "hidden gates"]:
    """Draw one random orthogonal recurrent matrix per gate, side by side.

    Args:
        key: random key.
        shape: (hidden, gates * hidden).
        dtype: of the result.

    Reference:
        Saxe, McClelland and Ganguli (2014).
    """
    hidden, columns = shape
    draw = jax.nn.initializers.orthogonal()
    blocks = [draw(k, (hidden, hidden), dtype) for k in jax.random.split(key, columns // hidden)]
    return jnp.concatenate(blocks, axis=1)


def open_forget_gate(
    key: PRNGKeyArray, shape: tuple[int], dtype: Any = jnp.float32, **_: Any
) -> Float[Array, " gates"]:
    """Return gate biases of zero, but one for the forget gate, so that memory starts open."""
    gates = jnp.zeros((len(GATES), shape[0] // len(GATES)), dtype)
    return gates.at[GATES.index("f")].set(1).reshape(shape)


def _check_autoencoder(
    frames: int, feature: int, hidden: int, latent: int, likelihood: str
) -> None:
    sizes = {"frames": frames, "feature": feature, "hidden": hidden, "latent": latent}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}: give a whole number of at least 1.")
    if likelihood not in LIKELIHOODS:
        known = ", ".join(LIKELIHOODS)
        raise ValueError(f"likelihood {likelihood!r} is unknown: choose from {known}.")


def _noise(likelihood: str) -> nnx.Param | None:
    return nnx.Param(jnp.zeros(())) if likelihood == "gaussian" else None


def _posterior(outputs: Array) -> Posterior:
    mean, log_variance = jnp.split(outputs, 2, axis=-1)
    return Posterior(mean, jnp.clip(log_variance, *LOG_VARIANCE))


def _gru(feature: int, hidden: int, rngs: nnx.Rngs) -> nnx.RNNCellBase:
    return nnx.GRUCell(feature, hidden, recurrent_kernel_init=orthogonal_gates, rngs=rngs)


def _lstm(feature: int, hidden: int, rngs: nnx.Rngs) -> nnx.RNNCellBase:
    return nnx.OptimizedLSTMCell(
        feature,
        hidden,
        recurrent_kernel_init=orthogonal_gates,
        bias_init=open_forget_gate,
        rngs=rngs,
    )


CELLS = {"gru": _gru, "lstm": _lstm}
"""What makes each recurrent cell, by name."""
