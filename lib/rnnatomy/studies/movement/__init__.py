"""The study of people moving: predictors of poses, and whether their states tell activities.

The same frames are taken in several ways, as single poses, as windows of poses, and as hidden
states of predictors, untrained and trained; each is clustered in the same ways. No network and no
clustering sees a label: labels only score.
"""

from rnnatomy.studies.movement.study import publish

__all__ = ["publish"]
