"""Serving from a state file that another process, such as a stream's worker, writes.

This server only reads the file. The file says which plans are served: if its writer changes to
another artifact, so does this server.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from fastfeat_kernels.records import dataclass

from fastfeat.api.plan import FittedPlan, fitted_of, fitted_records
from fastfeat.apps.serve.served_plan import ServedPlan, served_plan
from fastfeat.apps.serve.warming import warm
from fastfeat.errors import InvalidPlan, StateError
from fastfeat.keep.artifact import fitted_digest
from fastfeat.live.file.follower import Follower, NewEntries
from fastfeat.live.live import Live
from fastfeat.live.lower.live_plan import lower
from fastfeat.live.state.state import LiveState
from fastfeat.trust.quality.golden.golden_rows import check_golden_if_any

_TRIES = 50
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _StateAndPlans:
    """The state as read from the file so far, and its plans by name."""

    state: LiveState
    plans: Mapping[str, FittedPlan]


class StateFollowing:
    """A reader of a state file that another process writes.

    Args:
        path: Path of the state file.
        fitted: The plan that is served first; it must be one of the state's plans.
        most_rows: Maximum number of rows per call.
        drift: Time window over which answered rows are compared with training rows; None for no
            comparison.
    """

    def __init__(
        self, path: str, fitted: FittedPlan, most_rows: int, drift: str | None = None
    ) -> None:
        self._path = path
        self._given, self._digest = fitted, fitted_digest(fitted.record)
        self._first_digest = self._digest
        self._most_rows, self._drift = most_rows, drift
        self._is_first = True
        self.note = ""
        """Why the served plan is not warm; "" if it is."""
        self.drift_problem = ""
        """Why drift of the served plan is not measured, in a sentence; "" if it is."""
        self._follower: Follower | None = None
        self._read: _StateAndPlans | None = None

    def opened(self) -> ServedPlan:
        """Read the whole file, and return the plan to serve with this state.

        Raises:
            StateError: The file cannot be read, or does not contain the served plan.
        """
        self._read = self._begun()
        return self._served(self._read)

    def refresh(self) -> ServedPlan | None:
        """Apply the changes that were written since the last call to the state.

        Returns the plan to serve from now on if the file was replaced or its writer changed the
        plans; otherwise None.

        Raises:
            StateError: The file cannot be read now; the next call opens it anew.
        """
        if self._follower is None or self._read is None:
            return self.opened()
        try:
            return self._apply_news(self._follower, self._read)
        except StateError:
            self._read = None  # the file may have been replaced, for example by a new state
            raise

    def _apply_news(self, follower: Follower, read: _StateAndPlans) -> ServedPlan | None:
        news = follower.news()
        if news.base is not None or _is_of_other_plans(news):  # a base may have other plans
            return self.opened()
        read.state.restore([written.entry for written in news.entries])
        return None

    def close(self) -> None:
        """Close the file."""
        if self._follower is not None:
            self._follower.close()

    def _begun(self) -> _StateAndPlans:
        for _ in range(_TRIES):
            self.close()
            follower = self._follower = Follower(self._path)
            plans = {name: self._plan_of(content) for name, content in follower.plans.items()}
            news = follower.news()
            if not _is_of_other_plans(news):
                return _of_news(news, plans, follower)
            time.sleep(_PAUSE_SECONDS)  # by then the writer has written the base for the new plans
        raise StateError("the plans of the state keep changing. Try again later")

    def _plan_of(self, content: bytes) -> FittedPlan:
        """Return the plan in an artifact (as bytes) that the state contains.

        If it equals the plan that the server was given, the given object is returned: it may have a
        profile (statistics of the training rows), which a state does not keep.
        """
        found = fitted_of(content)
        return self._given if fitted_digest(found.record) == self._first_digest else found

    def _served(self, read: _StateAndPlans) -> ServedPlan:
        digests = {name: fitted_digest(fitted.record) for name, fitted in read.plans.items()}
        names = [name for name, digest in digests.items() if digest == self._digest]
        if not names and len(digests) > 1:
            raise StateError(
                f"{self._path}: none of the plans of this state equals the served artifact. Serve "
                "the artifact of one of these plans"
            )
        name = names[0] if names else next(iter(digests))
        if not names and self._is_first:
            raise StateError(
                f"{self._path}: the state's plan differs from the served artifact. Serve the "
                "artifact of the process that writes the state"
            )
        self._digest = digests[name]
        fitted = read.plans[name]
        if not names or self._is_first:
            check_golden_if_any(fitted.record)
            self.note = warm(fitted, read.state.tables)
        self._is_first = False
        live = Live(read.plans, read.state)
        self.drift_problem = ""
        if self._drift is not None:
            try:
                live.watch(self._drift, plans=[name])
            except InvalidPlan as error:  # a monitor must not stop the features
                self.drift_problem = f"drift is no longer measured: {error}"
        return served_plan(live, fitted, self._most_rows, name=name)


def _of_news(
    news: NewEntries, plans: Mapping[str, FittedPlan], follower: Follower
) -> _StateAndPlans:
    assert news.base is not None, "the first news are a base"
    state = LiveState(lower(fitted_records(plans)), follower.settings, news.base)
    state.restore([written.entry for written in news.entries])
    return _StateAndPlans(state, plans)


def _is_of_other_plans(news: NewEntries) -> bool:
    return any(written.plans for written in news.entries)
