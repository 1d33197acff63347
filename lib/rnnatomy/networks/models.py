"""The networks, in Flax NNX: classifiers, a predictor, two autoencoders, and any stack of layers.

A recurrent one takes the name of its cell (``cells.CELLS``); each keeps the arguments that it was
made with, so that a run on disk can be put together again from its config. The readout is fixed
once for the whole book: ``logits = W h + b`` with ``W`` of shape (class, hidden), the transpose of
Flax's kernel.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from rnnatomy.analysis import checks
from rnnatomy.networks import cells

LIKELIHOODS = ("bernoulli", "gaussian")
"""What a decoder's outputs may be: logits of zeros and ones, or means of real numbers."""

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": nnx.relu, "tanh": jnp.tanh}
"""What the units of a hidden layer without time may make of their inputs, by name."""

LOG_VARIANCE = (-10.0, 10.0)
"""Limits of the logarithm of a variance, so that no exponential of it overflows."""

READS = ("last", "ends", "mean", "max", "each")
"""What a readout may read of the states of whole sequences: that after the last frame; the one each
direction ends in; their mean, or the largest of each unit, over frames; or each of them."""

SIZES = ("frames", "feature", "hidden", "latent", "classes")
"""Arguments of networks that are whole numbers."""

SWITCHES = ("tied", "residual", "both_ways")
"""Arguments of networks that are true or false."""


