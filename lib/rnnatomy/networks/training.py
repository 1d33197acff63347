"""Fitting networks: one compiled call per epoch, compiled once for equal fits, exact resume."""

import hashlib
import os
import time
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from rnnatomy.analysis import checks
from rnnatomy.store import checkpoints

Create = Callable[[PRNGKeyArray], nnx.Module]
"""What makes a fresh network from a random key."""

Metrics = dict[str, Any]
"""What was measured after an epoch, by name."""

PARTS = 2
"""Devices that ``split_batches`` makes, on any machine, so that bits do not depend on its cores."""

COMPILED = 16
"""Different epochs and measurements that are kept compiled in a process; the oldest goes first."""


class Moment(NamedTuple):
    """When in a training a loss is taken.

    Attributes:
        key: random key of this step alone, from the network's key; after ``split_batches``, of this
            part of the batch.
        done: steps behind, as a fraction of all (0..1).
    """

    key: PRNGKeyArray
    done: Float[Array, ""]


Loss = Callable[[nnx.Module, Any, Moment], Float[Array, ""]]
"""Gives the mean loss of a network over the samples of a batch, at a moment.

After ``split_batches`` it is asked for each part of a batch, and the mean of its answers counts.
Give the same function for equal fits, not one made anew: an epoch is compiled for each function.
"""


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
    measure: Callable[..., Metrics] | None = None,
    held: tuple[Any, ...] = (),
    report: Callable[[Epoch], None] | None = None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Fit one network per key.

    Each epoch is a single compiled call, and is compiled once in a process for all fits with equal
    networks, loss, recipe and number of samples. A CPU trains its networks one after the other,
    which keeps what one step needs in the cache; any other device trains all of them at once. After
    ``split_batches``, two devices share each batch.

    The order of the samples in an epoch depends on the network's key and the epoch alone, so a run
    that was interrupted and resumed from its checkpoint ends in the same parameters, bit for bit,
    as one that was not.

    Args:
        create: makes a fresh model from a key.
        loss: mean loss of a model on one batch at a moment, from which a loss that draws at random
            takes its key.
        train: arrays with one sample per row, as a tree; ``loss`` gets a batch of each. For a
            model with classes, inputs and the class of each as a whole number.
        recipe: optimiser and schedule.
        keys: one random key per network.
        measure: metrics after each epoch, of a model and of what is in ``held``.
        held: arrays that ``measure`` reads, such as a validation part. A ``measure`` that closes
            over its arrays instead is compiled for each fit.
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
    state = _initial(create, recipe, samples, keys)
    identity = _identity(model, loss, recipe, keys, train)
    history: list[Metrics] = []
    if checkpoint is not None and checkpoint.exists():
        state, history = checkpoints.load(checkpoint, state, identity)
    epoch_step = compiled_epoch(graph, loss, recipe, samples, _parts(recipe.batch))
    measured = _compiled_measure(graph, measure)
    # one placement from the start, fresh or resumed, so that one compilation serves all epochs
    state, keys, train = jax.device_put((state, keys, train), _placement(_parts(recipe.batch)))
    held = jax.device_put(held, _placement(1))
    for number in range(len(history), recipe.epochs):
        start = time.perf_counter()
        state, losses, finite = epoch_step(state, keys, number, train)
        record = {"loss": losses, **measured(_on_one_device(state[0]), *held)}
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
    return Fitted(graph, _on_one_device(state[0]), stacked)


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


@lru_cache(COMPILED)
def compiled_epoch(
    graph: Any, loss: Loss, recipe: Recipe, samples: int, parts: int = 1
) -> Callable[..., Any]:
    """Compile one epoch of an ensemble into a single call; once for equal arguments.

    Args:
        graph: the static part of the model.
        loss: as of ``fit_ensemble``.
        recipe: optimiser and schedule.
        samples: of the training data.
        parts: devices that share each batch, a divisor of its size.

    Returns:
        A function of (state, keys, epoch number, training data): the state is the pair of
        parameters and optimiser memory with a leading seed axis; it gives the state after the
        epoch, the mean loss of each network, and how many of its steps had a finite loss before
        the first that had not.
    """
    steps = samples // recipe.batch
    optimiser = one_cycle(recipe, recipe.epochs * steps)

    def slope_of(parameters: Any, batch: Any, moment: Moment) -> tuple[Array, Any]:
        if parts > 1:
            key = jax.random.fold_in(moment.key, jax.lax.axis_index("part"))
            moment = moment._replace(key=key)
        found = jax.value_and_grad(lambda p: loss(nnx.merge(graph, p), batch, moment))(parameters)
        if parts == 1:
            return found
        flat, unravel = ravel_pytree(found)
        return unravel(jax.lax.pmean(flat, "part"))

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
            value, slope = slope_of(parameters, batch, moment)
            updates, memory = optimiser.update(slope, memory, parameters)
            return (optax.apply_updates(parameters, updates), memory), value

        rows = order[: steps * recipe.batch].reshape(steps, parts, -1)
        rows = rows[:, jax.lax.axis_index("part") if parts > 1 else 0]
        state, losses = jax.lax.scan(step, state, (jnp.arange(steps), rows))
        return state, losses.mean(), jnp.isfinite(losses).cumprod().sum()

    def epochs(state: Any, keys: Any, number: Any, train: Any) -> Any:
        return _each(epoch, (state, keys), number, train)

    if parts > 1:
        # what the devices hold is the same after each mean: nothing for the check of what varies
        whole = PartitionSpec()
        epochs = jax.shard_map(
            epochs, mesh=_mesh(parts), in_specs=whole, out_specs=whole, check_vma=False
        )
    return jax.jit(epochs)


