"""Maps that are run for ever: fixed points, cycles, circles, exponents, and where states end.

A map F is a JAX function of one state (hidden,) to the next, such as a recurrent network that is
fed nothing new (``networks.autonomous``). All is computed in double precision, whatever precision
the rest of the process works in.

    points = maps.fixed_points(F, starts)
    found = maps.limit_sets(F, starts, steps=5000)

What is computed is compiled once for each map. Of a ``jax.tree_util.Partial`` the function counts
alone, not the arrays that it holds: then a thousand networks of one shape are compiled once.
"""

from rnnatomy.analysis.maps.cycles import Cycle, Rotation, cycle, rotation, rotation_number
from rnnatomy.analysis.maps.exponents import Exponents, driven_lyapunov, lyapunov
from rnnatomy.analysis.maps.fixed import (
    FixedPoints,
    SlowPoints,
    fixed_points,
    from_arrays,
    join,
    shares_in_modes,
    slow_points,
    to_arrays,
)
from rnnatomy.analysis.maps.limits import KINDS, LimitSets, limit_sets
from rnnatomy.analysis.maps.steps import in_double, jacobians, run

__all__ = [
    "KINDS",
    "Cycle",
    "Exponents",
    "FixedPoints",
    "LimitSets",
    "Rotation",
    "SlowPoints",
    "cycle",
    "driven_lyapunov",
    "fixed_points",
    "from_arrays",
    "in_double",
    "jacobians",
    "join",
    "limit_sets",
    "lyapunov",
    "rotation",
    "rotation_number",
    "run",
    "shares_in_modes",
    "slow_points",
    "to_arrays",
]
