"""
Whether the TXT record of a DNS-01 challenge belongs to a zone that a DNS provider serves.
"""

from __future__ import annotations

from collections.abc import Callable

from certworker.dns01.solver import Plan
from certworker.domains.wildcard import base_name
from certworker.preflight.result import CheckContext, CheckResult

#: Returns the location and the provider of the TXT record for a name without `*.`. It raises a
#: CertworkerError if DNS does not lead to a zone.
PlanRecord = Callable[[str], Plan]


def check_dns01(context: CheckContext, plan_record: PlanRecord) -> CheckResult:
    """
    Check that the zone of the TXT record exists and has a provider.

    Raises:
        CertworkerError: The zone cannot be found, or has no provider.
    """
    plan = plan_record(base_name(context.name))
    evidence = f"DNS-01 by {plan.served.label} in the zone {plan.location.zone}"
    if plan.location.aliases:
        evidence += f"; the name of the TXT record is an alias of {plan.location.fqdn}"
    return CheckResult.passed(evidence, *plan.warnings)