class Network(nnx.Module):
    """What all networks have in common: a config from which they can be made again.

    Attributes:
        RECURRENT: names of the attributes that hold the arrays of a recurrent cell; the first of
            these cells reads the inputs.
        arguments: what the network was made with, by name, but its random source.
        entry: of its recurrent cell, if it has one.
    """

    RECURRENT: tuple[str, ...] = ()
    arguments: tuple[tuple[str, Any], ...]
    entry: cells.Cell

    @property
    def config(self) -> dict[str, Any]:
        """The model's name and the arguments that it was made with."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in self.arguments}
        return {"model": type(self).__name__, **plain}

    def states(
        self, inputs: Float[Array, "batch time feature"]
    ) -> Float[Array, "batch time hidden"]:
        """Return the hidden state of the cell that reads the inputs, after every frame.

        Raises:
            ValueError: if the network is not recurrent.
        """
        if not self.RECURRENT:
            name = type(self).__name__
            raise ValueError(f"a {name} has no hidden states: give a recurrent network.")
        reader = getattr(self, self.RECURRENT[0])
        return cells.unroll(self.entry, reader, self._start(inputs), inputs)

    def features(self, inputs: Float[Array, "batch time feature"]) -> Float[Array, "batch hidden"]:
        """Return what is kept of a whole sequence: here the last of its hidden states.

        Raises:
            ValueError: if the network keeps no such thing.
        """
        return self.states(inputs)[:, -1]

    def _start(self, inputs: Array) -> cells.Carry:
        hidden = dict(self.arguments)["hidden"]
        return cells.initial_carry(self.entry, len(inputs), hidden, inputs.dtype)


class Classifier(Network):
    """A recurrent cell that reads a sequence, with a linear readout of its last hidden state.

    Per step of an LSTM, with input x, hidden state h and cell state c (gates multiply elementwise):

        i, f, o = sigmoid(W_x x + W_h h + b),  g = tanh(W_x x + W_h h + b)
        c <- f c + i g,  h <- o tanh(c)

    Args:
        feature: size of one input frame, at least 1.
        hidden: number of units, at least 1.
        classes: number of classes, at least 1.
        cell: name of the recurrent cell, see ``cells.CELLS``.
        rngs: source of the initial parameters.

    Raises:
        ValueError: if a size is no whole number of at least 1, or the cell is unknown.

    Reference:
        Hochreiter and Schmidhuber (1997); forget bias 1 after Gers, Schmidhuber and Cummins (2000)
        and Jozefowicz, Zaremba and Sutskever (2015).
    """

    RECURRENT = ("cell",)

    def __init__(
        self, feature: int, hidden: int, classes: int, *, cell: str = "lstm", rngs: nnx.Rngs
    ):
        self.arguments = _arguments(feature=feature, hidden=hidden, classes=classes, cell=cell)
        self.entry = cells.find(cell)
        self.cell = self.entry.make(feature, hidden, rngs)
        self.readout = nnx.Linear(hidden, classes, rngs=rngs)

    def __call__(self, inputs: Float[Array, "batch time feature"]) -> Float[Array, "batch class"]:
        """Return the logits read from the last hidden state."""
        entry, start = self.entry, self._start(inputs)
        carry, _ = cells.scan(entry, self.cell, start, inputs, keep=False)
        return self.readout(entry.hidden(carry))


class MLP(Network):
    """A perceptron with two hidden layers, which takes the whole sequence as one vector.

    With an activation a, a vector of all pixels x and the last hidden layer h:

        h = a(W a(W x + b) + b),  logits = W h + b

    Args:
        frames: length of a sequence, at least 1.
        feature: size of one frame, at least 1.
        hidden: number of units of the second hidden layer, at least 1; the first has twice as many.
        classes: number of classes, at least 1.
        activation: of the hidden layers, one of ``ACTIVATIONS``.
        rngs: source of the initial parameters.

    Raises:
        ValueError: if a size is no whole number of at least 1, or the activation is unknown.

    Reference:
        Rumelhart, Hinton and Williams (1986).
    """

    def __init__(
        self,
        frames: int,
        feature: int,
        hidden: int,
        classes: int,
        *,
        activation: str = "relu",
        rngs: nnx.Rngs,
    ):
        self.arguments = _arguments(
            frames=frames, feature=feature, hidden=hidden, classes=classes, activation=activation
        )
        self.read = nnx.Linear(frames * feature, 2 * hidden, rngs=rngs)
        self.read_on = nnx.Linear(2 * hidden, hidden, rngs=rngs)
        self.readout = nnx.Linear(hidden, classes, rngs=rngs)

    def __call__(self, inputs: Float[Array, "batch time feature"]) -> Float[Array, "batch class"]:
        """Return the logits read from the last hidden layer."""
        return self.readout(self.features(inputs))

    def features(self, inputs: Float[Array, "batch time feature"]) -> Float[Array, "batch hidden"]:
        """Return the last hidden layer.

        Raises:
            ValueError: if the sequences have another length.
        """
        activation = ACTIVATIONS[dict(self.arguments)["activation"]]
        return activation(self.read_on(activation(self.read(_flat(self, inputs)))))


class Logistic(Network):
    """Multinomial logistic regression: a linear readout of all pixels, with nothing before it.

    Args:
        frames: length of a sequence, at least 1.
        feature: size of one frame, at least 1.
        classes: number of classes, at least 1.
        rngs: source of the initial parameters.

    Raises:
        ValueError: if a size is no whole number of at least 1.

    Reference:
        Cox (1966).
    """

    def __init__(self, frames: int, feature: int, classes: int, *, rngs: nnx.Rngs):
        self.arguments = _arguments(frames=frames, feature=feature, classes=classes)
        self.readout = nnx.Linear(frames * feature, classes, rngs=rngs)

    def __call__(self, inputs: Float[Array, "batch time feature"]) -> Float[Array, "batch class"]:
        """Return the logits read from the pixels."""
        return self.readout(self.features(inputs))

    def features(self, inputs: Float[Array, "batch time feature"]) -> Float[Array, "batch hidden"]:
        """Return all pixels of a sequence in a row, frame after frame.

        Raises:
            ValueError: if the sequences have another length.
        """
        return _flat(self, inputs)


class Stacked(Network):
    """Recurrent layers on one another with a linear readout, as networks from elsewhere have.

    The first layer reads the frames, the next one its hidden states, and so on. With ``both_ways``
    each layer has a second cell that reads from the last frame to the first, and a state is that of
    both, side by side.

    Args:
        feature: size of one input frame, at least 1.
        hidden: units of each layer, each at least 1.
        classes: size of an output, at least 1.
        cell: name of the recurrent cell of all layers, see ``cells.CELLS``.
        both_ways: whether layers read in both directions.
        reads: what the readout reads, one of ``READS``.
        norm: None; or what is added to the variance if that which the readout reads is brought to
            mean 0 and variance 1 over units before, with a scale and an offset of each (layer
            normalisation).
        rngs: source of the initial parameters.

    Raises:
        ValueError: if a size is no whole number of at least 1, or a name is unknown.

    Reference:
        Graves, Mohamed and Hinton (2013) for layers; Schuster and Paliwal (1997) for both ways; Ba,
        Kiros and Hinton (2016) for the normalisation.
    """

    RECURRENT: tuple[str, ...] = ("layer_0",)  # and as many more as it is made with

    def __init__(
        self,
        feature: int,
        hidden: Sequence[int],
        classes: int,
        *,
        cell: str = "lstm",
        both_ways: bool = False,
        reads: str = "last",
        norm: float | None = None,
        rngs: nnx.Rngs,
    ):
        self.arguments = _arguments(
            feature=feature, hidden=_widths(hidden), classes=classes, cell=cell,
            both_ways=both_ways, reads=reads, norm=norm,
        )  # fmt: skip
        self.entry = cells.find(cell)
        widths, ways = dict(self.arguments)["hidden"], 1 + both_ways
        fed = [feature, *(ways * width for width in widths[:-1])]
        names = []
        for k, (read, width) in enumerate(zip(fed, widths, strict=True)):
            for name in (f"layer_{k}", f"layer_{k}_back")[:ways]:
                setattr(self, name, self.entry.make(read, width, rngs))
                names.append(name)
        self.RECURRENT = tuple(names)
        top = ways * widths[-1]
        self.normalise = None if norm is None else nnx.LayerNorm(top, epsilon=norm, rngs=rngs)
        self.readout = nnx.Linear(top, classes, rngs=rngs)

    def __call__(
        self,
        inputs: Float[Array, "batch time feature"],
        lengths: Int[Array, " batch"] | None = None,
    ) -> Float[Array, "batch ..."]:
        """Return the outputs: (batch, class), or (batch, time, class) if each state is read.

        Args:
            inputs: sequences, those shorter than the longest with anything after their end.
            lengths: frames of each, at least 1; None: all are of one length.
        """
        return self.readout(self.features(inputs, lengths))

    def states(
        self,
        inputs: Float[Array, "batch time feature"],
        lengths: Int[Array, " batch"] | None = None,
    ) -> Float[Array, "batch time hidden"]:
        """Return the hidden state of the last layer after every frame, both ways side by side.

        Args:
            inputs: as of a call.
            lengths: as of a call. After the end of a sequence states mean nothing.
        """
        return self.every_layer(inputs, lengths)[-1]

    def every_layer(
        self,
        inputs: Float[Array, "batch time feature"],
        lengths: Int[Array, " batch"] | None = None,
    ) -> list[Float[Array, "batch time hidden"]]:
        """Return the hidden states of each layer, as of ``states``."""
        config, found = self.config, []
        for k, width in enumerate(config["hidden"]):
            start = cells.initial_carry(self.entry, len(inputs), width, inputs.dtype)
            ahead = cells.unroll(self.entry, getattr(self, f"layer_{k}"), start, inputs)
            if config["both_ways"]:
                back = getattr(self, f"layer_{k}_back")
                turned = cells.unroll(self.entry, back, start, turn(inputs, lengths))
                ahead = jnp.concatenate([ahead, turn(turned, lengths)], axis=-1)
            found.append(ahead)
            inputs = ahead
        return found

    def features(
        self,
        inputs: Float[Array, "batch time feature"],
        lengths: Int[Array, " batch"] | None = None,
    ) -> Float[Array, "batch ..."]:
        """Return what the readout reads: (batch, hidden), or (batch, time, hidden) if each state.

        Args:
            inputs: as of a call.
            lengths: as of a call.
        """
        config = self.config
        states = self.states(inputs, lengths)
        read = read_states(states, lengths, config["reads"], both_ways=config["both_ways"])
        return read if self.normalise is None else self.normalise(read)


def turn(
    sequences: Float[Array, "batch time feature"], lengths: Int[Array, " batch"] | None = None
) -> Float[Array, "batch time feature"]:
    """Return sequences from their last frame to their first; what follows the last one stays."""
    if lengths is None:
        return sequences[:, ::-1]
    place = jnp.arange(sequences.shape[1])[None]
    ends = lengths[:, None]
    return jnp.take_along_axis(
        sequences, jnp.where(place < ends, ends - 1 - place, place)[..., None], axis=1
    )


def read_states(
    states: Float[Array, "batch time hidden"],
    lengths: Int[Array, " batch"] | None,
    reads: str,
    *,
    both_ways: bool = False,
) -> Float[Array, "batch ..."]:
    """Return what a readout reads of states.

    Args:
        states: after every frame.
        lengths: frames that count in each sequence; None: all.
        reads: which of them, one of ``READS``.
        both_ways: whether the second half of the units reads backwards.

    Returns:
        (batch, hidden), or the states as they are if each is read.
    """
    batch, frames, width = states.shape
    ends = jnp.full(batch, frames) if lengths is None else lengths
    counts = (jnp.arange(frames)[None] < ends[:, None])[..., None]
    if reads == "each":
        return states
    if reads == "mean":
        return jnp.where(counts, states, 0.0).sum(axis=1) / ends[:, None].astype(states.dtype)
    if reads == "max":
        return jnp.where(counts, states, -jnp.inf).max(axis=1)
    last = jnp.take_along_axis(states, (ends - 1)[:, None, None], axis=1)[:, 0]
    if reads == "ends" and both_ways:
        return jnp.concatenate([last[:, : width // 2], states[:, 0, width // 2 :]], axis=-1)
    return last


class Trajectory(NamedTuple):
    """What a sequence-to-sequence network went through.

    Attributes:
        encoder: hidden state after each frame that the encoder read.
        decoder: hidden state after each frame that the decoder was fed.
        outputs: predicted frames, one per decoder state.
    """

    encoder: Float[Any, "batch read hidden"]
    decoder: Float[Any, "batch time hidden"]
    outputs: Float[Any, "batch time feature"]


class Seq2Seq(Network):
    """An encoder that reads a sequence, and a decoder that goes on from where it ended.

    The encoder reads all frames but the last. The decoder starts from the encoder's last state and
    the last frame, and is then fed its own outputs (closed loop), in training as in use:

        h <- cell(h, y),  y <- W h + b  or, with ``residual``,  y <- y + W h + b

    Args:
        feature: size of one frame, at least 1.
        hidden: number of units, at least 1.
        cell: name of the recurrent cell, see ``cells.CELLS``.
        tied: whether encoder and decoder are one cell, as in Su and Shlizerman.
        residual: whether the decoder predicts the change from frame to frame.
        rngs: source of the initial parameters.

    Raises:
        ValueError: if a size is no whole number of at least 1, or the cell is unknown.

    Reference:
        Sutskever, Vinyals and Le (2014); Cho and others (2014); Martinez, Black and Romero (2017)
        for the residual decoder; Su and Shlizerman (2020).
    """

    RECURRENT = ("encoder", "decoder")

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
        self.arguments = _arguments(
            feature=feature, hidden=hidden, cell=cell, tied=tied, residual=residual
        )
        self.entry = cells.find(cell)
        self.encoder = self.entry.make(feature, hidden, rngs)
        self.decoder = self.encoder if tied else self.entry.make(feature, hidden, rngs)
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
        start = self._start(inputs)
        carry, encoder = cells.scan(self.entry, self.encoder, start, inputs[:, :-1], keep=True)
        decoder, outputs = self.decode(carry, inputs[:, -1], frames)
        return Trajectory(jnp.swapaxes(encoder, 0, 1), decoder, outputs)

    def decode(
        self, carry: Any, frame: Float[Array, "batch feature"], frames: int
    ) -> tuple[Float[Array, "batch time hidden"], Float[Array, "batch time feature"]]:
        """Run the decoder in closed loop.

        Without ``residual``, an output is linear in the hidden state, so that a decoder fed with
        its outputs is a recurrence of its own: R h + W (V h + d) = (R + W V) h + W d. A cell that
        gains by it runs as that.

        Args:
            carry: of the cell, as it stands; the hidden state for a GRU.
            frame: the first that is fed.
            frames: how many to predict.

        Returns:
            The hidden state after each frame, and the predicted frames.
        """
        entry, arrays = self.entry, cells.parameters(self.decoder)
        if entry.closed is not None and not self.residual:
            first = entry.step(arrays, carry, frame)  # it reads a frame that is no output
            readout = cells.parameters(self.readout)
            own = entry.closed(arrays, readout["kernel"], readout["bias"])
            nothing = jnp.zeros((frames - 1, len(frame), 0), frame.dtype)
            _, after = cells.sequence(entry)(own, first, nothing, True)
            hidden = jnp.swapaxes(jnp.concatenate([entry.hidden(first)[None], after]), 0, 1)
            return hidden, self.readout(hidden)

        def step(carried: tuple[Any, Array], _: None) -> tuple[Any, tuple[Array, Array]]:
            carry, fed = carried
            carry = entry.step(arrays, carry, fed)
            hidden = entry.hidden(carry)
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


class VAE(Network):
    """A variational autoencoder of sequences: a cell reads, another draws from a latent vector.

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
        cell: name of the recurrent cell, see ``cells.CELLS``.
        likelihood: "bernoulli", for frames in [0, 1], of which the outputs are the logits; or
            "gaussian", for real frames: the outputs are their means, and one variance for all is
            learnt (``noise``, its logarithm).
        rngs: source of the initial parameters.

    Raises:
        ValueError: if a size is no whole number of at least 1, or the cell or the likelihood is
            unknown.

    Reference:
        Kingma and Welling (2014); Bowman and others (2016) for sequences; Rybkin, Daniilidis and
        Levine (2021) for the learnt variance.
    """

    RECURRENT = ("encoder", "decoder")

    def __init__(
        self,
        frames: int,
        feature: int,
        hidden: int,
        latent: int,
        *,
        cell: str = "lstm",
        likelihood: str = "bernoulli",
        rngs: nnx.Rngs,
    ):
        self.arguments = _arguments(
            frames=frames, feature=feature, hidden=hidden, latent=latent, cell=cell,
            likelihood=likelihood,
        )  # fmt: skip
        self.entry = cells.find(cell)
        self.encoder = self.entry.make(feature, hidden, rngs)
        self.posterior = nnx.Linear(hidden, 2 * latent, rngs=rngs)
        self.start = nnx.Linear(latent, self.entry.copies * hidden, rngs=rngs)
        self.decoder = self.entry.make(latent, hidden, rngs)
        self.readout = nnx.Linear(hidden, feature, rngs=rngs)
        self.noise = _noise(likelihood)

    def encode(self, inputs: Float[Array, "batch time feature"]) -> Posterior:
        """Return the posterior of the latent vector, read from the encoder's last state."""
        entry, start = self.entry, self._start(inputs)
        carry, _ = cells.scan(entry, self.encoder, start, inputs, keep=False)
        return _posterior(self.posterior(entry.hidden(carry)))

    def decode(self, latent: Float[Array, "batch latent"]) -> Float[Array, "batch time feature"]:
        """Return what is drawn from latent vectors: logits, or means if the model is Gaussian."""
        return self.readout(self.drawing(latent))

    def drawing(self, latent: Float[Array, "batch latent"]) -> Float[Array, "batch time hidden"]:
        """Return the decoder's hidden state at every frame."""
        frames = dict(self.arguments)["frames"]
        *memory, hidden = jnp.split(self.start(latent), self.entry.copies, axis=-1)
        start = self.entry.carry(jnp.concatenate([*memory, jnp.tanh(hidden)], axis=-1))
        fed = jnp.broadcast_to(latent[:, None], (len(latent), frames, latent.shape[1]))
        return cells.unroll(self.entry, self.decoder, start, fed)


