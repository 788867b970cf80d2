"""Asset checks: what turns red before data is lost, or when the lake would lie.

All of them are one step, with the lake opened once; Dagster may ask for some of them.
No `from __future__ import annotations` here: Dagster reads the annotations of its functions as they stand.
"""

from collections.abc import Iterator

import dagster as dg

from assets.catalogue import LEFT_OUT, left_out
from assets.outcome import StepFailed, cancellable
from assets.workspace import WorkspaceResource
from pipeline.errors import told
from pipeline.proof.checks import CHECKS, Checked, checks_of, verified
from pipeline.streams import STREAMS
from warehouse import LakeNotFound, RapidlakeError
from warehouse.lake import clock

VERIFIED = dg.AssetCheckKey(dg.AssetKey("verify"), "verified")
_BY_NAME = {check.name: check for check in CHECKS}
_SPECS = [
    dg.AssetCheckSpec(check.name, asset=stream.name, description=check.description, blocking=check.blocking)
    for stream in STREAMS.values()
    for check in checks_of(stream)
] + [dg.AssetCheckSpec("verified", asset="verify", description="The last verification is recent and found nothing.")]

CHEAP_CHECKS = [spec.key for spec in _SPECS if spec.name == "verified" or _BY_NAME[spec.name].cheap]


@dg.multi_asset_check(
    name="checks",
    specs=_SPECS,
    can_subset=True,
    description="Asks the lake whether its rows can be trusted.",
)
def lake_checks(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> Iterator[dg.AssetCheckResult]:
    """Ask what was selected."""
    now = clock.now()
    selected = sorted(context.selected_asset_check_keys)
    with cancellable("checks change nothing"):
        try:
            with workspace.lake() as lake:
                for key in selected:
                    if key.asset_key.to_user_string() in left_out():
                        yield _result(key, Checked(True, f"The stream is {LEFT_OUT}."))
                    elif key == VERIFIED:
                        yield _result(key, verified(lake, now))
                    else:
                        stream = STREAMS[key.asset_key.to_user_string()]
                        yield _result(key, _BY_NAME[key.name].ask(lake, stream, now))
        except LakeNotFound as error:
            for key in selected:
                yield _result(key, Checked(False, told(error), grave=False))
        except RapidlakeError as error:
            raise StepFailed(told(error)) from None


def _result(key: dg.AssetCheckKey, found: Checked) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=found.passed,
        severity=dg.AssetCheckSeverity.ERROR if found.grave else dg.AssetCheckSeverity.WARN,
        description=found.said,
        metadata=found.facts,
    )
