"""Sets condition keys to the values that AWS documents, for AUTH=true."""

import json

from ministack.core import iam_evaluator
from ministack.services import iam

from .patching import patch


@patch
def condition_keys():
    """Sets aws:PrincipalArn of a session to its role, aws:SecureTransport to true, and the encryption context of KMS requests."""
    before = iam_evaluator._resolve_condition_key

    def resolve(key, context):
        name = key.lower()
        if name == "aws:securetransport":
            # Clients use TLS with AWS, but this endpoint has no TLS.
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
