"""With AUTH=true, condition keys have the values that AWS documents."""

import json

from ministack.core import iam_evaluator
from ministack.services import iam

from .patching import patch


@patch
def condition_keys():
    """aws:PrincipalArn of a session is its role's, requests count as encrypted, and those to KMS have their encryption context."""
    before = iam_evaluator._resolve_condition_key

    def resolve(key, context):
        name = key.lower()
        if name == "aws:securetransport":
            # AWS's clients would speak TLS; this endpoint has none.
            return "true"
        if name == "aws:principalarn" and ":assumed-role/" in context.principal_arn:
            role = iam_evaluator._role_name_from_assumed_arn(context.principal_arn)
            found = iam._roles.get_scoped(context.principal_account, None, role)
            return found["Arn"] if found else context.principal_arn
        return before(key, context)

    iam_evaluator._resolve_condition_key = resolve
    enforce_before = iam_evaluator.enforce

    def enforce(access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
        if service == "kms":
            service_context = {**(service_context or {}), **_encryption_context()}
        return enforce_before(access_key_id, iam_action, service, region, resource_arn, service_context)

    iam_evaluator.enforce = enforce


def _encryption_context():
    request = iam_evaluator._signed_request.get()
    try:
        context = json.loads(request.body).get("EncryptionContext") if request else None
    except ValueError:
        context = None
    return {f"kms:EncryptionContext:{key}": value for key, value in (context or {}).items()}