class MLPVAE(Network):
    """A variational autoencoder with two hidden layers on each side, for comparison.

    It takes the whole sequence as one vector; otherwise as ``VAE``.

    Args:
        frames: length of a sequence, at least 1.
        feature: size of one frame, at least 1.
        hidden: number of units of each hidden layer, with ReLU.
        latent: size of the latent vector, at least 1.
        likelihood: as of ``VAE``.
        rngs: source of the initial parameters.

    Raises:
        ValueError: if a size is no whole number of at least 1, or the likelihood is unknown.

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
        self.arguments = _arguments(
            frames=frames, feature=feature, hidden=hidden, latent=latent, likelihood=likelihood
        )
        self.read = nnx.Linear(frames * feature, hidden, rngs=rngs)
        self.read_on = nnx.Linear(hidden, hidden, rngs=rngs)
        self.posterior = nnx.Linear(hidden, 2 * latent, rngs=rngs)
        self.draw = nnx.Linear(latent, hidden, rngs=rngs)
        self.draw_on = nnx.Linear(hidden, hidden, rngs=rngs)
        self.readout = nnx.Linear(hidden, frames * feature, rngs=rngs)
        self.noise = _noise(likelihood)

    def encode(self, inputs: Float[Array, "batch time feature"]) -> Posterior:
        """Return the posterior of the latent vector."""
        hidden = nnx.relu(self.read(inputs.reshape(len(inputs), -1)))
        return _posterior(self.posterior(nnx.relu(self.read_on(hidden))))

    def decode(self, latent: Float[Array, "batch latent"]) -> Float[Array, "batch time feature"]:
        """Return what is drawn from latent vectors: logits, or means if the model is Gaussian."""
        hidden = nnx.relu(self.draw_on(nnx.relu(self.draw(latent))))
        return self.readout(hidden).reshape(len(latent), dict(self.arguments)["frames"], -1)


def _arguments(**arguments: Any) -> tuple[tuple[str, Any], ...]:
    """Return the arguments of a network, if each is what it may be."""
    return tuple((name, _argument(name, value)) for name, value in arguments.items())


def _argument(name: str, value: Any) -> Any:
    if name == "cell":
        cells.find(value)
    elif name == "likelihood" and value not in LIKELIHOODS:
        known = ", ".join(LIKELIHOODS)
        raise ValueError(f"likelihood {value!r} is unknown: choose from {known}.")
    elif name == "activation" and (not isinstance(value, str) or value not in ACTIVATIONS):
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f"activation {value!r} is unknown: choose from {known}.")
    elif name == "norm":
        if value is not None and not checks.is_number(value, 0, 1):
            raise ValueError(f"norm is {value!r}: give None, or a number of 0 to 1, such as 1e-5.")
        return None if value is None else float(value)
    elif name in SWITCHES and not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}: give True or False.")
    elif name == "reads" and value not in READS:
        raise ValueError(f"reads is {value!r}: choose from {', '.join(READS)}.")
    elif name in SIZES and not isinstance(value, tuple):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < 1:
            raise ValueError(f"{name} is {value!r}: give a whole number of at least 1.")
        return int(value)
    return value


def _flat(
    network: Network, inputs: Float[Array, "batch time feature"]
) -> Float[Array, "batch pixel"]:
    """Return each sequence as one vector, if it has the length that a network takes."""
    frames = dict(network.arguments)["frames"]
    if inputs.shape[1] != frames:
        name = type(network).__name__
        raise ValueError(f"sequences of {inputs.shape[1]} frames: this {name} takes {frames}.")
    return inputs.reshape(len(inputs), -1)


def _widths(hidden: Any) -> tuple[Any, ...]:
    if not isinstance(hidden, Sequence) or isinstance(hidden, str) or not hidden:
        raise ValueError(f"hidden is {hidden!r}: give the units of each layer, such as [64, 64].")
    return tuple(_argument("hidden", width) for width in hidden)


def _noise(likelihood: str) -> nnx.Param | None:
    return nnx.Param(jnp.zeros(())) if likelihood == "gaussian" else None


def _posterior(outputs: Array) -> Posterior:
    mean, log_variance = jnp.split(outputs, 2, axis=-1)
    return Posterior(mean, jnp.clip(log_variance, *LOG_VARIANCE))


MODELS: dict[str, Any] = {
    model.__name__: model for model in (Classifier, Stacked, Seq2Seq, VAE, MLPVAE, MLP, Logistic)
}
"""Every model by the name that a config gives it."""
