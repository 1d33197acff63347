"""Fitting networks: one compiled call per epoch, many seeds as one computation, exact resume."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from rnnatomy.analysis import checks
from rnnatomy.store import checkpoints

Create = Callable[[PRNGKeyArray], nnx.Module]
"""What makes a fresh network from a random key."""

Metrics = dict[str, Any]
"""What was measured after an epoch, by name."""


class Moment(NamedTuple):
    """When in a training a loss is taken.

    Attributes:
        key: random key of this step alone, from the network's key.
        done: steps behind, as a fraction of all (0..1).
    """

    key: PRNGKeyArray
    done: Float[Array, ""]


Loss = Callable[[nnx.Module, Any, Moment], Float[Array, ""]]
"""Gives the mean loss of a network on a batch at a moment."""


class Recipe(NamedTuple):
    """Everything that decides a training run, but the model, the data and the key.

    AdamW with a one-cycle schedule: the learning rate rises to its peak over the first 30% of the
    steps and falls to almost nothing by the last. Gradients are clipped by their global norm.

    Attributes:
        epochs: passes over the training data, at least 1.
        batch: samples per step, at least 1; samples beyond the last whole batch of an epoch's
            shuffle wait for the next shuffle.
        learning_rate: peak of the cycle, above 0.
        weight_decay: AdamW's decay per step and unit of learning rate, at least 0.
        clip: largest global norm of a gradient, above 0.

    Reference:
        Loshchilov and Hutter (2019); Smith and Topin (2019).
    """

    epochs: int = 10
    batch: int = 128
    learning_rate: float = 8e-3
    weight_decay: float = 1e-2
    clip: float = 1.0


class Epoch(NamedTuple):
    """What is reported when an epoch ends.

    Attributes:
        number: the epoch, from 1.
        of: epochs in all.
        loss: mean training loss over the epoch.
        metrics: of the validation part, by name.
        seconds: wall time of this epoch.
        left: estimate of the wall time to the end, in seconds.
    """

    number: int
    of: int
    loss: Float[np.ndarray, " seed"]
    metrics: dict[str, Float[np.ndarray, " seed"]]
    seconds: float
    left: float


class Fitted(NamedTuple):
    """An ensemble of fitted networks.

    Attributes:
        graph: the static part of the model, the same for all.
        parameters: the arrays of all networks, with a leading seed axis.
        history: by name, with one row per epoch: "loss" and each validation metric (epoch, seed);
            "seconds" (epoch), the wall time.
    """

    graph: Any
    parameters: Any
    history: dict[str, Float[np.ndarray, "epoch ..."]]


class NotFiniteError(ArithmeticError):
    """The loss became NaN or infinite; the message says at which step, and what is kept."""


def fit(
    create: Create, loss: Loss, train: Any, recipe: Recipe, key: PRNGKeyArray, **options: Any
) -> Fitted:
    """Fit one network: ``fit_ensemble`` with a single key."""
    return fit_ensemble(create, loss, train, recipe, key[None], **options)


def fit_ensemble(
    create: Create,
    loss: Loss,
    train: Any,
    recipe: Recipe,
    keys: Key[Array, " seed"],
    *,
    measure: Callable[[nnx.Module], dict[str, Float[Array, ""]]] | None = None,
    report: Callable[[Epoch], None] | None = None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Fit one network per key, all of them as one computation.

    Each epoch is a single compiled call, in which the networks are shared out among JAX's devices
    (see ``side_by_side``). The order of the samples in an epoch depends on the
    network's key and the epoch alone, so a run that was interrupted and resumed from its
    checkpoint ends in the same parameters, bit for bit, as one that was not.

    Args:
        create: makes a fresh model from a key.
        loss: mean loss of a model on one batch at a moment, from which a loss that draws at random
            takes its key.
        train: arrays with one sample per row, as a tree; ``loss`` gets a batch of each. For a
            model with classes, inputs and the class of each as a whole number.
        recipe: optimiser and schedule.
        keys: one random key per network.
        measure: metrics of a model on the validation part, after each epoch.
        report: called when an epoch has ended.
        checkpoint: file to write after each epoch, and to resume from if it is there.

    Returns:
        The fitted networks and their history.

    Raises:
        ValueError: if a number in the recipe is out of range, or the batch exceeds the data; if
            the arrays of the data differ in length, are empty, or hold other than finite real
            numbers; if a label is none of the model's classes; or if there is no key.
        NotFiniteError: if a loss is not finite; the checkpoint keeps the last finite epoch.
        disk.StoreError: if the checkpoint is damaged or belongs to another run.
    """
    if keys.ndim != 1 or not len(keys):
        raise ValueError(f"keys have shape {keys.shape}: give (seed,), one for each network.")
    samples = _check_data(train)
    _check_recipe(recipe, samples)
    model = nnx.eval_shape(lambda: create(keys[0]))
    _check_labels(train, model)
    graph = nnx.split(model)[0]
    optimiser = one_cycle(recipe, recipe.epochs * (samples // recipe.batch))

    def initial(key: PRNGKeyArray) -> tuple[Any, Any]:
        parameters = nnx.state(create(key))
        return parameters, optimiser.init(parameters)

    state = side_by_side(initial)(keys)
    identity = _identity(recipe, keys, train)
    history: list[Metrics] = []
    if checkpoint is not None and checkpoint.exists():
        state, history = checkpoints.load(checkpoint, state, identity)
    train = jax.tree.map(jnp.asarray, train)
    epoch_step = compiled_epoch(graph, loss, optimiser, recipe, samples)
    measured = side_by_side(lambda p: measure(nnx.merge(graph, p)) if measure else {})
    for number in range(len(history), recipe.epochs):
        start = time.perf_counter()
        state, losses, finite = epoch_step(state, keys, number, train)
        record = {"loss": losses, **measured(state[0])}
        record = {name: np.asarray(value) for name, value in record.items()}
        if not np.isfinite(record["loss"]).all():
            raise NotFiniteError(_not_finite(number + 1, np.asarray(finite), checkpoint))
        seconds = time.perf_counter() - start
        history.append(record | {"seconds": np.float64(seconds)})
        if checkpoint is not None:
            checkpoints.save(checkpoint, state, identity, history)
        if report is not None:
            left = seconds * (recipe.epochs - number - 1)
            metrics = {name: value for name, value in record.items() if name != "loss"}
            report(Epoch(number + 1, recipe.epochs, record["loss"], metrics, seconds, left))
    stacked = {name: np.stack([h[name] for h in history]) for name in history[0]}
    return Fitted(graph, state[0], stacked)


def member(fitted: Fitted, seed: int) -> Any:
    """Return one network of an ensemble, by its place in it, as a model."""
    return nnx.merge(fitted.graph, jax.tree.map(lambda leaf: leaf[seed], fitted.parameters))


def one_cycle(recipe: Recipe, steps: int) -> optax.GradientTransformation:
    """Return AdamW with clipped gradients and a one-cycle learning rate over that many steps."""
    schedule = optax.cosine_onecycle_schedule(steps, recipe.learning_rate)
    return optax.chain(
        optax.clip_by_global_norm(recipe.clip),
        optax.adamw(schedule, weight_decay=recipe.weight_decay),
    )


def cross_entropy(
    model: nnx.Module,
    batch: tuple[Float[Array, "batch time feature"], Int[Array, " batch"]],
    moment: Moment,
) -> Float[Array, ""]:
    """Return the mean cross-entropy of a classifier on one batch, in nats, at any moment."""
    inputs, labels = batch
    logits = model(inputs)  # type: ignore[operator]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def squared_error(
    model: nnx.Module,
    batch: tuple[Float[Array, "batch read feature"], Float[Array, "batch time feature"]],
    moment: Moment,
) -> Float[Array, ""]:
    """Return the mean squared error of a sequence-to-sequence network on one batch.

    Args:
        model: is called with the inputs and the number of frames to predict.
        batch: inputs, and the frames that follow.
        moment: any; the loss does not change with it.

    Returns:
        Mean over samples, frames and features, in squared units of the data.
    """
    inputs, targets = batch
    outputs = model(inputs, targets.shape[1])  # type: ignore[operator]
    return jnp.square(outputs - targets).mean()


def predict(
    function: Callable[[Array], Array], inputs: Array, batch: int = 500
) -> Float[Array, "sample ..."]:
    """Apply a function of a batch to all samples, a batch at a time.

    Every sample is used, also when the batch does not divide their number.

    Args:
        function: maps (batch, time, feature) to (batch, ...).
        inputs: (sample, time, feature).
        batch: samples at a time, at least 1.
    """
    return jax.lax.map(lambda one: function(one[None])[0], inputs, batch_size=batch)


def evaluate(
    model: nnx.Module,
    inputs: Float[Array, "sample time feature"],
    labels: Int[Array, " sample"],
) -> dict[str, Float[Array, ""]]:
    """Measure a classifier over all samples.

    Returns:
        "accuracy": fraction of samples whose largest logit is their label's (0..1);
        "cross_entropy": mean, in nats.
    """
    logits = predict(model, inputs)  # type: ignore[arg-type]
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    hits = jnp.argmax(logits, axis=-1) == labels
    return {"accuracy": hits.mean(), "cross_entropy": losses.mean()}


def compiled_epoch(
    graph: Any, loss: Loss, optimiser: optax.GradientTransformation, recipe: Recipe, samples: int
) -> Callable[..., Any]:
    """Compile one epoch of an ensemble into a single call.

    Returns:
        A function of (state, keys, epoch number, training data): the state is the pair of
        parameters and optimiser memory with a leading seed axis; it gives the state after the
        epoch, the mean loss of each network, and how many of its steps had a finite loss before
        the first that had not.
    """
    steps = samples // recipe.batch

    def epoch(
        network: tuple[Any, PRNGKeyArray], number: Array, train: Any
    ) -> tuple[Any, Float[Array, ""], Int[Array, ""]]:
        state, key = network
        key = jax.random.fold_in(key, number)
        order = jax.random.permutation(key, samples)
        draws = jax.random.fold_in(key, 2)  # 0 and 1 are folded in by the permutation

        def step(state: Any, taken: tuple[Array, Array]) -> tuple[Any, Array]:
            (parameters, memory), (place, rows) = state, taken
            done = (number * steps + place) / (recipe.epochs * steps)
            moment = Moment(jax.random.fold_in(draws, place), jnp.asarray(done, jnp.float32))
            batch = jax.tree.map(lambda leaf: leaf[rows], train)
            value, slope = jax.value_and_grad(lambda p: loss(nnx.merge(graph, p), batch, moment))(
                parameters
            )
            updates, memory = optimiser.update(slope, memory, parameters)
            return (optax.apply_updates(parameters, updates), memory), value

        rows = order[: steps * recipe.batch].reshape(steps, recipe.batch)
        state, losses = jax.lax.scan(step, state, (jnp.arange(steps), rows))
        return state, losses.mean(), jnp.isfinite(losses).cumprod().sum()

    epochs = side_by_side(epoch)
    return lambda state, keys, number, train: epochs((state, keys), number, train)


def side_by_side(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of one network into one of many, shared out among JAX's devices.

    As many devices take part as divide the number of networks. A CPU device takes its networks
    one after the other, which keeps what one step needs in the cache; any other device takes all
    of its networks at once.

    On the cores of a CPU, networks are trained side by side after ``use_each_core``.

    Args:
        function: of the arrays of one network, as a tree, and of any shared arrays.

    Returns:
        The function of the arrays of all networks, with a leading seed axis, and of the shared
        arrays; so is what it returns.
    """

    def map_networks(networks: Any, *shared: Any) -> Any:
        if jax.default_backend() == "cpu":
            return jax.lax.map(lambda network: function(network, *shared), networks)
        return jax.vmap(lambda network: function(network, *shared))(networks)

    def distribute(networks: Any, *shared: Any) -> Any:
        count = len(jax.tree.leaves(networks)[0])
        devices = jax.devices()
        used = max(n for n in range(1, len(devices) + 1) if count % n == 0)
        mesh = jax.make_mesh((used,), ("seed",), (AxisType.Auto,), devices=devices[:used])
        split, whole = PartitionSpec("seed"), PartitionSpec()
        specs = (split, *[whole] * len(shared))
        # Networks do not talk to each other, so there is nothing for the check of what varies
        # over devices to find; it would only refuse the zero state that a cell starts from.
        return jax.shard_map(
            map_networks, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False
        )(networks, *shared)

    return jax.jit(distribute)


def use_each_core() -> None:
    """Make each core of the CPU a device of its own; call it before anything is computed.

    XLA's threads within a device are turned off: they would compete for the same cores, and they
    have been seen to wait for each other forever.

    Raises:
        RuntimeError: if JAX has computed something already.
    """
    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false"


def _check_data(train: Any) -> int:
    """Return the number of samples, if the arrays agree about it and hold finite real numbers."""
    leaves = jax.tree_util.tree_leaves_with_path(train)
    lengths = {len(leaf) if np.ndim(leaf) else 0 for _, leaf in leaves}
    if len(lengths) != 1 or 0 in lengths:
        told = " and ".join(map(str, sorted(lengths))) or "no"
        raise ValueError(
            f"the arrays of the training data have {told} rows: give each of them one row for each "
            "sample, and at least one."
        )
    for path, leaf in leaves:
        place = jax.tree_util.keystr(path)
        name = f"array {place} of the training data" if place else "the training data"
        array = checks.real(name, leaf)
        if array.dtype.kind == "f":
            # in the precision of the training, in which a large number may be infinite
            with np.errstate(over="ignore"):
                array = np.asarray(jnp.asarray(array))
            checks.finite(name, array)
    return lengths.pop()


def _check_labels(train: Any, model: Any) -> None:
    """Refuse labels that are none of the classes of a model, if it has classes."""
    classes = getattr(model, "config", {}).get("classes")
    if classes is None or not isinstance(train, tuple) or len(train) != 2:
        return
    labels = np.asarray(train[1])
    if labels.dtype.kind in "iu" and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}: this network tells {classes} "
            f"classes apart, give 0 to {classes - 1}."
        )


def _check_recipe(recipe: Recipe, samples: int) -> None:
    if not isinstance(recipe.epochs, int | np.integer) or recipe.epochs < 1:
        raise ValueError(f"epochs is {recipe.epochs}: give a whole number of at least 1.")
    if not isinstance(recipe.batch, int | np.integer) or not 1 <= recipe.batch <= samples:
        raise ValueError(f"batch is {recipe.batch}: give 1 to {samples}, the training samples.")
    finite = np.isfinite([recipe.learning_rate, recipe.weight_decay]).all()
    if not (finite and recipe.learning_rate > 0 and recipe.clip > 0 and recipe.weight_decay >= 0):
        raise ValueError(f"{recipe}: learning_rate and clip are above 0, weight_decay at least 0.")


def _identity(recipe: Recipe, keys: Key[Array, " seed"], train: Any) -> dict[str, Any]:
    seeds = np.asarray(jax.random.key_data(keys)).tolist()
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(train):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return {"recipe": recipe._asdict(), "keys": seeds, "data": digest.hexdigest()}


def _not_finite(epoch: int, finite: np.ndarray, checkpoint: Path | None) -> str:
    """Name the networks whose loss is not finite, after so many finite steps each."""
    kept = f"epoch {epoch - 1} is kept in {checkpoint}" if checkpoint else "no checkpoint was asked"
    step = int(finite.min()) + 1
    bad = np.flatnonzero(finite == finite.min()).tolist()
    return (
        f"the loss of network {bad} is not finite in epoch {epoch}, step {step}: "
        f"lower learning_rate; {kept}."
    )