def side_by_side(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of one network into one of many.

    A CPU takes the networks one after the other, which keeps what one needs in the cache; any other
    device takes all of them at once.

    Args:
        function: of the arrays of one network, as a tree, and of any shared arrays.

    Returns:
        The function of the arrays of all networks, with a leading seed axis, and of the shared
        arrays; so is what it returns.
    """
    return jax.jit(partial(_each, function))


def split_batches() -> None:
    """Let two devices of the CPU share each batch; call it before anything is computed.

    One network alone is so trained on two cores. A batch that the two cannot share evenly is left
    whole, as are all of them on another device than a CPU. XLA's threads within a device are turned
    off: they would compete for the same cores, and they have been seen to wait for each other
    forever.

    Losses agree with those of whole batches to rounding, but where a loss draws at random: each
    part has a key of its own. What is no mean over samples, as the free bits of an autoencoder, is
    taken for each part.

    Raises:
        RuntimeError: if JAX has computed something already.
    """
    jax.config.update("jax_num_cpu_devices", PARTS)
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false"


def _each(function: Callable[..., Any], networks: Any, *shared: Any) -> Any:
    """Apply a function of one network to many: in turn on a CPU, else at once."""
    one = lambda network: function(network, *shared)  # noqa: E731
    return jax.lax.map(one, networks) if _on_cpu() else jax.vmap(one)(networks)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _initial(create: Create, recipe: Recipe, samples: int, keys: Key[Array, " seed"]) -> Any:
    """Return the parameters of fresh networks and the memory of their optimiser, in one tree.

    Nothing is compiled for it as a whole, for ``create`` may be another function each time.
    """
    optimiser = one_cycle(recipe, recipe.epochs * (samples // recipe.batch))
    made = [nnx.state(create(key)) for key in keys]
    states = [(parameters, optimiser.init(parameters)) for parameters in made]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


@lru_cache(COMPILED)
def _compiled_measure(graph: Any, measure: Callable[..., Metrics] | None) -> Callable[..., Any]:
    """Compile a measurement of a model into one of the parameters of many; once for equal ones."""
    if measure is None:
        return lambda *_: {}
    return side_by_side(lambda p, *held: measure(nnx.merge(graph, p), *held))


def _parts(batch: int) -> int:
    """Return how many devices share each batch."""
    count = len(jax.devices())
    return count if _on_cpu() and batch % count == 0 else 1


def _mesh(parts: int) -> jax.sharding.Mesh:
    return jax.make_mesh((parts,), ("part",), (AxisType.Auto,), devices=jax.devices()[:parts])


def _placement(parts: int) -> Sharding:
    """Return where arrays lie: whole on each of the devices."""
    one = SingleDeviceSharding(jax.devices()[0])
    return NamedSharding(_mesh(parts), PartitionSpec()) if parts > 1 else one


def _on_one_device(tree: Any) -> Any:
    """Return arrays that lie whole on some devices as they lie on the first of them."""
    return jax.tree.map(lambda leaf: leaf.addressable_shards[0].data, tree)


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


def _identity(
    model: Any, loss: Loss, recipe: Recipe, keys: Key[Array, " seed"], train: Any
) -> dict[str, Any]:
    """Return what a checkpoint belongs to."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(train):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return {
        "model": getattr(model, "config", type(model).__name__),
        "loss": _describe(loss),
        "recipe": recipe._asdict(),
        "keys": np.asarray(jax.random.key_data(keys)).tolist(),
        "data": digest.hexdigest(),
    }


def _describe(loss: Loss) -> list[str]:
    """Name a loss, with the settings that it closes over, such as an objective."""
    names = [getattr(loss, name, "") for name in ("__module__", "__qualname__")]
    cells = [cell.cell_contents for cell in getattr(loss, "__closure__", None) or ()]
    return names + [repr(value) for value in cells if hasattr(value, "_asdict")]


def _not_finite(epoch: int, finite: np.ndarray, checkpoint: Path | None) -> str:
    """Name the networks whose loss is not finite, after so many finite steps each."""
    kept = f"epoch {epoch - 1} is kept in {checkpoint}" if checkpoint else "no checkpoint was asked"
    step = int(finite.min()) + 1
    bad = np.flatnonzero(finite == finite.min()).tolist()
    return (
        f"the loss of network {bad} is not finite in epoch {epoch}, step {step}: "
        f"lower learning_rate; {kept}."
    )
