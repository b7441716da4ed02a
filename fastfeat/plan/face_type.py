"""`Face`: the type of fitted plans as users have them, in what is made below the faces.

What holds fitted plans that a user gave, or is to get, is generic: `Live[FittedPlan]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Face = TypeVar("Face", default=Any)
else:
    from typing import TypeVar

    Face = TypeVar("Face")
